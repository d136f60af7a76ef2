"""Metrics, warnings and curves of a run: `metrics.jsonl`, the loss plot, TensorBoard."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mri_gan.config import METRICS, PLOT, SAMPLES, read_metrics
from mri_gan.errors import UsageError
from mri_gan.files import explain_os_error, write_bytes, write_text
from mri_gan.pictures import COMMENT, Shows
from mri_gan.schedule import Phase
from mri_gan.train.parallel import SOLO, World, average
from mri_gan.train.step import Stats

# What goes wrong in training, told while there is time to act

COLLAPSED_BELOW = 0.4  # diversity of fakes as a share of that of reals
STARVED_ABOVE = 0.05  # share of the time spent waiting for data
NOTICEABLE_S = 1.0  # a shorter tick is mostly noise
YOUNG = 0.2  # share of a run in which samples may still be all alike
SATURATED_ABOVE = 50.0  # gap between the mean scores of reals and fakes


def diversity(images: Tensor) -> float:
    """Mean absolute difference of pictures [N, C, H, W] that follow each other, N at least 2."""
    return float((images[1:] - images[:-1]).abs().mean())


@dataclass
class Health:
    """What has been seen of a run so far: each problem is told when it begins."""

    told: set[str] = field(default_factory=set)
    best: float = 0.0  # highest diversity of fakes as a share of that of reals

    def look(self, metrics: dict[str, Any], fakes: float, reals: float, done: float) -> list[str]:
        """The problems that were not there at the last look; `done` is the share of the run."""
        share = fakes / reals if reals > 0 else 1.0
        fell = share < self.best / 2
        self.best = max(self.best, share)
        problems = find_problems(metrics, share if fell or done > YOUNG else 1.0)
        new = [text for name, text in problems.items() if name not in self.told]
        self.told = set(problems)
        return new


def find_problems(metrics: dict[str, Any], share: float) -> dict[str, str]:
    """Problems by name, each as one line with a remedy; empty when all is well.

    `metrics` is a line of metrics.jsonl; `share` the diversity of fakes by that of reals.
    """
    problems = {}
    if share < COLLAPSED_BELOW:
        problems["collapse"] = (
            f"samples differ from each other only {share:.0%} as much as real slices do: "
            "mode collapse? Try a lower --lr, a larger --batch or more data"
        )
    gap = (metrics.get("real_score") or 0.0) - (metrics.get("fake_score") or 0.0)
    if abs(gap) > SATURATED_ABOVE:
        problems["saturation"] = (
            f"the critic's scores of real and synthetic slices are {gap:.0f} apart: it has won, "
            "and the generator learns little. Try a lower --lr or a larger --gp-weight"
        )
    if metrics.get("data_wait", 0.0) > STARVED_ABOVE and metrics["seconds"] > NOTICEABLE_S:
        problems["starvation"] = (
            f"{metrics['data_wait']:.0%} of the time goes into waiting for data: put the store on "
            "a local disk or raise --ahead"
        )
    return problems


def real_diversity(images: Any) -> float:
    """The diversity of stored slices uint8 or uint16 [N, C, H, W], on the scale -1..1."""
    top = 255.0 if images.dtype.itemsize == 1 else 65535.0
    return diversity(torch.from_numpy(images).float() * (2 / top))


# A run's curves and pictures for TensorBoard, beside the files that need no viewer

FOLDER = "tensorboard"
NOT_CURVES = ("nimg",)


class Board:
    """Writes to `RUN/tensorboard`; the step on every axis is nimg.

    Raises UsageError when tensorboard is not installed. What an interrupted run wrote beyond the
    point from which it continues is hidden by TensorBoard's own purge.
    """

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard: tensorboard is not installed",
                'pip install "mrigan[tensorboard]"',
            ) from error
        self._run = run
        self._open = SummaryWriter
        self._writer: Any = None

    def write_line(self, line: dict[str, Any]) -> None:
        """One line of metrics as scalars."""
        writer = self._at(line["nimg"])
        for name, value in line.items():
            if name not in NOT_CURVES and value is not None:
                writer.add_scalar(name, value, line["nimg"])

    def write_checkpoint(self, path: Path) -> None:
        """The sample grid that was drawn with a checkpoint."""
        nimg = int(path.stem.rpartition("-")[2])
        for grid in (self._run / SAMPLES).glob(f"{nimg:09d}-*.png"):
            with Image.open(grid) as picture:
                pixels = np.asarray(picture.convert("L"))
            self._at(nimg).add_image("samples", pixels, nimg, dataformats="HW")
        self._writer.flush()

    def _at(self, nimg: int) -> Any:
        """The writer, opened when the first step is known: later ones of a lost run are purged."""
        if self._writer is None:
            self._writer = self._open(str(self._run / FOLDER), purge_step=nimg)
        return self._writer

    def close(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()


# What a run tells while it goes: `metrics.jsonl`, one line per tick, and the loss plot

RATE_WINDOW_S = 5.0
SKIPPED = ("skipped", "g_skipped")  # flags of updates left out: of the critic, of the generator
CURVES = ("d_loss", "g_loss", "penalty", "real_score", "fake_score")


class Monitor:
    """Collects step statistics on the device and writes their means at every tick.

    Lines beyond `nimg` that an interrupted run left behind are dropped, so that the file after a
    stop reads as if there had been none (but for the times).
    """

    MAX_SKIPPED = 3  # updates in a row that were not finite

    def __init__(self, run: Path, nimg: int, world: World = SOLO) -> None:
        self.path = run / METRICS
        self._world = world
        self._stats: dict[str, list[torch.Tensor]] = {}
        self._images = 0
        self._waited_s = 0.0
        self._start = self._added = time.perf_counter()
        self.last: dict[str, Any] = {}
        self.trouble = ""  # why the last line could not be written
        self.rate = 0.0  # images per second, smoothed over some seconds
        self.skipped_in_a_row = 0  # at most, until now
        self._in_a_row = dict.fromkeys(SKIPPED, 0)
        if world.is_first:
            lines = [line for line in read_metrics(self.path) if line["nimg"] <= nimg]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in lines))

    def add(self, stats: Stats, images: int, waited_s: float) -> None:
        """Note one step; nothing here waits for the device."""
        for name, value in stats.items():
            self._stats.setdefault(name, []).append(value)
        self._images += images
        self._waited_s += waited_s
        now = time.perf_counter()
        share = min(1.0, (now - self._added) / RATE_WINDOW_S) if self.rate else 1.0
        self.rate += share * (images / max(now - self._added, 1e-9) - self.rate)
        self._added = now

    def tick(self, nimg: int, phase: Phase) -> dict[str, Any]:
        """Write the means since the last tick as one line and begin anew."""
        skipped = self._count_skipped()
        means = self._means()
        seconds = time.perf_counter() - self._start
        self.last = {
            "nimg": nimg,
            "resolution": phase.resolution,
            "alpha": round(phase.alpha, 4),
            "batch": phase.batch,
            "lr": phase.lr,
            **means,
            "skipped": skipped,
            "seconds": round(seconds, 3),
            "images_per_s": round(self._images / seconds, 2),
            "data_wait": round(self._waited_s / seconds, 4),
        }
        if self._world.is_first:
            self._append(json.dumps(self.last))
        self._stats, self._images, self._waited_s = {}, 0, 0.0
        self._start = time.perf_counter()
        return self.last

    def _append(self, line: str) -> None:
        """Write a line; a full disk is kept in `trouble`, for a run need not end for want of it."""
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                # After trouble the last line may be half a line.
                stream.write(("\n" if self.trouble else "") + line + "\n")
            self.trouble = ""
        except OSError as error:
            self.trouble = str(explain_os_error(error, self.path))

    def _means(self) -> dict[str, float | None]:
        """The mean of each statistic over steps and processes; None where it is not finite."""
        means = {name: torch.stack(v).mean().float().cpu() for name, v in self._stats.items()}
        average(self._world, list(means.values()))
        return {name: float(v) if torch.isfinite(v) else None for name, v in means.items()}

    def _count_skipped(self) -> int:
        """Updates left out since the last tick; keeps count of those in a row, of each network."""
        count = 0
        for name in SKIPPED:
            steps = self._stats.pop(name, [])
            for flag in torch.stack(steps).tolist() if steps else []:
                count += int(flag)
                self._in_a_row[name] = self._in_a_row[name] + 1 if flag else 0
                self.skipped_in_a_row = max(self.skipped_in_a_row, self._in_a_row[name])
        return count


def draw_losses(run: Path) -> None:
    """The curves of a run's metrics as `loss.png`, levels marked where they begin."""
    lines = read_metrics(run / METRICS)
    if lines:
        write_bytes(run / PLOT, plot_losses(lines))


