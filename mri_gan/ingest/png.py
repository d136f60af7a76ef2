"""Plain PNGs by a decoder that takes a quarter of Pillow's time; all others are left to Pillow.

Plain is what scanners' exports and both OASIS and AKOA archives hold: grey or equal colour
channels, no transparency, no interlacing, no text, nothing damaged.
"""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.checksums import crc32
from mri_gan.ingest.headers import PNG_MAGIC, walk_png

MAX_PIXELS = 8192 * 8192
HEADER = struct.Struct(">IIBBBBB")  # width, height, bits, kind, compression, filter, interlacing
GREY, RGB = 0, 2
# What says nothing about grey levels that Pillow would heed, by the only length that it has.
IDLE_CHUNKS = {b"gAMA": 4, b"sRGB": 1, b"cHRM": 32, b"pHYs": 9, b"tIME": 7}


def _find_decoders() -> Any:
    try:
        from kornia_rs import io
    except ImportError:  # a platform without its wheel: slower, and all the same otherwise
        return None
    return io


DECODERS = _find_decoders()


def read_plain_png(data: bytes) -> NDArray[Any] | None:
    """Grey pixels [H, W], uint8 or uint16, of a plain PNG; None for everything else.

    None says nothing about a file but that Pillow should look at it.
    """
    found = read_plain_header(data) if DECODERS is not None else None
    if found is None:
        return None
    shape, bits, kind = found
    decode = DECODERS.decode_image_png_u16 if bits == 16 else DECODERS.decode_image_png_u8
    try:
        # It compares the CRC-32 of every chunk, and refuses too few pixels.
        pixels: NDArray[Any] = decode(data, shape, "mono" if kind == GREY else "rgb")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of the Rust side is no Exception
        return None
    return common_channel(pixels)


def common_channel(pixels: NDArray[Any]) -> NDArray[Any] | None:
    """The channel [H, W] that all channels of [H, W, C] are equal to, or None."""
    first = pixels[..., 0]
    if any((first != pixels[..., i]).any() for i in range(1, pixels.shape[-1])):
        return None
    return np.ascontiguousarray(first)


def read_plain_header(data: bytes) -> tuple[tuple[int, int], int, int] | None:
    """((height, width), bits, kind) of a PNG that is plain as far as its chunks tell."""
    header = _header_of_plain_chunks(data)
    if header is None:
        return None
    width, height, bits, kind, *ways = header
    if (bits, kind) not in ((8, GREY), (16, GREY), (8, RGB)) or any(ways):
        return None
    return ((height, width), bits, kind) if 0 < width * height <= MAX_PIXELS else None


def _header_of_plain_chunks(data: bytes) -> tuple[int, ...] | None:
    """The fields of the header of a PNG that holds no chunk but plain ones, in a plain order."""
    if not data.startswith(PNG_MAGIC + b"\0\0\0\x0dIHDR"):
        return None
    for name, start, end in itertools.islice(walk_png(data), 1, None):
        if name == b"IEND":
            return HEADER.unpack_from(data, len(PNG_MAGIC) + 8) if end == len(data) else None
        if name == b"IDAT":
            continue
        if IDLE_CHUNKS.get(name) != end - start - 12 or not _is_whole(data[start:end]):
            return None
    return None


def _is_whole(chunk: bytes) -> bool:
    return crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
