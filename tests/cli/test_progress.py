"""Bars in terminals, plain lines in files, and no escape codes with NO_COLOR."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.panel import Panel
from rich.table import Table

from mri_gan.cli import options
from mri_gan.cli.main import cli


@pytest.mark.parametrize(("even", "left"), [(True, ", left 48 s"), (False, "")])
def test_a_file_gets_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, even: bool, left: str
) -> None:
    clock = itertools.count(0.0, 4.0)  # four seconds between two looks at it
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with options.Progress(1200, " slices", quiet=False, even=even) as bar:
        for _ in range(6):
            bar.add(100)
    said = capsys.readouterr().err
    assert "\r" not in said
    assert said.splitlines()[0] == f"300 of 1,200 slices, 16 s{left}"


def test_quiet_is_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 60.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with options.Progress(10, " slices", quiet=True) as bar:
        bar.show(10)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("check", (), "images"),
        ("export", ("--format", "png", "--out", "{}/pictures"), "images"),
        ("prepare", ("--out", "{}/store"), "sources"),
        ("inspect", (), "sources"),
    ],
)
def test_json_leaves_the_lines_of_progress_in_place(
    store: Path,
    oasis_zip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    """They go to another stream, and minutes of silence look like a program that hangs."""
    monkeypatch.setattr(options, "LINE_EVERY_S", 0.0)
    what = oasis_zip if command in ("prepare", "inspect") else store
    given = [command, str(what), *(word.format(tmp_path) for word in words)]
    done = CliRunner().invoke(cli, [*given, "--json"])
    assert done.exit_code == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
    assert re.search(rf"^[1-9][\d,]* of [\d,]+ {said}, ", done.stderr, re.MULTILINE)


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
