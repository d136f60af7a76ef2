"""Zips, folders and files are one list of members, read in memory, never believed blindly."""

from __future__ import annotations

import gzip
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read import archives
from mri_gan.ingest.read.archives import list_source, read_member
from mri_gan.ingest.source import (
    MAX_MEMBER_BYTES,
    Member,
    common_prefix,
    is_clutter,
    natural_key,
    suffix_of,
)
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
PNG = phantoms.png_bytes(phantoms.slice_pixels())
FILES = {f"set/a_{i}.png": b"png %d" % i for i in (1, 2, 10)}


def listed(source: Path) -> list[Member]:
    found = list_source(source)
    members, bad = found.members, found.bad
    assert bad == []
    return members


def contents(source: Path) -> dict[str, bytes]:
    return {member.name: read_member(member) for member in listed(source)}


def member_named(source: Path, name: str) -> Member:
    return next(member for member in listed(source) if member.name == name)


# Listing


def test_a_zip_lists_its_files_with_their_bytes(tmp_path: Path) -> None:
    assert contents(phantoms.write_zip(tmp_path / "a.zip", FILES)) == FILES


def test_a_folder_and_its_zip_have_the_same_names_and_bytes(tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path, FILES)
    archive = phantoms.write_zip(tmp_path / "a.zip", FILES)
    assert contents(tmp_path / "set") == contents(archive)


def test_a_single_file_is_one_member(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    assert contents(tmp_path / "a.png") == {"a.png": b"x"}


@pytest.mark.parametrize("as_zip", [False, True])
def test_members_are_in_natural_order(tmp_path: Path, as_zip: bool) -> None:
    shuffled = {name: FILES[name] for name in sorted(FILES, reverse=True)}
    source = (
        phantoms.write_zip(tmp_path / "a.zip", shuffled)
        if as_zip
        else phantoms.write_folder(tmp_path, shuffled) / "set"
    )
    assert [m.name for m in listed(source)] == ["set/a_1.png", "set/a_2.png", "set/a_10.png"]


def test_zips_inside_a_folder_are_opened(tmp_path: Path) -> None:
    phantoms.write_zip(tmp_path / "a.zip", FILES)
    assert contents(tmp_path) == FILES


def test_a_bad_zip_inside_a_folder_is_noted_and_the_rest_listed(tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path, FILES)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    found = list_source(tmp_path)
    members, bad = found.members, found.bad
    assert len(members) == 3
    assert [label for label, _ in bad] == [str(tmp_path / "bad.zip")]


def test_files_of_other_kinds_in_a_folder_are_left_aside(tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path, {"a.png": b"x", "notes.txt": b"y", "b.exe": b"z"})
    phantoms.write_folder(tmp_path, {"a.png": phantoms.png_bytes(phantoms.slice_pixels(8, 8))})
    plan = build_plan([tmp_path], PrepareConfig())
    assert [s.member.name for s in plan.sources] == [f"{tmp_path.name}/a.png"]
    assert plan.ignored_kinds == {".txt files": 1, ".exe files": 1}


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path, FILES)
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    assert len(listed(tmp_path / "set")) == 3


def test_a_link_to_nothing_is_named_where_it_could_be_a_scan(tmp_path: Path) -> None:
    """As in a data set of git-annex before its content is fetched."""
    phantoms.write_folder(tmp_path, {"set/a.png": phantoms.png_bytes(phantoms.slice_pixels(8, 8))})
    for name in ("b.png", "c.nii.gz", "notes.txt", "CHANGES"):
        (tmp_path / "set" / name).symlink_to(f".git/annex/objects/{name}")
    (tmp_path / "set" / "itself.png").symlink_to("itself.png")
    plan = build_plan([tmp_path / "set"], PrepareConfig())
    assert [s.member.name for s in plan.sources] == ["set/a.png"]
    reason = "a link to nothing (git annex get or datalad get would fetch the file)"
    assert sorted((Path(name).name, reason) for name, reason in plan.bad) == [
        (name, reason) for name in ("b.png", "c.nii.gz", "itself.png")
    ]
    assert plan.ignored_kinds == {"links": 2}


