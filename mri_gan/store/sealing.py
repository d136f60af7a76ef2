"""The frame of a record: which codec, and a checksum that nothing gets past.

A record is one codec byte, a CRC-32 (4 bytes, little-endian) and a payload. The checksum covers
the codec, the payload and the key of the record, so that a damaged index page which
leads to the whole record of another slice is noticed, too. Who encodes does not know the key yet:
such a record is sealed with the empty key, and `seal` adds the real one.
"""

from __future__ import annotations

import struct

from mri_gan.errors import DataError
from mri_gan.files import crc32

_FRAME = struct.Struct("<BI")  # codec, checksum
HEADER = _FRAME.size


class BadRecordError(DataError):
    """A record whose bytes are not what was written."""


def make_record(codec: int, payload: bytes | memoryview) -> bytes:
    """An unsealed record."""
    return b"".join((_FRAME.pack(codec, crc32(payload, codec)), payload))


def seal(record: bytes | memoryview, key: bytes) -> bytearray:
    """The record with the key that it will be stored under added to its checksum."""
    sealed = bytearray(record)
    codec, crc = _FRAME.unpack_from(record)
    _FRAME.pack_into(sealed, 0, codec, crc32(key, crc))
    return sealed


def payload_of(record: memoryview, key: bytes = b"") -> memoryview:
    """What follows a record's header, checked; raises BadRecordError."""
    payload = record[HEADER:]
    if crc32(key, crc32(payload, record[0])) != int.from_bytes(record[1:5], "little"):
        raise BadRecordError("wrong checksum")
    return payload


def unseal(record: memoryview, key: bytes) -> bytes:
    """A sealed record as its encoder made it; raises BadRecordError when it is damaged."""
    return make_record(record[0], payload_of(record, key))
