"""Members of zips in one read: what `zipfile` would give, or nothing where it should look."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mri_gan.ingest.read.archives import LOCAL_HEADER, ROOM_FOR_EXTRA, read_plain_member

DATA = np.random.default_rng(0).integers(0, 9, 5000).astype(np.uint8).tobytes()
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


def read(path: Path, number: int = 1) -> bytes | None:
    with zipfile.ZipFile(path) as archive:
        return read_plain_member(archive, archive.infolist()[number])


@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("name", ["a/b.png", "größe.png"])
def test_a_member_is_read_whole(tmp_path: Path, method: int, name: str) -> None:
    write(tmp_path / "a.zip", method, name, extra=b"\1\0\4\0abcd")
    assert read(tmp_path / "a.zip") == DATA
    assert read(tmp_path / "a.zip", 0) == b"first"


def test_what_stands_before_a_zip_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", STORED)
    (tmp_path / "b.zip").write_bytes(b"some words" + (tmp_path / "a.zip").read_bytes())
    assert read(tmp_path / "b.zip") == DATA


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_methods_are_left_to_zipfile(tmp_path: Path, method: int) -> None:
    write(tmp_path / "a.zip", method)
    assert read(tmp_path / "a.zip") is None


def test_a_long_extra_field_is_left_to_zipfile(tmp_path: Path) -> None:
    long = b"\1\0" + (ROOM_FOR_EXTRA + 5000).to_bytes(2, "little") + bytes(ROOM_FOR_EXTRA + 5000)
    write(tmp_path / "a.zip", STORED, extra=long)
    assert read(tmp_path / "a.zip") is None


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_no_damage_gets_through(tmp_path: Path, method: int) -> None:
    info = write(tmp_path / "a.zip", method)
    whole = (tmp_path / "a.zip").read_bytes()
    start = info.header_offset + LOCAL_HEADER.size
    refused = 0
    for at in range(start, start + len(info.filename) + info.compress_size, 7):
        (tmp_path / "b.zip").write_bytes(
            whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :],
        )
        got = read(tmp_path / "b.zip")
        assert got is None or got == DATA  # bits of a deflated stream may say nothing
        refused += got is None
    assert refused > 50


def test_a_cut_zip_and_an_encrypted_member_are_left_to_zipfile(tmp_path: Path) -> None:
    info = write(tmp_path / "a.zip", STORED)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[: info.header_offset])
        assert read_plain_member(archive, info) is None
    write(tmp_path / "a.zip", STORED)
    info.flag_bits |= 1
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert read_plain_member(archive, info) is None
