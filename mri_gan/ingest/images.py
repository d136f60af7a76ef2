"""Image files to grey pixels, their bit depth kept."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mri_gan.errors import DataError
from mri_gan.files import one_line

# An allow-list: Pillow would hand an EPS file to Ghostscript.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
MAX_PIXELS = 8192 * 8192
PNG_MAGIC = b"\x89PNG"
JPEG_MAGIC = b"\xff\xd8"
EXIF_ORIENTATION = 0x0112


def read_image(data: bytes, verify: bool = True) -> NDArray[Any]:
    """Grey pixels [H, W], uint8 or uint16, of a PNG, JPEG, TIFF or BMP file.

    `verify` checks a PNG's checksums, which its decoder does not; a zip has its own.

    Colour images with equal channels give that channel exactly, others their luma (ITU-R 601).
    Raises DataError for damaged, huge or unknown files.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is checked here
            return _read(data, verify)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many types, and not only OSError
        raise DataError(f"unreadable image ({_plain(error)})", "copy it again") from error


def read_label_image(data: bytes) -> NDArray[Any]:
    """Labels [H, W] of a mask: grey levels as they are, or the entries of a palette.

    Raises DataError for damaged files, colours, and JPEG, which blurs labels.
    """
    if data[:2] == JPEG_MAGIC:
        raise DataError("its mask is a JPEG, which blurs labels", "save masks as PNG")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode in ("P", "1"):
                return np.asarray(image).astype(np.uint8)
    except Exception as error:  # Pillow's decoders raise many types, and not only OSError
        raise DataError(f"its mask is an unreadable image ({_plain(error)})") from error
    return read_image(data)


def _read(data: bytes, verify: bool) -> NDArray[Any]:
    if verify and data[:4] == PNG_MAGIC:
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise DataError("more than one page", "save each page as a file of its own")
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{image.width} x {image.height} pixels are too many")
        if image.format != "PNG" and image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            return _grey(ImageOps.exif_transpose(image))
        return _grey(image)


def _plain(error: Exception) -> str:
    # Pillow's own words for "not an image" name a memory address; nobody can use that.
    text = one_line(error)
    return "not a PNG, JPEG, TIFF or BMP" if "BytesIO" in text else text


def _grey(image: Image.Image) -> NDArray[Any]:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return _wide(np.asarray(image))
    rgb = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    first = rgb[..., 0]
    if (first == rgb[..., 1]).all() and (first == rgb[..., 2]).all():
        return np.ascontiguousarray(first)
    return np.asarray(image.convert("L"))


def _wide(values: NDArray[Any]) -> NDArray[np.uint16]:
    """32-bit pixels that are really 16-bit ones; others have no known white point."""
    if values.min() < 0 or values.max() > 65535 or (values != np.round(values)).any():
        raise DataError("32-bit pixels outside 0..65535", "save it as 8- or 16-bit grey")
    return values.astype(np.uint16)
