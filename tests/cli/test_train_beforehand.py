"""What `mrigan train` says before it trains: what a run takes, and what is in --out."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mri_gan.checkpoint import list_checkpoints
from mri_gan.cli import options
from mri_gan.cli.main import cli
from mri_gan.cli.training import progress
from mri_gan.cli.training.progress import (
    FINISHED,
    describe_run,
    describe_start,
    find_shortages,
    find_unreached,
)
from mri_gan.config import TrainConfig
from mri_gan.store.reader import StoreReader
from mri_gan.train.cost import Needs
from mri_gan.train.run_folder import RunOptions

WORDS = [
    *("--max-size", "8", "--phase", "64", "--batch", "8", "--capacity", "0.015625"),
    *("--latent-dim", "8", "--snap", "0.032"),
]
NEEDS = Needs(1000, 1000, 8_000, 40_000, 2_000_000, 60.0)
CONFIG = TrainConfig(max_size=8)


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


@pytest.fixture(scope="module")
def begun(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 0.064 kimg that has ended at 0.04."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    done = mrigan("train", store, *WORDS, "--kimg", 0.04, "--out", folder, "--quiet")
    assert done.exit_code == 0, done.stderr
    return folder


def dry_run(store: Path, out: Path, *more: object) -> tuple[dict[str, object], str]:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = mrigan("train", store, *WORDS, *more, "--out", out, "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    found = json.loads(done.stdout)["run"]
    assert isinstance(found, dict)
    return found, done.stderr


def test_a_dry_run_says_where_the_run_in_out_would_go_on(store: Path, begun: Path) -> None:
    found, said = dry_run(store, begun)
    assert (found["nimg"], found["left_nimg"], found["refused_for"]) == (40, 24, [])
    assert "would continue from" in said
    assert "0.024 kimg are left" in said


def test_and_what_it_would_be_refused_for(store: Path, begun: Path) -> None:
    found, said = dry_run(store, begun, "--lr", 0.002, "--seed", 3)
    assert found["refused_for"] == ["lr was 0.001, now 0.002", "seed was 0, now 3"]
    assert "was trained with other settings" in said
    refused = mrigan("train", store, *WORDS, "--lr", 0.002, "--seed", 3, "--out", begun)
    assert refused.exit_code == 2
    assert all(text in refused.stderr for text in ("lr was 0.001", "seed was 0, now 3"))


def test_a_finished_run_is_called_so_and_how_to_go_on(
    store: Path, begun: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    assert mrigan("train", store, *WORDS, "--out", out).exit_code == 0
    done = mrigan("train", store, *WORDS, "--out", out)
    assert done.exit_code == 0
    last = list_checkpoints(out)[0]
    assert done.stderr.splitlines() == [
        f"mrigan: trained to the end already: {last} (0.064 kimg)",
        f"mrigan: {FINISHED}",
    ]
    _, said = dry_run(store, out)
    assert f"in --out: {last}: {FINISHED}" in said
    more = mrigan("train", store, *WORDS, "--kimg", 0.08, "--out", out)
    assert more.exit_code == 0
    assert f"continuing from {last}" in more.stderr


def test_and_what_is_damaged(store: Path, begun: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    for path in list_checkpoints(out):
        path.write_bytes(b"no checkpoint")
    found, said = dry_run(store, out)
    assert found["checkpoint"] is None
    assert "truncated" in said


def test_a_folder_without_a_run_would_begin_anew(tmp_path: Path) -> None:
    assert describe_run(tmp_path, CONFIG) == {"damaged": [], "checkpoint": None}


def test_what_a_run_takes_is_said_before_it_begins(store: Path, tmp_path: Path) -> None:
    done = mrigan("train", store, *WORDS, "--kimg", 0.008, "--out", tmp_path, "--device", "cpu")
    first = done.stderr.splitlines()[0]
    assert first.startswith("mrigan: cpu, fp32: very roughly ")
    assert "of memory at 8 px" in first


@pytest.mark.parametrize(
    ("needs", "seconds", "limit_s", "says"),
    [
        (NEEDS, 60.0, 0.0, []),
        (NEEDS, 400 * 86_400.0, 0.0, ["--preset laptop"]),
        (NEEDS, 400 * 86_400.0, 600.0, []),
        (Needs(1, 1, 1, 1, 10**15, 1.0), 60.0, 0.0, ["smaller --batch"]),
        (Needs(1, 1, 1, 10**18, 1, 1.0), 60.0, 0.0, ["lower --keep"]),
        (Needs(1, 1, 1, 10**18, 10**15, 1.0), 400 * 86_400.0, 0.0, ["--preset", "--b", "--keep"]),
    ],
)
def test_what_the_machine_lacks_is_a_warning_each(
    tmp_path: Path, needs: Needs, seconds: float, limit_s: float, says: list[str]
) -> None:
    how = RunOptions(device="cpu", minutes=limit_s / 60 or None)
    found = find_shortages(needs, how, tmp_path, seconds)
    assert len(found) == len(says)
    assert all(word in text for word, text in zip(says, found, strict=True))


@pytest.mark.parametrize(
    ("kimg", "ends"), [(1.0, "ends at 8 px"), (4.999, "ends at 32 px"), (5.001, ""), (None, "")]
)
def test_a_run_that_ends_before_its_largest_level_says_so(kimg: float | None, ends: str) -> None:
    # 1,000 images at 8 px, then 2,000 at each of 16 and 32: 64 px begins at 5,000.
    found = find_unreached(TrainConfig(max_size=64, phase=1000, kimg=kimg))
    assert len(found) == (1 if ends else 0)
    assert all(ends in text and "64 px begins at 5 kimg" in text for text in found)


def test_warnings_of_what_is_lacking_are_printed_although_quiet(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LONG_S", 0.0)
    words = (*WORDS, "--kimg", 0.008, "--quiet", "--device", "cpu")
    done = mrigan("train", store, *words, "--out", tmp_path / "a")
    assert "this run takes about" in done.stderr
    assert "very roughly" not in done.stderr
    ended = mrigan("train", store, *words, "--minutes", 1, "--no-judge", "--out", tmp_path / "b")
    assert "this run takes about" not in ended.stderr


def test_a_limit_of_time_is_said_before_the_time_of_the_whole() -> None:
    how = RunOptions(device="cpu", minutes=10)
    line = describe_start(NEEDS, CONFIG, how, 7200.0)
    said = "ends after 10 min (--minutes), all 600 kimg would take very roughly 2 h"
    assert line.startswith(f"cpu, fp32: {said}")
    assert "--minutes" not in describe_start(NEEDS, CONFIG, how, 300.0)


def test_a_dry_run_tells_what_labels_a_table_gives(store: Path, tmp_path: Path) -> None:
    with StoreReader(store) as opened:
        records = [opened.records[i] for i in opened.indices("train")]
    who = records[0].subject
    lacking = sum(record.subject != who for record in records)
    table = tmp_path / "who.tsv"
    table.write_text(f"subject\tage\n{who}\t70\n")
    words = (*WORDS, "--condition", "age", "--labels", table, "--dry-run")
    said = mrigan("train", store, *words).stderr
    assert "conditions: age: numbers 70 to 70, some unknown" in said
    assert f"{lacking} of {len(records)} training slices lack a label" in said


def test_a_dry_run_doubts_more_pixels_than_the_slices_have(store: Path) -> None:
    said = mrigan("train", store, *WORDS, "--max-size", 128, "--dry-run").stderr
    assert "--max-size 128: no slice has more than 64 px, so all are enlarged" in said
    assert "enlarged" not in mrigan("train", store, *WORDS, "--dry-run").stderr


def test_a_dry_run_tells_of_minutes_and_of_what_follows_them(store: Path) -> None:
    words = ("--preset", "laptop", "--max-size", 16, "--batch", 8, "--capacity", 0.0625)
    limited = mrigan("train", store, *words, "--minutes", 0.001, "--dry-run")
    assert json.loads(limited.stdout)["minutes"] == 0.001
    assert "time: ends after 0.1 s (--minutes), all " in limited.stderr
    assert "--minutes replaces the 25 kimg of --preset laptop" in limited.stderr
    assert "after the minutes, evaluate and audit take very roughly" in limited.stderr
    free = mrigan("train", store, *words, "--dry-run").stderr
    assert "to the end at the present speed of cpu" in free
    assert "evaluate and audit" not in free


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--minutes", 0.001, "--no-judge"), True),
        (("--minutes", 0.001, "--no-judge", "--kimg", 0.016), False),
        (("--minutes", 0.001, "--no-judge", "--arch", "dcgan"), False),  # its preset has no kimg
    ],
)
def test_minutes_say_that_they_replace_the_length_of_a_preset(
    store: Path, tmp_path: Path, more: tuple[Any, ...], said: bool
) -> None:
    """Else 25 kimg without, and 140 with them, would look like a mistake."""
    words = ("--preset", "laptop", "--max-size", 16, "--batch", 8, "--capacity", 0.0625)
    done = mrigan("train", store, *words, *more, "--device", "cpu", "--out", tmp_path)
    text = "--minutes replaces the 25 kimg of --preset laptop: the run goes on until the time is up"
    assert done.exit_code == 0, done.stderr
    assert (text in done.stderr) == said


@pytest.mark.parametrize(("gpu", "preset"), [(True, "gpu"), (False, "laptop")])
def test_the_command_that_prepare_prints_suits_the_machine_and_can_be_pasted(
    oasis_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool, preset: str
) -> None:
    monkeypatch.setattr(options, "has_gpu", lambda: gpu)
    store = tmp_path / "a store's name"
    done = mrigan("prepare", oasis_zip, "--out", store)
    line = next(line for line in done.output.splitlines() if "mrigan train" in line)
    words = shlex.split(line[line.index("mrigan train") :])
    assert words == ["mrigan", "train", str(store), "--preset", preset]
    small = ("--capacity", 1 / 64, "--latent-dim", 8, "--max-size", 16, "--device", "cpu")
    assert mrigan(*words[1:], *small, "--dry-run").exit_code == 0
