"""How a run begins or continues, and what it does when memory is too small for a level."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mri_gan.checkpoint import (
    IMPORTED,
    Checkpoint,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    newest_valid,
)
from mri_gan.config import CONFIG, LAYOUTS, TrainConfig, differences, read_json
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.convolution import measure_innermost
from mri_gan.schedule import phase_at, settings_used, stages, total_images
from mri_gan.train.parallel import agree, key
from mri_gan.train.run_folder import Run
from mri_gan.train.state import TrainState, build_state, match_order, restore_side_state

# What to do when the memory is too small for a level

# How torch's allocator for the CPU says it, in a plain RuntimeError.
CPU_ALLOCATOR = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


@contextlib.contextmanager
def out_of_memory_told(run: Run, state: TrainState) -> Iterator[None]:
    """Within, running out of memory is one line that names the level and what would fit.

    Raises DataError; the state is as it was at the last checkpoint.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        phase = phase_at(run.config, state.nimg)
        saved = list_checkpoints(run.folder)
        how = f"use another --out, --ckpt {saved[0]} --transfer" if saved else "start again"
        raise DataError(
            f"{run.folder}: out of memory on {run.options.device} at {phase.resolution} px with "
            f"{phase.batch} images per step",
            f"{how} with a smaller --batch, or a lower --max-size or --capacity",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the processor or a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in CPU_ALLOCATOR)


# How a run begins or continues: from its own checkpoint, another run's, or from nothing

# What may change between two calls that continue the same run: where it ends, and what is only
# part of the data, for which its digest answers.
MAY_CHANGE = ("kimg", "channel_names", "pixel_mm", "layout")
INNERMOST_PAYS = 2.0  # times as fast a bare convolution, for all that is slower with it


def salted(config: TrainConfig, attempt: int) -> TrainConfig:
    """The configuration of the `attempt`-th try after a rollback: other random numbers."""
    return replace(config, seed=key(config.seed, "attempt", attempt)) if attempt else config


def pick_layout(run: Run) -> Run:
    """The run with the order of axes that is quick on this processor, or that it began with.

    All processes take that of the first one.
    """
    if run.options.device != "cpu":
        return run
    if list_checkpoints(run.folder):
        layout = begun_layout(run.folder)
    else:
        low = run.config.precision == "bf16"
        layout = "channels-last" if measure_innermost(low) > INNERMOST_PAYS else ""
    if not agree(run.world, key(layout)):
        layout = ""
    return replace(run, config=replace(run.config, layout=layout))


def begun_layout(folder: Path) -> str:
    """The order of axes that a run began with, by its `config.json`."""
    layout = begun_settings(folder).get("layout", "")
    return layout if layout in LAYOUTS else ""


def begun_settings(folder: Path) -> dict[str, Any]:
    """The settings in a run's `config.json`; nothing where there is none, or a damaged one."""
    try:
        settings = read_json(folder / CONFIG).get("settings")
    except UsageError:
        return {}
    return settings if isinstance(settings, dict) else {}


def without_new_inputs(config: TrainConfig, folder: Path) -> TrainConfig:
    """The configuration that goes on with a run of an earlier version, which knew no bands."""
    begun = begun_settings(folder)
    return replace(config, wavelets=False) if begun and "wavelets" not in begun else config


def resume(run: Run, digest: str, start_from: Path | None = None) -> TrainState:
    """The state to go on from: the run's newest valid checkpoint, else `start_from`, else new.

    Raises UsageError when the checkpoint is of other settings or data, DataError when there are
    checkpoints and none can be read: a run is never silently started again.
    """
    path, checkpoint, damaged = newest_valid(run.folder)
    if checkpoint is None and damaged:
        raise damaged[0]
    for error in damaged:
        run.on_note(f"{error.message}; set aside as .damaged, an older one is used")
    state = build_state(run.config, torch.device(run.options.device))
    if checkpoint is None and start_from is not None:
        path = find_checkpoint(start_from)
        checkpoint = load_checkpoint(path)
        if run.options.transfer and may_go_on(checkpoint, run.config, digest):
            changed = differences(settings_used(checkpoint.config), settings_used(run.config))
            restore(state, checkpoint, path)
            run.on_note(f"going on from {path} ({state.nimg / 1000:g} kimg), {'; '.join(changed)}")
            return state
        if run.options.transfer:
            transfer(run, state, checkpoint, path)
            return state
    if checkpoint is not None and path is not None:
        check_same_run(path, checkpoint, run.config, digest)
        restore(state, checkpoint, path)
        run.on_note(f"continuing from {path} ({state.nimg / 1000:g} kimg)")
    if run.world.is_first:
        for file in list_checkpoints(run.folder)[: len(damaged)]:
            file.rename(file.with_suffix(".damaged"))
    return state


