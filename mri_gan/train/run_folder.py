"""A run folder and its `config.json`: settings, data and machine."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mri_gan import __version__
from mri_gan.config import CONFIG, TrainConfig
from mri_gan.files import StopSignal, write_text
from mri_gan.schedule import Phase, settings_used, stages, total_images
from mri_gan.store.reader import StoreReader
from mri_gan.store.summary import describe_data_set
from mri_gan.train.data import TrainingData
from mri_gan.train.parallel import SOLO, World

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


def _agree() -> None:
    """The check of a caller that holds no lock."""


def _nothing() -> None:
    """The callback of a caller that has nothing to do."""


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
    on_begin: Callable[[], None] = _nothing  # the run can be trained, and begins or goes on
    on_tick: Callable[[dict[str, Any]], None] = _ignore  # every line of metrics, in every process
    on_snapshot: Callable[[Path], None] = _ignore  # after every checkpoint, in the first process
    command: tuple[str, ...] = ()  # the words that started it
    before_save: Callable[[], None] = _agree  # may raise, to end the run without writing more

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
        "levels": [dataclasses.asdict(stage) for stage in stages(run.config)],
        "options": dataclasses.asdict(replace(run.options, labels=None)) | used,
        "data_digest": data.digest,
        "data": describe_data(run, data),
        "processes": run.world.size,
        "threads": torch.get_num_threads(),
        "mrigan": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "environment": describe_environment(run.options.device),
    }
    write_text(run.folder / CONFIG, json.dumps(facts, indent=2) + "\n")


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
        "cuda": torch.version.cuda,
    }
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        facts |= {"gpu": card.name, "gpu_memory": card.total_memory}
    return facts
