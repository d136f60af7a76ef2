"""What a DICOM file says of itself, where its picture is, and its pixels in scanner units.

No value has to be there or to be what it should.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.files import one_line
from mri_gan.ingest.read.dicom.elements import PIXEL_DATA, Elements
from mri_gan.ingest.read.inflate import UNPACKED_BYTES, refuse_bomb
from mri_gan.ingest.source import MAX_RATIO

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


# Pixels, unpacked in no more memory than the header needs


def unpack(header: Any, found: Elements) -> NDArray[Any]:
    """Stored pixels [H, W], or [F, H, W] of several frames."""
    if number(header, "SamplesPerPixel", 1) != 1:
        raise DataError("colour DICOM is not a scan")
    frames, bits = count_frames(header), int(number(header, "BitsAllocated"))
    announced = math.prod((frames, *size_of(header))) * max(bits // 8, 1)
    refuse_bomb(announced, found.n_bytes)
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_packed(header, found, frames)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(header.pixel_array)
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(_explain_unread(error, header)) from error
    if pixels.shape[-2:] != size_of(header) or pixels.size != frames * math.prod(size_of(header)):
        raise DataError("its pixels do not match the size in its header")
    return pixels


def _explain_unread(error: Exception, header: Any) -> str:
    """Why pydicom gave no pixels: a program is missing, a way of packing is not read, or damage."""
    kind, text = header.file_meta.TransferSyntaxUID.name, str(error)
    if "missing dependencies" in text:
        return f"packed as {kind}: pip install 'mrigan[dicom]' unpacks the usual kinds"
    if "not supported" in text:
        return f"packed as {kind}, which is not read: unpack it first, as with gdcmconv --raw"
    by_decoder = text.rpartition("available plugins:")[2]
    return f"damaged pixels ({one_line(RuntimeError(by_decoder))})"


def _check_packed(header: Any, found: Elements, frames: int) -> None:
    """Raise DataError where packed pictures say that they are of another size than the header.

    Decoders take the memory that the packed picture asks for.
    """
    from pydicom.encaps import generate_frames

    item = header.get_item(PIXEL_DATA)
    if item is None:
        raise DataError("cut short in its pixels")
    data = item.value
    rows, columns = size_of(header)
    packed = generate_frames(data, number_of_frames=frames)
    for count, frame in enumerate(packed, start=1):
        if count > frames:
            raise DataError("more pictures than its header says")
        said = _packed_size(frame)
        if said is not None and said != (rows, columns):
            raise DataError("its pixels do not match the size in its header")
        if said is None and len(frame) > 4 * rows * columns + UNPACKED_BYTES // MAX_RATIO:
            raise DataError("more packed bytes than its picture needs")


def _packed_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream announces; None for others."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: the size of the reference grid
        right, down, left, up = (int.from_bytes(frame[i : i + 4], "big") for i in (8, 12, 16, 20))
        return down - up, right - left
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = (int.from_bytes(frame[at + i : at + i + 2], "big") for i in (5, 7))
            return rows, columns
        at += 1 if marker == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def in_units(pixels: NDArray[Any], header: Any, scale: Any = None) -> NDArray[np.float32]:
    """Pixels in scanner units; padding is NaN. `scale` holds slope and intercept, if not `header`.

    A table of values (PS3.3 section C.11.1) stands in place of slope and intercept.
    """
    if is_filled(header, "ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        values = np.asarray(apply_modality_lut(pixels, header), np.float32)
    else:
        scale = header if scale is None else scale
        slope = number(scale, "RescaleSlope", 1)
        values = np.asarray(pixels, np.float32) * slope + number(scale, "RescaleIntercept", 0)
        values = np.asarray(values, np.float32)
    return _without_padding(values, pixels, header)


def _without_padding(
    values: NDArray[np.float32], pixels: NDArray[Any], header: Any
) -> NDArray[np.float32]:
    """NaN where there is no picture (PS3.3 section C.7.5.1.1.2); zeros below it are air anyway."""
    if not is_filled(header, "PixelPaddingValue"):
        return values
    low = number(header, "PixelPaddingValue")
    ends = sorted((low, number(header, "PixelPaddingRangeLimit", low)))
    padded = (pixels >= ends[0]) & (pixels <= ends[1])
    rest = values[~padded]
    if not padded.any() or not rest.size or (low == 0 and rest.min() >= 0):
        return values
    return np.where(padded, np.float32(np.nan), values)
