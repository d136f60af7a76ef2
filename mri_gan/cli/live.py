"""The line that says where training is."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import click

from mri_gan.cli import options

if TYPE_CHECKING:
    from mri_gan.train.run import Progress


def echo(text: str, nl: bool = True) -> None:
    """Print on standard error, if there still is one: training outlives a closed terminal."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True, nl=nl)


class LiveLine:
    """One line that says where training is: rewritten in a terminal, now and then elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._every_s = 0.5 if self._terminal else 10.0
        self._shown = time.monotonic()

    def __enter__(self) -> LiveLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and not self._quiet:
            echo("")

    def note(self, text: str) -> None:
        """Print something that is worth a line of its own."""
        if not self._quiet:
            echo(f"mrigan: {text}")

    def show(self, progress: Progress) -> None:
        """Print if enough time has passed since the last line."""
        now = time.monotonic()
        if self._quiet or now - self._shown < self._every_s:
            return
        self._shown = now
        text = format_progress(progress)
        echo(f"\r{text:<110}" if self._terminal else text, nl=not self._terminal)


def format_progress(progress: Progress) -> str:
    """`32 px  alpha 0.50  12.3/40.0 kimg  31.2 img/s  D -1.23  G 0.45  left 14 min`."""
    phase, metrics = progress.phase, progress.metrics
    parts = [
        f"{phase.resolution} px",
        f"alpha {phase.alpha:.2f}",
        f"{progress.nimg / 1000:.1f}/{progress.total / 1000:.1f} kimg",
        f"{progress.images_per_s:.1f} img/s",
        *(f"{k[0].upper()} {metrics[k]:.2f}" for k in ("d_loss", "g_loss") if k in metrics),
        f"left {options.human_seconds(progress.seconds_left)}",
    ]
    return "  ".join(parts)
