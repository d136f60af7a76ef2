"""One synthetic image as the bytes of a file that says it is synthetic."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from mri_gan.errors import UsageError

MARK = "SYNTHETIC: drawn by a generative network, not a scan of a person"
COMPRESS_LEVEL = 3  # of PNGs: half the time of Pillow's default for two per cent more bytes


def to_depth(images: NDArray[np.float32], depth: int) -> NDArray[Any]:
    """Pictures of -1..1 as unsigned integers of 8 or 16 bits; what lies outside is clipped."""
    white = 2**depth - 1
    scaled = (np.clip(images, -1, 1) + 1) * np.float32(white / 2) + np.float32(0.5)
    return np.asarray(np.floor(scaled).clip(0, white), np.uint8 if depth == 8 else np.uint16)


def png_bytes(pixels: NDArray[Any], facts: Mapping[str, str]) -> bytes:
    """A PNG of [C, H, W] uint8 or uint16 with text chunks: the mark, and the facts.

    Raises UsageError for what PNG cannot hold: other than 1 or 3 channels, 16-bit colour.
    """
    if len(pixels) not in (1, 3) or (len(pixels) == 3 and pixels.dtype == np.uint16):
        raise UsageError(
            f"a PNG does not hold {len(pixels)} channels of {8 * pixels.itemsize} bits",
            "use --format nifti",
        )
    text = PngImagePlugin.PngInfo()
    for name, value in {"Comment": MARK, **facts}.items():
        text.add_itxt(name, value)
    array = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(array))
    picture.save(stream, "PNG", pnginfo=text, compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def nifti_bytes(pixels: NDArray[Any], pixel_mm: float | None, facts: Mapping[str, str]) -> bytes:
    """A gzipped NIfTI of [C, H, W]: columns, rows from below, one slice, channels.

    The pixel size is in the header where it is known. There is no orientation, since a synthetic
    slice has no place in a scanner (both codes are 0).
    """
    import nibabel

    array = pixels[:, ::-1].transpose(2, 1, 0)[:, :, None, :]  # [W, H, 1, C]
    image = nibabel.Nifti1Image(array if len(pixels) > 1 else array[..., 0], None)
    header = image.header
    size_mm = pixel_mm or 1.0
    header.set_zooms((size_mm, size_mm, 1.0, 1.0)[: header["dim"][0]])
    header.set_xyzt_units("mm" if pixel_mm else "unknown")
    header["descrip"] = f"SYNTHETIC, no scan; mrigan seed {facts.get('seed', '?')}"[:79].encode()
    header["intent_name"] = b"SYNTHETIC"
    return gzip.compress(image.to_bytes(), compresslevel=COMPRESS_LEVEL, mtime=0)
