"""Tars, plain and gzipped, are read in memory, in one pass, and their damage is noticed."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read import archives
from mri_gan.ingest.read.archives import list_source, read_member
from mri_gan.ingest.source import Member
from mri_gan.store.reader import StoreReader

NAMES = ("a.tar", "a.tar.gz", "a.tgz")
FILES = {f"set/a_{i}.png": bytes([i]) * 700 for i in (10, 2, 1)}


def contents(source: Path) -> dict[str, bytes]:
    found = list_source(source)
    members, bad = found.members, found.bad
    assert bad == []
    return {member.name: read_member(member) for member in members}


@pytest.mark.parametrize("name", NAMES)
def test_a_tar_lists_its_files_with_their_bytes(tmp_path: Path, name: str) -> None:
    assert contents(phantoms.write_tar(tmp_path / name, FILES)) == FILES
    assert contents(tmp_path) == FILES  # and inside a folder too


def test_a_plain_tar_is_in_natural_order_and_a_gzipped_one_in_its_own(tmp_path: Path) -> None:
    plain, packed = (list(contents(phantoms.write_tar(tmp_path / n, FILES))) for n in NAMES[:2])
    assert plain == ["set/a_1.png", "set/a_2.png", "set/a_10.png"]
    assert packed == list(FILES)


@pytest.mark.parametrize("name", NAMES)
def test_members_can_be_read_in_any_order(tmp_path: Path, name: str) -> None:
    members = list_source(phantoms.write_tar(tmp_path / name, FILES)).members
    for member in reversed(members):
        assert read_member(member) == FILES[member.name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_tar_makes_the_store_of_its_folder(
    tmp_path: Path, name: str, workers: int, prepare: Any
) -> None:
    files = {f"set/{name}": data for name, data in phantoms.slice_files(size=16).items()}
    folder = phantoms.write_folder(tmp_path, files) / "set"
    tar = phantoms.write_tar(tmp_path / name, files)
    stores = prepare(tmp_path / "1", folder), prepare(tmp_path / "2", tar, workers=workers)
    digests = []
    for path in stores:
        with StoreReader(path) as store:
            digests.append(store.summary["digest"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_digest_of_a_plan_follows_the_content_alone(tmp_path: Path, name: str) -> None:
    def digest() -> str:
        return build_plan([tmp_path / name], PrepareConfig()).digest

    first, again, other = (
        (phantoms.write_tar(tmp_path / name, files), digest())[1]
        for files in (FILES, FILES, FILES | {"set/a_1.png": b"more"})
    )
    assert first == again != other


@pytest.mark.parametrize("name", NAMES)
def test_hostile_members_are_names_and_nothing_more(tmp_path: Path, name: str) -> None:
    path = phantoms.write_tar(tmp_path / name, phantoms.hostile_files())
    members = list_source(path).members
    assert {"../outside_2.png", "/etc/absolute_3.png"} <= {member.name for member in members}
    for member in members:
        read_member(member)
    assert [file.name for file in tmp_path.rglob("*")] == [name]
    twice = [member for member in members if "twice" in member.name]
    assert len({read_member(member) for member in twice}) == 2


def test_links_and_devices_are_not_members(tmp_path: Path) -> None:
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"x_{number}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good.png")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    found = list_source(tmp_path / "a.tar")
    assert [m.name for m in found.members] == ["good.png"]
    assert found.ignored == {"links": 1, "devices and the like": 2}
    assert found.bad == [
        (f"{tmp_path / 'a.tar'}:x_1.png", "a hard link to a file that is not there")
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.33, 0.57])
def test_a_cut_archive_is_one_clear_line(tmp_path: Path, name: str, share: float) -> None:
    files = phantoms.slice_files(size=32)
    path = phantoms.write_tar(tmp_path / name, files)
    path.write_bytes(phantoms.truncated(path.read_bytes(), share))
    with pytest.raises(DataError, match=f"{path}: is not a readable tar") as caught:
        list_source(path)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_a_gzipped_tar_is_found_or_harmless(tmp_path: Path) -> None:
    path = phantoms.write_tar(tmp_path / "a.tgz", FILES)
    data = path.read_bytes()
    for bit in range(80, 8 * len(data), 7):
        path.write_bytes(phantoms.flipped(data, bit))
        try:
            assert contents(path) == FILES, bit
        except DataError:
            continue


def test_a_damaged_header_is_not_the_end_of_the_archive(tmp_path: Path) -> None:
    path = phantoms.write_tar(tmp_path / "a.tar", FILES)
    second = 512 + 1024  # after the first header and its 700 bytes
    path.write_bytes(phantoms.flipped(path.read_bytes(), 8 * (second + 3)))
    with pytest.raises(DataError, match="damaged header"):
        list_source(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = phantoms.write_tar(tmp_path / "a.tgz", {"a.png": b"x", "b.png": bytes(9 << 20)})
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 9))
    with pytest.raises(DataError, match="decompression bomb"):
        list_source(path)


def test_content_that_changed_after_listing_is_noticed(tmp_path: Path) -> None:
    path = phantoms.write_tar(tmp_path / "a.tgz", FILES)
    member: Member = list_source(path).members[0]
    phantoms.write_tar(path, {name: bytes(700) for name in FILES})
    with pytest.raises(DataError, match="changed since it was listed"):
        archives.read_member(member)


def test_a_flipped_bit_of_a_slice_in_a_plain_tar_is_found(tmp_path: Path) -> None:
    """A plain tar has no checksum of its own, but a PNG does."""
    png = phantoms.png_bytes(phantoms.slice_pixels())
    path = phantoms.write_tar(tmp_path / "a.tar", {"a_1.png": png})
    path.write_bytes(phantoms.flipped(path.read_bytes(), 8 * (512 + len(png) // 2)))
    source = build_plan([path], PrepareConfig()).sources[0]
    assert process(source, PrepareConfig()).kind == "damaged"
