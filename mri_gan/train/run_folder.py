"""A run folder: what a run is, its `config.json`, and its checkpoints with their pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import platform
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan import __version__, checkpoint, pictures
from mri_gan.conditions import describe_condition
from mri_gan.config import (
    CONFIG,
    METRICS,
    REALS,
    SAMPLES,
    STYLED,
    TrainConfig,
    read_metrics,
    require,
)
from mri_gan.errors import DataError
from mri_gan.files import StopSignal, write_json
from mri_gan.nets.build import DrawSettings, draw_seeds
from mri_gan.schedule import (
    Phase,
    phase_at,
    settings_used,
    stages,
    stages_reached,
    starts,
    total_images,
)
from mri_gan.store.reader import StoreReader, describe_data_set
from mri_gan.train.data import TrainingData, batch_indices
from mri_gan.train.monitor import (
    Health,
    Monitor,
    best_nimg,
    diversity,
    draw_losses,
    spectrum_distance,
)
from mri_gan.train.parallel import SOLO, World
from mri_gan.train.state import TrainState, side_state
from mri_gan.values import say_count

# What a run is: its folder, its settings, and whom to notify

TICK_IMAGES = 1000


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes the weights."""

    device: str = "cpu"
    ahead: int = 4  # batches read in advance
    snap_kimg: float | None = None  # thousand images between checkpoints; None: about 25 in all
    keep: int = 3  # checkpoints
    transfer: bool = False  # take from `start_from` what fits, instead of continuing it
    labels: Path | None = None  # a table that adds labels to those in the store
    minutes: float | None = None  # after which this call saves and ends, before the end of the run

    def __post_init__(self) -> None:
        for name in ("snap_kimg", "minutes"):
            value = getattr(self, name)
            positive = value is None or 0 < value < math.inf
            require(positive, f"{name} {value}", "give a number above 0")
        require(self.keep >= 1, f"keep {self.keep}", "give at least 1")


@dataclass(frozen=True)
class Progress:
    """What the caller may want to show after a step."""

    nimg: int
    total: int
    phase: Phase
    images_per_s: float
    seconds_left: float
    metrics: dict[str, Any]


def _ignore(*_: object) -> None:
    """The callback of a caller that has nothing to do."""


def _go_on() -> bool:
    """The answer of a caller that lets a run go on to its end."""
    return False


@dataclass(frozen=True)
class Run:
    """One training run: its folder, its settings, its processes, whom to notify."""

    store: Path
    folder: Path
    config: TrainConfig
    options: RunOptions = RunOptions()
    world: World = SOLO
    stop: StopSignal = field(default_factory=StopSignal)
    on_step: Callable[[Progress], None] = _ignore
    on_note: Callable[[str], None] = _ignore
    on_warning: Callable[[str], None] = _ignore  # as a note, but never to be hidden
    on_begin: Callable[[], None] = _ignore  # the run can be trained, and begins or continues
    on_tick: Callable[[dict[str, Any]], None] = _ignore  # every line of metrics, in every process
    on_snapshot: Callable[[Path], None] = _ignore  # after every checkpoint, in the first process
    command: tuple[str, ...] = ()  # the words that started it
    given: Collection[str] = ()  # the settings that the user named, also where they are defaults
    before_save: Callable[[], None] = _ignore  # may raise, to end the run without writing more
    wants_end: Callable[[], bool] = _go_on  # whether to save and end before the end of the run

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
        snap = self.options.snap_kimg
        return max(1, min(tick, tick if snap is None else round(snap * 1000)))

    @property
    def snap(self) -> int:
        """Images between two checkpoints: a whole number of ticks."""
        snap = self.options.snap_kimg
        wanted = min(self.total / 25, 100_000) if snap is None else snap * 1000
        return max(1, round(wanted / self.tick)) * self.tick


# `config.json` of a run folder: the settings, on what data, and on what machine


def write_config(run: Run, data: TrainingData) -> None:
    """Write everything that is needed to understand the run later, or to do it again."""
    # The table's name and folder may reveal names.
    used = {"labels": run.options.labels is not None, "snap_kimg": run.snap / 1000}
    facts = {
        "command": list(run.command),
        "settings": settings_used(run.config),
        "levels": [dataclasses.asdict(stage) for stage in stages_reached(run.config)],
        "options": dataclasses.asdict(replace(run.options, labels=None)) | used,
        "data_digest": data.digest,
        "store_digest": data.store,
        "data": describe_data(run, data),
        "processes": run.world.size,
        "threads": torch.get_num_threads(),
        "mrigan": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "environment": describe_environment(run.options.device),
    }
    write_json(run.folder / CONFIG, facts)


