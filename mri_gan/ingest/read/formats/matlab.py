"""MATLAB files of versions 5 to 7, whose arrays are read here.

SciPy's reader crashes the interpreter on damaged files. Source: MathWorks, MAT-File Format, section
"Level 5 MAT-File Format".
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.ingest.read.formats.array_files import Described, choose_array, volume_of_stack
from mri_gan.ingest.read.volume import Volume

HEADER_BYTES, HEAD_BYTES = 128, 1 << 12  # of the file, and at most what lies before an array's data
MATRIX, COMPRESSED = 14, 15
COMPLEX, LOGICAL = 0x800, 0x200
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
STORED |= {12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
CLASSES |= {14: "i8", 15: "u8"}


class Element(NamedTuple):
    """A part of a file: what it is, its bytes, and where the next one begins."""

    kind: int
    content: memoryview
    end: int


def read_mat(data: bytes, labels: bool = False, chosen: int | None = None) -> Volume:
    """The stack in a MATLAB file up to version 7, where slices are counted last.

    Raises DataError for damaged files, for version 4, and where no array is a scan.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise DataError("not a MATLAB file of version 5 to 7", "save it again: save(..., '-v7')")
    found: list[Described] = []
    parts: list[Element] = []
    for part in elements(memoryview(data)[HEADER_BYTES:], order):
        one = describe(_inner(part, HEAD_BYTES, order), order)
        if one is not None:
            found.append(one)
            parts.append(part)
    name = choose_array(found, len(data))
    number = next(i for i, one in enumerate(found) if one.name == name)
    whole = _inner(parts[number], found[number].n_bytes + HEAD_BYTES, order, whole=True)
    array = read_array(whole, found[number], order)
    return volume_of_stack(array, True, labels, chosen)


def elements(data: memoryview, order: str) -> Iterator[Element]:
    """The parts of some bytes, one after the other; raises DataError where one is cut short."""
    at = 0
    while at + 8 <= len(data):
        kind, size = (int(n) for n in np.frombuffer(data[at : at + 8], f"{order}u4"))
        start, length = at + 8, size
        if kind >> 16:  # four bytes at most lie in the tag itself
            kind, size, start, length = kind & 0xFFFF, kind >> 16, at + 4, 4
        elif kind != COMPRESSED:
            length = -(-size // 8) * 8
        yield Element(kind, data[start : start + size], start + length)
        at = start + length


def _inner(part: Element, limit: int, order: str, whole: bool = False) -> memoryview:
    """What an array consists of, unpacked up to about `limit` bytes; `whole` checks its end."""
    if part.kind == MATRIX:
        return part.content
    if part.kind != COMPRESSED:
        return memoryview(b"")
    stream = zlib.decompressobj()
    plain = memoryview(stream.decompress(part.content, limit))
    first = next(elements(plain, order), None)
    if whole and not (stream.eof and first and first.end == len(plain)):
        raise DataError("its array is more or less than its header announces")
    return first.content if first is not None and first.kind == MATRIX else memoryview(b"")


def describe(matrix: memoryview, order: str) -> Described | None:
    """The array as its header announces it; None for what is no array of numbers."""
    parts = elements(matrix, order)
    flags, sizes, name = (next(parts, None) for _ in range(3))
    if flags is None or sizes is None or name is None or len(flags.content) != 8:
        return None
    bits = int(np.frombuffer(flags.content[:4], f"{order}u4")[0])
    if bits & 0xFF not in CLASSES:
        return None
    kind = "c16" if bits & COMPLEX else "?" if bits & LOGICAL else CLASSES[bits & 0xFF]
    shape = tuple(int(n) for n in np.frombuffer(sizes.content, f"{order}i4"))
    if min(shape, default=-1) < 0:
        raise DataError(f"announces the shape {shape}")
    return Described(bytes(name.content).decode("latin-1"), shape, np.dtype(kind))


def read_array(matrix: memoryview, described: Described, order: str) -> NDArray[Any]:
    """The numbers of an array; raises DataError unless there are as many as it announces."""
    stored = list(elements(matrix, order))[3:4]
    if not stored or stored[0].kind not in STORED:
        raise DataError("holds an array without numbers")
    values = np.frombuffer(stored[0].content, order + STORED[stored[0].kind])
    if len(values) != math.prod(described.shape):
        raise DataError("an array is shorter or longer than its header announces (truncated?)")
    return values.reshape(described.shape, order="F").astype(described.dtype)