def plot_losses(lines: list[dict[str, Any]]) -> bytes:
    """PNG bytes: losses above, mean scores of real and fake images below."""
    # The object interface, not pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, scores in ((upper, False), (lower, True)):
        for name in CURVES:
            points = [
                (line["nimg"] / 1000, line[name]) for line in lines if line.get(name) is not None
            ]
            if points and name.endswith("score") == scores:
                axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=1)
        if axes.get_lines():
            axes.legend(loc="upper right")
        axes.grid(alpha=0.3)
        mark_levels(axes, lines)
    upper.set_ylabel("loss")
    lower.set_ylabel("mean score")
    lower.set_xlabel("thousand real images shown")
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=100, metadata={COMMENT: Shows.CHART.value})
    return stream.getvalue()


def mark_levels(axes: Any, lines: list[dict[str, Any]]) -> None:
    """A dotted line with the size where each level begins."""
    seen: set[int] = set()
    for line in lines:
        if line["resolution"] not in seen:
            seen.add(line["resolution"])
            axes.axvline(line["nimg"] / 1000, color="grey", linestyle=":", linewidth=1)
            axes.text(
                line["nimg"] / 1000,
                0.02,
                f" {line['resolution']} px",
                transform=axes.get_xaxis_transform(),
                fontsize=8,
                color="grey",
            )
