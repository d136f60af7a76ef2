"""The training loop: step, log, save, stop."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

from mri_gan.checkpoint import (
    Checkpoint,
    checkpoint_nimg,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    newest_valid,
)
from mri_gan.config import METRICS, read_metrics
from mri_gan.errors import DataError, Stopped
from mri_gan.files import make_folder, remove_leftovers
from mri_gan.schedule import Phase, phase_at
from mri_gan.train.cost import seconds_left
from mri_gan.train.data import Batches, TrainingData, load_training_data
from mri_gan.train.monitor import (
    DIVERGED_TICKS,
    LOST_SNAPSHOTS,
    Health,
    Monitor,
    best_nimg,
    find_divergence,
    record_event,
)
from mri_gan.train.parallel import agree, any_rank, check_world, key, share_norms, wait_for_all
from mri_gan.train.resume import (
    out_of_memory_told,
    pick_layout,
    restore,
    resume,
    salted,
    without_new_inputs,
)
from mri_gan.train.run_folder import Progress, Run, write_config
from mri_gan.train.snapshot import draw_reals, report_problems, snapshot
from mri_gan.train.state import TrainState, prepare_device, to_device
from mri_gan.train.step import train_step

MAX_ATTEMPTS = 3  # rollbacks before giving up
NOT_FINITE = "updates were not finite"


class DivergedError(Exception):
    """Several updates in a row were not finite, or several ticks those of a run that diverges."""


def train(run: Run, start_from: Path | None = None) -> Path:
    """Train, or go on training, and return the last checkpoint; the folder must be locked.

    Raises UsageError when the run was begun with other settings or data, Stopped after a signal
    (the state is saved), DataError when the disk refuses or training diverges for good.
    """
    run = replace(run, config=without_new_inputs(run.config, run.folder))
    data = load_training_data(run.store, run.config, run.options.labels)
    check_world(run.config, run.world)
    prepare_device(run.config.precision, run.options.device)
    if run.world.is_first:
        make_folder(run.folder / "samples")
        for folder in (run.folder, run.folder / "samples"):
            remove_leftovers(folder)
    wait_for_all(run.world)
    run = pick_layout(run)
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
        except DivergedError as error:
            roll_back(run, state, str(error))


def tell_missing(run: Run, data: TrainingData) -> None:
    """Report what becomes of training slices without a label."""
    if data.left_out:
        run.on_note(f"{data.left_out} training slices lack a label and are left out")
    if data.unlabelled:
        run.on_note(
            f"{data.unlabelled} of {len(data.indices)} training slices lack a label and are "
            "trained as unknown; --missing skip leaves them out"
        )


def train_on(run: Run, state: TrainState, data: TrainingData) -> Path:
    """From the state's nimg to the end of the run."""
    config = salted(run.config, state.attempt)
    monitor = Monitor(run.folder, state.nimg, run.world)
    first, start = state.nimg, time.perf_counter()
    health = Health.of(read_metrics(run.folder / METRICS), config.loss)
    options = run.options
    limit = math.inf if options.minutes is None else 60 * options.minutes
    with Batches(run.store, config, state.nimg, options.ahead, run.world, data) as batches:
        asked = time.perf_counter()
        for nimg, planned, images, conditions in batches:
            waited = time.perf_counter() - asked
            phase = slow_down(planned, state.attempt)
            asked_for = to_device(conditions, options.device) if config.conditions else None
            real = to_device(images, options.device)
            stats = train_step(state, config, phase, real, run.world, asked_for)
            monitor.add(stats, phase.batch, waited)
            stop = any_rank(run.world, bool(run.stop))
            over = any_rank(run.world, time.perf_counter() - start >= limit)
            if crosses(nimg, state.nimg, run.tick) or state.nimg >= run.total or stop or over:
                log(run, monitor, state, phase)
            if (crosses(nimg, state.nimg, run.snap) and not state.suspect) or stop or over:
                save_and_judge(run, state, phase, data, monitor, health)
            if stop:
                raise stopped(run, state)
            if over:
                run.on_note(minutes_over(run, state))
                break
            taken = time.perf_counter() - start
            left = seconds_left(config, first, state.nimg, taken, options.device)
            left = min(left, max(0.0, limit - taken))
            run.on_step(Progress(state.nimg, run.total, phase, monitor.rate, left, monitor.last))
            # Last, since nothing else in this loop is time spent waiting for data.
            asked = time.perf_counter()
    if state.suspect and state.nimg >= run.total:
        raise DivergedError(find_divergence(monitor.last))
    last = checkpoint_path(run.folder, state.nimg)
    if run.world.is_first and not last.exists():
        samples = snapshot(run, state, phase_at(config, state.nimg - 1), data)
        report_problems(run, data, samples, monitor, health)
    return last


