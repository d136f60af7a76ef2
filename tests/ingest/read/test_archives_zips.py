"""Members of zips are read whole or not at all."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.read.archives import list_source, read_member

DATA = np.random.default_rng(0).integers(0, 9, 5000).astype(np.uint8).tobytes()
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def write(path: Path, method: int, name: str = "a/b.png", extra: bytes = b"") -> zipfile.ZipInfo:
    """A zip of two members, the second of which is told about."""
    info = zipfile.ZipInfo(name)
    info.extra, info.compress_type = extra, method
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("first.png", b"first")
        archive.writestr(info, DATA)
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()[1]


def read(path: Path) -> bytes:
    """The second member."""
    return read_member(list_source(path).members[0])


@pytest.mark.parametrize("method", [STORED, DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["a/b.png", "a/größe.png"])
def test_a_member_is_read_whole(tmp_path: Path, method: int, name: str) -> None:
    write(tmp_path / "a.zip", method, name, extra=b"\1\0\4\0abcd")
    assert read(tmp_path / "a.zip") == DATA


def test_what_stands_before_a_zip_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", STORED)
    (tmp_path / "b.zip").write_bytes(b"some words" + (tmp_path / "a.zip").read_bytes())
    assert read(tmp_path / "b.zip") == DATA


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_no_damage_gets_through(tmp_path: Path, method: int) -> None:
    info = write(tmp_path / "a.zip", method)
    whole = (tmp_path / "a.zip").read_bytes()
    start = info.header_offset + LOCAL_HEADER.size
    refused = 0
    for at in range(start, start + len(info.filename) + info.compress_size, 7):
        (tmp_path / f"{at}.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        try:
            assert read(tmp_path / f"{at}.zip") == DATA  # bits of a deflated stream may say nothing
        except DataError:
            refused += 1
    assert refused > 50


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", STORED)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    for start in (data.rindex(b"PK\3\4") + 6, data.rindex(b"PK\1\2") + 8):
        data[start] |= 1  # the flag of encryption, in both headers
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        read(tmp_path / "b.zip")


def overlapping(count: int, quoted: bool) -> bytes:
    """A zip whose files all end with the same stored bytes; a good one stands first.

    Quoted, each begins with a local header of its own and holds those of the files behind it; else
    all share one.
    """
    names = [f"b_{i}.png" if quoted else "b_0.png" for i in range(count)]
    local, files = b"", []
    kernel = DATA
    for name in reversed(names if quoted else names[:1]):
        crc, size = zlib.crc32(kernel), len(kernel)
        head = LOCAL_HEADER.pack(b"PK\3\4", 20, 0, 0, 0, 0, crc, size, size, len(name), 0)
        kernel = head + name.encode() + kernel
        files.append((name, crc, size, len(kernel)))
    first = LOCAL_HEADER.pack(b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(b"a"), 1, 1, 7, 0)
    local = first + b"a_0.pnga" + kernel
    entries = [("a_0.png", zlib.crc32(b"a"), 1, len(local))]
    entries += files if quoted else files * count
    directory = b""
    for name, crc, size, from_end in entries:
        numbers = (20, 20, 0, 0, 0, 0, crc, size, size, len(name), 0, 0, 0, 0, 0)
        offset = len(local) - from_end
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", *numbers, offset) + name.encode()
    end = (0, 0, len(entries), len(entries), len(directory), len(local), 0)
    return local + directory + struct.pack("<4s4H2IH", b"PK\5\6", *end)


@pytest.mark.parametrize("quoted", [True, False])
def test_a_bomb_of_overlapping_files_is_named_and_the_rest_is_read(
    tmp_path: Path, quoted: bool
) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(overlapping(1000, quoted))
    with zipfile.ZipFile(path) as archive:  # it is one that others read
        assert archive.read("a_0.png") == b"a"
        with contextlib.suppress(zipfile.BadZipFile):  # newer Pythons find what we find
            assert len(archive.read("b_0.png")) >= len(DATA)
    found = list_source(path)
    members, bad = found.members, found.bad
    assert (len(members), len(bad)) == (2, 999)
    assert [read_member(member) for member in members if member.name == "a_0.png"] == [b"a"]
    assert {reason for _, reason in bad} == {"overlaps another file, as in a bomb"}


def test_a_damaged_place_in_the_directory_costs_that_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write(path, STORED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2") + 42
    assert struct.unpack_from("<I", data, at)[0] > 0
    struct.pack_into("<I", data, at, 3)
    path.write_bytes(data)
    found = list_source(path)
    members, bad = found.members, found.bad
    assert [m.name for m in members] == ["a/b.png", "first.png"]
    assert bad == []
    assert read_member(members[1]) == b"first"
