"""Damaged files of every kind neither end the program, nor hang it, nor give wrong pixels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fuzz.networks import run_networks
from fuzz.running import run
from fuzz.seeds import KINDS


def test_a_few_hundred_damaged_files_break_nothing() -> None:
    for kind in KINDS:
        found = run(kind, 30, seed=1)
        assert (found.tracebacks, found.hangs, found.wrong) == ([], [], []), found


def test_good_files_are_read_and_compared() -> None:
    for kind in ("dicom", "nifti", "png", "tiff"):
        assert run(kind, 40, seed=2).compared > 0


def test_damaged_networks_of_other_programs_break_nothing() -> None:
    found = run_networks(200, seed=1)
    assert (found.tracebacks, found.hangs) == ([], []), found
    assert 0 < found.read < found.files


@pytest.mark.slow
def test_ten_thousand_damaged_networks_break_nothing(tell: Callable[[str], None]) -> None:
    found = run_networks(10_000, seed=0)
    tell(f"networks: {found.read} read, {found.refused} refused, slowest {found.slowest_s} s")
    assert (found.tracebacks, found.hangs) == ([], []), found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_damaged_files_break_nothing(kind: str, tell: Callable[[str], None]) -> None:
    found = run(kind, 10_000, seed=0)
    tell(f"{kind}: {found.read} read, {found.refused} refused, slowest {found.slowest_s} s")
    assert (found.tracebacks, found.hangs, found.wrong) == ([], [], []), found