def describe_data(run: Run, data: TrainingData) -> dict[str, Any]:
    """The training data in numbers; names of people or files do not belong here."""
    with StoreReader(run.store) as store:
        whole = describe_data_set(store)
    return {
        "training_slices": len(data.indices),
        "training_subjects": data.subjects,
        "left_out_for_missing_labels": data.left_out,
        "trained_with_missing_labels": data.unlabelled,
        **whole,
    }


def describe_environment(device: str) -> dict[str, Any]:
    """What the speed and the last bits of a run depend on."""
    facts: dict[str, Any] = {
        "device": device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda or "none",
    }
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        facts |= {"gpu": card.name, "gpu_memory": card.total_memory}
    return facts


# What a run puts on disk at a checkpoint: the state, and pictures of what it means

GRID_ROWS, GRID_COLUMNS = 4, 8
FADE_ROWS, FADE_ALPHAS = 4, (0.0, 0.25, 0.5, 0.75, 1.0)
FADING = "alpha rises from left to right: 0 is the level below, enlarged, 1 the new level alone"


def capture(
    state: TrainState, config: TrainConfig, phase: Phase, data: TrainingData
) -> checkpoint.Checkpoint:
    """The state as a checkpoint."""
    parts = side_state(state)
    for name in ("g", "d", "g_ema", "g_opt", "d_opt"):
        parts[name] = getattr(state, name).state_dict()
    return checkpoint.Checkpoint(
        config, state.nimg, phase.resolution, phase.alpha, data.digest, parts, data.store
    )


def snapshot(run: Run, state: TrainState, phase: Phase, data: TrainingData) -> Tensor:
    """Save a checkpoint, then a grid from fixed latents, the loss plot and the fade.

    Returns the grid's images [N, C, R, R], -1..1, from the running mean of the generator.
    """
    path = checkpoint.checkpoint_path(run.folder, state.nimg)
    run.before_save()
    checkpoint.save_checkpoint(path, capture(state, run.config, phase, data))
    checkpoint.delete_old(run.folder, run.options.keep, worth_keeping(run))
    images = draw_samples(run, state, phase, data)
    if fades_or_did(run, phase, state.nimg):
        draw_fade(run, state, phase, data)
    with skipping_failed_picture(run):
        draw_losses(run.folder, run.config.loss)
    run.on_snapshot(path)
    return images


def worth_keeping(run: Run) -> set[int]:
    """The nimg of checkpoints to keep besides the newest: the best, and the last of each level."""
    saved = sorted(map(checkpoint.checkpoint_nimg, checkpoint.list_checkpoints(run.folder)))
    kept = {phase_at(run.config, at - 1).resolution: at for at in saved if at > 0}
    best = best_nimg(read_metrics(run.folder / METRICS))
    return {*kept.values(), *([] if best is None else [best])}


def draw_samples(run: Run, state: TrainState, phase: Phase, data: TrainingData) -> Tensor:
    """A grid from fixed latents, each with the conditions of the slice there in `reals.png`."""
    shown_first = grid_positions(data, run.config.seed)
    conditions = data.conditions[shown_first]
    look = DrawSettings(phase.resolution, phase.alpha, psi=1.0)
    seeds = range(len(shown_first))
    images = draw_seeds(state.g_ema, seeds, look, as_condition(conditions))
    name = f"{SAMPLES}/{state.nimg:09d}-{phase.resolution:04d}px.png"
    said = [f"seeds {seeds[0]} to {seeds[-1]}, row by row", *say_psi(run)]
    said += [f"labels of the slices in {REALS}"] if run.config.conditions else []
    labels, notes = describe_conditions(run, conditions), [", ".join(said)]
    save_sheet(run, name, images, pictures.Shows.SYNTHETIC, labels, notes)
    return images


