"""The bytes of one image: lossless, checked on every read.

The payload of a record (see `sealing`) is, by codec,

    raw        the pixels
    lz4        the pixels as one LZ4 block
    upsampled  native level (2 bytes), filter id (1 byte)

Pixels are [C, H, W] in C order, uint8 or little-endian uint16. `upsampled` says: this level is
the native level enlarged with the named filter, and holds no detail of its own.
"""

from __future__ import annotations

import struct
from typing import Any

import lz4.block
import numpy as np
from numpy.typing import NDArray

from mri_gan.store.sealing import BadRecordError, make_record, payload_of

Image = NDArray[Any]  # [C, H, W] uint8 or uint16

RAW, LZ4, UPSAMPLED = 0, 1, 2
FILTER_TENT = 1  # the [1 3 3 1] / 4 interpolation of `pyramid.double`
# Scans are half noise, in which looking harder finds nothing: against acceleration 1, two thirds
# of the time for one per cent more bytes.
ACCELERATION = 8
RAW_UP_TO_PX = 64  # below, decoding costs more than the bytes that it would save

_POINTER = struct.Struct("<HB")


def encode(image: Image) -> bytes:
    """The unsealed record of one image [C, H, W]: raw when small, LZ4 when large."""
    pixels = np.ascontiguousarray(image).data.cast("B")
    if image.shape[-1] <= RAW_UP_TO_PX:
        return make_record(RAW, pixels)
    block = lz4.block.compress(pixels, mode="fast", acceleration=ACCELERATION, store_size=False)
    return make_record(LZ4, block)


def encode_upsampled(native: int) -> bytes:
    """The unsealed record that says "enlarge the native level"."""
    return make_record(UPSAMPLED, _POINTER.pack(native, FILTER_TENT))


def decode_pixels(record: memoryview, n_bytes: int, key: bytes = b"") -> memoryview | bytes:
    """The pixel bytes of a raw or LZ4 record, checked.

    Raises BadRecordError when the checksum or the length is wrong.
    """
    payload = payload_of(record, key)
    codec = record[0]
    if codec not in (RAW, LZ4):
        raise BadRecordError(f"unknown codec {codec}")
    try:
        pixels = payload if codec == RAW else lz4.block.decompress(payload, n_bytes)
    except lz4.block.LZ4BlockError as error:
        raise BadRecordError(f"does not hold {n_bytes} bytes") from error
    if len(pixels) != n_bytes:
        raise BadRecordError(f"does not hold {n_bytes} bytes")
    return pixels


def upsampled_from(record: memoryview, key: bytes = b"") -> int | None:
    """The native level that an `upsampled` record points to, or None for other records.

    Raises BadRecordError when the pointer is damaged or its filter unknown.
    """
    if record[0] != UPSAMPLED:
        return None
    payload = payload_of(record, key)
    if len(payload) != _POINTER.size:
        raise BadRecordError("wrong length")
    native, filter_id = _POINTER.unpack(payload)
    if filter_id != FILTER_TENT:
        raise BadRecordError(f"unknown filter {filter_id}")
    return int(native)