def test_the_files_of_a_run_are_ignored(tmp_path: Path) -> None:
    """Its sheets would be people; a folder of samples that is nobody's run is read."""
    png = phantoms.png_bytes(phantoms.slice_pixels())
    run = ["run/config.json", "run/metrics.jsonl", "run/reals.png", "run/samples/1_1.png"]
    for name in [*run, "scans/a_1.png", "samples/b_1.png", "run/scans/c_1.png"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)

    plan = build_plan([tmp_path], PrepareConfig())

    assert plan.ignored_kinds == {"files of a run": 4}
    assert len(plan.sources) == 3


def test_clutter_is_left_out(tmp_path: Path) -> None:
    clutter = {"__MACOSX/a/._b.png": b"", "a/.hidden.png": b"", "a/Thumbs.db": b""}
    assert all(map(is_clutter, clutter))
    assert contents(phantoms.write_zip(tmp_path / "a.zip", FILES | clutter)) == FILES


def test_nothing_is_unpacked_whatever_the_names_say(tmp_path: Path) -> None:
    archive = phantoms.hostile_zip(tmp_path / "a.zip")
    for member in listed(archive):
        read_member(member)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]
    assert not Path("/etc/absolute_3.png").exists()


def test_members_of_the_same_name_keep_their_own_bytes(tmp_path: Path) -> None:
    twice = [m for m in listed(phantoms.hostile_zip(tmp_path / "a.zip")) if "twice" in m.name]
    assert len({read_member(member) for member in twice}) == 2


def test_the_stamp_of_a_member_follows_its_content(tmp_path: Path) -> None:
    first = phantoms.write_zip(tmp_path / "a.zip", {"a.png": b"one"})
    second = phantoms.write_zip(tmp_path / "b.zip", {"a.png": b"two"})
    assert listed(first)[0].stamp != listed(second)[0].stamp


def test_a_zip_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    archive = phantoms.write_zip(tmp_path / "a.zip", {"a.png": b"one"})
    assert contents(archive) == {"a.png": b"one"}
    phantoms.write_zip(archive, {"b.png": b"other"})
    assert contents(archive) == {"b.png": b"other"}


# Refusing


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    for name in ("gone.zip", "gone.png"):
        with pytest.raises(DataError, match=name):
            list_source(tmp_path / name)


def test_a_text_file_called_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(DataError, match=r"text\.zip: is not a readable zip"):
        list_source(tmp_path / "text.zip")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_zip_is_named(tmp_path: Path, share: float) -> None:
    data = phantoms.write_zip(tmp_path / "a.zip", phantoms.slice_files(2)).read_bytes()
    (tmp_path / "cut.zip").write_bytes(phantoms.truncated(data, share))
    with pytest.raises(DataError, match=r"cut\.zip"):
        list_source(tmp_path / "cut.zip")


def test_a_decompression_bomb_is_named_and_not_inflated(tmp_path: Path) -> None:
    archive = phantoms.bomb_zip(tmp_path / "a.zip")
    assert archive.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"bomb_2\.png: looks like a decompression bomb"):
        read_member(member_named(archive, "bomb_2.png"))


def test_an_empty_scan_that_packs_well_is_no_bomb(tmp_path: Path) -> None:
    """Below the size from which a bomb could harm, the ratio does not matter."""
    archive = phantoms.write_zip(tmp_path / "a.zip", {"a.nii": bytes(1 << 20)})
    assert read_member(listed(archive)[0]) == bytes(1 << 20)


def test_a_huge_member_is_refused_before_it_is_read(tmp_path: Path) -> None:
    member = Member(tmp_path / "a.nii", "a.nii", MAX_MEMBER_BYTES + 1, 0)
    with pytest.raises(DataError, match="too large"):
        read_member(member)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    member = listed(tmp_path / "a.png")[0]
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png: No such file"):
        read_member(member)


