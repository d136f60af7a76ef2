"""The command for a machine with a GPU, rehearsed on the processor at tiny size."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu" / "run_gpu.py"


def run(out: Path, data: Path, *more: str) -> dict[str, Any]:
    words = ["--device", "cpu", "--tiny", "--minutes", "4", "--sizes", "16", "--words", ""]
    done = subprocess.run(
        [sys.executable, SCRIPT, *words, "--out", out, "--data", data, *more],
        capture_output=True, text=True, check=False, timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


@pytest.mark.slow
def test_all_parts_run_and_another_goes_on_from_the_checkpoint(
    oasis_zip: Path, tmp_path: Path
) -> None:
    first = run(tmp_path / "one", oasis_zip)
    assert first["check"]["bad"] == []
    assert first["resume"]["bit_for_bit"]
    assert first["large step"]["finite"]
    assert [first[name]["exit"] for name in ("bench", "train 16", "test 16")] == [0, 0, 0]
    assert all(path.stat().st_size <= 15_000_000 for path in (tmp_path / "one").iterdir())
    again = ("--parts", "train", "--from", str(tmp_path / "one"))
    second = run(tmp_path / "two", oasis_zip, *again)
    assert second["metrics 16"][0]["nimg"] >= first["metrics 16"][0]["nimg"]


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_without_a_gpu_it_says_so_and_stops(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path / "x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no GPU here" in done.stderr
