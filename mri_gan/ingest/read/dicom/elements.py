"""The elements of a DICOM file, walked in bounded memory before a parser builds objects of them.

A megabyte of DICOM can hold two million items, or deflate a gigabyte: a parser believes them. Only
the elements that say where a picture is and what it is are handed on; of the rest the tags are
kept, to count what was left out. Layout of elements and items: DICOM PS3.5 sections 7 and A.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mri_gan.errors import DataError
from mri_gan.ingest.source import MAX_RATIO, SMALL_BYTES

PREAMBLE = 128
MAGIC = b"DICM"
TRANSFER_SYNTAX, PIXEL_DATA = 0x00020010, 0x7FE00010
ITEM, END_OF_ITEM, END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
IMPLICIT_LE, EXPLICIT_LE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, EXPLICIT_BE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
LONG_KINDS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
MAX_ELEMENTS = 400_000  # of a file; one of 2,000 frames has 120,000
MAX_TAGS = 20_000  # of the outermost data set
MAX_HEADER_VALUE = 64 << 20  # bytes of an element that is handed on, but for pixels
PIECE_BYTES = 1 << 20


@dataclass
class Elements:
    """What a parser needs of a file, and the tags of all the rest."""

    syntax: str
    implicit: bool
    little: bool
    kept: bytes = b""  # elements one after another
    tags: list[int] = field(default_factory=list)  # of all that hold something
    pixels: int = 0  # bytes of the pixel data's value
    n_bytes: int = 0  # of the file


class _Walk:
    """Goes through a data set element by element, and counts them."""

    def __init__(self, data: bytes, at: int, implicit: bool, little: bool) -> None:
        order = "<" if little else ">"
        self.data, self.at, self.implicit = data, at, implicit
        self.tag_of = struct.Struct(f"{order}HH").unpack_from
        self.long_of = struct.Struct(f"{order}I").unpack_from
        self.short_of = struct.Struct(f"{order}H").unpack_from
        self.count = 0

    def next(self) -> tuple[int, int, bytes]:
        """(tag, length, kind) of the next element; the walk then stands at its value."""
        data, at = self.data, self.at
        self.count += 1
        if self.count > MAX_ELEMENTS:
            raise DataError(f"more than {MAX_ELEMENTS} elements")
        if at + 8 > len(data):
            raise DataError("cut short within an element")
        group, number = self.tag_of(data, at)
        kind = data[at + 4 : at + 6]
        if self.implicit or group == 0xFFFE:
            length, self.at = self.long_of(data, at + 4)[0], at + 8
        elif kind in LONG_KINDS:
            if at + 12 > len(data):
                raise DataError("cut short within an element")
            length, self.at = self.long_of(data, at + 8)[0], at + 12
        else:
            length, self.at = self.short_of(data, at + 6)[0], at + 8
        return group << 16 | number, length, kind

    def skip_to_end_mark(self, kind: bytes) -> None:
        """Go behind the end of a value of undefined length, whatever is nested in it."""
        outer, open_values = self.implicit, [kind]
        while open_values:
            # Of unknown kind and length: its elements have no kinds (PS3.5 section 6.2.2).
            self.implicit = outer or b"UN" in open_values
            tag, length, kind = self.next()
            if tag in (END_OF_ITEM, END_OF_SEQUENCE):
                open_values.pop()
            elif length == UNDEFINED:
                open_values.append(kind if tag >> 16 != 0xFFFE else b"SQ")
            elif open_values[-1] in (b"OB", b"OW") or not self.holds_elements(tag, kind):
                self.at += length
            if self.at > len(self.data):
                raise DataError("cut short within an element")
        self.implicit = outer

    def count_to(self, end: int) -> None:
        """Count the elements within a value of known length; the walk stays where it is."""
        before = self.at
        while self.at + 12 <= min(end, len(self.data)):
            tag, length, kind = self.next()
            if length != UNDEFINED and not self.holds_elements(tag, kind):
                self.at += length
        self.at = before

    def holds_elements(self, tag: int, kind: bytes) -> bool:
        """Whether what the walk stands at are elements or items, not bytes."""
        if self.implicit and tag != ITEM:
            return self.data[self.at : self.at + 4] in ITEMS
        return tag == ITEM or kind == b"SQ"


ITEMS = (struct.pack("<HH", 0xFFFE, 0xE000), struct.pack(">HH", 0xFFFE, 0xE000))


def read_elements(data: bytes, wanted: Collection[int], pixels: bool) -> Elements:
    """The wanted elements of a file; its pixels among them only where they are needed.

    Raises DataError where the file is cut short before its pixels, or holds more than a scan could.
    """
    at, syntax = _read_meta(data)
    n_bytes = len(data)
    if syntax == DEFLATED:
        data, at, syntax = _inflate(data[at:], pixels), 0, EXPLICIT_LE
    implicit, little = _encoding(data, at, syntax)
    found = Elements(syntax or (IMPLICIT_LE if implicit else EXPLICIT_LE), implicit, little)
    found.n_bytes = n_bytes
    walk = _Walk(data, at, implicit, little)
    parts = []
    for tag, start, end in _top(walk, found):
        if tag == PIXEL_DATA and not pixels:
            break
        if tag in wanted or tag == PIXEL_DATA:
            if tag != PIXEL_DATA and end - start > MAX_HEADER_VALUE:
                raise DataError("an element of its header is too long")
            parts.append(data[start:end])
    found.kept = b"".join(parts)
    return found


def _read_meta(data: bytes) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax; empty where the file does not say."""
    at = PREAMBLE + 4 if data[PREAMBLE : PREAMBLE + 4] == MAGIC else 0
    walk, syntax = _Walk(data, at, implicit=False, little=True), ""
    while data[walk.at : walk.at + 2] == b"\2\0":
        tag, length, _ = walk.next()
        if tag == TRANSFER_SYNTAX:
            syntax = data[walk.at : walk.at + length].decode("ascii", "replace").strip(" \0")
        walk.at += length
    return walk.at, syntax


