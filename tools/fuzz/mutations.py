"""Ways to damage a file, of which some know how such files are built."""

from __future__ import annotations

import gzip
import random
import re
import struct
import zlib

INTERESTING = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 65535, 1 << 31, (1 << 32) - 1)
# Where headers keep what readers believe: elements, chunks, tags, blocks, fields.
MARKS = {
    "dicom": re.compile(
        rb"[\x02\x08\x10\x18\x20\x28]\x00..[A-Z]{2}|\xe0\x7f\x10\x00|\xfe\xff", re.S
    ),
    "packed-dicom": re.compile(
        rb"\xff[\xc0-\xf7\x4f-\x64]|\xe0\x7f\x10\x00|\xfe\xff|\x28\x00..[A-Z]{2}", re.S
    ),
    "png": re.compile(rb"IHDR|IDAT|IEND|PLTE|tRNS"),
    "tiff": re.compile(rb"[\xfe\x00-\x5f]\x01[\x01-\x0c]\x00"),
    "tar": re.compile(rb"ustar|[0-7]{7}[\0 ]|\d+ [a-z]+="),
    "zip": re.compile(rb"PK[\x01-\x06][\x02-\x06]"),
    "7z": re.compile(rb"7z\xbc|\xff.{7}\0|[\x01-\x19][\0\x01]", re.S),
    "mat": re.compile(rb"[\x01-\x0f]\x00\x00\x00"),
    "nrrd": re.compile(rb"\d+|[a-z]+: "),
    "hdf5": re.compile(rb"TREE|HEAP|SNOD|OHDR|[\x01-\x16]\0[\x08-\x78]\0[\0-\x05]\0\0\0"),
    "mha": re.compile(rb"\d+|[A-Za-z]+ = "),
    "minc": re.compile(rb"[a-z]+space|image|step|\0\0\0[\x01-\x0c]"),
    "stylegan-zip": re.compile(rb"PK[\x01-\x06][\x02-\x06]|[{\[\"]"),
    "network": re.compile(rb"[qQRtNKMJGXcs}(]|torch|weight|PK[\x01-\x06]"),
    "parrec": re.compile(rb"\d+|: |# "),
    "safetensors": re.compile(rb"[{}\[\],:\"]|\d+"),
    "npy": re.compile(rb"'[a-z_]+'|\d+"),
}


def mutate(kind: str, data: bytes, chance: random.Random) -> bytes:
    """The file with one to three things changed.

    Mostly within what is packed, and with the checksums mended, so that the damage reaches the
    reader and not only its first check.
    """
    deep = chance.random() < DEEP
    packed = deep and data[:2] == GZIP_MAGIC
    data = gzip.decompress(data) if packed else data
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = _once(kind, data, chance) or data
    if deep and kind in MEND:
        data = MEND[kind](data)
    return gzip.compress(data, 1, mtime=0) if packed else data


def mend_png(data: bytes) -> bytes:
    """The chunks of a PNG with true checksums, as far as their lengths lead."""
    changed, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        changed[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(changed)


def mend_tar(data: bytes) -> bytes:
    """Every block that looks like a header with a true checksum."""
    changed = bytearray(data)
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            changed[at + 148 : at + 156] = b" " * 8
            total = sum(changed[at : at + 512])
            changed[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(changed)


def mend_7z(data: bytes) -> bytes:
    """The beginning and the header of a 7z with true sums, where it still says where that is."""
    if len(data) < 32:
        return data
    at, size = struct.unpack_from("<QQ", data, 12)
    header = data[32 + at : 32 + at + size]
    start = data[12:28] + struct.pack("<I", zlib.crc32(header))
    return data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32:]


DEEP = 0.7  # share of files whose checksums are mended
GZIP_MAGIC = b"\x1f\x8b"
MEND = {"png": mend_png, "tar": mend_tar, "7z": mend_7z}


def _once(kind: str, data: bytes, chance: random.Random) -> bytes:
    at = _place(kind, data, chance)
    way = chance.randrange(9)
    if way == 0:  # a bit
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if way == 1:  # a byte
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if way in (2, 3):  # a number that readers stumble over
        form = chance.choice(("<H", ">H", "<I", ">I"))
        value = chance.choice(INTERESTING) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
        packed = struct.pack(form, value)
        return data[:at] + packed + data[at + len(packed) :]
    if way == 4:  # cut short
        return data[:at]
    length = chance.choice((1, 2, 4, 8, 64, 512))
    if way == 5:  # left out
        return data[:at] + data[at + length :]
    if way == 6:  # twice
        return data[:at] + data[at : at + length] * chance.choice((2, 3, 50)) + data[at + length :]
    if way == 7:  # text where a number was, or the other way round
        text = chance.choice((b"\0" * 8, b"-1", b"nan", b"1e999", b"9" * 16, b"\xff" * 4))
        return data[:at] + text + data[at + len(text) :]
    other = chance.randrange(len(data))  # from elsewhere in the file
    return data[:at] + data[other : other + length] + data[at + length :]


def _place(kind: str, data: bytes, chance: random.Random) -> int:
    """Where to change something: mostly near what a header is made of."""
    if kind in MARKS and chance.random() < 0.7:
        found = [match.start() for match in MARKS[kind].finditer(data)]
        if found:
            return min(chance.choice(found) + chance.randrange(14), len(data) - 1)
    if chance.random() < 0.5:
        return chance.randrange(min(len(data), 400))
    return chance.randrange(len(data))
