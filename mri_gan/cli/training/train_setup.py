"""From the words of `mrigan train` to a configuration, a device and a place among processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.config_file import file_values
from mri_gan.config import (
    CAPACITIES,
    TrainConfig,
    require,
    starting_settings,
)
from mri_gan.errors import UsageError

if TYPE_CHECKING:
    from mri_gan.train.cost import Needs


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
        require(not given, f"{flag} beside --schedule", "the file says it; give one of them")
    stages = read_schedule(path)
    ends = {"init_size": stages[0].size, "max_size": stages[-1].size}
    return {**ends, "schedule": stages, "batch": 0, "lr": 0.0, "sched": False}


def print_plan(config: TrainConfig, device: str, keep: int, quiet: bool) -> None:
    """Settings, schedule and what the run takes as JSON; for people, a summary on stderr."""
    import dataclasses

    from mri_gan.schedule import stages, starts, total_images
    from mri_gan.train.cost import estimate

    needs = estimate(config, keep, device)
    levels = [
        {"size": s.size, "from_nimg": start, "fade": s.fade, "batch": s.batch, "lr": s.lr}
        for s, start in zip(stages(config), starts(config), strict=False)
    ]
    options.print_json(
        {
            "settings": config.to_dict(),
            "levels": levels,
            "total_nimg": total_images(config),
            "device": device,
            "needs": dataclasses.asdict(needs),
        }
    )
    if not quiet:
        for text in describe_needs(needs, config, device, keep):
            click.echo(text, err=True)


def describe_needs(needs: Needs, config: TrainConfig, device: str, keep: int) -> list[str]:
    """The same for people."""
    millions = (needs.generator / 1e6, needs.critic / 1e6)
    return [
        "parameters: generator {:.1f} M, critic {:.1f} M".format(*millions),
        f"disk: {options.human_bytes(needs.checkpoint_bytes)} for a checkpoint, "
        f"{options.human_bytes(needs.disk_bytes)} for the {keep} that are kept and a new one",
        f"memory: about {options.human_bytes(needs.memory_bytes)} at {config.max_size} px",
        f"time: very roughly {options.human_seconds(needs.seconds)} on {device} as it is now",
    ]


def tell_disk(config: TrainConfig, out: Path, keep: int) -> str:
    """What the checkpoints will take, and whether the disk has it."""
    import shutil

    from mri_gan.train.cost import estimate

    needs = estimate(config, keep, "cpu", with_time=False)
    text = (
        f"checkpoints take up to {options.human_bytes(needs.checkpoint_bytes)}, "
        f"the newest {keep} are kept"
    )
    free = shutil.disk_usage(out).free
    if free < needs.disk_bytes:
        text += f"; the disk has only {options.human_bytes(free)} left: free some, or lower --keep"
    return text


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
            line = watch.see(checkpoint)
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


def use_threads(count: int) -> None:
    """How many threads one operation of torch may take."""
    import torch

    torch.set_num_threads(count)


def pick_device(name: str) -> str:
    import torch

    if name in ("auto", "cuda"):
        # One GPU for each process that torchrun started on this machine.
        gpu = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        name = gpu if name == "cuda" or torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name} is not available here", "try --device cpu") from error
    return name


def pick_precision(name: str, device: str) -> str:
    """`auto` resolved for this machine, so that the run's settings say what was used."""
    if name != "auto":
        return name
    import torch

    if pick_device(device).startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every torch version
    fast = any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)
    return "bf16" if fast else "fp32"


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
