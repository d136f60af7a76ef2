"""PNG and TIFF files written by hand: bit depths and layouts that common libraries do not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from phantoms.volumes import Array

PNG_START = b"\x89PNG\r\n\x1a\n"
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def raw_png(
    samples: Array,
    bits: int = 8,
    kind: int = GREY,
    *,
    interlaced: bool = False,
    before: Sequence[tuple[bytes, bytes]] = (),
    after: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG of samples [H, W] or [H, W, C], with further chunks before and after its pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    passes = [samples[r::dr, c::dc] for r, c, dr, dc in ADAM7] if interlaced else [samples]
    body = b"".join(b"\0" + _packed(row, bits) for part in passes for row in part if part.size)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(body)), *after, (b"IEND", b"")]
    return PNG_START + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _packed(row: Array, bits: int) -> bytes:
    """One row of samples, most significant bits first."""
    values = row.ravel().astype(">u2")
    if bits == 16:
        return values.tobytes()
    lit = (values[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(lit.astype(np.uint8).ravel()).tobytes()


def raw_tiff(
    samples: Array,
    bits: int = 8,
    photometric: int = 1,
    *,
    order: str = "<",
    rows_per_strip: int = 0,
    tags: Mapping[int, int] | None = None,
) -> bytes:
    """A grey TIFF without compression; 12-bit samples are packed two to three bytes."""
    height, width = samples.shape
    step = rows_per_strip or height
    strips = [_strip(samples[i : i + step], bits, order) for i in range(0, height, step)]
    offsets = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    body = b"".join(strips)
    table_at = 8 + len(body)
    lists = struct.pack(f"{order}{2 * len(strips)}I", *offsets, *map(len, strips))
    entries = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: photometric,
        277: 1,
        278: step,
    } | dict(tags or {})
    many = len(strips) > 1
    rows = {tag: (4, 1, value) for tag, value in entries.items()}
    rows[273] = (4, len(strips), table_at if many else offsets[0])
    rows[279] = (4, len(strips), table_at + 4 * len(strips) if many else len(body))
    directory = struct.pack(f"{order}H", len(rows))
    for tag, (kind, count, value) in sorted(rows.items()):
        directory += struct.pack(f"{order}HHII", tag, kind, count, value)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(
        f"{order}I", table_at + len(lists)
    )
    return start + body + lists + directory + bytes(4)


def _strip(rows: Array, bits: int, order: str) -> bytes:
    if bits == 12:
        return b"".join(_packed(row, 12) for row in rows)
    return (
        rows.astype(f"{order}u{bits // 8}").tobytes()
        if bits > 8
        else b"".join(_packed(row, bits) for row in rows)
    )