def test_every_damaged_byte_of_a_stored_member_is_found(tmp_path: Path) -> None:
    archive = phantoms.write_zip(tmp_path / "a.zip", {"a.png": b"0123456789"}, zipfile.ZIP_STORED)
    data = archive.read_bytes()
    start = data.index(b"0123456789")
    for i in range(10):
        damaged = tmp_path / f"{i}.zip"
        damaged.write_bytes(phantoms.flipped(data, 8 * (start + i)))
        with pytest.raises(DataError, match=r"a\.png: damaged"):
            read_member(listed(damaged)[0])


def test_a_zip_with_any_flipped_bit_is_read_right_or_refused(tmp_path: Path) -> None:
    """Nothing but DataError comes out, and never other bytes than were put in."""
    files = {"é/a.png": b"0123456789" * 3}
    data = phantoms.write_zip(tmp_path / "a.zip", files).read_bytes()
    archive = tmp_path / "flipped.zip"
    read = 0
    for bit in range(8 * len(data)):
        archive.write_bytes(phantoms.flipped(data, bit))
        archives._open_zip_once.cache_clear()
        try:
            found = [read_member(member) for member in list_source(archive).members]
        except DataError:
            continue
        assert found in ([], list(files.values())), f"bit {bit}"
        read += len(found)
    assert read > 100  # times, comments and the like are harmless


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="not a regular file"):
        list_source(tmp_path / "a.png")


# Names


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a/b.PNG", ".png"),
        ("scan.nii.gz", ".nii.gz"),
        ("scan.NII.GZ", ".nii.gz"),
        ("x_LEFT.nii.gz_7.png", ".png"),
        ("case.nii.png", ".png"),
        ("README", ""),
    ],
)
def test_suffix(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


def test_natural_order_counts_and_is_total() -> None:
    names = ["a2b", "a10b", "a02b", "a", "b1", "A1", "²", "a1"]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("a1") < ordered.index("a2b") < ordered.index("a10b")
    assert len({natural_key(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        ([], ""),
        (["a.png"], ""),
        (["s/a.png"], "s/"),
        (["s/t/a.png", "s/t/b.png"], "s/t/"),
        (["s/t/a.png", "s/u/b.png"], "s/"),
        (["sub1/a.png", "sub2/a.png"], ""),
        (["s/t/a.png", "s/a.png"], "s/"),
    ],
)
def test_common_prefix_is_whole_folders(names: list[str], prefix: str) -> None:
    assert common_prefix(names) == prefix


def test_a_label_names_the_archive_and_the_member(tmp_path: Path) -> None:
    archive = phantoms.write_zip(tmp_path / "a.zip", FILES)
    assert listed(archive)[0].label == f"{archive}:set/a_1.png"


KINDS = ".nii .nii.gz .mgz .png .jpg .npy .mat .h5 .nrrd .dcm"


def test_a_file_that_holds_nothing_is_called_empty(tmp_path: Path, prepare: Prepare) -> None:
    files: phantoms.Files = {f"p{n:02}_1.png": PNG for n in (1, 2)}
    files |= {f"nothing{suffix}": b"" for suffix in KINDS.split()}
    files |= {f"packed{suffix}": gzip.compress(b"") for suffix in (".nii.gz", ".mgz")}
    packed = phantoms.write_zip(tmp_path / "packed.zip", files)
    for source in (phantoms.write_folder(tmp_path / "set", files), packed):
        with StoreReader(prepare(tmp_path / f"{source.name}.store", source)) as store:
            reasons = [entry["reason"] for entry in store.skipped()]
            reasons += [reason for _, reason in store.summary["unlisted"]]
        assert set(reasons) == {"the file is empty"}
        assert len(reasons) == len(files) - 2


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".7z"])
def test_an_empty_archive_is_called_empty(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "set" / f"a{suffix}"
    phantoms.write_folder(tmp_path / "set", {path.name: b""})
    told = r"is not a readable (zip|tar|7z) \(the file is empty\)"
    with pytest.raises(DataError, match=rf"a\.[a-z.7]*: {told}: download or copy it again"):
        list_source(path)
    ((_, reason),) = list_source(tmp_path / "set").bad
    assert re.fullmatch(told, reason)
