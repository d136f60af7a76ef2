"""How images are shown on sheets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mri_gan.pictures import to_grey

SHOWN_PX = 128  # smaller pictures are magnified to about this size


def magnification(size: int) -> int:
    """How many screen pixels to show each pixel with."""
    return max(1, SHOWN_PX // size)


def shown(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, C, H, W] -1..1 to what a sheet takes: grey from the first channel, or three as RGB."""
    grey = to_grey(images)
    return grey if grey.shape[1] == 3 else grey[:, 0]
