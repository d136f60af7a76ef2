"""A person's image as the target of a projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # an allow-list: others may start helpers
WHITES = {"I;16": 65535.0, "I;16B": 65535.0, "I;16L": 65535.0, "I": 65535.0}


def read_target(path: Path, size: int, channels: int) -> Tensor:
    """An image file as [1, channels, size, size] of -1..1, padded to a square with black.

    Grey, colour, 8 and 16 bits. Raises DataError for a file that is no image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = read_pixels(image)
    except FileNotFoundError as error:
        raise explain_os_error(error, path) from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise explain_os_error(error, path) from error
        hint = f"give one of {', '.join(FORMATS)}"
        raise DataError(f"{path}: is no readable image ({one_line(error)[:60]})", hint) from error
    return fit(torch.from_numpy(pixels), size, channels)


def read_pixels(image: Image.Image) -> NDArray[np.float32]:
    """[C, H, W] of 0..1, one channel or three."""
    if image.mode in WHITES:
        return np.asarray(image, np.float32)[None] / np.float32(WHITES[image.mode])
    if image.mode == "F":
        raise ValueError("float pixels have no known range")
    grey = image.mode in ("1", "L", "LA")
    array = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / np.float32(255)
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def fit(pixels: Tensor, size: int, channels: int) -> Tensor:
    """[C, H, W] of 0..1 -> [1, channels, size, size] of -1..1; the mean makes colour grey."""
    if len(pixels) != channels:
        pixels = pixels.mean(0, keepdim=True).expand(channels, -1, -1)
    height, width = pixels.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = F.pad(pixels, (left, side - width - left, top, side - height - top))
    scaled = F.interpolate(square[None], (size, size), mode="area" if side >= size else "bilinear")
    return scaled * 2 - 1
