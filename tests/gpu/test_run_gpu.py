"""The command for a machine with a GPU, rehearsed on the processor at tiny size."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agreement import build_cases
from click.testing import CliRunner
from phantoms.archives import oasis_course_zip
from run_gpu import CUT, compare_runs, find_failures, main

from mri_gan.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu" / "run_gpu.py"
Rehearse = Callable[..., dict[str, Any]]
start = subprocess.run


@pytest.fixture
def run(small_audits: None, monkeypatch: pytest.MonkeyPatch) -> Rehearse:
    """`run(out, data, *words)` rehearses the command and gives its results.

    Its `mrigan` commands run in this process: each of a dozen would take 3 s to import torch.
    """
    monkeypatch.setattr(subprocess, "run", run_here)

    def run(out: Path, data: Path, *more: str) -> dict[str, Any]:
        words = ["--device", "cpu", "--tiny", "--minutes", "20", "--sizes", "16"]
        done = CliRunner().invoke(
            main, [*words, "--out", str(out), "--data", str(data), *more], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        assert "failed: none" in done.output
        found: dict[str, Any] = json.loads((out / "results.json").read_text())
        return found

    return run


def run_here(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives; of the programs, only `prepare` and others than mrigan start."""
    if command[:3] != [sys.executable, "-m", "mri_gan"] or command[3] == "prepare":
        return start(command, **how)
    done = CliRunner().invoke(cli, command[3:], prog_name="mrigan")
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slices of enough people to be judged."""
    people = {"train": 4, "validate": 1, "test": 1}
    return oasis_course_zip(tmp_path_factory.mktemp("many") / "many.zip", people=people, slices=4)


def test_all_parts_run_and_another_call_goes_on_from_the_checkpoint(
    run: Rehearse, oasis_zip: Path, tmp_path: Path
) -> None:
    first = run(tmp_path / "one", oasis_zip, "--only", "hinge", "--words", "")
    assert first["agree"]["compared"] == 5
    assert first["resume"]["bit_for_bit"]
    assert first["large step"]["finite"]
    assert [first[name]["exit"] for name in ("bench", "train 16", "test 16")] == [0, 0, 0]
    assert "3 people" in first["not judged 16"]
    assert first["metrics 16"][0]["nimg"] == 72
    assert all(path.stat().st_size <= 15_000_000 for path in (tmp_path / "one").iterdir())
    again = ("--parts", "train", "--words", "--kimg 0.104", "--from", str(tmp_path / "one"))
    second = run(tmp_path / "two", oasis_zip, *again)
    assert "continuing from" in second["train 16"]["output"]
    assert second["metrics 16"][0]["nimg"] == 104


def test_runs_on_scans_of_enough_people_are_judged(
    run: Rehearse, many: Path, tmp_path: Path
) -> None:
    found = run(tmp_path / "one", many, "--parts", "train", "--words", "")
    assert [found[name]["exit"] for name in ("evaluate 16", "audit 16")] == [0, 0]
    assert found["evaluation figures 16"]
    assert found["audit figures 16"]


@pytest.mark.slow
def test_every_case_agrees(run: Rehearse, oasis_zip: Path, tmp_path: Path) -> None:
    found = run(tmp_path / "one", oasis_zip, "--parts", "agree=20")
    assert found["agree"]["bad"] == []
    assert found["agree"]["compared"] == len(build_cases(8)) == 7 * 5 + 8


def test_parts_of_a_resumed_run_that_failed_are_no_agreement(tmp_path: Path) -> None:
    assert compare_runs(tmp_path, tmp_path, [0, 1, 0]) == {"trouble": "exit codes [0, 1, 0]"}
    assert compare_runs(tmp_path, tmp_path, [0, CUT, 0]) == {"exit": CUT}
    assert "trouble" in compare_runs(tmp_path, tmp_path, [0, 0, 0])  # no checkpoints


def test_what_failed_is_told_from_what_time_cut_short() -> None:
    results = {
        "machine": {"torch": "2"},
        "agree": {"compared": 2, "bad": [{"name": "dcgan, r1"}]},
        "resume": {"trouble": "exit codes [1]"},
        "large step": {"finite": False},
        "train 16": {"exit": 0},
        "test 16": {"exit": 2},
        "audit 16": {"exit": CUT},
        "metrics 16": [{"nimg": 3}],
    }
    failed = ["dcgan, r1 differs", "resume", "large step", "test 16"]
    assert find_failures(results) == (failed, ["audit 16"])


@pytest.mark.parametrize(
    ("parts", "says"), [("agree,tain", "no part 'tain'"), ("bench=x", "bench=x")]
)
def test_a_part_that_does_not_exist_is_refused(parts: str, says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--parts", parts, "--out", str(tmp_path / "x")])
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_without_a_gpu_it_says_so_and_stops(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path / "x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no GPU here" in done.stderr
