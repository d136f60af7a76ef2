"""Gzip streams are read to their trailers, and no farther than what was announced."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import phantoms
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.read import inflate
from mri_gan.ingest.read.inflate import gunzip


@pytest.fixture(params=[True, False], ids=["ISA-L", "zlib"], autouse=True)
def _with_either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        assert inflate.fastest is not zlib  # isal is installed with this project
    else:
        monkeypatch.setattr(inflate, "fastest", zlib)


def test_gunzip_gives_the_bytes_of_all_streams() -> None:
    data = gzip.compress(b"abc") + gzip.compress(b"def") + bytes(8)
    assert gunzip(data, 100) == b"abcdef"


@pytest.mark.parametrize("cut", [1, 4, 8, 12])
def test_gunzip_sees_a_missing_end(cut: int) -> None:
    with pytest.raises(DataError, match="truncated"):
        gunzip(gzip.compress(b"abc" * 100)[:-cut], 1000)


def test_gunzip_checks_the_trailer() -> None:
    data = gzip.compress(b"abc" * 100)
    for bit in range(8 * (len(data) - 8), 8 * len(data)):
        with pytest.raises(DataError):
            gunzip(phantoms.flipped(data, bit), 1000)


def test_gunzip_stops_at_its_limit() -> None:
    with pytest.raises(DataError, match="more data"):
        gunzip(gzip.compress(bytes(1 << 20)), 1000)


def test_no_flip_passes_silently() -> None:
    voxels = bytes(range(256)) * 4
    data = gzip.compress(voxels)
    for bit in range(8 * len(data)):
        with contextlib.suppress(DataError):
            assert gunzip(phantoms.flipped(data, bit), 2000) == voxels


@pytest.mark.parametrize("size", [0, 10, 2000])
def test_the_work_grows_with_the_members_and_not_with_their_square(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[int] = []

    class Counted:
        """The decompressor, and how many bytes it is handed."""

        def __init__(self, wbits: int) -> None:
            self._true = zlib.decompressobj(wbits)

        def decompress(self, data: bytes, most: int) -> bytes:
            handed.append(len(data))
            return self._true.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._true, name)

    class Library:
        error = zlib.error
        decompressobj = Counted

    monkeypatch.setattr(inflate, "fastest", Library)
    work = []
    for count in (4000, 8000):
        handed.clear()
        stream = b"".join(gzip.compress(bytes([i % 256]) * size) for i in range(count))
        assert len(inflate.gunzip(stream, 1 << 26)) == count * size
        work.append(sum(handed))
    assert work[1] < 2.2 * work[0]
