"""Metrics, warnings and curves of a run: `metrics.jsonl`, the loss plot, TensorBoard."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mri_gan.charts import chart_metrics, draw_png
from mri_gan.checkpoint import checkpoint_nimg
from mri_gan.config import AUGMENTABLE_LOSSES, METRICS, PLOT, SAMPLES, list_problems, read_metrics
from mri_gan.errors import DataError, UsageError
from mri_gan.files import explain_os_error, write_bytes, write_text
from mri_gan.schedule import Phase
from mri_gan.train.parallel import SOLO, World, average
from mri_gan.train.step import Stats
from mri_gan.values import say_span

# What goes wrong in training, reported while there is time to act

COLLAPSED_BELOW = 0.4  # diversity of fakes as a share of that of reals
LOST_BELOW = 0.1  # diversity this low does not come back
LOST_SNAPSHOTS = 3  # in a row, after which training on is a waste
LOST_NIMG = 10_000  # before, a generator has hardly begun
STARVED_ABOVE = 0.05  # share of the time spent waiting for data
NOTICEABLE_S = 1.0  # a shorter tick is mostly noise
YOUNG = 0.2  # share of a run in which samples may still be all alike
NOISE_ABOVE = 2.0  # diversity of fakes as a share of that of reals
UNTRAINED_NIMG = 2_000  # before, a generator draws little else, or nearly the same
SATURATED_ABOVE = 50.0  # gap between the mean scores of reals and fakes
CERTAIN_BELOW = 0.01  # loss of a critic that is 0 where it is never wrong; well trained: 0.3 to 1
DIVERGED_LOSS = 1e5
DIVERGED_TICKS = 3  # in a row; a single spike may recover


def find_divergence(metrics: dict[str, Any]) -> str:
    """Why the means of a tick are those of a run that diverges; empty when they are not.

    A critic learns to score real slices higher. Where it scores synthetic ones much higher, it
    has lost its way, whatever the loss.
    """
    for name in ("d_loss", "g_loss"):
        loss = metrics.get(name) or 0.0
        if abs(loss) > DIVERGED_LOSS:
            return f"{name.replace('_', ' ')} {loss:.3g}"
    gap = (metrics.get("real_score") or 0.0) - (metrics.get("fake_score") or 0.0)
    if gap < -SATURATED_ABOVE:
        return f"the critic scores synthetic slices {-gap:.3g} higher than real ones"
    return ""


def find_certainty(metrics: dict[str, Any], bounded: bool) -> str:
    """What shows that a critic is hardly ever wrong; empty when it is."""
    gap = (metrics.get("real_score") or 0.0) - (metrics.get("fake_score") or 0.0)
    if gap > SATURATED_ABOVE:
        return f"the critic's scores of real and synthetic slices are {gap:.0f} apart"
    loss = metrics.get("d_loss")
    if bounded and loss is not None and loss < CERTAIN_BELOW:
        return f"the critic's loss is only {loss:.2g}"
    return ""


def diversity(images: Tensor) -> float:
    """Mean absolute difference of pictures [N, C, H, W] that follow each other, N at least 2."""
    return float((images[1:] - images[:-1]).abs().mean())


@dataclass
class Health:
    """What has been seen of a run so far: each problem is reported when it begins."""

    bounded: bool = False  # whether the critic's loss is 0 at best, as all but Wasserstein's are
    known: set[str] = field(default_factory=set)
    best: float = 0.0  # highest diversity of fakes as a share of that of reals, at most 1
    lost: int = 0  # snapshots in a row whose samples were nearly all alike

    @classmethod
    def of(cls, lines: list[dict[str, Any]], loss: str) -> Health:
        """What the metrics of a run say of it, so that a resumed run goes on as it would have."""
        health = cls(loss in AUGMENTABLE_LOSSES)
        for line in lines:
            if "diversity" in line:
                health.known = set(line.get("problems", ()))
                health._note(line["nimg"], line["diversity"], "collapse" in health.known)
        return health

    def judge(self, metrics: dict[str, Any], share: float, done: float) -> dict[str, str]:
        """The problems by name; `share` as in `find_problems`, `done` is the share of the run."""
        old = done > YOUNG and metrics["nimg"] >= UNTRAINED_NIMG
        counts = share < self.best / 2 or old
        problems = find_problems(metrics, share if counts else 1.0, self.bounded)
        self._note(metrics["nimg"], share, "collapse" in problems)
        return problems

    def pick_new(self, problems: dict[str, str]) -> list[str]:
        """Those that were not there the last time."""
        new = [text for name, text in problems.items() if name not in self.known]
        self.known = set(problems)
        return new

    @property
    def collapsed(self) -> bool:
        """Whether samples have been nearly all alike for too long to come back."""
        return self.lost >= LOST_SNAPSHOTS

    def _note(self, nimg: int, share: float, collapse: bool) -> None:
        self.best = max(self.best, min(share, 1.0))
        lost = collapse and share < LOST_BELOW and nimg >= LOST_NIMG
        self.lost = self.lost + 1 if lost else 0


def find_problems(metrics: dict[str, Any], share: float, bounded: bool = False) -> dict[str, str]:
    """Problems by name, each as one line with a remedy; empty when all is well.

    `metrics` is a line of metrics.jsonl; `share` the diversity of fakes by that of reals;
    `bounded` as in `Health`.
    """
    problems = {}
    if share < COLLAPSED_BELOW:
        problems["collapse"] = (
            f"samples differ from each other only {share:.0%} as much as real slices do: "
            "mode collapse? Try a lower --lr, a larger --batch or more data"
        )
    elif share > NOISE_ABOVE and metrics["nimg"] >= UNTRAINED_NIMG:
        problems["noise"] = (
            f"samples differ from each other {share:.1f} times as much as real slices do: "
            "noise rather than slices. Try a lower --lr or another --arch"
        )
    if why := find_divergence(metrics):
        problems["divergence"] = f"training diverges: {why}. Try a lower --lr"
    elif why := find_certainty(metrics, bounded):
        problems["saturation"] = (
            f"{why}: it has won, and the generator learns little. "
            "Try a lower --lr, a larger --gp-weight, --augment or more data"
        )
    if metrics.get("data_wait", 0.0) > STARVED_ABOVE and metrics["seconds"] > NOTICEABLE_S:
        problems["starvation"] = (
            f"{metrics['data_wait']:.0%} of the time goes into waiting for data: put the store on "
            "a local disk or raise --ahead"
        )
    return problems


def describe_problems(lines: list[dict[str, Any]]) -> list[str]:
    """The same, each as one line."""
    return [
        f"{name} ({say_span(first, last)}): {text}"
        for name, (first, last, text) in list_problems(lines).items()
    ]


def record_event(run: Path, nimg: int, text: str) -> None:
    """Keep in the metrics what happened to a run that went back to its state after `nimg`.

    In the last line up to there, since those behind it are dropped; once, although a run that is
    killed before its next checkpoint goes back again.
    """
    lines = [line for line in read_metrics(run / METRICS) if line["nimg"] <= nimg]
    if lines and text not in lines[-1].get("events", ()):
        lines[-1] = lines[-1] | {"events": [*lines[-1].get("events", ()), text]}
        write_text(run / METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def spectrum_distance(images: Tensor, reals: Tensor) -> float:
    """Mean difference of two sets' mean power spectra by radius, in dB; [N, C, R, R], -1..1."""
    gap = _radial_decibels(images) - _radial_decibels(reals)
    return float(gap.abs().mean())


