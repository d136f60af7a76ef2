"""What `mrigan train` prints: estimates before it, progress meanwhile, problems after it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mri_gan.cli import options
from mri_gan.config import TrainConfig

if TYPE_CHECKING:
    from mri_gan.train.cost import Needs
    from mri_gan.train.run_folder import Progress, RunOptions

FINISHED = "the run is finished: give a larger --kimg to train it further"
LONG_S = 3 * 86_400  # a run that takes longer is named before it begins


# Lines that say where training is, for log files and whatever else is not a terminal


def echo(text: str) -> None:
    """Print on standard error, if there still is one: training outlives a closed terminal."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


class LiveLines:
    """What a training run is shown in: a plain line every ten seconds, and the notes."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, text: str) -> None:
        """Print something that is worth a line of its own, unless quiet."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a warning, which is never left out."""
        echo(f"mrigan: {text}")

    def show(self, progress: Progress) -> None:
        """Print where training is, if enough time has passed since the last line."""
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
        "{}/{} kimg".format(*shown_kimg(progress)),
        f"{progress.images_per_s:.1f} img/s",
        *(f"{k[0].upper()} {value:.2f}" for k, value in losses.items() if value is not None),
        f"left {options.human_seconds(progress.seconds_left)}",
    ]
    return "  ".join(parts)


def shown_kimg(progress: Progress) -> tuple[str, str]:
    """What has been shown and what will be, in kimg: single images of a run below 1 kimg."""
    digits = 1 if progress.total >= 1000 else 3
    shown = min(progress.nimg, progress.total)  # the last batch may go past the end
    return f"{shown / 1000:.{digits}f}", f"{progress.total / 1000:.{digits}f}"


# The live panel of a training run in a terminal

PANEL_EVERY_S = 0.5
BARS = "▁▂▃▄▅▆▇█"
HISTORY = 48  # ticks that a curve shows
CURVES = {"d_loss": "critic loss", "g_loss": "generator loss", "penalty": "penalty"}


def open_live(quiet: bool, title: str) -> LiveLines:
    """A panel in a terminal, plain lines elsewhere, nothing but errors when quiet."""
    console = options.open_console(stderr=True)
    plain = not console.is_terminal or console.is_dumb_terminal or console.is_jupyter
    if quiet or plain:
        return LiveLines(quiet)
    return LivePanel(console, title)


class LivePanel(LiveLines):
    """Level, progress, speed, losses and time left, redrawn twice a second; notes above it.

    It draws only when notified of a step, in the thread that trains, and stays silent when the
    terminal is gone: training outlives it.
    """

    def __init__(self, console: Console, title: str) -> None:
        super().__init__()
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._title = title
        self._shown = 0.0  # at once
        self._curves: dict[str, deque[float]] = {name: deque(maxlen=HISTORY) for name in CURVES}
        self._nimg_seen = -1

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()

    def warn(self, text: str) -> None:
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
    table.add_row("shown", "{} of {} kimg".format(*shown_kimg(progress)))
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


# Before: the plan of --dry-run, and what this machine lacks


def print_plan(
    config: TrainConfig, how: RunOptions, out: Path | None, quiet: bool, notes: Sequence[str]
) -> None:
    """Settings, schedule and what the run takes as JSON; for people, a summary on stderr."""
    from mri_gan.schedule import settings_used, stages, starts, total_images
    from mri_gan.train.cost import estimate

    needs = estimate(config, how.keep, how.device)
    found = describe_run(out, config) if out is not None and out.is_dir() else None
    levels = [
        {"size": s.size, "from_nimg": start, "fade": s.fade, "batch": s.batch, "lr": s.lr}
        for s, start in zip(stages(config), starts(config), strict=False)
    ]
    options.print_json(
        {
            "settings": settings_used(config),
            "levels": levels,
            "total_nimg": total_images(config),
            "minutes": how.minutes,
            "device": how.device,
            "needs": dataclasses.asdict(needs),
            "run": found,
        }
    )
    if not quiet:
        for text in (*describe_needs(needs, config, how), *find_unreached(config), *notes):
            click.echo(text, err=True)
        if found is not None:
            click.echo(describe_run_in_words(found), err=True)


def describe_needs(needs: Needs, config: TrainConfig, how: RunOptions) -> list[str]:
    """The same for people."""
    millions = (needs.generator / 1e6, needs.critic / 1e6)
    return [
        "parameters: generator {:.1f} M, critic {:.1f} M".format(*millions),
        f"disk: {options.human_bytes(needs.checkpoint_bytes)} for a checkpoint, "
        f"{options.human_bytes(needs.disk_bytes)} for the {how.keep} newest, the best, the last of "
        "each level and a new one",
        f"memory: about {options.human_bytes(needs.memory_bytes)} at {config.max_size} px",
        f"time: {describe_time(config, needs.seconds, how)} at the present speed of {how.device}",
    ]


def describe_time(config: TrainConfig, seconds: float, how: RunOptions) -> str:
    """How long the run takes, and how far it gets where --minutes ends it."""
    from mri_gan.schedule import total_images

    roughly, limit_s = f"very roughly {options.human_seconds(seconds)}", 60 * (how.minutes or 0)
    if not limit_s or limit_s >= seconds:
        return f"{roughly} to the end"
    end = f"ends after {options.human_seconds(limit_s)} (--minutes)"
    return f"{end}, all {total_images(config) / 1000:g} kimg would take {roughly}"


