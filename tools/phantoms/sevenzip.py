"""7z archives written by hand, after `DOC/7zFormat.txt` of the LZMA SDK: whole ones and lying ones.

Files are packed together with LZMA2 in one block, as 7z does by itself.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LZMA2 = b"\x21\x21\1\x12"  # flags, its number, and the code of a dictionary of 2 MiB
FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]


def write_7z(
    path: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], encoded: bool = False
) -> Path:
    """An archive; its header is packed too, as 7z does by itself, where it is `encoded`."""
    pairs = list(files.items() if isinstance(files, Mapping) else files)
    held = [data for _, data in pairs if data]
    packed = pack_lzma2(b"".join(held))
    sizes = b"".join(number(len(data)) for data in held[:-1])
    sums = b"".join(struct.pack("<I", zlib.crc32(data)) for data in held)
    parts = b"\x0d" + number(len(held)) + b"\x09" * bool(sizes) + sizes + b"\x0a\1" + sums + b"\0"
    block = describe_block(LZMA2, len(packed), sum(map(len, held)))
    header = b"\1\4" + block + b"\x08" + parts + b"\0" + describe_files(pairs) + b"\0"
    path.write_bytes(encode_header(header, packed) if encoded else join(header, packed))
    return path


def number(value: int) -> bytes:
    """A number in the longest of the format's nine ways."""
    return b"\xff" + struct.pack("<Q", value)


def pack_lzma2(data: bytes) -> bytes:
    """The bytes of one block."""
    return lzma.compress(data, lzma.FORMAT_RAW, filters=FILTERS)


def describe_block(coder: bytes, packed: int, unpacked: int, at: int = 0) -> bytes:
    """Where the only block is, how it is packed, and how large it becomes."""
    place = b"\6" + number(at) + number(1) + b"\x09" + number(packed) + b"\0"
    return (
        place
        + b"\7\x0b"
        + number(1)
        + b"\0"
        + number(1)
        + coder
        + b"\x0c"
        + number(unpacked)
        + b"\0"
    )


def describe_files(pairs: Sequence[tuple[str, bytes]]) -> bytes:
    """Names, and which files are empty."""
    names = b"\0" + b"".join(name.encode("utf-16le") + b"\0\0" for name, _ in pairs)
    bits = "".join("0" if data else "1" for _, data in pairs)
    empty = bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))
    if "1" not in bits:
        return b"\5" + number(len(pairs)) + b"\x11" + number(len(names)) + names + b"\0"
    marks = b"\x0e" + number(len(empty)) + empty
    return b"\5" + number(len(pairs)) + marks + b"\x11" + number(len(names)) + names + b"\0"


def encode_header(header: bytes, packed: bytes) -> bytes:
    """An archive whose header is packed."""
    held = pack_lzma2(header)
    place = describe_block(LZMA2, len(held), len(header), len(packed))
    return join(b"\x17" + place + b"\0", packed + held)


def join(header: bytes, packed: bytes) -> bytes:
    """The beginning with its sums, what is packed, and the header."""
    start = struct.pack("<QQI", len(packed), len(header), zlib.crc32(header))
    magic = b"7z\xbc\xaf\x27\x1c\0\4"
    return magic + struct.pack("<I", zlib.crc32(start)) + start + packed + header


def one_block(coder: bytes, packed: bytes, announced: int, name: str = "a.nii") -> bytes:
    """An archive of one file, whatever its block holds."""
    block = describe_block(coder, len(packed), announced)
    return join(b"\1\4" + block + b"\x08\0\0" + describe_files([(name, b"x")]) + b"\0", packed)