def _radial_decibels(images: Tensor) -> Tensor:
    """Mean power at every whole radius from 1 to R / 2, in dB."""
    size = images.shape[-1]
    power = torch.fft.fft2(images.double()).abs().square().mean((0, 1)).flatten()
    axis = torch.fft.fftfreq(size, 1 / size)
    radius = torch.hypot(axis[:, None], axis[None]).round().long().flatten()
    sums = torch.zeros(int(radius.max()) + 1, dtype=power.dtype).index_add(0, radius, power)
    return 10 * torch.log10(sums[1 : size // 2 + 1] / radius.bincount()[1 : size // 2 + 1] + 1e-12)


def best_nimg(lines: list[dict[str, Any]]) -> int | None:
    """The snapshot at the last size, without problems, whose samples come nearest to real slices.

    By the distance of spectra, the one figure that a few dozen samples measure well enough.
    """
    size = lines[-1]["resolution"] if lines else 0
    good = [
        line
        for line in lines
        if "spectrum_db" in line and line["resolution"] == size and not line.get("problems")
    ]
    best = min(good, key=lambda line: (line["alpha"] < 1, line["spectrum_db"]), default=None)
    return None if best is None else int(best["nimg"])


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
        nimg = checkpoint_nimg(path)
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


# What a run writes while it goes: `metrics.jsonl`, one line per tick, and the loss plot

RATE_WINDOW_S = 5.0
SKIPPED = ("skipped", "g_skipped")  # flags of updates left out: of the critic, of the generator
LOSS_CHARTS = 2  # the first ones of a run: losses, and scores of the critic


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
        """Write the means since the last tick as one line and start again."""
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

    def amend(self, facts: dict[str, Any]) -> None:
        """Add to the last line what is known only after the snapshot."""
        self.last |= facts
        if not self._world.is_first or self.trouble:
            return
        try:
            text = self.path.read_text(encoding="utf-8").rstrip("\n")
            before = text[: text.rfind("\n") + 1]
            write_text(self.path, before + json.dumps(self.last) + "\n")
        except (OSError, DataError):
            return  # the next tick finds out, and reports it

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


def draw_losses(run: Path, loss: str) -> None:
    """The curves of losses and scores in a run's metrics as `loss.png`."""
    if charts := chart_metrics(read_metrics(run / METRICS), loss)[:LOSS_CHARTS]:
        write_bytes(run / PLOT, draw_png(charts))
