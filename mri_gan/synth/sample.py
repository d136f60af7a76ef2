"""Trained generators from their checkpoints, and the seeds, labels and sizes to draw with."""

from __future__ import annotations

import bisect
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mri_gan.checkpoint import digest, load_checkpoint, read_checkpoint
from mri_gan.conditions import (
    Column,
    Conditions,
    Stratum,
    describe_condition,
    encode_labels,
    parse_labels,
)
from mri_gan.config import LEVELS, STYLED, TrainConfig, require
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import DrawSettings, build_critic, build_generator
from mri_gan.nets.layers import CriticNet, GeneratorNet
from mri_gan.store.schema import label_channels

# Seeds as a person writes them: `0-999,2000`

MOST = 10_000_000
LARGEST = 2**63 - 1
EXAMPLE = "write numbers and ranges: 0-999,2000"
ANY = object()  # a class that is not asked for


def parse_seeds(text: str) -> list[int]:
    """The seeds in the order written, each once.

    Raises UsageError for anything but whole numbers and rising ranges, or more than ten million.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, last = _range(part.strip())
        if last - first + len(seeds) >= MOST:
            raise UsageError(f"--seeds {text}: more than {MOST:,} seeds", "give fewer at a time")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def _range(part: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,19})(?:\s*-\s*([0-9]{1,19}))?", part)
    if match is None:
        raise UsageError(f"--seeds: {part or 'nothing'} is not a seed or range", EXAMPLE)
    first = int(match[1])
    last = int(match[2] or match[1])
    if last < first:
        raise UsageError(f"--seeds: {part} runs backwards", EXAMPLE)
    if last > LARGEST:
        raise UsageError(f"--seeds: {last} is too large", f"the largest is {LARGEST}")
    return first, last


def describe_seeds(seeds: Sequence[int]) -> str:
    """The seeds in short: `0-999,2000`."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


# What a trained network is given for each image it draws


def draw_labels(spec: Conditions, seed: int) -> dict[str, str | float | None]:
    """Labels for one seed, as frequent and going together as in training; None is unknown.

    In a network of an earlier version, classes are drawn evenly, numbers normal and within the
    range of training.
    """
    rng = random.Random(seed)
    if not spec.strata:
        return {column.name: _draw(column, rng) for column in spec.columns}
    classes = [column.name for column in spec.columns if column.is_class]
    numbers = [column.name for column in spec.columns if not column.is_class]
    ends = list(itertools.accumulate(one.slices for one in spec.strata))
    stratum = spec.strata[bisect.bisect(ends, rng.random() * ends[-1])]
    drawn: dict[str, str | float | None] = dict(zip(classes, stratum.classes, strict=True))
    for i, (name, known) in enumerate(zip(numbers, stratum.known, strict=True)):
        missing, part = rng.random() >= known, rng.random()
        drawn[name] = None if missing else stratum.number(i, part)
    return drawn


def _fitting_strata(spec: Conditions, given: Mapping[str, str | None]) -> tuple[Stratum, ...]:
    """Those with the classes that are given or, where none has them, all."""
    wanted = [given.get(column.name, ANY) for column in spec.columns if column.is_class]
    fitting = tuple(
        one
        for one in spec.strata
        if all(w in (ANY, has) for w, has in zip(wanted, one.classes, strict=True))
    )
    return fitting or spec.strata


def _draw(column: Column, rng: random.Random) -> str | float:
    if column.is_class:
        return rng.choice(column.values)
    return min(max(rng.gauss(column.mean, column.scale), column.low), column.high)


def labels_of(
    spec: Conditions, text: str | None, seeds: Sequence[int]
) -> list[dict[str, str | float | None]]:
    """The labels of each seed: what `text` says for all, and the rest drawn for each.

    Raises UsageError for a text that does not fit the network.
    """
    given = parse_labels(spec, text or "")
    fitting = replace(spec, strata=_fitting_strata(spec, given))
    return [{**draw_labels(fitting, seed), **given} for seed in seeds]


def condition_rows(spec: Conditions, text: str | None, seeds: Sequence[int]) -> Tensor | None:
    """The condition of each seed [N, K], as `labels_of` has it; None for a network without."""
    labels = labels_of(spec, text, seeds)
    return encode_rows(spec, labels) if spec else None


def encode_rows(spec: Conditions, labels: Sequence[Mapping[str, str | float | None]]) -> Tensor:
    """Labels as the network takes them [N, K]."""
    rows = [encode_labels(spec, one) for one in labels]
    return torch.from_numpy(np.array(rows, np.float32).reshape(-1, spec.dim))


