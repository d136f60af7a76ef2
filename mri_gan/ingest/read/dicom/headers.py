"""Values of a DICOM header, none of which has to be there or to be what it should.

From them: where a stack of pictures is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError

EVEN = 0.1  # slices may be this share of their distance away from an even spacing
STRAIGHT = 0.02  # of a slice's distance it may be shifted within its plane: one degree
SAME_SIZE = 0.01  # share by which the pixels of one series may differ
# NumberOfImagesInMosaic, and Siemens' CSA header, which has it too; the private block may move.
CSA_TAGS = {0x00291010, 0x00291110, 0x00291210}
MOSAIC_TAGS = {0x0019100A, 0x0019110A, *CSA_TAGS}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def number(header: Any, name: str, default: float | None = None) -> float:
    """One number; `default` where it is missing or empty. Raises DataError."""
    if default is not None and not is_filled(header, name):
        return default
    return float(numbers(header, name, 1)[0])


def numbers(header: Any, name: str, count: int) -> NDArray[np.float64]:
    """So many finite numbers; raises DataError where the element says something else."""
    if not is_filled(header, name):
        raise DataError(f"no {name}")
    try:
        values = np.atleast_1d(np.asarray(header[name].value, np.float64))
    except Exception as error:  # a library's conversion of text raises many types
        raise DataError(f"{name} is damaged") from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise DataError(f"{name} is damaged")
    return values


def is_filled(header: Any, name: str) -> bool:
    """Whether an element is there and holds something."""
    try:
        return name in header and not header[name].is_empty
    except Exception as error:
        raise DataError(f"{name} is damaged") from error


def text(header: Any, name: str) -> str:
    """An element as text; empty where it is missing or cannot be read."""
    try:
        return str(header.get(name) or "").strip(" \0")
    except Exception:  # what cannot be read says nothing
        return ""


def count_frames(header: Any) -> int:
    """How many pictures a file holds."""
    return int(number(header, "NumberOfFrames", 1))


def count_tiles(header: Any) -> int:
    """How many slices lie side by side in the one picture of a Siemens mosaic; 0 where none do.

    ImageType says that there are some; where it does not, elements of Siemens do.
    """
    known = [_count_in(header, tag) for tag in MOSAIC_TAGS]
    return max(known, default=0)


def _count_in(header: Any, tag: int) -> int:
    try:
        value = header[tag].value if tag in header else b""
        if isinstance(value, int):
            return value
        if tag not in CSA_TAGS:
            return int.from_bytes(bytes(value), "little")
        from nibabel.nicom import csareader

        fields = csareader.read(bytes(value)) if value else None
        return int(csareader.get_n_mosaic(fields) or 0) if fields else 0
    except Exception:  # what cannot be read says nothing
        return 0


def size_of(header: Any) -> tuple[int, int]:
    """(rows, columns)."""
    return int(number(header, "Rows")), int(number(header, "Columns"))


def axes_of(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions in which columns and rows are counted, in LPS."""
    values = numbers(header, "ImageOrientationPatient", 6)
    turned = values.reshape(2, 3)
    if not np.allclose(turned @ turned.T, np.eye(2), atol=0.02):  # two unit vectors at right angles
        raise DataError("ImageOrientationPatient is damaged")
    return values[:3], values[3:]


def position_of(header: Any) -> NDArray[np.float64]:
    """Where the middle of the first pixel is, in LPS mm."""
    return numbers(header, "ImagePositionPatient", 3)


class Place:
    """Where one picture is, and the size of its pixels in mm."""

    def __init__(self, header: Any, sizes: Any = None, plane: Any = None) -> None:
        sizes = header if sizes is None else sizes
        self.along, self.down = axes_of(header if plane is None else plane)
        self.corner = position_of(header)
        self.row_mm, self.column_mm = numbers(sizes, "PixelSpacing", 2).tolist()
        if min(self.row_mm, self.column_mm) <= 0:
            raise DataError("PixelSpacing is damaged")
        self._sizes = sizes

    @property
    def thick_mm(self) -> float:
        """How far one slice alone reaches: to where the next would be, as dcm2niix has it."""
        apart_mm = number(self._sizes, "SpacingBetweenSlices", 0)
        return apart_mm if apart_mm > 0 else number(self._sizes, "SliceThickness", 0) or 1.0


def find_affine(places: Sequence[Place]) -> NDArray[np.float64]:
    """Voxel -> RAS+ mm [4, 4] of a sorted stack; raises DataError where it is none."""
    first, last = places[0], places[-1]
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = first.along * first.column_mm, first.down * first.row_mm
    lps[:3, 3] = first.corner
    across = np.cross(first.along, first.down)
    for one in places:
        sizes = np.array([one.row_mm, one.column_mm]) / (first.row_mm, first.column_mm)
        if not np.allclose(sizes, 1, atol=SAME_SIZE):
            raise DataError("PixelSpacing differs among its slices")
    if len(places) > 1:
        check_distances(np.diff([float(across @ one.corner) for one in places]))
        lps[:3, 2] = (last.corner - first.corner) / (len(places) - 1)
        straight = abs(float(across @ lps[:3, 2]))
        shift = float(np.linalg.norm(lps[:3, 2] - across * (across @ lps[:3, 2])))
        if shift > STRAIGHT * straight:
            angle = math.degrees(math.atan2(shift, straight))
            raise DataError(f"its stack leans by {angle:.1f} degrees (a tilted gantry)")
    else:
        lps[:3, 2] = across * first.thick_mm
    lps[:3] = LPS_TO_RAS @ lps[:3]
    return lps


def check_distances(distances_mm: NDArray[np.float64]) -> None:
    """Raise DataError unless slices are at different positions and evenly spaced."""
    usual = float(np.median(distances_mm))
    if distances_mm.min() < 1e-3:
        raise DataError("several images at one position (time points?); give one of them")
    if np.abs(distances_mm - usual).max() > EVEN * usual:
        raise DataError("its slices are not evenly spaced; is a file missing?")
