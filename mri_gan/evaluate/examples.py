"""Slices with what a small network is to tell of them: real ones, and synthetic ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.errors import DataError, UsageError
from mri_gan.evaluate.images import BATCH, pick_conditions, quantise, to_unit
from mri_gan.evaluate.tasks import LARGEST_PX, Examples
from mri_gan.store.labels import slice_labels
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Look, Trained, draw_seeds

HELD_OUT = ("validate", "test")


def pick_task(store: StoreReader, trained: Trained, wanted: str) -> str:
    """The task that store and model carry; raises UsageError where the wanted one is not there."""
    has_mask = trained.has_mask and store.channels == trained.config.channels
    if wanted == "mask" and not has_mask:
        raise UsageError(
            f"{store.folder}: has no tissue masks that the model draws too", "prepare with --masks"
        )
    if wanted == "mask" or (wanted == "auto" and has_mask):
        return "mask"
    if not any("position" in row for row in slice_labels(store.records)):
        raise UsageError(f"{store.folder}: tells no slice positions", "there is no task for it")
    return "position"


def read_examples(
    store: StoreReader, splits: tuple[str, ...], size: int, task: str, limit: int, seed: int
) -> Examples:
    """Real slices of some splits with what is to be told of them, at most 64 px.

    Raises DataError where there are none.
    """
    labels = slice_labels(store.records)
    indices = np.concatenate([store.indices(split) for split in splits])
    if task == "position":
        indices = np.array([i for i in indices if "position" in labels[int(i)]], np.int64)
    if not len(indices):
        raise DataError(
            f"{store.folder}: has no slices in {' and '.join(splits)}", "prepare with --split"
        )
    indices = np.random.default_rng(seed).permutation(indices)[:limit]
    subjects = [store.records[int(i)].subject for i in indices]
    groups = np.unique(subjects, return_inverse=True)[1]
    raw = torch.from_numpy(
        np.concatenate(
            [
                to_unit(store.read(size, indices[i : i + BATCH]))
                for i in range(0, len(indices), BATCH)
            ]
        )
    )
    if task == "mask":
        return Examples(*_with_masks(raw, mask_values(store, size)), groups)
    places = torch.tensor([float(labels[int(i)]["position"]) for i in indices])
    return Examples(_small(raw[:, :1]), places, groups)


def mask_values(store: StoreReader, size: int) -> NDArray[np.float32]:
    """The grey levels, 0..1, that the training masks have, from their first 256 slices.

    Raises DataError where they are too many for classes.
    """
    found = np.unique(store.read(size, store.indices("train")[:256])[:, -1])
    if not 2 <= len(found) <= 16:
        raise DataError(f"{store.folder}: masks of {len(found)} values", "give masks of 2 to 16")
    return np.asarray(to_unit(found), np.float32)


def _with_masks(raw: Tensor, values: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Images and classes of [N, C, S, S] whose last channel is a mask: the nearest value each."""
    step = max(1, raw.shape[-1] // LARGEST_PX)
    masks = raw[:, -1, step // 2 :: step, step // 2 :: step]
    borders = torch.from_numpy((values[1:] + values[:-1]) / 2)
    return _small(raw[:, :1]), torch.bucketize(masks.contiguous(), borders)


def _small(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, max(1, images.shape[-1] // LARGEST_PX))


def draw_examples(
    trained: Trained,
    look: Look,
    seeds: range,
    depth: int,
    conditions: Tensor | None,
    values: NDArray[np.float32] | None,
    tell: Callable[[int], None] = lambda _: None,
) -> tuple[Examples, str]:
    """Synthetic slices with labels where the model gives them, and where these come from.

    Targets are empty where it gives none.
    """
    rows = pick_conditions(trained, seeds, conditions)
    drawn = []
    for i in range(0, len(seeds), BATCH):
        some = None if rows is None else rows[i : i + BATCH]
        batch = draw_seeds(trained.generator, seeds[i : i + BATCH], look, some).numpy()
        drawn.append(torch.from_numpy(quantise(batch, depth)))
        tell(len(batch))
    raw, groups = torch.cat(drawn), np.arange(len(seeds))
    if values is not None:
        return Examples(*_with_masks(raw, values), groups), "drawn masks"
    places = _asked_positions(trained, rows)
    if places is not None:
        return Examples(_small(raw[:, :1]), places, groups), "conditions"
    return Examples(_small(raw[:, :1]), torch.zeros(0), groups), "network trained on reals"


def _asked_positions(trained: Trained, rows: Tensor | None) -> Tensor | None:
    """The positions that a conditional model was asked for [N], or None where it takes none."""
    start = 0
    for column in trained.conditions.columns:
        if column.name == "position" and not column.is_class and rows is not None:
            return rows[:, start] * column.scale + column.mean
        start += column.width
    return None
