"""What a run tells while it goes: `metrics.jsonl`, one line per tick, and the loss plot."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import torch

from mri_gan.files import explain_os_error, write_bytes, write_text
from mri_gan.runs import METRICS, PLOT, read_metrics
from mri_gan.schedule import Phase
from mri_gan.train.parallel import SOLO, World, average
from mri_gan.train.step import Stats

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
    figure.savefig(stream, format="png", dpi=100)
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
