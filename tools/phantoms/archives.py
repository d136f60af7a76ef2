"""The data sets as zips and folders on disk."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from phantoms.images import png_bytes, slice_pixels
from phantoms.sets import akoa_files, hostile_files, oasis_course_files, slice_files
from phantoms.writing import write_folder, write_zip


def oasis_course_zip(path: Path, **choices: Any) -> Path:
    """`oasis_course_files` as a zip."""
    return write_zip(path, oasis_course_files(**choices))


def akoa_zip(path: Path, people: int = 8, slices: int = 1) -> Path:
    """`akoa_files` as a zip."""
    return write_zip(path, akoa_files(people, slices))


def slices_folder(path: Path, people: int = 5, slices: int = 3, size: int = 64) -> Path:
    """`slice_files` as a folder."""
    return write_folder(path, slice_files(people, slices, size))


def hostile_zip(path: Path) -> Path:
    """`hostile_files` as a zip; writing the same name twice is the point here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return write_zip(path, hostile_files())


def bomb_zip(path: Path, n_bytes: int = 8 << 20) -> Path:
    """A good slice and a member of zeros that packs about a thousand to one."""
    return write_zip(path, {"good_1.png": png_bytes(slice_pixels()), "bomb_2.png": bytes(n_bytes)})
