"""The list of mutants stays in step with the code; `make mutants` itself runs apart."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text())["mutant"]


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m['file']}: {m['new']}")
def test_the_line_to_break_is_there_once(mutant: dict[str, str]) -> None:
    assert (ROOT / mutant["file"]).read_text().count(mutant["old"]) == 1
    assert mutant["old"] != mutant["new"]
    files = [word for word in mutant["tests"].split() if word.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)