def describe_rows(spec: Conditions, rows: Tensor | None, count: int) -> list[str]:
    """Each condition as a person would write it; empty for a network without."""
    if rows is None:
        return [""] * count
    return [describe_condition(spec, row.tolist()) for row in rows]


# Trained networks, and how to draw with them


@dataclass(frozen=True)
class Trained:
    """A generator ready to draw, and how far its training had come."""

    generator: GeneratorNet
    config: TrainConfig
    nimg: int
    size: int  # px, the largest resolution that has been trained
    alpha: float  # fade-in weight at that resolution
    path: Path
    digest: str  # of the generator's weights
    channel_names: tuple[str, ...]  # what each channel of an image holds
    conditions: Conditions  # what the generator takes besides z
    pixel_mm: float | None = None  # of the training slices at the largest trained size, if known

    def __repr__(self) -> str:
        arch, kimg = self.config.arch, self.nimg / 1000
        return f"Trained({str(self.path)!r}): {arch}, {self.size} px, {kimg:g} kimg"

    @property
    def has_mask(self) -> bool:
        """Whether the last channel is a mask of the others."""
        return len(self.channel_names) - 1 in label_channels(self.channel_names)

    def pixel_mm_at(self, size: int) -> float | None:
        """The edge of a pixel at a size in px; None where it is not known."""
        return self.pixel_mm and self.pixel_mm * self.size / size


def only_styled(what: str, trained: Trained) -> str:
    """Why a network does not do what takes styles or noise: "only stylegan and stylegan2 ..."."""
    return f"only {' and '.join(STYLED)} {what}, and this is a {trained.config.arch}"


def load_trained(path: Path, device: torch.device | str = "cpu") -> Trained:
    """The EMA generator of a checkpoint file, or of the newest one in a run folder.

    Raises DataError when there is none or its weights do not fit its configuration.
    """
    path, checkpoint = read_checkpoint(path, device)
    config = checkpoint.config
    generator = build_generator(config.model).to(device)
    try:
        generator.load_state_dict(checkpoint.state["g_ema"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        unfit = "its generator does not fit its settings"
        why = "holds no generator" if "g_ema" not in checkpoint.state else unfit
        raise DataError(f"{path}: {why}", "use another checkpoint") from error
    generator.requires_grad_(False).eval()
    return Trained(
        generator,
        config,
        checkpoint.nimg,
        checkpoint.resolution,
        checkpoint.alpha,
        path,
        digest(checkpoint.state["g_ema"]),
        config.channel_names or ("image",) * config.channels,
        config.conditions,
        config.pixel_mm and config.pixel_mm * config.max_size / checkpoint.resolution,
    )


def load_critic(trained: Trained, device: torch.device | str = "cpu") -> CriticNet | None:
    """The critic in a generator's checkpoint, or None where it was left out of the file."""
    checkpoint = load_checkpoint(trained.path, device)
    critic = build_critic(trained.config.model).to(device)
    try:
        critic.load_state_dict(checkpoint.state["d"])
    except (AttributeError, KeyError, RuntimeError, TypeError):
        return None
    return critic.requires_grad_(False).eval()


def alpha_for(trained: Trained, size: int) -> float:
    """The fade-in weight at a size: in force for the newest, full for lower ones."""
    return trained.alpha if size == trained.size else 1.0


def settings_to_draw(
    trained: Trained, size: int | None = None, psi: float = 0.7, noise: float = 1.0
) -> DrawSettings:
    """How to draw a size in px, by default the largest trained.

    Smaller ones are drawn at that size and shrunk: their own image layers were last trained long
    ago. A network without styles has nothing to truncate, so its psi is 1.
    Raises UsageError, naming the sizes there are, for one that has not been trained, and for
    numbers that only a slip of the finger gives.
    """
    require(-2 <= psi <= 2, f"--psi {psi:g}", "give -2 to 2; 1 is no truncation")
    require(0 <= noise <= 2, f"--noise {noise:g}", "give 0 to 2; 1 is as trained")
    size = trained.size if size is None else size
    reached = [level for level in LEVELS if level <= trained.size]
    if size not in reached:
        later = size in LEVELS and size <= trained.config.max_size
        raise UsageError(
            f"{trained.path}: has not been trained at {size} px",
            f"choose --size from {', '.join(map(str, reached))}" + ", or train longer" * later,
        )
    drawn_px = trained.size if size < trained.size else 0
    psi = psi if trained.generator.has_styles else 1.0
    return DrawSettings(size, trained.alpha, psi, noise, drawn_px)
