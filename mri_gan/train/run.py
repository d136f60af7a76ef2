"""What a run is, and what it keeps on disk."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan import __version__
from mri_gan.checkpoint import (
    Checkpoint,
    checkpoint_path,
    delete_old,
    save_checkpoint,
)
from mri_gan.config import TrainConfig
from mri_gan.files import StopSignal, write_text
from mri_gan.pictures import build_sheet, save_png
from mri_gan.schedule import Phase, total_images
from mri_gan.store.reader import StoreReader
from mri_gan.synth.grids import magnification, shown
from mri_gan.synth.sample import Look, draw_seeds
from mri_gan.train.data import batch_indices
from mri_gan.train.health import diversity, find_problems, real_diversity
from mri_gan.train.monitor import draw_losses
from mri_gan.train.parallel import SOLO, World
from mri_gan.train.state import TrainState

GRID_ROWS, GRID_COLUMNS = 4, 8
TICK_IMAGES = 1000


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes the weights."""

    device: str = "cpu"
    ahead: int = 4  # batches read in advance
    snap_kimg: float = 0.0  # thousand images between checkpoints; 0 means about 25 in all
    keep: int = 3  # checkpoints
    transfer: bool = False  # take from `start_from` what fits, instead of continuing it


@dataclass(frozen=True)
class Progress:
    """What the caller may want to show after a step."""

    nimg: int
    total: int
    phase: Phase
    images_per_s: float
    seconds_left: float
    metrics: dict[str, Any]


def _ignore(_: object) -> None:
    """The callback of a caller that does not want to know."""


@dataclass(frozen=True)
class Run:
    """One training run: where it lives, what was asked for, who takes part, whom to tell."""

    store: Path
    folder: Path
    config: TrainConfig
    options: RunOptions = RunOptions()
    world: World = SOLO
    stop: StopSignal = field(default_factory=StopSignal)
    on_step: Callable[[Progress], None] = _ignore
    on_note: Callable[[str], None] = _ignore

    @property
    def total(self) -> int:
        """The nimg at which it ends."""
        return total_images(self.config)

    @property
    def tick(self) -> int:
        """Images between two lines of the metrics: a thousandth of the run, at most a thousand.

        Never more than between two checkpoints, so that a resumed run writes the same lines.
        """
        tick = min(TICK_IMAGES, self.total // 1000)
        return max(1, min(tick, round(self.options.snap_kimg * 1000) or tick))

    @property
    def snap(self) -> int:
        """Images between two checkpoints: a whole number of ticks."""
        wanted = self.options.snap_kimg * 1000 or min(self.total / 25, 100_000)
        return max(1, round(wanted / self.tick)) * self.tick


def capture(state: TrainState, config: TrainConfig, phase: Phase, digest: str) -> Checkpoint:
    """The state as a checkpoint."""
    parts: dict[str, Any] = {"attempt": state.attempt}
    for name in ("g", "d", "g_ema", "g_opt", "d_opt"):
        parts[name] = getattr(state, name).state_dict()
    return Checkpoint(config, state.nimg, phase.resolution, phase.alpha, digest, parts)


def snapshot(run: Run, state: TrainState, phase: Phase, digest: str) -> Tensor:
    """Save a checkpoint, a grid from fixed latents and the loss plot; returns the grid's images.

    [N, C, R, R], -1..1, from the running mean of the generator.
    """
    save_checkpoint(
        checkpoint_path(run.folder, state.nimg), capture(state, run.config, phase, digest)
    )
    delete_old(run.folder, run.options.keep)
    look = Look(phase.resolution, phase.alpha, psi=1.0)
    images = draw_seeds(state.g_ema, range(GRID_ROWS * GRID_COLUMNS), look)
    sheet = build_sheet(shown(images.numpy()), GRID_COLUMNS, scale=magnification(look.size))
    save_png(run.folder / "samples" / f"{state.nimg:09d}-{phase.resolution:04d}px.png", sheet)
    draw_losses(run.folder)
    return images


def write_config(run: Run, digest: str) -> None:
    """`config.json`: what was asked for, on what data, and on what machine it runs."""
    facts = {
        "settings": run.config.to_dict(),
        "options": dataclasses.asdict(run.options),
        "data_digest": digest,
        "processes": run.world.size,
        "threads": torch.get_num_threads(),
        "mrigan": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    write_text(run.folder / "config.json", json.dumps(facts, indent=2) + "\n")


def read_reals(run: Run, size: int) -> NDArray[Any]:
    """As many training slices as a grid shows, the same ones at every size."""
    with StoreReader(run.store) as store:
        count = GRID_ROWS * GRID_COLUMNS
        chosen = batch_indices(store.indices("train"), run.config.seed, 0, count)
        return store.read(size, chosen)


def draw_reals(run: Run) -> None:
    """`reals.png`: training slices at the largest size, to compare the samples with."""
    size = run.config.max_size
    sheet = build_sheet(read_reals(run, size)[:, 0], GRID_COLUMNS, scale=magnification(size))
    save_png(run.folder / "reals.png", sheet)


def tell_problems(run: Run, images: Tensor, metrics: dict[str, Any], told: set[str]) -> None:
    """Say what has begun to go wrong since the last time; `told` remembers."""
    reals = real_diversity(read_reals(run, int(images.shape[-1])))
    problems = find_problems(metrics, diversity(images), reals)
    for name in problems.keys() - told:
        run.on_note(problems[name])
    told.clear()
    told.update(problems)
