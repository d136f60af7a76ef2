"""The training loop: step, log, sample, save, stop."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

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
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal, make_folder, write_text
from mri_gan.pictures import build_sheet, save_png
from mri_gan.schedule import Phase, phase_at, total_images
from mri_gan.store.reader import StoreReader
from mri_gan.synth.grids import magnification, sample_grid
from mri_gan.train.cost import seconds_left
from mri_gan.train.data import Batches, batch_indices, open_train_split
from mri_gan.train.monitor import Monitor, draw_losses
from mri_gan.train.state import TrainState, build_state, train_step

GRID_ROWS, GRID_COLUMNS = 4, 8
TICK_IMAGES = 1000
# What may change between two calls that continue the same run: only where it ends.
MAY_CHANGE = ("kimg",)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes the weights."""

    device: str = "cpu"
    ahead: int = 4  # batches read in advance
    snap_kimg: float = 0.0  # thousand images between checkpoints; 0 means 25 in all
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


def train(
    store: Path,
    run: Path,
    config: TrainConfig,
    options: RunOptions,
    stop: StopSignal,
    on_step: Callable[[Progress], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
    start_from: Path | None = None,
) -> Path:
    """Train, or go on training, and return the last checkpoint; the run must be locked.

    Raises UsageError when the run was begun with other settings or data, Stopped after a signal
    (the state is saved), DataError when the disk refuses.
    """
    make_folder(run / "samples")
    digest = _check_data(store, config)
    state = resume(run, config, options, digest, on_note, start_from)
    write_config(run, config, options, digest)
    monitor = Monitor(run, state.nimg)
    total = total_images(config)
    first, start = state.nimg, time.perf_counter()
    with Batches(store, config, state.nimg, options.ahead) as batches:
        asked = time.perf_counter()
        for nimg, phase, images in batches:
            waited = time.perf_counter() - asked
            stats = train_step(state, config, phase, _to_device(images, options.device))
            monitor.add(stats, phase.batch, waited)
            if crosses(nimg, state.nimg, tick_images(config, options)) or state.nimg >= total:
                monitor.tick(state.nimg, phase)
            if crosses(nimg, state.nimg, snap_images(config, options)) or stop:
                snapshot(state, run, config, options, phase, digest)
            if stop:
                raise Stopped(
                    f"stopped at {state.nimg / 1000:g} of {total / 1000:g} kimg",
                    "run the same command again to continue",
                    stop.signum or 2,
                )
            asked = time.perf_counter()
            left = seconds_left(config, first, state.nimg, asked - start)
            on_step(Progress(state.nimg, total, phase, monitor.rate, left, monitor.last))
    last = checkpoint_path(run, state.nimg)
    if not last.exists():
        snapshot(state, run, config, options, phase_at(config, state.nimg - 1), digest)
    return last


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval lies in (before, after]."""
    return before // interval != after // interval


def snap_images(config: TrainConfig, options: RunOptions) -> int:
    """Images between two checkpoints: a whole number of ticks."""
    tick = tick_images(config, options)
    wanted = options.snap_kimg * 1000 or min(total_images(config) / 25, 100_000)
    return max(1, round(wanted / tick)) * tick


def tick_images(config: TrainConfig, options: RunOptions) -> int:
    """Images between two lines of the metrics: a thousandth of the run, at most a thousand.

    Never more than between two checkpoints, so that a resumed run writes the same lines.
    """
    tick = min(TICK_IMAGES, total_images(config) // 1000)
    return max(1, min(tick, round(options.snap_kimg * 1000) or tick))


def _check_data(folder: Path, config: TrainConfig) -> str:
    store, _ = open_train_split(folder, config)
    with store:
        return store.digest


def _to_device(images: Any, device: str) -> torch.Tensor:
    tensor = torch.from_numpy(images)
    if device == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def resume(
    run: Path,
    config: TrainConfig,
    options: RunOptions,
    digest: str,
    on_note: Callable[[str], None],
    start_from: Path | None = None,
) -> TrainState:
    """The state to go on from: the run's newest valid checkpoint, else `start_from`, else new."""
    path, checkpoint, damaged = newest_valid(run)
    if checkpoint is None and damaged:
        raise damaged[0]
    for error in damaged:
        on_note(f"{error.message}; set aside as .damaged, an older one is used")
    if checkpoint is None and start_from is not None:
        path, checkpoint = start_from, load_checkpoint(start_from)
    state = build_state(config, torch.device(options.device))
    if checkpoint is not None and path is not None:
        check_same_run(path, checkpoint, config, digest)
        restore(state, checkpoint, path)
        on_note(f"continuing from {path} ({state.nimg / 1000:g} kimg)")
    for file in list_checkpoints(run)[: len(damaged)]:
        file.rename(file.with_suffix(".damaged"))
    return state


def write_config(run: Path, config: TrainConfig, options: RunOptions, digest: str) -> None:
    """`config.json`: what was asked for, on what data, and on what machine it runs."""
    facts = {
        "settings": config.to_dict(),
        "data_digest": digest,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "mrigan": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    write_text(run / "config.json", json.dumps(facts, indent=2) + "\n")


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
    except (KeyError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: its weights do not fit its settings", "use another") from error
    state.nimg = checkpoint.nimg


def snapshot(
    state: TrainState,
    run: Path,
    config: TrainConfig,
    options: RunOptions,
    phase: Phase,
    digest: str,
) -> None:
    """Save a checkpoint, a grid from fixed latents and the loss plot."""
    path = checkpoint_path(run, state.nimg)
    save_checkpoint(path, capture(state, config, phase, digest))
    delete_old(run, options.keep)
    grid = sample_grid(
        state.g_ema,
        range(GRID_ROWS * GRID_COLUMNS),
        GRID_COLUMNS,
        phase.resolution,
        phase.alpha,
        psi=1.0,
    )
    save_png(run / "samples" / f"{state.nimg:09d}-{phase.resolution:04d}px.png", grid)
    draw_losses(run)


def capture(state: TrainState, config: TrainConfig, phase: Phase, digest: str) -> Checkpoint:
    """The state as a checkpoint."""
    parts = {
        field.name: getattr(state, field.name).state_dict()
        for field in dataclasses.fields(state)
        if field.name != "nimg"
    }
    return Checkpoint(config, state.nimg, phase.resolution, phase.alpha, digest, parts)


def draw_reals(folder: Path, run: Path, config: TrainConfig) -> None:
    """`reals.png`: training slices at the largest size, to compare the samples with."""
    with StoreReader(folder) as store:
        count = GRID_ROWS * GRID_COLUMNS
        chosen = batch_indices(store.indices("train"), config.seed, 0, count)
        images = store.read(config.max_size, chosen)[:, 0]
    sheet = build_sheet(images, GRID_COLUMNS, scale=magnification(config.max_size))
    save_png(run / "reals.png", sheet)
