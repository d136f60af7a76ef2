"""Shades of grey: stored whole numbers, and the 0..1 and -1..1 that arithmetic is done in.

The one place that knows what white is. Tensors for networks: `nets.protocol.to_signed`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


def white_of(images: Any) -> int:
    """The white of uint8 or uint16 pixels, an array's or a tensor's: 255 or 65535."""
    return int((1 << 8 * images.itemsize) - 1)


def to_unit(images: NDArray[Any]) -> Pixels:
    """uint8 or uint16 as 0..1."""
    return np.asarray(images, np.float32) / np.float32(white_of(images))


def to_stored(images: NDArray[Any], depth: int = 8) -> NDArray[Any]:
    """-1..1 as grey levels of 8 or 16 bits, rounded half up; what is beyond is cut off."""
    levels = np.floor((np.clip(images, -1, 1) + 1) * (((1 << depth) - 1) / 2) + 0.5)
    return np.asarray(levels, np.uint8 if depth == 8 else np.uint16)


def to_grey(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pictures of uint8, uint16 or float -1..1 as 8-bit grey."""
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.uint16:
        return (images >> 8).astype(np.uint8)
    return to_stored(images)
