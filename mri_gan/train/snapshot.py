"""What a run puts on disk at a checkpoint: the state, and pictures of what it means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.checkpoint import (
    Checkpoint,
    checkpoint_nimg,
    checkpoint_path,
    delete_old,
    list_checkpoints,
    save_checkpoint,
)
from mri_gan.conditions import describe
from mri_gan.config import METRICS, REALS, SAMPLES, TrainConfig, read_metrics
from mri_gan.errors import DataError
from mri_gan.nets.protocol import to_signed
from mri_gan.pictures import Shows, build_sheet, save_png
from mri_gan.schedule import Phase, level_start, phase_at, stages
from mri_gan.store.reader import StoreReader
from mri_gan.synth.figures import magnification, shown
from mri_gan.synth.sample import Look, draw_seeds
from mri_gan.train.data import TrainingData, batch_indices
from mri_gan.train.monitor import (
    Health,
    Monitor,
    best_nimg,
    diversity,
    draw_losses,
    spectrum_distance,
)
from mri_gan.train.run_folder import Run
from mri_gan.train.state import TrainState, side_state

GRID_ROWS, GRID_COLUMNS = 4, 8
FADE_ROWS, FADE_ALPHAS = 4, (0.0, 0.25, 0.5, 0.75, 1.0)


def capture(state: TrainState, config: TrainConfig, phase: Phase, digest: str) -> Checkpoint:
    """The state as a checkpoint."""
    parts = side_state(state)
    for name in ("g", "d", "g_ema", "g_opt", "d_opt"):
        parts[name] = getattr(state, name).state_dict()
    return Checkpoint(config, state.nimg, phase.resolution, phase.alpha, digest, parts)


def snapshot(run: Run, state: TrainState, phase: Phase, data: TrainingData) -> Tensor:
    """Save a checkpoint, then a grid from fixed latents, the loss plot and the fade.

    Returns the grid's images [N, C, R, R], -1..1, from the running mean of the generator.
    """
    path = checkpoint_path(run.folder, state.nimg)
    run.before_save()
    save_checkpoint(path, capture(state, run.config, phase, data.digest))
    delete_old(run.folder, run.options.keep, worth_keeping(run))
    images = draw_samples(run, state, phase, data)
    if fades_or_did(run, phase, state.nimg):
        draw_fade(run, state, phase, data)
    with told_only(run):
        draw_losses(run.folder)
    run.on_snapshot(path)
    return images


def worth_keeping(run: Run) -> set[int]:
    """The nimg of checkpoints to keep besides the newest: the best, and the last of each level."""
    kept = {phase_at(run.config, at - 1).resolution: at for at in sorted(saved_nimgs(run))}
    best = best_nimg(read_metrics(run.folder / METRICS))
    return {*kept.values(), *([] if best is None else [best])}


def saved_nimgs(run: Run) -> list[int]:
    """After how many images there are checkpoints, newest first."""
    return [at for path in list_checkpoints(run.folder) if (at := checkpoint_nimg(path)) > 0]


def draw_samples(run: Run, state: TrainState, phase: Phase, data: TrainingData) -> Tensor:
    """A grid from fixed latents, each with the conditions of the slice there in `reals.png`."""
    shown_first = grid_positions(data, run.config.seed)
    conditions = data.conditions[shown_first]
    look = Look(phase.resolution, phase.alpha, psi=1.0)
    seeds = range(len(shown_first))
    images = draw_seeds(state.g_ema, seeds, look, as_condition(conditions))
    name = f"{SAMPLES}/{state.nimg:09d}-{phase.resolution:04d}px.png"
    save_sheet(run, name, images, conditions, Shows.SYNTHETIC)
    return images


def draw_fade(run: Run, state: TrainState, phase: Phase, data: TrainingData) -> None:
    """`fade-0016px.png`: how a level fades in, a row of equal latents from alpha 0 to 1."""
    seeds = range(FADE_ROWS)
    condition = as_condition(data.conditions[grid_positions(data, run.config.seed)[:FADE_ROWS]])
    looks = [Look(phase.resolution, alpha, psi=1.0) for alpha in FADE_ALPHAS]
    drawn = [draw_seeds(state.g_ema, seeds, look, condition) for look in looks]
    images = torch.stack(drawn, 1).flatten(0, 1)  # a latent per row
    labels = [f"alpha {alpha:g}" for alpha in FADE_ALPHAS] * FADE_ROWS
    scale = magnification(phase.resolution)
    sheet = build_sheet(shown(images.numpy()), len(FADE_ALPHAS), labels, scale)
    with told_only(run):
        save_png(run.folder / f"fade-{phase.resolution:04d}px.png", sheet, Shows.SYNTHETIC)


def fades_or_did(run: Run, phase: Phase, nimg: int) -> bool:
    """Whether the level was fading in since the last checkpoint."""
    stage = next(s for s in stages(run.config) if s.size == phase.resolution)
    end = level_start(run.config, stage.size) + stage.fade
    return stage.fade > 0 and nimg < end + run.snap


def as_condition(rows: NDArray[np.float32]) -> Tensor | None:
    """Condition vectors [N, K] for the networks; None where K is 0."""
    return torch.from_numpy(rows) if rows.shape[1] else None


def grid_positions(data: TrainingData, seed: int) -> NDArray[np.int64]:
    """Which training slices, by position, grids show: the first of the first epoch."""
    return batch_indices(np.arange(len(data.indices)), seed, 0, GRID_ROWS * GRID_COLUMNS)


def save_sheet(
    run: Run, name: str, images: Tensor, conditions: NDArray[np.float32], shows: Shows
) -> None:
    """A grid of pictures [N, C, R, R], -1..1, with the labels under each."""
    spec = run.config.conditions
    labels = [describe(spec, row.tolist()) for row in conditions] if spec else ()
    scale = magnification(images.shape[-1])
    sheet = build_sheet(shown(images.numpy()), GRID_COLUMNS, labels, scale=scale)
    with told_only(run):
        save_png(run.folder / name, sheet, shows)


@contextlib.contextmanager
def told_only(run: Run) -> Iterator[None]:
    """Within, a picture that cannot be written is reported, and training goes on without it."""
    try:
        yield
    except DataError as error:
        run.on_note(f"{error}; training goes on without this picture")


def read_reals(run: Run, data: TrainingData, size: int) -> Tensor:
    """As many training slices as a grid shows, the same ones at every size; -1..1."""
    with StoreReader(run.store) as store:
        stored = store.read(size, data.indices[grid_positions(data, run.config.seed)])
    return to_signed(torch.from_numpy(stored))


def draw_reals(run: Run, data: TrainingData) -> None:
    """`reals.png`: training slices at the largest size, to compare the samples with."""
    images = read_reals(run, data, run.config.max_size)
    conditions = data.conditions[grid_positions(data, run.config.seed)]
    save_sheet(run, REALS, images, conditions, Shows.REAL)


def report_problems(
    run: Run, data: TrainingData, images: Tensor, monitor: Monitor, health: Health
) -> None:
    """Warn of what has begun to go wrong, and keep the figures of the samples in the metrics."""
    reals = read_reals(run, data, int(images.shape[-1]))
    spread = diversity(reals)
    share = diversity(images) / spread if spread > 0 else 1.0
    problems = health.judge(monitor.last, share, monitor.last["nimg"] / run.total)
    facts = {"diversity": share, "spectrum_db": spectrum_distance(images, reals)}
    monitor.amend(facts | ({"problems": problems} if problems else {}))
    for text in health.pick_new(problems):
        run.on_warning(text)
