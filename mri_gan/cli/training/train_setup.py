"""From the words of `mrigan train` to a configuration, a device and a place among processes."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.options import file_values
from mri_gan.config import CAPACITIES, TrainConfig, require, starting_settings
from mri_gan.errors import DataError

if TYPE_CHECKING:
    from mri_gan.cli.training.progress import LiveView
    from mri_gan.train.cost import Needs
    from mri_gan.train.parallel import World
    from mri_gan.train.run_folder import RunOptions


LONG_S = 3 * 86_400  # a run that takes longer is named before it begins


GIVEN_BY = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)


def parse_capacity(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """A name from CAPACITIES or a number."""
    try:
        return CAPACITIES.get(value) or float(value)
    except ValueError:
        names = ", ".join(CAPACITIES)
        raise click.BadParameter(f"give one of {names}, or a number") from None


def use_defaults(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Make the settings of preset, architecture and loss the defaults of this call.

    A preset wins over what the architecture's paper says, and options over both.
    """
    source = ctx.get_parameter_source(str(param.name))
    chosen, told = ctx.meta.setdefault("chosen", {}), file_values(ctx)
    if source in GIVEN_BY or (value is not None and param.name in told):
        chosen[param.name] = value
    wanted = (chosen.get(name) for name in ("preset", "arch", "loss", "critic"))
    ctx.default_map = {**starting_settings(*wanted), **told}
    return value


def use_schedule(path: Path) -> dict[str, Any]:
    """The settings that come from a schedule file; options that it replaces may not be given."""
    from mri_gan.schedule import read_schedule

    context = click.get_current_context()
    for name in ("init_size", "max_size", "phase", "batch", "lr", "sched"):
        given = context.get_parameter_source(name) in GIVEN_BY or name in file_values(context)
        flag = f"--{name.replace('_', '-')}"
        require(not given, f"{flag} beside --schedule", "the file sets it; leave one of them out")
    stages = read_schedule(path)
    ends = {"init_size": stages[0].size, "max_size": stages[-1].size}
    return {**ends, "schedule": stages, "batch": None, "lr": None, "sched": False}


def print_plan(config: TrainConfig, device: str, keep: int, quiet: bool, out: Path | None) -> None:
    """Settings, schedule and what the run takes as JSON; for people, a summary on stderr."""
    import dataclasses

    from mri_gan.schedule import settings_used, stages, starts, total_images
    from mri_gan.train.cost import estimate

    needs = estimate(config, keep, device)
    found = describe_run(out, config) if out is not None and out.is_dir() else None
    levels = [
        {"size": s.size, "from_nimg": start, "fade": s.fade, "batch": s.batch, "lr": s.lr}
        for s, start in zip(stages(config), starts(config), strict=False)
    ]
    options.print_json(
        {
            "settings": settings_used(config),
            "levels": levels,
            "total_nimg": total_images(config),
            "device": device,
            "needs": dataclasses.asdict(needs),
            "run": found,
        }
    )
    if not quiet:
        for text in describe_needs(needs, config, device, keep):
            click.echo(text, err=True)
        if found is not None:
            click.echo(describe_run_in_words(found), err=True)


def describe_needs(needs: Needs, config: TrainConfig, device: str, keep: int) -> list[str]:
    """The same for people."""
    millions = (needs.generator / 1e6, needs.critic / 1e6)
    return [
        "parameters: generator {:.1f} M, critic {:.1f} M".format(*millions),
        f"disk: {options.human_bytes(needs.checkpoint_bytes)} for a checkpoint, "
        f"{options.human_bytes(needs.disk_bytes)} for the {keep} newest, the best, the last of "
        "each level and a new one",
        f"memory: about {options.human_bytes(needs.memory_bytes)} at {config.max_size} px",
        f"time: very roughly {options.human_seconds(needs.seconds)} on {device} as it is now",
    ]


def announce(config: TrainConfig, out: Path, run_options: RunOptions, line: LiveView) -> None:
    """Say before the first step what the run takes, and warn of what it will not get."""
    from mri_gan.train.cost import estimate, quick_seconds

    needs = estimate(config, run_options.keep, run_options.device, with_time=False)
    seconds = quick_seconds(config, run_options.device, begun_nimg(out))
    limit = 60 * (run_options.minutes or 0)
    line.note(describe_start(needs, config, run_options.device, seconds, limit))
    for text in find_shortages(needs, config, run_options.device, out, seconds, limit):
        line.warn(text)


