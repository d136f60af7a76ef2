"""`mrigan train`: store in, run folder out."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.config_file import Configurable, write_given
from mri_gan.cli.training import train_setup as setup
from mri_gan.cli.training.architecture import architecture
from mri_gan.config import (
    ARCHS,
    CAPACITIES,
    LOSS_NAMES,
    MISSING,
    PRECISIONS,
    PRESETS,
    TrainConfig,
    require,
)

if TYPE_CHECKING:
    from mri_gan.train.parallel import World
    from mri_gan.train.run_folder import RunOptions


GIVEN_FILE = "train.toml"  # in the run folder, for --config

EPILOG = """\b
Examples:
  mrigan train OASIS_PRE --sched --mixing --out RUN
  mrigan train OASIS_PRE --preset laptop --out RUN
  mrigan train OASIS_PRE --arch stylegan2 --augment ada --out RUN
  mrigan train OASIS_PRE --sched --mixing --out RUN     # again: continues where it stopped
"""


@click.command("train", epilog=EPILOG, cls=Configurable)
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Run folder  [default: STORE-run].",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    callback=setup.use_defaults,
    is_eager=True,
    expose_value=False,
    help="Settings for a laptop, one GPU, or as in the paper; other options override it.",
)
@click.option(
    "--arch",
    type=click.Choice(ARCHS),
    default="stylegan",
    show_default=True,
    callback=setup.use_defaults,
    is_eager=True,
    help="Architecture, see docs/models.md; it sets the defaults of its paper.",
)
@click.option("--init-size", type=int, default=8, show_default=True, help="First level in px.")
@click.option(
    "--max-size", type=int, default=None, help="Last level in px  [default: the store's native]."
)
@click.option(
    "--phase",
    type=int,
    default=600_000,
    show_default=True,
    help="Images over which a level fades in; it then stays for as many.",
)
@click.option(
    "--kimg",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Thousand images in all  [default: by --phase].",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Minutes after which to save and end; the same command continues  [default: no limit].",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=None,
    help="Images per step  [default: 16, or by --sched].",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=None,
    help="Learning rate  [default: 1e-3, or by --sched].",
)
@click.option(
    "--schedule",
    "schedule_file",
    type=click.Path(path_type=Path),
    default=None,
    help="Table (.tsv) or .json of levels: size, fade, stay, batch, lr; see docs/training.md.",
)
@click.option("--sched/--no-sched", help="Learning rate and batch by level, as in the paper.")
@click.option("--mixing/--no-mixing", help="Style mixing: two latents for 90 % of the images.")
@click.option(
    "--wavelets/--no-wavelets",
    help="fastgan: its own critic sees wavelet bands, fine detail enlarged  [default: on].",
)
@click.option(
    "--flip/--no-flip", help="Also swaps left and right, which is wrong for most anatomy."
)
@click.option(
    "--capacity",
    default="full",
    show_default=True,
    callback=setup.parse_capacity,
    help=f"Width of the networks: {', '.join(CAPACITIES)}, or a number (1 is the paper's).",
)
@click.option("--latent-dim", type=int, default=512, show_default=True, help="Size of z and w.")
@click.option(
    "--loss",
    type=click.Choice(LOSS_NAMES),
    default="wgan-gp",
    callback=setup.use_defaults,
    is_eager=True,
    help="Loss function  [default: wgan-gp; dcgan: logistic; stylegan2: r1; critics on "
    "features: r3gan].",
)
@click.option(
    "--n-critic", type=int, default=1, show_default=True, help="Critic steps per generator step."
)
@click.option(
    "--gp-weight",
    type=click.FloatRange(0),
    default=10.0,
    help="Weight of the gradient penalty; gamma of r1 and r3gan  [default: 10; stylegan2, r3gan: "
    "by size and batch; critics on features: 1].",
)
@click.option(
    "--penalty-every",
    type=int,
    default=1,
    show_default=True,
    help="Steps per gradient penalty (lazy above 1).",
)
@click.option(
    "--clip",
    type=float,
    default=0.01,
    show_default=True,
    help="Limit of the weights for wgan-clip.",
)
@click.option(
    "--precision",
    type=click.Choice(("auto", *PRECISIONS)),
    default=None,
    help="Precision of the networks; auto is bf16 where the hardware supports it "
    " [default: auto on a GPU, else fp32].",
)
@click.option(
    "--drift", type=float, default=1e-3, show_default=True, help="Weight of the drift term."
)
@click.option(
    "--ema-kimg",
    type=float,
    default=10.0,
    show_default=True,
    help="Half-life of the generator's running mean (EMA), in thousand images; 0 turns it off.",
)
@click.option(
    "--condition",
    "condition_names",
    multiple=True,
    help="Label to train with: class, age, position, side, ... (may be repeated; NAME:class).",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    default=None,
    help="Table (.tsv, .csv) of labels, joined by its column subject or source.",
)
@click.option(
    "--missing",
    type=click.Choice(MISSING),
    default="unknown",
    show_default=True,
    help="Slices that lack a label: train them as unknown, or skip them.",
)
@architecture
@options.seed
@click.option(
    "--ckpt",
    type=click.Path(path_type=Path),
    default=None,
    help="Start from this checkpoint or run folder if --out has no checkpoint yet.",
)
@click.option(
    "--transfer",
    is_flag=True,
    help="Take the weights that fit from --ckpt; continue where data, networks and levels match.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=120,
    show_default=True,
    help="Seconds to wait for a process of torchrun that does not answer.",
)
@click.option(
    "--freeze-critic",
    type=click.IntRange(0, 8),
    default=0,
    show_default=True,
    help="Number of the critic's largest levels to keep as in --ckpt; for small data sets.",
)
@options.device
@click.option(
    "--threads", type=click.IntRange(1), default=None, help="CPU threads  [default: all]."
)
@click.option(
    "--ahead",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Batches to read ahead; 0 reads none.",
)
@click.option(
    "--snap",
    "snap_kimg",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="kimg between checkpoints  [default: about 25 in a run].",
)
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Newest checkpoints to keep, besides the best and the last of each level.",
)
@click.option(
    "--eval-every",
    "eval_kimg",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="kimg between evaluations, written to evaluation.jsonl  [default: none].",
)
@click.option("--tensorboard", is_flag=True, help="Write curves and samples for TensorBoard too.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print settings, schedule, estimates and the state of --out; train nothing.",
)
@options.quiet
def command(
    store: Path,
    out: Path | None,
    max_size: int | None,
    schedule_file: Path | None,
    condition_names: tuple[str, ...],
    labels: Path | None,
    ckpt: Path | None,
    transfer: bool,
    timeout: float,
    device: str,
    precision: str | None,
    threads: int | None,
    ahead: int,
    snap_kimg: float | None,
    keep: int,
    minutes: float | None,
    eval_kimg: float | None,
    tensorboard: bool,
    dry_run: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Train a generator (a progressive StyleGAN, or --arch) on the training split of a STORE.

    The run folder gets checkpoints, sample grids, metrics.jsonl and loss.png. Run the same
    command again to continue an interrupted run, or with a larger --kimg to train longer.
    """
    from mri_gan.library.training import build_config
    from mri_gan.store.reader import StoreReader

    require(not transfer or ckpt is not None, "--transfer takes weights from --ckpt", "give both")
    frozen = choices["freeze_critic"] > 0
    require(not frozen or transfer, "--freeze-critic needs --transfer", "give both")
    choices["precision"] = setup.pick_precision(precision, device)
    if schedule_file is not None:
        choices |= setup.use_schedule(schedule_file)
        max_size = choices.pop("max_size")
    if transfer and ckpt is not None:
        choices |= setup.take_shape(ckpt, choices["arch"])
    with StoreReader(store) as opened:
        choices["max_size"] = max_size or choices.get("max_size") or opened.max_native
        config = build_config(opened, condition_names, labels, choices)
    if threads:
        setup.use_threads(threads)
    if dry_run:
        setup.print_plan(config, device, keep, quiet, out)
        return
    from mri_gan.cli.training.launcher import join_torchrun
    from mri_gan.files import make_folder
    from mri_gan.train.run_folder import RunOptions

    run_options = RunOptions(device, ahead, snap_kimg, keep, transfer, labels, minutes)
    out = out or Path(f"{store}-run")
    make_folder(out)
    world = join_torchrun(timeout)
    _run(store, out, config, run_options, world, ckpt, eval_kimg, tensorboard, quiet)


