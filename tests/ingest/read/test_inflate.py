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
