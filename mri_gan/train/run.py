"""What a run is: its folder, how it begins or continues, and what it keeps on disk."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    list_checkpoints,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
)
from mri_gan.config import TrainConfig, differences
from mri_gan.errors import DataError, UsageError
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
from mri_gan.train.randomness import key
from mri_gan.train.state import TrainState, build_state

GRID_ROWS, GRID_COLUMNS = 4, 8
TICK_IMAGES = 1000
# What may change between two calls that continue the same run: only where it ends.
MAY_CHANGE = ("kimg",)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes the weights."""

    device: str = "cpu"
    ahead: int = 4  # batches read in advance
    snap_kimg: float = 0.0  # thousand images between checkpoints; 0 means about 25 in all
    keep: int = 3  # checkpoints


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


def salted(config: TrainConfig, attempt: int) -> TrainConfig:
    """The configuration of the `attempt`-th try after a rollback: other random numbers."""
    return replace(config, seed=key(config.seed, "attempt", attempt)) if attempt else config


def resume(run: Run, digest: str, start_from: Path | None = None) -> TrainState:
    """The state to go on from: the run's newest valid checkpoint, else `start_from`, else new.

    Raises UsageError when the checkpoint is of other settings or data, DataError when there are
    checkpoints and none can be read: a run is never silently begun anew.
    """
    path, checkpoint, damaged = newest_valid(run.folder)
    if checkpoint is None and damaged:
        raise damaged[0]
    for error in damaged:
        run.on_note(f"{error.message}; set aside as .damaged, an older one is used")
    if checkpoint is None and start_from is not None:
        path, checkpoint = start_from, load_checkpoint(start_from)
    state = build_state(run.config, torch.device(run.options.device))
    if checkpoint is not None and path is not None:
        check_same_run(path, checkpoint, run.config, digest)
        restore(state, checkpoint, path)
        run.on_note(f"continuing from {path} ({state.nimg / 1000:g} kimg)")
    if run.world.is_first:
        for file in list_checkpoints(run.folder)[: len(damaged)]:
            file.rename(file.with_suffix(".damaged"))
    return state


def check_same_run(path: Path, checkpoint: Checkpoint, config: TrainConfig, digest: str) -> None:
    """Raise UsageError, telling what differs, unless the checkpoint belongs to this command."""
    before, now = checkpoint.config.to_dict(), config.to_dict()
    changed = differences(
        {k: v for k, v in before.items() if k not in MAY_CHANGE},
        {k: v for k, v in now.items() if k not in MAY_CHANGE},
    )
    if checkpoint.data != digest:
        changed.append("the training data")
    if changed:
        raise UsageError(
            f"{path}: trained with other settings ({'; '.join(changed)})",
            "use the same settings to continue, or another --out to start anew",
        )


def restore(state: TrainState, checkpoint: Checkpoint, path: Path) -> None:
    """Load networks, running mean, optimisers and progress into a state of the same shape."""
    try:
        for name in ("g", "d", "g_ema", "g_opt", "d_opt"):
            getattr(state, name).load_state_dict(checkpoint.state[name])
        state.attempt = int(checkpoint.state["attempt"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: its weights do not fit its settings", "use another") from error
    state.nimg = checkpoint.nimg


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
