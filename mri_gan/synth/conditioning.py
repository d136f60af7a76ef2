"""What a trained network is told about each image it draws."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from mri_gan.conditions import Column, Conditions, describe, encode, parse


def draw_labels(spec: Conditions, seed: int) -> dict[str, str | float]:
    """Labels for one seed: classes evenly, numbers normal as in training and within its range."""
    rng = random.Random(seed)
    return {column.name: _draw(column, rng) for column in spec.columns}


def _draw(column: Column, rng: random.Random) -> str | float:
    if column.is_class:
        return rng.choice(column.values)
    return min(max(rng.gauss(column.mean, column.scale), column.low), column.high)


def condition_rows(spec: Conditions, text: str | None, seeds: Sequence[int]) -> Tensor | None:
    """The condition of each seed [N, K]: what `text` says for all, or drawn for each.

    None for a network without conditions. Raises UsageError for a text that does not fit it.
    """
    if text is not None:
        rows = torch.from_numpy(parse(spec, text)).expand(len(seeds), -1)
    elif spec:
        vectors = [torch.from_numpy(encode(spec, draw_labels(spec, seed))) for seed in seeds]
        rows = torch.stack(vectors) if vectors else torch.zeros(0, spec.dim)
    return rows if spec else None


def describe_rows(spec: Conditions, rows: Tensor | None, count: int) -> list[str]:
    """Each condition as a person would write it; empty for a network without."""
    if rows is None:
        return [""] * count
    return [describe(spec, row.tolist()) for row in rows]
