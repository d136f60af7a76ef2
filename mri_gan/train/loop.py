"""The training loop: begin or continue, step, log, save, go back, stop."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mri_gan.checkpoint import (
    IMPORTED,
    Checkpoint,
    Start,
    checkpoint_nimg,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    newest_valid,
)
from mri_gan.conditions import Conditions
from mri_gan.config import (
    CONFIG,
    FORMER_DEFAULTS,
    LAYOUTS,
    METRICS,
    TrainConfig,
    defaults_of,
    differences,
    read_metrics,
    require,
)
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import make_folder, read_json, remove_leftovers
from mri_gan.schedule import Phase, phase_at, settings_used, stages, total_images
from mri_gan.store.schema import DATA_FILE
from mri_gan.train import run_folder
from mri_gan.train.cost import seconds_left
from mri_gan.train.data import (
    Batches,
    TrainingData,
    describe_labels,
    load_training_data,
)
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
from mri_gan.train.run_folder import Progress, Run
from mri_gan.train.state import (
    TrainState,
    build_state,
    match_order,
    measure_innermost,
    prepare_device,
    restore_side_state,
    to_device,
)
from mri_gan.train.step import train_step
from mri_gan.values import say_count

MAX_ATTEMPTS = 3  # rollbacks before giving up
NOT_FINITE = "updates were not finite"


class DivergedError(Exception):
    """Several updates in a row were not finite, or several ticks those of a run that diverges."""


def train(run: Run, start_from: Start | None = None) -> Path:
    """Train, or continue training, and return the last checkpoint; the folder must be locked.

    Raises UsageError when the run was begun with other settings or data, Stopped after a signal
    (the state is saved), DataError when the disk refuses or training diverges for good.
    """
    is_taken = (run.folder / DATA_FILE).is_file()
    require(not is_taken, f"{run.folder}: is a store", "give the run a folder of its own")
    run = replace(run, config=with_former_defaults(run.config, run.folder, run.given))
    data = load_training_data(run.store, run.config, run.options.labels)
    check_world(run.config, run.world)
    prepare_device(run.config.precision, run.options.device)
    if run.world.is_first:
        make_folder(run.folder / "samples")
        for folder in (run.folder, run.folder / "samples"):
            remove_leftovers(folder)
    wait_for_all(run.world)
    run = pick_layout(run)
    state = resume(run, data.digest, start_from, data.store)
    if start_from is not None:
        start_from.forget()
    share_norms(run.world, state.g, state.d)
    if run.world.is_first:
        run.on_begin()
        run_folder.write_config(run, data)
        report_labels(run, data)
        run_folder.draw_reals(run, data)
    if not agree(run.world, key(state.nimg, state.attempt, data.digest)):
        raise DataError(
            f"{run.folder}: the processes see different checkpoints or data in it",
            "put the run and the store where all machines see the same files",
        )
    while True:
        try:
            with run_folder.explained_out_of_memory(run, state):
                return train_on(run, state, data)
        except DivergedError as error:
            roll_back(run, state, str(error))


def report_labels(run: Run, data: TrainingData) -> None:
    """Report what labels were found, what becomes of slices without one, and what is doubtful."""
    for text in describe_labels(run.config, data):
        run.on_note(text)
    for text in data.doubts:
        run.on_warning(text)


def train_on(run: Run, state: TrainState, data: TrainingData) -> Path:
    """From the state's nimg to the end of the run."""
    config = run.config
    if state.attempt:  # after a rollback, with other random numbers
        config = replace(config, seed=key(config.seed, "attempt", state.attempt))
    monitor = Monitor(run.folder, state.nimg, run.world)
    first, start = state.nimg, time.perf_counter()
    health = Health.of(read_metrics(run.folder / METRICS), config.loss)
    options = run.options
    limit = math.inf if options.minutes is None else 60 * options.minutes
    with Batches(run.store, config, state.nimg, options.ahead, run.world, data) as batches:
        wait_start = time.perf_counter()
        for nimg, planned, images, conditions in batches:
            waited = time.perf_counter() - wait_start
            phase = replace(planned, lr=planned.lr * 0.5**state.attempt)  # for every rollback
            wanted = to_device(conditions, options.device) if config.conditions else None
            real = to_device(images, options.device)
            stats = train_step(state, config, phase, real, run.world, wanted)
            monitor.add(stats, phase.batch, waited)
            ticks = crosses(nimg, state.nimg, run.tick) or state.nimg >= run.total
            if ticks:
                log_tick(run, monitor, state, phase)
            taken = time.perf_counter() - start
            left = seconds_left(config, first, state.nimg, taken, options.device)
            left = min(left, max(0.0, limit - taken))
            run.on_step(Progress(state.nimg, run.total, phase, monitor.rate, left, monitor.last))
            stop = any_rank(run.world, bool(run.stop))
            over = any_rank(run.world, taken >= limit or run.wants_end())
            if (stop or over) and not ticks:
                log_tick(run, monitor, state, phase)
            if (crosses(nimg, state.nimg, run.snap) and not state.suspect) or stop or over:
                save_and_judge(run, state, phase, data, monitor, health)
                over = over or any_rank(run.world, run.wants_end())
            if stop:
                raise Stopped(
                    f"stopped at {state.nimg / 1000:g} of {run.total / 1000:g} kimg",
                    "run the same command again to continue",
                    run.stop.signum or 15,
                )
            if over and state.nimg < run.total:
                report_early_end(run, state)
                break
            # Last, since nothing else in this loop is time spent waiting for data.
            wait_start = time.perf_counter()
    if state.suspect and state.nimg >= run.total:
        raise DivergedError(find_divergence(monitor.last))
    last = checkpoint_path(run.folder, state.nimg)
    if run.world.is_first and not last.exists():
        samples = run_folder.snapshot(run, state, phase_at(config, state.nimg - 1), data)
        run_folder.report_problems(run, data, samples, monitor, health)
    return last


