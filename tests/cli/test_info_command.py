"""`mrigan info`: what a store holds, for people and for programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest
from click.testing import CliRunner, Result

from mri_gan.cli.main import cli
from mri_gan.cli.options import human_bytes, human_seconds
from mri_gan.store.reader import StoreReader


def info(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["info", *(str(a) for a in arguments)], catch_exceptions=False)


def test_the_table_shows_slices_people_and_splits(store: Path) -> None:
    result = info(store)
    assert (result.exit_code, result.stderr) == (0, "")
    for text in ("10 (8-bit, 1 channel)", "6 slices of 3 subjects", "oasis-course", "10 of 64 px"):
        assert text in result.stdout


def test_json_is_the_summary_and_more(store: Path) -> None:
    facts = json.loads(info(store, "--json").stdout)
    with StoreReader(store) as opened:
        assert facts.items() >= opened.summary.items()
        assert facts["bytes"] == opened.n_bytes
    assert facts["levels"] == [8, 16, 32, 64, 128, 256, 512, 1024]


def test_skipped_sources_are_listed_with_their_reason(
    tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    files = phantoms.slice_files(people=2, slices=1)
    files |= {f"sub00/[b]odd_{k}.png": b"text" for k in range(12)}
    folder = prepare(tmp_path / "s", phantoms.write_zip(tmp_path / "a.zip", files))
    shown = info(folder).stdout
    assert "gave no slices" in shown
    assert "and 2 more" in shown
    skipped = json.loads(info(folder, "--json").stdout)["skipped_sources"]
    assert [entry["kind"] for entry in skipped] == ["damaged"] * 12
    assert skipped[0]["source"].endswith("sub00/[b]odd_0.png")


def test_long_names_of_what_gave_nothing_are_not_cut_off(
    tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    scan = phantoms.nifti_bytes(phantoms.brain_volume())
    long = "sub-{}/ses-baseline/anat/sub-{}_ses-baseline_acq-highresolution_T{}w.nii"
    names = [long.format(who, who, n) for who in ("01", "02") for n in (1, 2)]
    lone = long.format("03", "03", 1)
    files = dict.fromkeys([*names, lone], scan)
    top = phantoms.write_folder(tmp_path / "set", files)
    shown = info(prepare(tmp_path / "s", top, channels=("t1", "t2"), split=(100, 0, 0))).stdout
    rows = shown[shown.index("gave no slices") :].splitlines()
    first = "".join(row.split("│")[1].strip() for row in rows if row.startswith("│"))
    assert first == f"set/{lone}"
    assert "incomplete set" in shown


def test_labels_are_shown_with_whoever_lacks_them(
    tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    names = [f"sub-{i:02d}" for i in range(9)]
    image = phantoms.png_bytes(phantoms.slice_pixels())
    files = {f"{who}/anat/{who}_slice-3.png": image for who in names}
    rows = ["participant_id\tage\tsex", "sub-00\t20\tF", "sub-01\t61.5\tM"]
    rows += [f"{who}\tn/a\tF" for who in names[2:]]
    files["participants.tsv"] = "\n".join(rows).encode()
    folder = prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "bids", files))
    shown = " ".join(info(folder).stdout.replace("│", "").split())
    assert "age: 20 to 61.5; 2 of 9 subjects not of 02, 03, 04, 05, 06 and 2 more" in shown
    assert "sex: F 8, M 1; 9 of 9 subjects" in shown


def test_contrasts_sessions_and_channels_are_shown_where_there_are_several(
    tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    image = phantoms.png_bytes(phantoms.slice_pixels())
    names = [
        f"sub-01/ses-{k}/anat/sub-01_ses-{k}_{w}_slice-3" for k in "12" for w in ("T1w", "T2w")
    ]
    folder = phantoms.write_folder(tmp_path / "bids", {f"{name}.png": image for name in names})
    shown = info(prepare(tmp_path / "s", folder)).stdout
    assert re.search(r"sessions +│ 2 ", shown)
    assert re.search(r"contrasts +│ 2 t1, 2 t2 ", shown)
    shown = info(prepare(tmp_path / "c", folder, channels=("t1", "t2"))).stdout
    assert "2 (8-bit, 2 channels: t1, t2)" in shown
    assert "│ contrasts" not in shown


def test_an_archive_that_cannot_be_read_counts_as_skipped(
    tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    phantoms.write_folder(tmp_path / "in", phantoms.slice_files(people=2, slices=1))
    (tmp_path / "in" / "b.zip").write_bytes(b"PK\x03\x04 torn")
    shown = info(prepare(tmp_path / "s", tmp_path / "in")).stdout
    assert re.search(r"sources skipped +│ 1 damaged", shown)


def test_looking_changes_nothing(store: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}
    info(store)
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before


@pytest.mark.parametrize("json_too", [[], ["--json"]])
@pytest.mark.parametrize(
    "data", [None, b"", b"hello\n" * 1000], ids=["nothing", "empty file", "text file"]
)
def test_a_folder_that_is_no_store_is_one_line(
    tmp_path: Path, data: bytes | None, json_too: list[str]
) -> None:
    if data is not None:
        (tmp_path / "data.mdb").write_bytes(data)
    result = info(tmp_path, *json_too)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert str(tmp_path) in result.stderr


def test_a_truncated_store_is_one_line(tmp_path: Path, store: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(phantoms.truncated((store / "data.mdb").read_bytes()))
    result = info(tmp_path)
    assert result.exit_code == 1
    assert "data.mdb: cut short" in result.stderr


def test_a_missing_store_is_one_line_in_a_real_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mri_gan", "info", str(tmp_path / "gone")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "gone" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1536, "1.5 KB"), (2e12, "2.0 TB")]
)
def test_sizes_for_people(count: float, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.2 s"),
        (42, "42 s"),
        (600, "10 min"),
        (3725, "1 h 02 min"),
        (3599, "1 h 00 min"),
        (47.9 * 3600, "47 h 54 min"),
        (899.2 * 86400, "899 days"),
    ],
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text
