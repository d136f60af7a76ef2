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
from mri_gan.cli.options import Configurable, write_given
from mri_gan.cli.training import train_setup as setup
from mri_gan.config import (
    ARCHS,
    AUGMENTS,
    CAPACITIES,
    CRITICS,
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
@options.path("--out", "Run folder  [default: STORE-run].")
@options.setting(
    "--preset",
    click.Choice(list(PRESETS)),
    None,
    "Settings for a laptop, one GPU, or as in the paper; other options override it.",
    callback=setup.use_defaults,
    is_eager=True,
    expose_value=False,
)
@options.setting(
    "--arch",
    click.Choice(ARCHS),
    "stylegan",
    "Architecture, see docs/models.md; it sets the defaults of its paper.",
    callback=setup.use_defaults,
    is_eager=True,
)
@options.setting("--init-size", int, 8, "First level in px.")
@options.setting("--max-size", int, None, "Last level in px  [default: the store's native].")
@options.setting(
    "--phase",
    int,
    600_000,
    "Images over which a level fades in; it then stays for as many.",
)
@options.setting("--kimg", options.ABOVE_0, None, "Thousand images in all  [default: by --phase].")
@options.setting(
    "--minutes",
    options.ABOVE_0,
    None,
    "Minutes after which to save and end; the same command continues  [default: no limit].",
)
@click.option(
    "--judge/--no-judge",
    default=True,
    show_default=True,
    help="Evaluate and audit a run of --minutes at its end; takes a few minutes more.",
)
@options.setting(
    "--batch", click.IntRange(1, 4096), None, "Images per step  [default: 16, or by --sched]."
)
@options.setting(
    "--lr",
    click.FloatRange(0, 1, min_open=True, max_open=True),
    None,
    "Learning rate  [default: 1e-3, or by --sched].",
)
@options.path(
    "--schedule",
    "Table (.tsv) or .json of levels: size, fade, stay, batch, lr; see docs/training.md.",
    name="schedule_file",
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
@options.setting(
    "--capacity",
    str,
    "full",
    f"Width of the networks: {', '.join(CAPACITIES)}, or a number (1 is the paper's).",
    callback=setup.parse_capacity,
)
@options.setting("--latent-dim", int, 512, "Size of z and w.")
@options.setting(
    "--loss",
    click.Choice(LOSS_NAMES),
    "wgan-gp",
    "Loss function  [default: wgan-gp; dcgan: logistic; stylegan2: r1; critics on "
    "features: r3gan].",
    show_default=False,
    callback=setup.use_defaults,
    is_eager=True,
)
@options.setting("--n-critic", int, 1, "Critic steps per generator step.")
@options.setting(
    "--gp-weight",
    click.FloatRange(0),
    10.0,
    "Weight of the gradient penalty; gamma of r1 and r3gan  [default: 10; stylegan2, r3gan: "
    "by size and batch; critics on features: 1].",
    show_default=False,
)
@options.setting("--penalty-every", int, 1, "Steps per gradient penalty (lazy above 1).")
@options.setting("--clip", float, 0.01, "Limit of the weights for wgan-clip.")
@options.setting(
    "--precision",
    click.Choice(("auto", *PRECISIONS)),
    None,
    "Precision of the networks; auto is bf16 where the hardware supports it "
    " [default: auto on a GPU, else fp32].",
)
@options.setting("--drift", float, 1e-3, "Weight of the drift term.")
@options.setting(
    "--ema-kimg",
    float,
    10.0,
    "Half-life of the generator's running mean (EMA), in thousand images; 0 turns it off.",
)
@options.setting(
    "--condition",
    str,
    None,
    "Label to train with: class, age, position, side, ... (may be repeated; NAME:class).",
    name="condition_names",
    multiple=True,
)
@options.path("--labels", "Table (.tsv, .csv) of labels, joined by its column subject or source.")
@options.setting(
    "--missing",
    click.Choice(MISSING),
    "unknown",
    "Slices that lack a label: train them as unknown, or skip them.",
)
@options.setting(
    "--critic",
    click.Choice(CRITICS),
    "own",
    "The architecture's critic, critics on frozen ImageNet features, or both  "
    "[default: own; fastgan: both].",
    show_default=False,
    callback=setup.use_defaults,
    is_eager=True,
)
@click.option(
    "--share-fakes",
    is_flag=True,
    help="Train both networks on one batch of fakes, which is faster  [default with features].",
)
@options.setting("--mapping-depth", int, 8, "Layers from z to w.")
@options.setting(
    "--channel-base",
    int,
    0,
    "stylegan2: width times resolution, up to 512 wide  [default: 32768].",
    show_default=False,
)
@options.setting(
    "--path-weight",
    float,
    0.0,
    "Weight of the path length penalty  [default: stylegan2: 2, others none].",
    show_default=False,
)
@options.setting("--path-every", int, 4, "Generator steps per path length penalty.")
@options.setting(
    "--augment",
    click.Choice(AUGMENTS),
    "none",
    "Augment what the critic sees: with fixed or adaptive probability.",
)
@options.setting("--augment-p", float, 0.0, "Probability of each augmentation; ada starts from it.")
@options.setting(
    "--augment-kinds",
    str,
    "blit,geometry,colour",
    "More kinds: tone, filter, noise, cutout. Left and right are kept without --flip.",
)
@options.setting(
    "--ada-target", float, 0.6, "Mean sign of real scores above which ada augments more."
)
@options.setting(
    "--ada-kimg", float, 500.0, "Fewest thousand images in which ada goes from 0 to 1."
)
@options.seed
@options.path("--ckpt", "Start from this checkpoint or run folder if --out has no checkpoint yet.")
@click.option(
    "--transfer",
    is_flag=True,
    help="Take the weights that fit from --ckpt; continue where data, networks and levels match.",
)
@options.setting(
    "--timeout",
    click.FloatRange(1),
    120,
    "Seconds to wait for a process of torchrun that does not answer.",
)
@options.setting(
    "--freeze-critic",
    click.IntRange(0, 8),
    0,
    "Number of the critic's largest levels to keep as in --ckpt; for small data sets.",
)
@options.device
@options.setting("--threads", click.IntRange(1), None, "CPU threads  [default: all].")
@options.setting("--ahead", click.IntRange(0), 4, "Batches to read ahead; 0 reads none.")
@options.setting(
    "--snap",
    options.ABOVE_0,
    None,
    "kimg between checkpoints  [default: about 25 in a run].",
    name="snap_kimg",
)
@options.setting(
    "--keep",
    click.IntRange(1),
    3,
    "Newest checkpoints to keep, besides the best and the last of each level.",
)
@options.setting(
    "--eval-every",
    options.ABOVE_0,
    None,
    "kimg between evaluations, written to evaluation.jsonl  [default: none].",
    name="eval_kimg",
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
    judge: bool,
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
    import torch

    from mri_gan.nets.build import pick_precision
    from mri_gan.store.reader import StoreReader
    from mri_gan.train.data import build_config

    require(not transfer or ckpt is not None, "--transfer takes weights from --ckpt", "give both")
    frozen = choices["freeze_critic"] > 0
    require(not frozen or transfer, "--freeze-critic needs --transfer", "give both")
    choices["precision"] = pick_precision(precision, device)
    if schedule_file is not None:
        choices |= setup.use_schedule(schedule_file)
        max_size = choices.pop("max_size")
    if transfer and ckpt is not None:
        choices |= setup.take_shape(ckpt, choices["arch"])
    with StoreReader(store) as opened:
        choices["max_size"] = max_size or choices.get("max_size") or opened.max_native
        config = build_config(opened, condition_names, labels, choices)
    if threads:
        torch.set_num_threads(threads)
    if dry_run:
        setup.print_plan(config, device, keep, quiet, out)
        return
    from mri_gan.files import make_folder
    from mri_gan.train.run_folder import RunOptions

    run_options = RunOptions(device, ahead, snap_kimg, keep, transfer, labels, minutes)
    out = out or Path(f"{store}-run")
    make_folder(out)
    world = setup.join_torchrun(timeout)
    judge = judge and minutes is not None
    _run(store, out, config, run_options, world, ckpt, eval_kimg, tensorboard, judge, quiet)
    if judge and world.is_first:
        from mri_gan.cli.judge.after_training import judge_run
        from mri_gan.cli.training.progress import echo

        for text in judge_run(out, store, device, echo):
            if not quiet:
                click.echo(text)


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
    judge: bool,
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
                if judge:
                    from mri_gan.cli.judge.after_training import announce_judging

                    line.note(announce_judging(store))

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