def may_go_on(checkpoint: Checkpoint, config: TrainConfig, digest: str) -> bool:
    """Whether an unfinished run can go on where it was although settings differ.

    That takes the same data, networks and levels: a lower learning rate, another batch or loss
    may be what a run needs that diverged or ran out of memory.
    """
    before = checkpoint.config
    return (
        checkpoint.data == digest
        and before.model == config.model
        and [(s.size, s.fade, s.stay) for s in stages(before)]
        == [(s.size, s.fade, s.stay) for s in stages(config)]
        and checkpoint.nimg < total_images(config)
    )


def check_same_run(path: Path, checkpoint: Checkpoint, config: TrainConfig, digest: str) -> None:
    """Raise UsageError, telling what differs, unless the checkpoint belongs to this command."""
    changed = changed_settings(checkpoint.config, config)
    if checkpoint.data != digest:
        changed.append("the training data")
    if changed:
        raise UsageError(
            f"{path}: trained with other settings ({'; '.join(changed)})",
            "use the same settings, another --out to start again, or --ckpt with --transfer"
            + grey_hint(checkpoint, config),
        )


def grey_hint(checkpoint: Checkpoint, config: TrainConfig) -> str:
    """What helps where an imported network of three channels meets grey images."""
    if checkpoint.data != IMPORTED or (checkpoint.config.channels, config.channels) != (3, 1):
        return ""
    return "; `mrigan import --to-channels 1` makes a network whose image layers fit as well"


def changed_settings(before: TrainConfig, now: TrainConfig) -> list[str]:
    """What differs between two configurations and may not, within one run."""
    old, new = settings_used(before), settings_used(now)
    return differences(
        {k: v for k, v in old.items() if k not in MAY_CHANGE},
        {k: v for k, v in new.items() if k not in MAY_CHANGE},
    )


def restore(state: TrainState, checkpoint: Checkpoint, path: Path) -> None:
    """Load networks, running mean, optimisers and progress into a state of the same shape."""
    try:
        for name in ("g", "d", "g_ema", "g_opt", "d_opt"):
            getattr(state, name).load_state_dict(checkpoint.state[name])
        for optimiser in (state.g_opt, state.d_opt):
            match_order(optimiser)
        restore_side_state(state, checkpoint.state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: its weights do not fit its settings", "use another") from error
    state.nimg = checkpoint.nimg


def transfer(run: Run, state: TrainState, checkpoint: Checkpoint, path: Path) -> None:
    """Take every weight whose name and shape fit from another run; training starts at nimg 0.

    Other channels, sizes or capacities leave some weights as they were initialised, which is
    told. Raises DataError when nothing fits.
    """
    taken = left = 0
    for name in ("g", "d", "g_ema"):
        own: dict[str, Tensor] = getattr(state, name).state_dict()
        theirs = checkpoint.state[name]
        fitting = {k: v for k, v in theirs.items() if k in own and own[k].shape == v.shape}
        getattr(state, name).load_state_dict(own | fitting)
        taken, left = taken + len(fitting), left + len(own) - len(fitting)
    if not taken:
        raise DataError(f"{path}: none of its weights fit these settings", "use another checkpoint")
    hint = grey_hint(checkpoint, run.config)
    run.on_note(f"took {taken} tensors from {path}; {left} start from scratch{hint}")
