"""What is shown while training goes on: a panel in a terminal, lines elsewhere."""

import dataclasses
import io
from collections import deque
from typing import Any

import pytest
from rich.console import Console

from mri_gan.cli.training.progress import (
    LiveLines,
    LivePanel,
    format_progress,
    open_live,
    sparkline,
)
from mri_gan.schedule import Phase
from mri_gan.train.run_folder import Progress

LINE: dict[str, Any] = {
    "nimg": 12_000, "d_loss": -1.25, "g_loss": 0.5, "penalty": 0.1,
    "real_score": 1.0, "fake_score": -2.0, "data_wait": 0.004,
}  # fmt: skip


def progress(**change: Any) -> Progress:
    return Progress(12_300, 40_000, Phase(32, 0.5, 16, 1e-3), 31.25, 840.0, {**LINE, **change})


class Gone(io.StringIO):
    """A terminal that has been closed."""

    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_gets_a_panel_with_all_that_matters() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=90)
    with LivePanel(console, "mrigan train RUN") as panel:
        panel.show(progress())
        panel.note("something happened")
    text = screen.getvalue()
    for part in (
        "mrigan train RUN", "32 px", "alpha 0.50", "12.3 of 40.0 kimg", "31.2 images/s",
        "0.4% waiting for data", "14 min left", "-1.250", "real 1.00, synthetic -2.00",
        "mrigan: something happened",
    ):  # fmt: skip
        assert part in text, part


def test_values_that_are_not_finite_leave_a_gap() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    bad = progress(d_loss=None, real_score=None)
    with LivePanel(console, "") as panel:
        panel.show(bad)
    assert "D " not in format_progress(bad)


def test_training_outlives_a_closed_terminal() -> None:
    with LivePanel(Console(file=Gone(), force_terminal=True), "") as panel:
        panel.show(progress())
        panel.note("nobody reads this")


@pytest.mark.parametrize("quiet", [False, True])
def test_what_is_no_terminal_gets_lines(quiet: bool) -> None:
    with open_live(quiet, "") as live:
        assert isinstance(live, LiveLines)


def test_a_line_names_level_progress_speed_losses_and_time_left() -> None:
    assert format_progress(progress()) == (
        "32 px  alpha 0.50  12.3/40.0 kimg  31.2 img/s  D -1.25  G 0.50  left 14 min"
    )


def test_a_tiny_run_is_counted_in_single_images() -> None:
    tiny = dataclasses.replace(progress(), nimg=64, total=200)
    assert "0.064/0.200 kimg" in format_progress(tiny)


def test_no_more_is_shown_than_a_run_is_long() -> None:
    ended = dataclasses.replace(progress(), nimg=3072, total=3000)
    assert "  3.0/3.0 kimg" in format_progress(ended)


def test_a_curve_is_drawn_from_its_lowest_to_its_highest_value() -> None:
    assert sparkline(deque([0.0, 1.0, 0.5])) == "▁█▄"
    assert sparkline(deque([2.0])) == "▁"
