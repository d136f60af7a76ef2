"""Made-up slices, and their pixels as image files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phantoms.volumes import Array


def slice_pixels(width: int = 64, height: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """One grey slice [height, width]: an off-centre ellipse of tissue in dark air."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    dx, dy = rng.uniform(-0.15, 0.15, 2)
    inside = ((x - dx) / 0.7) ** 2 + ((y - dy) / 0.8) ** 2 < 1
    tissue = 130 + 60 * np.cos(5 * x + rng.uniform(0, 6)) + rng.normal(0, 3, (height, width))
    return np.asarray(np.clip(np.where(inside, tissue, rng.uniform(0, 4, y.shape)), 0, 255), "u1")


def image_bytes(array: Array, mode: str = "", format: str = "PNG", **save: Any) -> bytes:
    """An image file of the pixels, converted to a Pillow mode first where one is given."""
    image = Image.fromarray(array)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, format, **save)
    return stream.getvalue()


def png_bytes(array: Array, mode: str = "") -> bytes:
    """A PNG file of the pixels."""
    return image_bytes(array, mode, "PNG")
