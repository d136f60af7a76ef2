"""Images of other people's models: a folder of picture files of one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.config import LEVELS
from mri_gan.errors import DataError, UsageError
from mri_gan.evaluate.images import ImageSet, Pixels
from mri_gan.files import one_line

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
RESIZER = "Pillow box"


def images_in(folder: Path, size: int | None, limit: int, seed: int = 0) -> tuple[ImageSet, str]:
    """The pictures of a folder and below as a set, and how they were resized.

    Colours become grey; all must be square and of one size. Raises DataError where there are
    none, where one differs or cannot be read, and UsageError where the size is no level.
    """
    paths = list_images(folder)
    own = measure(paths)
    if size is None and own not in LEVELS:
        raise UsageError(
            f"{folder}: its images have {own} px, which is no level", f"give --size from {LEVELS}"
        )
    size = size or own
    if size > own:
        raise UsageError(f"{folder}: its images have {own} px", f"give --size {own} or below")
    order = np.random.default_rng(seed).permutation(len(paths))[:limit]
    chosen = [paths[i] for i in order]

    def read(start: int, stop: int) -> Pixels:
        return np.stack([read_image(path, size) for path in chosen[start:stop]])

    resizer = "none" if size == own else f"{RESIZER} from {own} px"
    return ImageSet("images", size, np.arange(len(chosen)), read), resizer


def list_images(folder: Path) -> list[Path]:
    """All picture files in a folder and below, sorted; raises DataError when there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "check --images")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        names = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{folder}: holds no images", f"files must end in {names}")
    return paths


def measure(paths: list[Path]) -> int:
    """The size in px that all files share, from their headers.

    Raises DataError naming the first file that is not square, or of another size.
    """
    sizes = [_size_of(path) for path in paths]
    width, height = sizes[0]
    if width != height:
        raise DataError(f"{paths[0]}: is {width}x{height} px, not square", "pad or crop it first")
    for path, found in zip(paths, sizes, strict=True):
        if found != sizes[0]:
            raise DataError(
                f"{path}: is {found[0]}x{found[1]} px, but {paths[0].name} is {width}x{height}",
                "all images of a folder must have one size",
            )
    return width


def _size_of(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception as error:  # Pillow lets many types through for damaged files
        raise DataError(f"{path}: cannot be read ({one_line(error)})", "remove it") from error


def read_image(path: Path, size: int) -> Pixels:
    """One picture as grey [size, size], 0..1; larger ones are averaged down."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            grey = to_grey_unit(image)
    except Exception as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})", "remove it") from error
    if grey.shape[0] == size:
        return grey
    small = Image.fromarray(grey).resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def to_grey_unit(image: Image.Image) -> Pixels:
    """A picture of 8 or 16 bits, grey or colour, as 0..1."""
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion to 8 would whiten them
        values: NDArray[Any] = np.asarray(image)
        return np.asarray(values / 65535, np.float32)
    return np.asarray(np.asarray(image.convert("L")) / 255, np.float32)
