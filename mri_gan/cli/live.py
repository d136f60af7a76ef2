"""Lines that say where training is, for log files and whatever else is no terminal."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

import click

from mri_gan.cli import options

if TYPE_CHECKING:
    from mri_gan.train.run_folder import Progress

EVERY_S = 10.0


def echo(text: str) -> None:
    """Print on standard error, if there still is one: training outlives a closed terminal."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


class LiveView:
    """What a training run is shown in: told of every step, and of what is worth a note."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, text: str) -> None:
        """Print something that is worth a line of its own."""
        raise NotImplementedError

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
            echo(f"mrigan: {text}")

    def show(self, progress: Progress) -> None:
        """Print if enough time has passed since the last line."""
        now = time.monotonic()
        if self._quiet or now - self._shown < EVERY_S:
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