def report_early_end(run: Run, state: TrainState) -> None:
    """Report why a run ends before all its images have been shown, and how to continue it."""
    why = "ended by a callback" if run.wants_end() else f"{run.options.minutes:g} min are over"
    at = f"{state.nimg / 1000:g} of {run.total / 1000:g} kimg"
    run.on_note(f"{why} at {at}; the same command continues from here")


def save_and_judge(
    run: Run, state: TrainState, phase: Phase, data: TrainingData, monitor: Monitor, health: Health
) -> None:
    """Save a checkpoint with its samples, and report what is wrong with them.

    Raises DataError where training on would be a waste.
    """
    if run.world.is_first:
        samples = run_folder.snapshot(run, state, phase, data)
        run_folder.report_problems(run, data, samples, monitor, health)
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


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval is in (before, after]."""
    return before // interval != after // interval


def log_tick(run: Run, monitor: Monitor, state: TrainState, phase: Phase) -> None:
    """Write one line of metrics, and check that the updates were finite."""
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


# How a run begins or continues: from its own checkpoint, another run's, or from nothing

# What may change between two calls that continue the same run: where it ends, and what is only
# part of the data, for which its digest answers.
MAY_CHANGE = ("kimg", "channel_names", "pixel_mm", "scan_mm", "layout")
INNERMOST_PAYS = 2.0  # times as fast a bare convolution, for all that is slower with it


def pick_layout(run: Run) -> Run:
    """The run with the order of axes that is quick on this processor, or that it began with.

    All processes take that of the first one.
    """
    if run.options.device != "cpu":
        return run
    if list_checkpoints(run.folder):
        begun = begun_settings(run.folder).get("layout", "")
        layout = begun if begun in LAYOUTS else ""
    else:
        low = run.config.precision == "bf16"
        layout = "channels-last" if measure_innermost(low) > INNERMOST_PAYS else ""
    if not agree(run.world, key(layout)):
        layout = ""
    return replace(run, config=replace(run.config, layout=layout))


def begun_settings(folder: Path) -> dict[str, Any]:
    """The settings in a run's `config.json`; nothing where there is none, or a damaged one."""
    if not (folder / CONFIG).is_file():
        return {}
    try:
        settings = read_json(folder / CONFIG).get("settings")
    except UsageError:
        return {}
    return settings if isinstance(settings, dict) else {}