def save_and_judge(
    run: Run, state: TrainState, phase: Phase, data: TrainingData, monitor: Monitor, health: Health
) -> None:
    """A checkpoint with its samples, and a look at what is wrong with them.

    Raises DataError where training on would be a waste.
    """
    if run.world.is_first:
        samples = snapshot(run, state, phase, data)
        report_problems(run, data, samples, monitor, health)
    # It may take longer than a step ever does; and whoever leaves first after a stop makes
    # torchrun end the others, who may still be saving.
    wait_for_all(run.world)
    if any_rank(run.world, health.collapsed):
        raise DataError(
            f"{run.folder}: stopped at {state.nimg / 1000:g} kimg, since samples have been nearly "
            f"all alike in the last {LOST_SNAPSHOTS} snapshots (mode collapse)",
            advise_restart(best_checkpoint(run)),
        )


def best_checkpoint(run: Run) -> Path | None:
    """The checkpoint whose samples were best and without problems, if there is one."""
    best = best_nimg(read_metrics(run.folder / METRICS))
    path = None if best is None else checkpoint_path(run.folder, best)
    return path if path is not None and path.exists() else None


def go_back(run: Run) -> tuple[Path, Checkpoint] | None:
    """The newest checkpoint that loads and at which nothing was wrong, else the newest that loads.

    Those behind it are deleted: they would be taken for the newest when the run is continued.
    """
    lines = read_metrics(run.folder / METRICS)
    wrong = {line["nimg"] for line in lines if set(line.get("problems", ())) - {"starvation"}}
    good = [path for path in list_checkpoints(run.folder) if checkpoint_nimg(path) not in wrong]
    for path in good:
        try:
            checkpoint = load_checkpoint(path)
        except DataError:
            continue
        if run.world.is_first:
            for later in list_checkpoints(run.folder):
                if checkpoint_nimg(later) > checkpoint.nimg:
                    later.unlink()
        return path, checkpoint
    path_, checkpoint_, _ = newest_valid(run.folder)
    return None if path_ is None or checkpoint_ is None else (path_, checkpoint_)


def advise_restart(good: Path | None) -> str:
    """What to do with a run that went wrong."""
    if good is None:
        return "start again in another --out with a lower --lr"
    return (
        f"the last good state is {good}; start from it with --ckpt {good} --transfer, a lower "
        "--lr and another --out"
    )


def slow_down(phase: Phase, attempt: int) -> Phase:
    """The phase with half of the learning rate for every rollback so far."""
    return replace(phase, lr=phase.lr * 0.5**attempt) if attempt else phase


def minutes_over(run: Run, state: TrainState) -> str:
    """What to say when the time that was given is over before the run is."""
    return (
        f"{run.options.minutes:g} minutes are over at {state.nimg / 1000:g} of "
        f"{run.total / 1000:g} kimg; the same command continues from here"
    )


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval is in (before, after]."""
    return before // interval != after // interval


def log(run: Run, monitor: Monitor, state: TrainState, phase: Phase) -> None:
    """One line of metrics, and a look at whether the updates were finite."""
    had_trouble = monitor.trouble
    run.on_tick(monitor.tick(state.nimg, phase))
    if monitor.trouble and not had_trouble:
        run.on_note(f"{monitor.trouble}; training goes on without these metrics")
    if monitor.skipped_in_a_row >= monitor.MAX_SKIPPED:
        monitor.amend({"problems": {"divergence": NOT_FINITE}})
        raise DivergedError(NOT_FINITE)
    if monitor.last["skipped"]:
        run.on_note(f"{monitor.last['skipped']} updates were not finite and were left out")
    why = find_divergence(monitor.last)
    state.suspect = state.suspect + 1 if why else 0
    if why:
        monitor.amend({"problems": {"divergence": why}})
    if state.suspect >= DIVERGED_TICKS:
        raise DivergedError(why)


def roll_back(run: Run, state: TrainState, why: str) -> None:
    """Go back to the newest good checkpoint with other random numbers; give up at the third time.

    Raises DataError, naming the checkpoint to use, where there is none or it was tried enough.
    """
    found = go_back(run)
    wait_for_all(run.world)  # before any process reads what the first one has left
    attempt = state.attempt + 1
    if found is None:
        raise DataError(
            f"{run.folder}: training diverged before its first checkpoint ({why})",
            advise_restart(None),
        )
    path, checkpoint = found
    at = f"{state.nimg / 1000:g} kimg"
    if attempt > MAX_ATTEMPTS:
        raise DataError(
            f"{run.folder}: training diverged {attempt} times, now at {at} ({why})",
            advise_restart(path),
        )
    restore(state, checkpoint, path)
    state.attempt, state.suspect = attempt, 0
    text = f"training diverged at {at} ({why}); back to {path.name} with half the learning rate"
    if run.world.is_first:
        record_event(run.folder, checkpoint.nimg, text)
    run.on_warning(text)


def stopped(run: Run, state: TrainState) -> Stopped:
    """The message after a signal."""
    return Stopped(
        f"stopped at {state.nimg / 1000:g} of {run.total / 1000:g} kimg",
        "run the same command again to continue",
        run.stop.signum or 15,
    )