FILE_NAME = re.compile(r"[/\\]|\.[A-Za-z]\w*$")  # a folder, or an ending that is no number


def command_line(words: Sequence[str], names: dict[Path | None, str]) -> tuple[str, ...]:
    """The words of a call for `config.json`, paths as what they are: folders can name people."""
    called = {str(path): name for path, name in names.items() if path is not None}

    def hide(word: str) -> str:
        head, _, tail = word.rpartition("=") if word.startswith("--") else ("", "", word)
        shown = called.get(tail, "FILE" if FILE_NAME.search(tail) else tail)
        return f"{head}={shown}" if head else shown

    return ("mrigan", *map(hide, words))


def _run(
    store: Path,
    out: Path,
    config: TrainConfig,
    run_options: RunOptions,
    world: World,
    ckpt: Path | None,
    eval_kimg: float | None,
    tensorboard: bool,
    quiet: bool,
) -> None:
    from mri_gan.cli.training.progress import open_live
    from mri_gan.files import FolderLock, stop_on_signal
    from mri_gan.train.loop import train
    from mri_gan.train.parallel import leave
    from mri_gan.train.run_folder import Run

    quiet = quiet or not world.is_first
    lock = FolderLock(out) if world.is_first else contextlib.nullcontext()
    try:
        with lock, stop_on_signal() as stop, contextlib.ExitStack() as stack:
            watch = setup.open_board(stack, out) if tensorboard and world.is_first else {}
            line = stack.enter_context(open_live(quiet, f"mrigan train {out}"))
            if world.size > 1:
                stop.watch_parent()
            told: dict[str, Any] = {"on_step": line.show, "on_note": line.note, **watch}
            named = {store: "STORE", out: "RUN", ckpt: "CKPT", run_options.labels: "LABELS"}
            told["command"] = command_line(sys.argv[1:], named)
            told["on_warning"] = line.warn if world.is_first else line.note

            def begin() -> None:
                write_given(out / GIVEN_FILE)
                setup.announce(config, out, run_options, line)

            told["on_begin"] = begin
            if eval_kimg is not None and world.is_first:
                see = setup.open_watch(out, store, eval_kimg, run_options.device, line.note)
                told["on_snapshot"] = setup.in_turn(see, watch.get("on_snapshot"))
            if isinstance(lock, FolderLock):
                told["before_save"] = lock.check
            run = Run(store, out, config, run_options, world, stop, **told)
            last = train(run, ckpt)
    finally:
        leave(world)
        if world.is_first:
            setup.repeat_problems(out)
    if not quiet:
        click.echo(f"\n{last}\nLook at {out / 'samples'} and {out / 'loss.png'}; then: ", nl=False)
        click.echo(f"mrigan test {out} --size {config.max_size}")
