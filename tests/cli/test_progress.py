"""Bars in terminals, plain lines in files, and no escape codes with NO_COLOR."""

from __future__ import annotations

import itertools
import time

import pytest
from rich.panel import Panel
from rich.table import Table

from mri_gan.cli import options


def test_a_file_gets_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 4.0)  # four seconds between two looks at it
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with options.Progress(1200, " slices", quiet=False) as bar:
        for _ in range(6):
            bar.add(100)
    said = capsys.readouterr().err
    assert "\r" not in said
    assert said.splitlines()[0] == "300 of 1,200 slices, 16 s, left 48 s"


def test_quiet_is_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 60.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with options.Progress(10, " slices", quiet=True) as bar:
        bar.show(10)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("forced", ["", "1"])
def test_no_color_means_no_escape_codes_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, forced: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", forced)
    table = Table("head", title="a title, else in italics")
    table.add_row("cell")
    options.open_console().print(Panel(table, title="title"))
    said = capsys.readouterr().out
    assert "a title" in said
    assert "\x1b" not in said
