"""The pixels of a DICOM file in scanner units, unpacked in no more memory than its header needs."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.files import one_line
from mri_gan.ingest.read.dicom.elements import PIXEL_DATA, Elements
from mri_gan.ingest.read.dicom.headers import count_frames, is_filled, number, size_of
from mri_gan.ingest.read.inflate import UNPACKED_BYTES
from mri_gan.ingest.source import MAX_RATIO


def unpack(header: Any, found: Elements) -> NDArray[Any]:
    """Stored pixels [H, W], or [F, H, W] of several frames."""
    if number(header, "SamplesPerPixel", 1) != 1:
        raise DataError("colour DICOM is not a scan")
    frames, bits = count_frames(header), int(number(header, "BitsAllocated"))
    announced = math.prod((frames, *size_of(header))) * max(bits // 8, 1)
    if announced > max(UNPACKED_BYTES, MAX_RATIO * found.n_bytes):
        raise DataError("looks like a decompression bomb")
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_packed(header, found, frames)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(header.pixel_array)
    except (RuntimeError, NotImplementedError) as error:
        kind = header.file_meta.TransferSyntaxUID.name
        if "missing" in str(error) or "plugin" in str(error):
            raise DataError(
                f"packed as {kind}: pip install mrigan[dicom] unpacks the usual kinds"
            ) from error
        raise DataError(f"damaged pixels ({one_line(error)})") from error
    if pixels.shape[-2:] != size_of(header) or pixels.size != frames * math.prod(size_of(header)):
        raise DataError("its pixels do not match the size in its header")
    return pixels


def _check_packed(header: Any, found: Elements, frames: int) -> None:
    """Raise DataError where packed pictures say that they are of another size than the header.

    Decoders take the memory that the packed picture asks for.
    """
    from pydicom.encaps import generate_frames

    data = header.get_item(PIXEL_DATA).value
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
