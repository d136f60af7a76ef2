"""The training loop: step, log, save, stop."""

from __future__ import annotations

import time
from pathlib import Path

from mri_gan.checkpoint import checkpoint_path, newest_valid
from mri_gan.errors import DataError, Stopped
from mri_gan.files import make_folder, remove_leftovers
from mri_gan.schedule import Phase, phase_at
from mri_gan.train.cost import seconds_left
from mri_gan.train.data import Batches, TrainingData, load_training_data
from mri_gan.train.monitor import Health, Monitor
from mri_gan.train.parallel import agree, any_rank, check_world, key, share_norms, wait_for_all
from mri_gan.train.resume import out_of_memory_told, restore, resume, salted
from mri_gan.train.run_folder import Progress, Run, write_config
from mri_gan.train.snapshot import draw_reals, snapshot, tell_problems
from mri_gan.train.state import TrainState, prepare_device, to_device
from mri_gan.train.step import train_step

MAX_ATTEMPTS = 3  # rollbacks before giving up


class NotFiniteError(Exception):
    """Several updates in a row had gradients that were not finite."""


def train(run: Run, start_from: Path | None = None) -> Path:
    """Train, or go on training, and return the last checkpoint; the folder must be locked.

    Raises UsageError when the run was begun with other settings or data, Stopped after a signal
    (the state is saved), DataError when the disk refuses or training diverges for good.
    """
    data = load_training_data(run.store, run.config, run.options.labels)
    check_world(run.config, run.world)
    prepare_device(run.config.precision, run.options.device)
    if run.world.is_first:
        make_folder(run.folder / "samples")
        for folder in (run.folder, run.folder / "samples"):
            remove_leftovers(folder)
    wait_for_all(run.world)
    state = resume(run, data.digest, start_from)
    share_norms(run.world, state.g, state.d)
    if run.world.is_first:
        run.on_begin()
        write_config(run, data)
        tell_missing(run, data)
        draw_reals(run, data)
    if not agree(run.world, key(state.nimg, state.attempt, data.digest)):
        raise DataError(
            f"{run.folder}: the processes see different checkpoints or data in it",
            "put the run and the store where all machines see the same files",
        )
    while True:
        try:
            with out_of_memory_told(run, state):
                return train_on(run, state, data)
        except NotFiniteError:
            roll_back(run, state)


def tell_missing(run: Run, data: TrainingData) -> None:
    """Say what becomes of training slices that lack a label."""
    if data.left_out:
        run.on_note(f"{data.left_out} training slices lack a label and are left out")
    if data.unlabelled:
        run.on_note(
            f"{data.unlabelled} of {len(data.indices)} training slices lack a label, which the "
            "networks are told as unknown; --missing skip would leave them out"
        )


def train_on(run: Run, state: TrainState, data: TrainingData) -> Path:
    """From the state's nimg to the end of the run."""
    config = salted(run.config, state.attempt)
    monitor = Monitor(run.folder, state.nimg, run.world)
    first, start = state.nimg, time.perf_counter()
    health = Health()
    options = run.options
    with Batches(run.store, config, state.nimg, options.ahead, run.world, data) as batches:
        asked = time.perf_counter()
        for nimg, phase, images, conditions in batches:
            waited = time.perf_counter() - asked
            asked_for = to_device(conditions, options.device) if config.conditions else None
            real = to_device(images, options.device)
            stats = train_step(state, config, phase, real, run.world, asked_for)
            monitor.add(stats, phase.batch, waited)
            stop = any_rank(run.world, bool(run.stop))
            over = any_rank(run.world, 0 < 60 * options.minutes <= time.perf_counter() - start)
            if crosses(nimg, state.nimg, run.tick) or state.nimg >= run.total or stop or over:
                log(run, monitor, state, phase)
            if crosses(nimg, state.nimg, run.snap) or stop or over:
                if run.world.is_first:
                    samples = snapshot(run, state, phase, data)
                    tell_problems(run, data, samples, monitor.last, health)
                # It may take longer than a step ever does; and whoever leaves first after a stop
                # makes torchrun end the others, who may still be saving.
                wait_for_all(run.world)
            if stop:
                raise stopped(run, state)
            if over:
                break
            asked = time.perf_counter()
            taken = asked - start
            left = seconds_left(config, first, state.nimg, taken, options.device)
            run.on_step(Progress(state.nimg, run.total, phase, monitor.rate, left, monitor.last))
    last = checkpoint_path(run.folder, state.nimg)
    if run.world.is_first and not last.exists():
        snapshot(run, state, phase_at(config, state.nimg - 1), data)
    return last


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval lies in (before, after]."""
    return before // interval != after // interval


def log(run: Run, monitor: Monitor, state: TrainState, phase: Phase) -> None:
    """One line of metrics, and a look at whether the updates were finite."""
    had_trouble = monitor.trouble
    run.on_tick(monitor.tick(state.nimg, phase))
    if monitor.trouble and not had_trouble:
        run.on_note(f"{monitor.trouble}; training goes on without these metrics")
    if monitor.skipped_in_a_row >= monitor.MAX_SKIPPED:
        raise NotFiniteError
    if monitor.last["skipped"]:
        run.on_note(f"{monitor.last['skipped']} updates were not finite and were left out")


def roll_back(run: Run, state: TrainState) -> None:
    """Go back to the newest checkpoint with other random numbers; give up at the third time."""
    path, checkpoint, _ = newest_valid(run.folder)
    attempt = state.attempt + 1
    if checkpoint is None or path is None:
        raise DataError(
            f"{run.folder}: training diverged before its first checkpoint",
            "start anew in another --out with a lower --lr",
        )
    if attempt > MAX_ATTEMPTS:
        raise DataError(
            f"{run.folder}: training diverged {attempt} times at {state.nimg / 1000:g} kimg",
            f"the last good state is {path}; start from it with --ckpt {path} --transfer, a lower "
            "--lr and another --out",
        )
    restore(state, checkpoint, path)
    state.attempt = attempt
    run.on_note(f"gradients were not finite; back to {path}, attempt {attempt}")


def stopped(run: Run, state: TrainState) -> Stopped:
    """What to tell after a signal."""
    return Stopped(
        f"stopped at {state.nimg / 1000:g} of {run.total / 1000:g} kimg",
        "run the same command again to continue",
        run.stop.signum or 15,
    )
