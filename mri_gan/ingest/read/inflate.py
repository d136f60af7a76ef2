"""Gzip streams, checked to their ends.

ISA-L inflates in two thirds of zlib's time. Machines for which it is not built have zlib.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

from mri_gan.errors import DataError
from mri_gan.files import one_line

fastest: Any = zlib
with contextlib.suppress(ImportError):  # no build for this machine
    from isal import isal_zlib as fastest

GZIP_MAGIC = b"\x1f\x8b"
SPARE = 1 << 16  # for gzip's own header, with a name, and for Huffman tables


def gunzip_start(data: bytes, n_bytes: int) -> bytes:
    """The first bytes of a gzip stream, not verified; raises DataError."""
    try:
        # A part of the stream is enough, and zlib copies what it leaves over.
        return zlib.decompressobj(wbits=31).decompress(data[: n_bytes + SPARE], n_bytes)
    except zlib.error as error:
        raise DataError("damaged gzip stream", one_line(error)) from error


def gunzip(data: bytes, limit: int) -> bytes:
    """Decompress a whole gzip stream of at most `limit` bytes, its trailer verified.

    Readers that stop at the last voxel never see the trailer, and so miss damage: 175 of 200
    random bit flips gave wrong voxels without any error. Raises DataError.
    """
    parts, n_bytes = [], 0
    while True:
        stream = fastest.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(data, limit - n_bytes + 1))
        except (fastest.error, zlib.error) as error:
            raise DataError("damaged gzip stream", one_line(error)) from error
        n_bytes += len(parts[-1])
        if n_bytes > limit:
            raise DataError("more data than its header announces")
        if not stream.eof:
            raise DataError("truncated gzip stream")
        data = stream.unused_data
        if not data.strip(b"\0"):  # the end, or padding
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)