def describe_start(
    needs: Needs, config: TrainConfig, device: str, seconds: float, limit_s: float
) -> str:
    """Device, precision, time, memory and disk in one line."""
    time = f"very roughly {options.human_seconds(seconds)} to the end"
    if limit_s and limit_s < seconds:
        time = f"ends after {options.human_seconds(limit_s)} (--minutes), the whole {time}"
    return (
        f"{device}, {config.precision}: {time}, "
        f"about {options.human_bytes(needs.memory_bytes)} of memory at {config.max_size} px; "
        f"checkpoints take up to {options.human_bytes(needs.checkpoint_bytes)} each, "
        f"{options.human_bytes(needs.disk_bytes)} in all"
    )


def find_shortages(
    needs: Needs, config: TrainConfig, device: str, out: Path, seconds: float, limit_s: float
) -> list[str]:
    """What this machine does not have for the run, one line each with what to do."""
    import shutil

    found = []
    if seconds > LONG_S and not limit_s:
        faster = "" if device.startswith("cuda") else "; a GPU is about a hundred times as fast"
        found.append(
            f"this run takes about {options.human_seconds(seconds)} on {device}{faster}. "
            "--preset laptop trains smaller networks, --minutes limits the time, Ctrl-C stops"
        )
    memory = memory_of(device)
    if memory and needs.memory_bytes > memory:
        found.append(
            f"{device} has {options.human_bytes(memory)} of memory, the last level takes about "
            f"{options.human_bytes(needs.memory_bytes)}: give a smaller --batch, --max-size or "
            "--capacity"
        )
    free = shutil.disk_usage(out).free
    if free < needs.disk_bytes:
        found.append(
            f"the disk has only {options.human_bytes(free)} left: free some, or lower --keep"
        )
    return found