def draw_fade(run: Run, state: TrainState, phase: Phase, data: TrainingData) -> None:
    """`fade-0016px.png`: how a level fades in, a row of equal latents from alpha 0 to 1."""
    seeds = range(FADE_ROWS)
    rows = data.conditions[grid_positions(data, run.config.seed)[:FADE_ROWS]]
    condition, words = as_condition(rows), describe_conditions(run, rows) or [""] * FADE_ROWS
    looks = [DrawSettings(phase.resolution, alpha, psi=1.0) for alpha in FADE_ALPHAS]
    drawn = [draw_seeds(state.g_ema, seeds, look, condition) for look in looks]
    images = torch.stack(drawn, 1).flatten(0, 1)  # a latent per row
    labels = [
        ", ".join(filter(None, (f"seed {seed}, alpha {alpha:g}", words[seed] * (not alpha))))
        for seed in seeds
        for alpha in FADE_ALPHAS
    ]
    save_sheet(
        run,
        f"fade-{phase.resolution:04d}px.png",
        images,
        pictures.Shows.SYNTHETIC,
        labels,
        [FADING, *say_psi(run)],
        len(FADE_ALPHAS),
    )


def fades_or_did(run: Run, phase: Phase, nimg: int) -> bool:
    """Whether the level was fading in since the last checkpoint."""
    levels = zip(stages(run.config), starts(run.config), strict=False)
    fade, start = next((s.fade, at) for s, at in levels if s.size == phase.resolution)
    return fade > 0 and nimg < start + fade + run.snap


def as_condition(rows: NDArray[np.float32]) -> Tensor | None:
    """Condition vectors [N, K] for the networks; None where K is 0."""
    return torch.from_numpy(rows) if rows.shape[1] else None


def grid_positions(data: TrainingData, seed: int) -> NDArray[np.int64]:
    """Which training slices, by position, grids show: the first of the first epoch."""
    return batch_indices(np.arange(len(data.indices)), seed, 0, GRID_ROWS * GRID_COLUMNS)


def describe_conditions(run: Run, rows: NDArray[np.float32]) -> list[str]:
    """The labels under each picture of a grid; none where the run has no conditions."""
    spec = run.config.conditions
    return [describe_condition(spec, row.tolist()) for row in rows] if spec else []


def say_psi(run: Run) -> list[str]:
    """The truncation of a run's own pictures, where its network has one."""
    return ["psi 1"] if run.config.arch in STYLED else []


def save_sheet(
    run: Run,
    name: str,
    images: Tensor,
    shows: pictures.Shows,
    labels: Sequence[str],
    notes: Sequence[str] = (),
    columns: int = GRID_COLUMNS,
) -> None:
    """A grid of pictures [N, C, R, R], -1..1, with the labels under each and notes below."""
    edges, names = pictures.read_edges(run.folder / CONFIG), run.config.channel_names
    sheet = pictures.build_grid(images.numpy(), columns, labels, notes, names, edges)
    with skipping_failed_picture(run):
        pictures.save_png(run.folder / name, sheet, shows)


@contextlib.contextmanager
def skipping_failed_picture(run: Run) -> Iterator[None]:
    """Within, a picture that cannot be written is reported, and training goes on without it."""
    try:
        yield
    except DataError as error:
        run.on_note(f"{error}; training goes on without this picture")


def read_reals(run: Run, data: TrainingData, size: int) -> Tensor:
    """As many training slices as a grid shows, the same ones at every size; -1..1."""
    with StoreReader(run.store) as store:
        stored = store.read(size, data.indices[grid_positions(data, run.config.seed)])
    return pictures.to_signed(torch.from_numpy(stored))


def draw_reals(run: Run, data: TrainingData) -> None:
    """`reals.png`: training slices at the largest size, to compare the samples with."""
    images = read_reals(run, data, run.config.max_size)
    conditions = data.conditions[grid_positions(data, run.config.seed)]
    save_sheet(run, REALS, images, pictures.Shows.REAL, describe_conditions(run, conditions))


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


# What to do when the memory is too small for a level

# How torch's allocator for the CPU says it, in a plain RuntimeError.
CPU_ALLOCATOR = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


@contextlib.contextmanager
def explained_out_of_memory(run: Run, state: TrainState) -> Iterator[None]:
    """Within, running out of memory is one line that names the level and what would fit.

    Raises DataError; the state is as it was at the last checkpoint.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not (known or any(text in str(error) for text in CPU_ALLOCATOR)):
            raise
        phase = phase_at(run.config, state.nimg)
        saved = checkpoint.list_checkpoints(run.folder)
        how = f"use another --out, --ckpt {saved[0]} --transfer" if saved else "start again"
        raise DataError(
            f"{run.folder}: out of memory on {run.options.device} at {phase.resolution} px with "
            f"{say_count(phase.batch, 'image')} per step",
            f"{how} with a smaller --batch, or a lower --max-size or --capacity",
        ) from error
