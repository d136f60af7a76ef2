"""Store in, run folder out: `mrigan train` as a function, with callbacks."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, Unpack

import torch

from mri_gan.checkpoint import Start, checkpoint_nimg
from mri_gan.config import (
    AUTO,
    CAPACITIES,
    PRESETS,
    TrainConfig,
    read_metrics,
    require_one_of,
    starting_settings,
)
from mri_gan.config import METRICS as METRICS_FILE
from mri_gan.errors import UsageError
from mri_gan.files import FolderLock, make_folder, stop_on_signal
from mri_gan.library.arguments import as_plain, in_python, keep_options, public
from mri_gan.library.drawing import Model, load_model
from mri_gan.library.settings import TrainSettings
from mri_gan.nets.build import pick_device, pick_precision
from mri_gan.schedule import read_schedule, settings_by_levels, settings_used
from mri_gan.store.reader import StoreReader
from mri_gan.tables import html_table
from mri_gan.train.data import build_config
from mri_gan.train.loop import require_start
from mri_gan.train.loop import train as train_run
from mri_gan.train.run_folder import Progress, Run, RunOptions
from mri_gan.values import StrPath, as_path, suggest

GIVEN_FILE = "train.toml"  # in the run folder, for --config


class Callback:
    """What a training run calls as it goes; override what you need.

    Where `on_step`, `on_metrics` or `on_checkpoint` returns True, the run is saved and ends, and
    `train` returns. What a method raises ends the run after the last checkpoint. `on_close` is
    called last, whatever ends the run. Each callback is given copies of its own. Raises UsageError
    for a method `on_...` that nothing would call.
    """

    def __init_subclass__(cls) -> None:
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name in vars(cls):
            if name.startswith("on_") and name not in known:
                raise UsageError(f"{cls.__name__}: nothing calls {name}", suggest(name, known))

    def on_begin(self, config: TrainConfig, folder: Path) -> None:
        """The run begins or continues; called before any other."""

    def on_step(self, progress: Progress) -> bool | None:
        """After every step; called thousands of times a minute."""

    def on_metrics(self, metrics: dict[str, Any]) -> bool | None:
        """Every line of `metrics.jsonl`: "nimg" is the images shown so far."""

    def on_checkpoint(self, path: Path) -> bool | None:
        """A checkpoint and its grid of samples have been written."""

    def on_note(self, text: str) -> None:
        """What the command line would print as a line of its own, warnings too."""

    def on_end(self, checkpoint: Path) -> None:
        """The run has ended and is saved; not called after an error or a signal."""

    def on_close(self, error: BaseException | None) -> None:
        """The last call, with what ended the run early, if it did; not where `on_begin` failed."""


class Audience:
    """The callbacks of one call of `train`, whose `on_close` are called when its block is left."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = callbacks
        self._closing = contextlib.ExitStack()
        self._early: list[str] | None = []  # notes until the run begins
        self.wants_end = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._closing.__exit__(*error)

    def begin(self, config: TrainConfig, folder: Path) -> None:
        """Call `on_begin`, then tell the notes that came before."""
        for callback in self._callbacks:
            callback.on_begin(config, folder)
            self._closing.push(lambda _kind, error, _at, own=callback: own.on_close(error))
        early, self._early = self._early or [], None
        for text in early:
            self.note(text)

    def note(self, text: str) -> None:
        """Call `on_note`, or keep the text where the run has not begun."""
        if self._early is None:
            self.tell("on_note", in_python(text))
        else:
            self._early.append(text)

    def tell(self, name: str, value: Any) -> None:
        """Call a method of each with a copy of its own, since callbacks change what they get."""
        for callback in self._callbacks:
            # Only True, not what a method of theirs happens to return.
            if as_plain(getattr(callback, name)(copy.deepcopy(value))) is True:
                self.wants_end = True