def memory_of(device: str) -> int:
    """Bytes of memory that a device has in all; 0 where the system does not say."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def begun_nimg(out: Path) -> int:
    """How far the run in a folder has come; 0 where there is none."""
    from mri_gan.checkpoint import checkpoint_nimg, list_checkpoints

    return max(map(checkpoint_nimg, list_checkpoints(out)), default=0)


def repeat_problems(out: Path) -> None:
    """Print on standard error what went wrong in the run so far, whether it ended well or not."""
    from mri_gan.cli.training.progress import echo
    from mri_gan.config import METRICS, read_metrics
    from mri_gan.train.monitor import describe_problems

    for text in describe_problems(read_metrics(out / METRICS)):
        echo(f"mrigan: warning: {text}")


def describe_run(out: Path, config: TrainConfig) -> dict[str, Any]:
    """The run that is in a folder: where it would go on, what is left, why it would be refused."""
    from mri_gan.checkpoint import newest_valid
    from mri_gan.schedule import total_images
    from mri_gan.train.loop import changed_settings, without_new_inputs

    config = without_new_inputs(config, out)
    path, checkpoint, damaged = newest_valid(out)
    facts: dict[str, Any] = {"damaged": [error.message for error in damaged]}
    if checkpoint is None:
        return facts | {"checkpoint": None}
    return facts | {
        "checkpoint": str(path),
        "nimg": checkpoint.nimg,
        "left_nimg": max(0, total_images(config) - checkpoint.nimg),
        "refused_for": changed_settings(checkpoint.config, config),
    }


def describe_run_in_words(facts: dict[str, Any]) -> str:
    """The same as one line for people."""
    if facts["damaged"]:
        return f"in --out: {'; '.join(facts['damaged'])}"
    if facts["checkpoint"] is None:
        return "in --out: no checkpoint, the run would start from the beginning"
    if facts["refused_for"]:
        changed = "; ".join(facts["refused_for"])
        return f"in --out: {facts['checkpoint']} was trained with other settings ({changed})"
    return (
        f"in --out: would continue from {facts['checkpoint']}, "
        f"{facts['left_nimg'] / 1000:g} kimg are left"
    )


def open_board(stack: contextlib.ExitStack, out: Path) -> dict[str, Any]:
    """The callbacks that write for TensorBoard, closed with the stack."""
    from mri_gan.train.monitor import Board

    board = Board(out)
    stack.callback(board.close)
    return {"on_tick": board.write_line, "on_snapshot": board.write_checkpoint}


def open_watch(
    run: Path, store: Path, every_kimg: float, device: str, note: Callable[[str], None]
) -> Callable[[Path], None]:
    """A callback that evaluates checkpoints; what goes wrong there must not end the training."""
    from mri_gan.errors import MriganError
    from mri_gan.evaluate.watch import Watch

    watch = Watch(run, store, round(every_kimg * 1000), device)

    def see(checkpoint: Path) -> None:
        try:
            line = watch.evaluate_checkpoint(checkpoint)
        except MriganError as error:
            note(f"not evaluated: {error}")
            return
        if line is not None:
            swd = line["figures"]["swd[mean]"]
            note(
                f"{line['nimg'] / 1000:g} kimg: swd {swd['at_floor']:.4g}, "
                f"people among themselves {swd['floor']:.4g}"
            )

    return see


def in_turn(
    first: Callable[[Path], None], second: Callable[[Path], None] | None
) -> Callable[[Path], None]:
    """One callback that calls both."""

    def call(path: Path) -> None:
        first(path)
        if second is not None:
            second(path)

    return call


# What shapes the networks, and is taken from imported weights unless the store decides it.
SHAPE = (
    *("capacity", "latent_dim", "mapping_depth"),
    *("channel_base", "channel_max", "clamp", "blur_bias", "max_size"),
)


def take_shape(ckpt: Path, arch: str) -> dict[str, Any]:
    """The shape of imported networks, so that their weights fit; nothing for other checkpoints.

    Raises UsageError when --arch names another architecture.
    """
    from mri_gan.checkpoint import IMPORTED, find_checkpoint, load_checkpoint

    path = find_checkpoint(ckpt)
    checkpoint = load_checkpoint(path)
    if checkpoint.data != IMPORTED:
        return {}
    theirs = checkpoint.config.arch
    require(arch == theirs, f"{path}: is a {theirs}", f"give --arch {theirs}")
    return {name: getattr(checkpoint.config, name) for name in SHAPE}


# The process among those that `torchrun` started: joining them, and noticing that it is gone

LOOK_S = 0.5  # between two looks at who the parent is
REFUSED_S = 5.0  # so long the launcher's port may refuse before it counts as gone
GONE = "the launcher of this process is gone", "start all of them with torchrun again"


def join_torchrun(timeout_s: float) -> World:
    """This process among those that `torchrun` started, as the environment says.

    Raises UsageError for half an environment, DataError where the others cannot be joined. Ends
    the process where the launcher ends while they are being joined, since nobody else would.
    """
    from mri_gan.train.parallel import SOLO, join

    told = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK")}
    if told["WORLD_SIZE"] in ("", "1"):
        return SOLO
    require(
        all(text.isdecimal() for text in told.values()),
        f"the environment has WORLD_SIZE={told['WORLD_SIZE']} but RANK={told['RANK']}",
        "start with torchrun, or unset WORLD_SIZE for a single process",
    )
    with ended_with_parent(os.getppid()):
        find_launcher()
        return join(int(told["RANK"]), int(told["WORLD_SIZE"]), timeout_s=timeout_s)


def find_launcher() -> None:
    """Raise DataError unless torchrun answers, where it is the one who brings processes together.

    It listens before it starts any process. One that died before this process looked for its
    parent is found out here.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    address = (os.environ.get("MASTER_ADDR", ""), int(os.environ.get("MASTER_PORT", "0")))
    end = time.monotonic() + REFUSED_S
    while True:
        try:
            socket.create_connection(address, timeout=REFUSED_S).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise DataError(*GONE) from None
            time.sleep(LOOK_S)
        except OSError:
            return  # torch knows more ways to reach it, and says why it cannot


@contextlib.contextmanager
def ended_with_parent(parent: int, end: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Within, this process says so and ends when its parent is no longer that one.

    Joining waits inside torch, where no signal and no exception comes through.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_S):
            if os.getppid() != parent:
                print(f"mrigan: {GONE[0]}: {GONE[1]}", file=sys.stderr, flush=True)
                end(1)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