def _encoding(data: bytes, at: int, syntax: str) -> tuple[bool, bool]:
    """(implicit, little) as the first element has it: files do not always say what they are."""
    little = syntax != EXPLICIT_BE and data[at : at + 2] != b"\0\x08"
    kind = data[at + 4 : at + 6]
    return not (kind.isalpha() and kind.isupper()), little


def _inflate(data: bytes, pixels: bool) -> bytes:
    """A deflated data set; without its pixels only as far as a header can reach."""
    limit = max(SMALL_BYTES, MAX_RATIO * len(data))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    found: bytes = stream.decompress(data, min(limit, PIECE_BYTES) if not pixels else limit + 1)
    if len(found) > limit:
        raise DataError("looks like a decompression bomb")
    return found


def _top(walk: _Walk, found: Elements) -> Iterator[tuple[int, int, int]]:
    """(tag, start, end) of the elements of the outermost data set, as far as they are whole."""
    size = len(walk.data)
    while walk.at + 8 <= size:
        start = walk.at
        tag, length, kind = walk.next()
        value = walk.at
        if length == UNDEFINED:
            if tag == PIXEL_DATA:
                walk.at = size  # fragments up to the end
            else:
                walk.skip_to_end_mark(kind)
        else:
            if walk.holds_elements(tag, kind):
                walk.count_to(value + length)
            walk.at = value + length
        if length:
            found.tags.append(tag)
        if len(found.tags) > MAX_TAGS:
            raise DataError(f"more than {MAX_TAGS} elements side by side")
        if tag == PIXEL_DATA:
            found.pixels = size - value if length == UNDEFINED else length
            yield tag, start, min(walk.at, size)
            return
        if walk.at > size:
            raise DataError("cut short before its pixels")
        yield tag, start, walk.at
