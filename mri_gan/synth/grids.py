"""Image grids: plain samples, and style mixing with its sources along the edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.nets.protocol import GeneratorNet
from mri_gan.pictures import build_sheet, to_grey
from mri_gan.synth.sample import Look, draw_mixed, draw_seeds

SHOWN_PX = 128  # smaller pictures are magnified to about this size


def magnification(size: int) -> int:
    """How many screen pixels to show each pixel with."""
    return max(1, SHOWN_PX // size)


def sample_grid(
    generator: GeneratorNet, seeds: Sequence[int], columns: int, look: Look
) -> Image.Image:
    """One picture for each seed, row by row."""
    images = draw_seeds(generator, seeds, look).numpy()
    return build_sheet(shown(images), columns, scale=magnification(look.size))


def mixing_grid(
    generator: GeneratorNet,
    coarse_seeds: Sequence[int],
    fine_seeds: Sequence[int],
    look: Look,
    crossover: int | None = None,
) -> Image.Image:
    """A table of pictures: coarse styles from the top row, fine styles from the left column."""
    coarse = draw_seeds(generator, coarse_seeds, look)
    fine = draw_seeds(generator, fine_seeds, look)
    mixed = draw_mixed(generator, coarse_seeds, fine_seeds, look, crossover)
    width = len(coarse_seeds)
    rows = [np.concatenate([np.full_like(coarse[:1], -1), coarse])]
    for i in range(len(fine_seeds)):
        rows.append(np.concatenate([fine[i : i + 1], mixed[i * width : (i + 1) * width]]))
    return build_sheet(shown(np.concatenate(rows)), width + 1, scale=magnification(look.size))


def shown(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, C, H, W] -1..1 to what a sheet takes: grey from the first channel, or three as RGB."""
    grey = to_grey(images)
    return grey if grey.shape[1] == 3 else grey[:, 0]
