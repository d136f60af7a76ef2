"""The progress of a training run: lines for log files, a live panel in a terminal."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import click
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mri_gan.cli import options

if TYPE_CHECKING:
    from mri_gan.train.run_folder import Progress


# Lines that say where training is, for log files and whatever else is not a terminal


def echo(text: str) -> None:
    """Print on standard error, if there still is one: training outlives a closed terminal."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


class LiveView:
    """What a training run is shown in: notified of every step, and of what is worth a note."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, text: str) -> None:
        """Print something that is worth a line of its own."""
        raise NotImplementedError

    def warn(self, text: str) -> None:
        """Print a warning, which is never left out."""
        self.note(text)

    def show(self, progress: Progress) -> None:
        """Show where training is, if enough time has passed since the last time."""
        raise NotImplementedError


class LiveLines(LiveView):
    """A plain line every ten seconds, and the notes."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = time.monotonic()

    def note(self, text: str) -> None:
        """Print it, unless quiet."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print it in any case."""
        echo(f"mrigan: {text}")

    def show(self, progress: Progress) -> None:
        """Print if enough time has passed since the last line."""
        now = time.monotonic()
        if self._quiet or now - self._shown < options.LINE_EVERY_S:
            return
        self._shown = now
        echo(format_progress(progress))


def format_progress(progress: Progress) -> str:
    """`32 px  alpha 0.50  12.3/40.0 kimg  31.2 img/s  D -1.23  G 0.45  left 14 min`."""
    phase, metrics = progress.phase, progress.metrics
    losses = {name: metrics.get(name) for name in ("d_loss", "g_loss")}
    parts = [
        f"{phase.resolution} px",
        f"alpha {phase.alpha:.2f}",
        f"{progress.nimg / 1000:.1f}/{progress.total / 1000:.1f} kimg",
        f"{progress.images_per_s:.1f} img/s",
        *(f"{k[0].upper()} {value:.2f}" for k, value in losses.items() if value is not None),
        f"left {options.human_seconds(progress.seconds_left)}",
    ]
    return "  ".join(parts)


# The live panel of a training run in a terminal

PANEL_EVERY_S = 0.5
BARS = "▁▂▃▄▅▆▇█"
HISTORY = 48  # ticks that a curve shows
CURVES = {"d_loss": "critic loss", "g_loss": "generator loss", "penalty": "penalty"}


def open_live(quiet: bool, title: str) -> LiveView:
    """A panel in a terminal, plain lines elsewhere, nothing but errors when quiet."""
    console = options.open_console(stderr=True)
    plain = not console.is_terminal or console.is_dumb_terminal or console.is_jupyter
    if quiet or plain:
        return LiveLines(quiet)
    return LivePanel(console, title)


class LivePanel(LiveView):
    """Level, progress, speed, losses and time left, redrawn twice a second; notes above it.

    It draws only when notified of a step, in the thread that trains, and stays silent when the
    terminal is gone: training outlives it.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._title = title
        self._shown = 0.0
        self._curves: dict[str, deque[float]] = {name: deque(maxlen=HISTORY) for name in CURVES}
        self._nimg_seen = -1

    def __enter__(self) -> LivePanel:
        with contextlib.suppress(OSError):
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a line that stays above the panel."""
        with contextlib.suppress(OSError):
            self._live.console.print(Text(f"mrigan: {text}"))

    def show(self, progress: Progress) -> None:
        """Take the numbers in, and redraw if enough time has passed."""
        self._remember(progress.metrics)
        now = time.monotonic()
        if now - self._shown < PANEL_EVERY_S and progress.nimg < progress.total:
            return
        self._shown = now
        with contextlib.suppress(OSError):
            self._live.update(draw_panel(self._title, progress, self._curves), refresh=True)

    def _remember(self, metrics: dict[str, Any]) -> None:
        if metrics.get("nimg", -1) == self._nimg_seen:
            return
        self._nimg_seen = metrics.get("nimg", -1)
        for name, curve in self._curves.items():
            if metrics.get(name) is not None:
                curve.append(metrics[name])


def draw_panel(title: str, progress: Progress, curves: dict[str, deque[float]]) -> Panel:
    """The picture of a moment."""
    phase, metrics = progress.phase, progress.metrics
    table = Table.grid(padding=(0, 2))
    fade = f"fading in, alpha {phase.alpha:.2f}" if phase.alpha < 1 else "at full weight"
    table.add_row("", ProgressBar(total=progress.total, completed=progress.nimg, width=HISTORY))
    table.add_row("shown", f"{progress.nimg / 1000:.1f} of {progress.total / 1000:.1f} kimg")
    table.add_row("level", f"{phase.resolution} px, {fade}")
    table.add_row("step", f"batch {phase.batch}, learning rate {phase.lr:g}")
    table.add_row("speed", _speed(progress))
    for name, curve in curves.items():
        if curve:
            table.add_row(CURVES[name], f"{curve[-1]:>9.3f}  {sparkline(curve)}")
    real, fake = metrics.get("real_score"), metrics.get("fake_score")
    if real is not None and fake is not None:
        table.add_row("mean scores", f"real {real:.2f}, synthetic {fake:.2f}")
    return Panel(table, title=title, title_align="left")


def _speed(progress: Progress) -> str:
    wait = progress.metrics.get("data_wait")
    waiting = "" if wait is None else f", {wait:.1%} waiting for data"
    left = options.human_seconds(progress.seconds_left)
    return f"{progress.images_per_s:.1f} images/s{waiting}, {left} left"


def sparkline(values: deque[float]) -> str:
    """Numbers as a row of bars, the smallest lowest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[int((value - low) / span * (len(BARS) - 1))] for value in values)