@dataclass(frozen=True)
class TrainedRun:
    """A finished run; `nimg` images have been shown, a whole number of steps."""

    folder: Path
    checkpoint: Path
    nimg: int
    config: TrainConfig = dataclasses.field(repr=False)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl`."""
        return read_metrics(self.folder / METRICS_FILE)

    def to_dict(self) -> dict[str, Any]:
        """What `mrigan train --json` prints: the settings that decided, and the last figures."""
        return {
            "folder": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "nimg": self.nimg,
            "settings": settings_used(self.config),
            "metrics": (self.metrics or [{}])[-1],
        }

    def __fspath__(self) -> str:
        """The run folder, wherever its path can be given."""
        return str(self.folder)

    def load_model(self, device: str | torch.device = AUTO) -> Model:
        """The running mean of the generator."""
        return load_model(self.checkpoint, device)

    def _repr_html_(self) -> str:
        """What was trained and where it is, for notebooks."""
        rows = [
            ("images", f"{self.nimg:,}"),
            ("architecture", self.config.arch),
            ("largest size", f"{self.config.max_size} px"),
            ("checkpoint", self.checkpoint.name),
        ]
        return html_table(str(self.folder), rows)


@public
def train(
    store: StrPath,
    out: StrPath,
    *,
    callbacks: Callback | Sequence[Callback] = (),
    preset: Literal["laptop", "gpu", "paper"] | None = None,
    condition: str | Sequence[str] = (),
    labels: StrPath | None = None,
    start_from: StrPath | None = None,
    transfer: bool = False,
    device: str = AUTO,
    snap_kimg: float | None = None,
    keep: int = 3,
    minutes: float | None = None,
    **settings: Unpack[TrainSettings],
) -> TrainedRun:
    """Train on a store's training split, or continue an interrupted run.

    `settings` are the fields of `mri_gan.TrainConfig`; what is left out comes from `preset`, the
    architecture's paper and the store, as on the command line; `mrigan train --help` explains
    each. `kimg` is the length in thousands of images; after `minutes` this call saves and returns.
    `schedule` may be the path of a table of levels. One process; several are started by `torchrun
    -m mri_gan train`.

    Raises UsageError for settings that make no sense, DataError when the disk refuses or training
    diverges, Stopped after Ctrl-C (the same call continues).
    """
    options = RunOptions(
        pick_device(device),
        snap_kimg=snap_kimg,
        keep=keep,
        transfer=transfer,
        labels=as_path(labels) if labels else None,
        minutes=minutes,
    )
    start = Start(as_path(start_from)) if start_from else None
    source = as_path(store)
    with StoreReader(source) as opened:
        config = resolve_settings(opened, preset, condition, {**settings}, options, start)
    run = Run(source, as_path(out), config, options, given=tuple(settings))
    given = {
        **{name: value for name, value in settings.items() if name != "schedule"},
        "preset": preset,
        "condition": condition,
        "snap_kimg": snap_kimg,
        "minutes": minutes,
        "device": None if device == AUTO else device,
        "transfer": transfer or None,
        "keep": None if keep == RunOptions.keep else keep,
    }
    files = {"labels": labels, "start_from": start_from, "schedule": settings.get("schedule")}
    checkpoint = train_before(
        callbacks, run, start, lambda: keep_options(run.folder / GIVEN_FILE, "train", given, files)
    )
    return TrainedRun(run.folder, checkpoint, checkpoint_nimg(checkpoint), config)


def train_before(
    callbacks: Callback | Sequence[Callback],
    run: Run,
    start: Start | None = None,
    keep: Callable[[], None] = lambda: None,
) -> Path:
    """Train while callbacks are told of it; the last checkpoint.

    `keep` is called when the run begins, before any callback.
    """

    def begin() -> None:
        keep()
        audience.begin(run.config, run.folder)

    require_start(run.folder, start)
    make_folder(run.folder)
    with Audience((callbacks,) if isinstance(callbacks, Callback) else callbacks) as audience:
        with FolderLock(run.folder) as lock, stop_on_signal() as stop:
            watched = dataclasses.replace(
                run,
                stop=stop,
                on_begin=begin,
                on_step=lambda progress: audience.tell("on_step", progress),
                on_tick=lambda line: audience.tell("on_metrics", line),
                on_snapshot=lambda path: audience.tell("on_checkpoint", path),
                on_note=audience.note,
                on_warning=audience.note,
                before_save=lock.check,
                wants_end=lambda: audience.wants_end,
            )
            checkpoint = train_run(watched, start)
        audience.tell("on_end", checkpoint)
    return checkpoint


def resolve_settings(
    store: StoreReader,
    preset: str | None,
    condition: str | Sequence[str],
    settings: dict[str, Any],
    options: RunOptions,
    start: Start | None = None,
) -> TrainConfig:
    """The configuration of a run: what was given, over the preset, over the architecture.

    A preset's length is left out where `minutes` gives another. Raises UsageError for an unknown
    name or value.
    """
    require_one_of("preset", preset, (None, *PRESETS))
    wanted = (settings.get(name) for name in ("arch", "loss", "critic"))
    given = [*settings, *(["minutes"] if options.minutes is not None else [])]
    values = {**starting_settings(preset, *wanted, given=given), **settings, **by_levels(settings)}
    capacity = values.get("capacity", 1.0)
    values["capacity"] = CAPACITIES.get(capacity, capacity)
    values["precision"] = pick_precision(values.get("precision"), options.device)
    names = (condition,) if isinstance(condition, str) else tuple(condition)
    weights = start if options.transfer else None
    return build_config(store, names, options.labels, values, weights)


def by_levels(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a schedule decides, which is given as a file or as levels."""
    schedule = settings.get("schedule", ())
    is_file = isinstance(schedule, str | os.PathLike)
    levels = read_schedule(as_path(schedule)) if is_file else tuple(schedule)
    return settings_by_levels(levels, settings) if levels else {}