def announce(config: TrainConfig, out: Path, run_options: RunOptions, view: LiveLines) -> None:
    """Say before the first step what the run takes, and warn of what it will not get."""
    from mri_gan.checkpoint import checkpoint_nimg, list_checkpoints
    from mri_gan.schedule import total_images
    from mri_gan.train.cost import estimate, quick_seconds

    begun = max(map(checkpoint_nimg, list_checkpoints(out)), default=0)
    if begun >= total_images(config):
        view.note(FINISHED)
        return
    needs = estimate(config, run_options.keep, run_options.device, with_time=False)
    seconds = quick_seconds(config, run_options.device, begun)
    view.note(describe_start(needs, config, run_options, seconds))
    for text in find_unreached(config):
        view.note(text)
    for text in find_shortages(needs, run_options, out, seconds):
        view.warn(text)


def describe_start(needs: Needs, config: TrainConfig, how: RunOptions, seconds: float) -> str:
    """Device, precision, time, memory and disk in one line."""
    return (
        f"{how.device}, {config.precision}: {describe_time(config, seconds, how)} at its present "
        "speed, "
        f"about {options.human_bytes(needs.memory_bytes)} of memory at {config.max_size} px; "
        f"checkpoints take up to {options.human_bytes(needs.checkpoint_bytes)} each, "
        f"{options.human_bytes(needs.disk_bytes)} in all"
    )


def find_unreached(config: TrainConfig) -> list[str]:
    """A line for a run that ends before its largest level begins."""
    from mri_gan.schedule import phase_at, stages, starts, total_images

    last, largest = phase_at(config, total_images(config) - 1).resolution, stages(config)[-1].size
    if last == largest:
        return []
    begins = f"{starts(config)[-2] / 1000:g} kimg"
    return [
        f"the run ends at {last} px, since {largest} px begins at {begins}: "
        "give a smaller --phase or a larger --kimg"
    ]


def find_shortages(needs: Needs, how: RunOptions, out: Path, seconds: float) -> list[str]:
    """What this machine does not have for the run, one line each with what to do."""
    found, device = [], how.device
    if seconds > LONG_S and not how.minutes:
        faster = "" if device.startswith("cuda") else "; a GPU is about a hundred times as fast"
        found.append(
            f"this run takes about {options.human_seconds(seconds)} on {device}{faster}. "
            "--preset laptop trains smaller networks, --minutes limits the time, Ctrl-C stops"
        )
    memory = memory_of(device)
    if memory and needs.memory_bytes > memory:
        found.append(
            f"{device} has {options.human_bytes(memory)} of memory, the last level takes about "
            f"{options.human_bytes(needs.memory_bytes)}: give a smaller --batch, --max-size or "
            "--capacity"
        )
    free = shutil.disk_usage(out).free
    if free < needs.disk_bytes:
        found.append(
            f"the disk has only {options.human_bytes(free)} left: free some, or lower --keep"
        )
    return found


def memory_of(device: str) -> int:
    """Bytes of memory that a device has in all; 0 where the system does not say."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def describe_run(out: Path, config: TrainConfig) -> dict[str, Any]:
    """The run in a folder: where it would continue, what is left, why it would be refused."""
    from mri_gan.checkpoint import newest_valid
    from mri_gan.schedule import total_images
    from mri_gan.train.loop import changed_settings, with_former_defaults

    config = with_former_defaults(config, out, options.given_names())
    path, checkpoint, damaged = newest_valid(out)
    facts: dict[str, Any] = {"damaged": [error.message for error in damaged]}
    if checkpoint is None:
        return facts | {"checkpoint": None}
    return facts | {
        "checkpoint": str(path),
        "nimg": checkpoint.nimg,
        "left_nimg": max(0, total_images(config) - checkpoint.nimg),
        "refused_for": changed_settings(checkpoint.config, config),
    }


def describe_run_in_words(facts: dict[str, Any]) -> str:
    """The same as one line for people."""
    if facts["damaged"]:
        return f"in --out: {'; '.join(facts['damaged'])}"
    if facts["checkpoint"] is None:
        return "in --out: no checkpoint, the run would start from the beginning"
    if facts["refused_for"]:
        changed = "; ".join(facts["refused_for"])
        return f"in --out: {facts['checkpoint']} was trained with other settings ({changed})"
    if not facts["left_nimg"]:
        return f"in --out: {facts['checkpoint']}: {FINISHED}"
    return (
        f"in --out: would continue from {facts['checkpoint']}, "
        f"{facts['left_nimg'] / 1000:g} kimg are left"
    )


# Beside and after: TensorBoard, evaluations, problems


def open_board(stack: contextlib.ExitStack, out: Path) -> dict[str, Any]:
    """The callbacks that write for TensorBoard, closed with the stack."""
    from mri_gan.train.monitor import Board

    board = Board(out)
    stack.callback(board.close)
    return {"on_tick": board.write_line, "on_snapshot": board.write_checkpoint}


def open_watch(
    run: Path, store: Path, every_kimg: float, device: str, note: Callable[[str], None]
) -> Callable[[Path], None]:
    """A callback that evaluates checkpoints; what goes wrong there must not end the training."""
    from mri_gan.errors import MriganError
    from mri_gan.evaluate.watch import Watch

    watch = Watch(run, store, round(every_kimg * 1000), device)

    def evaluate_one(checkpoint: Path) -> None:
        try:
            line = watch.evaluate_checkpoint(checkpoint)
        except MriganError as error:
            note(f"not evaluated: {error}")
            return
        if line is not None:
            swd = line["figures"]["swd[mean]"]
            note(
                f"{line['nimg'] / 1000:g} kimg: swd {swd['at_floor']:.4g}, "
                f"people among themselves {swd['floor']:.4g}"
            )

    return evaluate_one


def repeat_problems(out: Path) -> None:
    """Print on standard error what went wrong in the run so far, whether it ended well or not."""
    from mri_gan.config import METRICS, read_metrics
    from mri_gan.train.monitor import describe_problems

    for text in describe_problems(read_metrics(out / METRICS)):
        echo(f"mrigan: warning: {text}")