def with_former_defaults(
    config: TrainConfig, folder: Path, given: Collection[str] = ()
) -> TrainConfig:
    """The configuration for a run begun by an earlier version, which had other defaults.

    What was `given` stays, and is refused as any other setting that the run did not begin with.
    """
    begun = begun_settings(folder)
    now = defaults_of(config.arch, config.loss, config.critic)
    former = {
        name: value
        for name, value in FORMER_DEFAULTS.items()
        if name in now
        and name not in given
        and getattr(config, name) == now[name]
        and begun.get(name, value) == value
    }
    return replace(config, **former) if begun else config


def resume(run: Run, digest: str, start_from: Start | None = None, store: str = "") -> TrainState:
    """The state to continue from: the run's newest valid checkpoint, else `start_from`, else new.

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
        path, checkpoint = start_from.read()
        if run.options.transfer and may_go_on(checkpoint, run.config, digest):
            changed = differences(settings_used(checkpoint.config), settings_used(run.config))
            restore(state, checkpoint, path)
            how = f"({state.nimg / 1000:g} kimg), {'; '.join(changed)}"
            run.on_note(f"continuing from {path} {how}")
            return state
        if run.options.transfer:
            transfer(run, state, checkpoint, path)
            return state
    if checkpoint is not None and path is not None:
        check_same_run(path, checkpoint, run.config, digest, store)
        restore(state, checkpoint, path)
        how = "continuing from" if state.nimg < run.total else "trained to the end already:"
        run.on_note(f"{how} {path} ({state.nimg / 1000:g} kimg)")
    if run.world.is_first:
        for file in list_checkpoints(run.folder)[: len(damaged)]:
            file.rename(file.with_suffix(".damaged"))
    return state


def require_start(folder: Path, start_from: Start | None) -> None:
    """Raise DataError where a new run is to start from a checkpoint that cannot be read."""
    if start_from is not None and not list_checkpoints(folder):
        start_from.read()


def may_go_on(checkpoint: Checkpoint, config: TrainConfig, digest: str) -> bool:
    """Whether an unfinished run can continue where it was although settings differ.

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


def check_same_run(
    path: Path, checkpoint: Checkpoint, config: TrainConfig, digest: str, store: str
) -> None:
    """Raise UsageError, naming what differs, unless the checkpoint belongs to this command.

    The digest of the data holds labels, that of the `store` does not.
    """
    changed = changed_settings(checkpoint.config, config)
    same_store = bool(store) and checkpoint.store == store
    if checkpoint.data != digest and not (same_store and changed):
        changed.append("the labels of the training data" if same_store else "the training data")
    if changed:
        raise UsageError(
            f"{path}: trained with other settings ({'; '.join(changed)})",
            "use the same settings, another --out to start again, or --ckpt with --transfer"
            + grey_hint(checkpoint, config),
        )
    trained, total = checkpoint.nimg, total_images(config)
    require(
        total >= min(trained, total_images(checkpoint.config)),
        f"{path.parent}: {trained / 1000:g} kimg are trained, more than --kimg {total / 1000:g}",
        "give as many or more, or another --out",
    )


def grey_hint(checkpoint: Checkpoint, config: TrainConfig) -> str:
    """What helps where an imported network of three channels meets grey images."""
    if checkpoint.data != IMPORTED or (checkpoint.config.channels, config.channels) != (3, 1):
        return ""
    return "; `mrigan import --to-channels 1` makes a network whose image layers fit as well"


def renamed(before: Conditions, now: Conditions) -> str:
    """Which labels take over the weights of others, to go on with a sentence; else empty."""
    old, new = before.entries, now.entries
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
    if len(old) != len(new) or not pairs:
        return ""
    one, other = pairs[0]
    more = say_count(len(pairs) - 1, "other label", "other labels") if pairs[1:] else ""
    so = f", and so with {more}" if more else ""
    return f"; weights learned for {one} now serve {other}{so}"


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
        raise DataError(
            f"{path}: its weights do not fit its settings", "use an older one"
        ) from error
    state.nimg = checkpoint.nimg


def transfer(run: Run, state: TrainState, checkpoint: Checkpoint, path: Path) -> None:
    """Take every weight whose name and shape fit from another run; training starts at nimg 0.

    Other channels, sizes or capacities leave some weights as they were initialised, which is
    reported. Raises DataError when nothing fits.
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
    hint = grey_hint(checkpoint, run.config) + renamed(
        checkpoint.config.conditions, run.config.conditions
    )
    run.on_note(f"took {taken} tensors from {path}; {left} start from scratch{hint}")
