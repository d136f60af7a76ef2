"""What a run tells while it goes: `metrics.jsonl`, one line per tick, and the loss plot."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import torch

from mri_gan.files import write_bytes, write_text
from mri_gan.schedule import Phase
from mri_gan.train.state import Stats

METRICS = "metrics.jsonl"
PLOT = "loss.png"
RATE_WINDOW_S = 5.0
CURVES = ("d_loss", "g_loss", "penalty", "real_score", "fake_score")


class Monitor:
    """Collects step statistics on the device and writes their means at every tick.

    Lines beyond `nimg` that an interrupted run left behind are dropped, so that the file after a
    stop reads as if there had been none (but for the times).
    """

    def __init__(self, run: Path, nimg: int) -> None:
        self.path = run / METRICS
        self._stats: dict[str, list[torch.Tensor]] = {}
        self._images = 0
        self._waited_s = 0.0
        self._start = time.perf_counter()
        self.last: dict[str, Any] = {}
        self.rate = 0.0  # images per second, smoothed over some seconds
        self._added = self._start
        lines = [line for line in read_metrics(self.path) if line["nimg"] <= nimg]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in lines))

    def add(self, stats: Stats, images: int, waited_s: float) -> None:
        """Note one step; nothing here waits for the device."""
        for name, value in stats.items():
            self._stats.setdefault(name, []).append(value)
        self._images += images
        now = time.perf_counter()
        share = min(1.0, (now - self._added) / RATE_WINDOW_S) if self.rate else 1.0
        self.rate += share * (images / max(now - self._added, 1e-9) - self.rate)
        self._added = now
        self._waited_s += waited_s

    def tick(self, nimg: int, phase: Phase) -> dict[str, Any]:
        """Write the means since the last tick as one line and begin anew."""
        means = {name: float(torch.stack(v).mean()) for name, v in self._stats.items()}
        seconds = time.perf_counter() - self._start
        self.last = {
            "nimg": nimg,
            "resolution": phase.resolution,
            "alpha": round(phase.alpha, 4),
            "batch": phase.batch,
            "lr": phase.lr,
            **means,
            "seconds": round(seconds, 3),
            "images_per_s": round(self._images / seconds, 2),
            "data_wait": round(self._waited_s / seconds, 4),
        }
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(self.last) + "\n")
        self._stats, self._images, self._waited_s = {}, 0, 0.0
        self._start = time.perf_counter()
        return self.last


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a last line cut by a crash is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("nimg"), int):
            lines.append(line)
    return lines


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
            points = [(line["nimg"] / 1000, line[name]) for line in lines if name in line]
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
