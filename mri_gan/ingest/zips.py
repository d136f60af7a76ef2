"""Whole members of a zip in one read: `zipfile` makes a buffered stream for every one of them."""

from __future__ import annotations

import os
import struct
import zipfile

from mri_gan.checksums import crc32
from mri_gan.ingest.gzips import fastest

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
SIGNATURE = b"PK\x03\x04"
ROOM_FOR_EXTRA = 64  # bytes: what most archivers add to a member's name
# Bits of the flags: encrypted, patched, strongly encrypted, masked.
ODD_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
RAW_DEFLATE = -15


def read_plain_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a stored or deflated member, its checksum compared.

    None says nothing about a member but that `zipfile` should look at it, and tell what is wrong.
    """
    if info.flag_bits & ODD_FLAGS or archive.fp is None or not hasattr(os, "pread"):
        return None
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    start = LOCAL_HEADER.size + len(name)
    n_bytes = start + ROOM_FOR_EXTRA + info.compress_size
    found = os.pread(archive.fp.fileno(), n_bytes, info.header_offset)
    if len(found) < start or found[LOCAL_HEADER.size : start] != name:
        return None
    signature, *_, n_name, n_extra = LOCAL_HEADER.unpack_from(found)
    if signature != SIGNATURE or n_name != len(name):
        return None
    packed = found[start + n_extra : start + n_extra + info.compress_size]
    data = _unpack(packed, info)
    if data is None or len(data) != info.file_size or crc32(data) != info.CRC:
        return None
    return data


def _unpack(packed: bytes, info: zipfile.ZipInfo) -> bytes | None:
    if info.compress_type == zipfile.ZIP_STORED:
        return packed
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return None
    stream = fastest.decompressobj(RAW_DEFLATE)
    try:
        # One byte more than announced, so that a stream which goes on is noticed.
        data: bytes = stream.decompress(packed, info.file_size + 1)
    except fastest.error:
        return None
    return data if stream.eof else None
