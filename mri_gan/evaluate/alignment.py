"""The nearest slice in pixels, whatever its brightness, contrast, small shift or mirroring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mri_gan.evaluate.features import shrink
from mri_gan.evaluate.images import Pixels

FINE_PX = 64  # shifts are made at this size or less ...
WORKING_PX = 32  # ... and compared at this
SHIFT = 16  # parts of the width that a shift may have, each way: 4 px of 64
ROWS, COLUMNS = 128, 512  # of one block: 42 MB with 162 variants
NOBODY = -1  # the group of images that belong to no person


@dataclass(frozen=True)
class Nearest:
    """For each query, the distance to the nearest base image [N] and which one that is [N]."""

    distance: NDArray[np.float32]
    row: NDArray[np.int64]


def align_nearest(
    queries: Pixels,
    base: Pixels,
    query_groups: NDArray[np.int64],
    base_groups: NDArray[np.int64],
) -> Nearest:
    """The nearest base image of another group for each query, over shifts and mirroring.

    Distance is sqrt(1 - r) of the correlation r of the common window at 32 px or less: 0 for a
    copy, 1 for unrelated pictures. Images must be shrunk by `shrink_all` before. Shifts are steps
    of 1/64 of the width: half a pixel more would hide a copy of a sharp picture. A query whose
    group has all of the base gets an infinite distance.
    """
    shift = queries.shape[-1] // SHIFT
    middle = torch.from_numpy(window_rows(base, shift, shift, shift))
    best = torch.full((len(queries),), -torch.inf)
    found = torch.zeros(len(queries), dtype=torch.int64)
    for i in range(0, len(queries), ROWS):
        part = slice(i, i + ROWS)
        shifted = shifted_rows(queries[part], shift)
        variants = torch.from_numpy(np.concatenate(shifted))  # [V * n, W * W]: one large product
        own = torch.from_numpy(query_groups[part])
        for j in range(0, len(base), COLUMNS):
            columns = middle[j : j + COLUMNS].T
            block = (variants @ columns).view(len(shifted), len(own), -1).amax(0)
            others = torch.from_numpy(base_groups[j : j + COLUMNS])
            same = (own[:, None] == others) & (own[:, None] != NOBODY)
            values, places = block.masked_fill_(same, -torch.inf).max(1)
            better = values > best[part]
            best[part] = torch.where(better, values, best[part])
            found[part] = torch.where(better, places + j, found[part])
    distance = torch.sqrt((1 - best).clamp(min=0))
    return Nearest(distance.numpy(), found.numpy())


def shrink_all(images: Pixels) -> Pixels:
    """Means of blocks: at most 64 px a side."""
    return shrink(images, FINE_PX)


def shifted_rows(images: Pixels, shift: int) -> list[NDArray[np.float32]]:
    """The windows of images and of their mirror images at every shift, as unit rows."""
    starts = range(2 * shift + 1)
    return [
        window_rows(pictures, y, x, shift)
        for pictures in (images, images[:, :, ::-1])
        for y in starts
        for x in starts
    ]


def window_rows(images: Pixels, y: int, x: int, shift: int) -> NDArray[np.float32]:
    """The window from (y, x) that leaves room for shifts, at the working size, as unit rows."""
    size = images.shape[-1]
    width = size - 2 * shift
    window = images[:, y : y + width, x : x + width]
    return unit_rows(window if size <= WORKING_PX else shrink_twofold(window))


def shrink_twofold(images: Pixels) -> Pixels:
    """Means of 2x2 pixels."""
    rows = images[:, 0::2] + images[:, 1::2]
    return np.asarray((rows[:, :, 0::2] + rows[:, :, 1::2]) / 4)


def unit_rows(images: Pixels) -> NDArray[np.float32]:
    """Each image as a row of mean 0 and length 1: brightness and contrast are gone [N, S * S]."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-6), np.float32)
