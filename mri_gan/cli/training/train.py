"""`mrigan train`: store in, run folder out."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.options import Configurable, Number, command_line, given_names, write_given
from mri_gan.config import (
    ARCHS,
    AUGMENTS,
    CAPACITIES,
    CRITICS,
    LENGTHS,
    LOSS_NAMES,
    MISSING,
    PRECISIONS,
    PRESETS,
    TrainConfig,
    require,
    starting_settings,
)

if TYPE_CHECKING:
    from mri_gan.checkpoint import Start
    from mri_gan.cli.training.progress import LiveLines
    from mri_gan.store.reader import StoreReader
    from mri_gan.train.parallel import World
    from mri_gan.train.run_folder import RunOptions


FILES = {"store": "STORE", "out": "RUN", "ckpt": "CKPT", "labels": "LABELS"}  # what stands for them

EPILOG = """\b
Examples:
  mrigan train OASIS_PRE --sched --mixing --out RUN
  mrigan train OASIS_PRE --preset laptop --out RUN
  mrigan train OASIS_PRE --arch stylegan2 --augment ada --out RUN
  mrigan train OASIS_PRE --sched --mixing --out RUN     # again: continues where it stopped
"""


setting = options.of_config(TrainConfig)


def parse_capacity(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """A name from CAPACITIES, a number or a fraction."""
    try:
        return CAPACITIES.get(value) or options.read_number(value)
    except ValueError:
        names = ", ".join(CAPACITIES)
        raise click.BadParameter(f"give one of {names}, or a number such as 1/64") from None


@click.command("train", epilog=EPILOG, cls=Configurable)
@click.argument("store", type=options.PATH)
@options.path("--out", "Run folder  [default: STORE-run].")
@options.setting(
    "--preset",
    click.Choice(list(PRESETS)),
    None,
    "Settings for a laptop, one GPU, or as in the paper; other options override it, and any "
    "length, --minutes too, replaces the laptop's 25 kimg.",
)
@setting(
    "--arch",
    "Architecture, see docs/models.md; it sets the defaults of its paper.",
    click.Choice(ARCHS),
)
@setting("--init-size", "First level in px.")
@options.setting("--max-size", int, None, "Last level in px  [default: the store's native].")
@setting("--phase", "Images that fade a level in; it stays for as many.")
@setting("--kimg", "Thousand images in all  [default: by --phase].", options.ABOVE_0)
@options.setting(
    "--minutes",
    options.ABOVE_0,
    None,
    "Minutes after which to save and end, in place of a preset's kimg; the same command continues "
    " [default: no limit].",
)
@click.option(
    "--judge/--no-judge",
    default=True,
    show_default=True,
    help="Evaluate and audit a run of --minutes at its end; takes a few minutes more.",
)
@setting("--batch", "Images per step  [default: 16, or by --sched].", click.IntRange(1, 4096))
@setting(
    "--lr",
    "Learning rate  [default: 1e-3, or by --sched].",
    Number(0, 1, min_open=True, max_open=True),
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
    help="fastgan: show its critic wavelet bands, which amplify fine detail  [default: on].",
)
@click.option(
    "--flip/--no-flip",
    help="Mirror training slices at random, which swaps left and right: wrong for most anatomy.",
)
@options.setting(
    "--capacity",
    str,
    "full",
    f"Width of the networks: {', '.join(CAPACITIES)}, or a number (1 is the paper's).",
    callback=parse_capacity,
)
@setting("--latent-dim", "Size of z and w.")
@setting(
    "--loss",
    "Loss function  [default: wgan-gp; dcgan: logistic; stylegan2: r1; critics on "
    "features: r3gan].",
    click.Choice(LOSS_NAMES),
)
@setting("--n-critic", "Critic steps per generator step.")
@setting(
    "--gp-weight",
    "Weight of the gradient penalty; gamma of r1 and r3gan  [default: 10; stylegan2, r3gan: "
    "by size and batch; critics on features: 2.5].",
    Number(0),
)
@setting("--penalty-every", "Steps per gradient penalty (lazy above 1).")
@setting("--clip", "Limit of the weights for wgan-clip.")
@options.setting(
    "--precision",
    click.Choice(("auto", *PRECISIONS)),
    None,
    "Precision of the networks; auto is bf16 where the hardware supports it "
    " [default: auto on a GPU, else fp32].",
)
@setting("--drift", "Weight of the drift term, which keeps scores near 0 (wgan-gp).")
@setting(
    "--ema-kimg",
    "Half-life of the generator's running mean (EMA), in thousand images; 0 turns it off.",
)
@options.setting(
    "--condition",
    str,
    None,
    "Label to train with, such as class, age or position; may be repeated. NAME:class for codes.",
    name="condition_names",
    multiple=True,
)
@options.path("--labels", "Table (.tsv, .csv) of labels, joined by its column subject or source.")
@setting(
    "--missing",
    "Slices that lack a label: train them as unknown, or skip them.",
    click.Choice(MISSING),
)
@setting(
    "--critic",
    "The architecture's critic, critics on frozen ImageNet features, or both  "
    "[default: own; fastgan: both].",
    click.Choice(CRITICS),
)
@click.option(
    "--share-fakes/--no-share-fakes",
    help="Train both networks on one batch of fakes, which is faster  [default: on with features].",
)
@setting("--mapping-depth", "Layers from z to w.")
@setting("--channel-base", "stylegan2: width times resolution, up to 512 wide  [default: 32768].")
@setting(
    "--path-weight", "Weight of the path length penalty  [default: stylegan2: 2, others none]."
)
@setting("--path-every", "Generator steps per path length penalty.")
@setting(
    "--augment",
    "Augment what the critic sees: with fixed or adaptive probability.",
    click.Choice(AUGMENTS),
)
@setting("--augment-p", "Probability of each augmentation; ada starts from it.")
@setting(
    "--augment-kinds",
    "Kinds of augmentation; also possible: tone, filter, noise, cutout. Only --flip mirrors.",
)
@setting("--ada-target", "Mean sign of real scores above which ada augments more.")
@setting("--ada-kimg", "Thousand images that ada needs, at least, to go from 0 to 1.")
@options.seed
@options.path("--ckpt", "Start from this checkpoint or run folder if --out has no checkpoint yet.")
@click.option(
    "--transfer",
    is_flag=True,
    help="Take the weights that fit from --ckpt; continue where data, networks and levels match.",
)
@options.setting(
    "--timeout",
    Number(1),
    120,
    "Seconds to wait for a process of torchrun that does not answer.",
)
@setting(
    "--freeze-critic",
    "Number of the critic's largest levels to keep as in --ckpt; for small data sets.",
    click.IntRange(0, 8),
)
@options.device
@options.setting("--threads", click.IntRange(1), None, "CPU threads  [default: all].")
@options.setting("--ahead", click.IntRange(0), 4, "Batches to read ahead; 0 reads none.")
@options.setting(
    "--snap",
    options.ABOVE_0,
    None,
    "kimg between checkpoints  [default: about 25 per run].",
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
@options.as_json
@options.quiet
def command(
    store: Path,
    out: Path | None,
    ckpt: Path | None,
    timeout: float,
    threads: int | None,
    judge: bool,
    eval_kimg: float | None,
    tensorboard: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Train a generator (a progressive StyleGAN, or --arch) on the training split of a STORE.

    The run folder gets checkpoints, sample grids, metrics.jsonl and loss.png. Run the same
    command again to continue an interrupted run, or with a larger --kimg to train longer.
    """
    import torch

    from mri_gan.checkpoint import Start
    from mri_gan.cli.judge.after_training import count_for_judging
    from mri_gan.files import make_folder
    from mri_gan.store.reader import StoreReader
    from mri_gan.train.data import describe_labels, load_training_data
    from mri_gan.train.loop import require_start
    from mri_gan.train.parallel import join_torchrun

    start = Start(ckpt) if ckpt else None
    run_options = take_run_options(choices)
    with StoreReader(store) as opened:
        config = take_config(opened, start, run_options, choices)
        judged = judge and run_options.minutes is not None
        counts = count_for_judging(opened) if judged else None
    if threads:
        torch.set_num_threads(threads)
    if dry_run:
        from mri_gan.cli.training.progress import print_plan

        data = load_training_data(store, config, run_options.labels)
        said = (*foretell(config, counts), *describe_labels(config, data), *data.doubts)
        print_plan(config, run_options, out, quiet, said)
        return
    out = out or Path(f"{store}-run")
    require_start(out, start)
    make_folder(out)
    world = join_torchrun(os.environ, timeout, end_process)
    call = Call(store, out, start, run_options, eval_kimg, tensorboard, counts, quiet)
    checkpoint = train_store(call, config, world)
    if world.is_first:
        print_results(call, config, checkpoint, as_json)


@dataclass(frozen=True)
class Call:
    """What one call of the command was given, besides the configuration."""

    store: Path
    out: Path
    start: Start | None
    options: RunOptions
    eval_kimg: float | None
    tensorboard: bool
    counts: tuple[int, int] | None  # of slices trained on and held out; None: judge nothing
    quiet: bool


def take_run_options(choices: dict[str, Any]) -> RunOptions:
    """How the run is carried out, taken out of the options; the others decide the weights."""
    from mri_gan.train.run_folder import RunOptions

    names = ("device", "ahead", "snap_kimg", "keep", "transfer", "labels", "minutes")
    return RunOptions(**{name: choices.pop(name) for name in names})


def take_config(
    store: StoreReader, start: Start | None, run_options: RunOptions, choices: dict[str, Any]
) -> TrainConfig:
    """The configuration that the options give together with the store and --ckpt."""
    from mri_gan.library.training import resolve_settings

    preset, names = choices.pop("preset"), choices.pop("condition_names")
    given = {name: value for name, value in choices.items() if name in given_names()}
    if "schedule_file" in given:
        given["schedule"] = given.pop("schedule_file")
    transfer = run_options.transfer
    require(not transfer or start is not None, "--transfer takes weights from --ckpt", "give both")
    frozen = given.get("freeze_critic", 0) > 0
    require(not frozen or transfer, "--freeze-critic needs --transfer", "give both")
    return resolve_settings(store, preset, names, given, run_options, start)


def train_store(call: Call, config: TrainConfig, world: World) -> Path:
    """Train in the run folder, whose lock is held; the last checkpoint."""
    from mri_gan.cli.training.progress import open_live, repeat_problems
    from mri_gan.files import FolderLock, stop_on_signal
    from mri_gan.train.loop import train
    from mri_gan.train.parallel import leave
    from mri_gan.train.run_folder import Run

    out, quiet = call.out, call.quiet or not world.is_first
    lock = FolderLock(out) if world.is_first else None
    try:
        with (
            lock or contextlib.nullcontext(),
            stop_on_signal() as stop,
            contextlib.ExitStack() as stack,
        ):
            view = stack.enter_context(open_live(quiet, f"mrigan train {out}"))
            if world.size > 1:
                stop.watch_parent()
            callbacks: dict[str, Any] = {}
            if lock is not None:
                callbacks = {"before_save": lock.check, **watch(call, view, stack)}
            run = Run(
                call.store,
                out,
                config,
                call.options,
                world,
                stop,
                on_step=view.show,
                on_note=view.note,
                on_warning=view.warn if world.is_first else view.note,
                on_begin=lambda: begin(call, config, view),
                given=options.given_names(),
                command=command_line(FILES),
                **callbacks,
            )
            return train(run, call.start)
    finally:
        leave(world)
        if world.is_first:
            repeat_problems(out)


def begin(call: Call, config: TrainConfig, view: LiveLines) -> None:
    """Keep the options in the run folder, and print what the run takes."""
    from mri_gan.cli.training.progress import announce
    from mri_gan.library.training import GIVEN_FILE

    write_given(call.out / GIVEN_FILE)
    announce(config, call.out, call.options, view)
    for text in foretell(config, call.counts):
        view.note(text)


def foretell(config: TrainConfig, counts: tuple[int, int] | None) -> Iterator[str]:
    """What a run of --minutes is told of its length, and of what follows."""
    if length := explain_length(config):
        yield length
    if counts:
        from mri_gan.cli.judge.after_training import announce_judging

        yield announce_judging(*counts)


def explain_length(config: TrainConfig) -> str:
    """Why a run of --minutes is longer than its preset says; empty where it is not."""
    from mri_gan.schedule import total_images

    given, chosen = given_names(), click.get_current_context().params
    words = (chosen[name] if name in given else None for name in ("arch", "loss", "critic"))
    own = starting_settings(chosen["preset"], *words).get("kimg")
    if own is None or set(given).intersection(LENGTHS) != {"minutes"}:
        return ""
    return (
        f"--minutes replaces the {own:g} kimg of --preset {chosen['preset']}: the run goes on "
        f"until the time is up, or to {total_images(config) / 1000:g} kimg"
    )


def watch(call: Call, view: LiveLines, stack: contextlib.ExitStack) -> dict[str, Any]:
    """The callbacks of TensorBoard and of --eval-every."""
    from mri_gan.cli.training.progress import open_board, open_watch

    callbacks = open_board(stack, call.out) if call.tensorboard else {}
    if call.eval_kimg is None:
        return callbacks
    evaluate = open_watch(call.out, call.store, call.eval_kimg, call.options.device, view.note)
    both = [evaluate, *([callbacks["on_snapshot"]] if call.tensorboard else [])]
    return callbacks | {"on_snapshot": lambda path: [notify(path) for notify in both]}


def print_results(call: Call, config: TrainConfig, checkpoint: Path, as_json: bool) -> None:
    """Print what a run gave, after evaluating and auditing one of --minutes."""
    from mri_gan.checkpoint import checkpoint_nimg
    from mri_gan.library.training import TrainedRun

    out, silent = call.out, call.quiet or as_json
    judged = bool(call.counts and call.counts[1])
    if not silent:
        click.echo(f"\n{checkpoint}\nLook at {out / 'samples'} and {out / 'loss.png'}")
    said = judge(call) if judged else []
    if as_json:
        facts = TrainedRun(out, checkpoint, checkpoint_nimg(checkpoint), config).to_dict()
        options.print_json(facts | ({"verdicts": said} if judged else {}))
    elif not silent:
        report = f"mrigan report {shlex.quote(str(out))}, " if judged else ""
        click.echo("\n".join([*said, f"Then: {report}mrigan test {shlex.quote(str(out))}"]))


def judge(call: Call) -> list[str]:
    """Evaluate and audit a run of --minutes; what came out, line by line."""
    from mri_gan.cli.judge.after_training import judge_run
    from mri_gan.cli.training.progress import echo

    assert call.counts is not None
    tell = (lambda _: None) if call.quiet else echo
    return judge_run(call.out, call.store, call.options.device, call.counts, echo, tell)


def end_process(message: str) -> None:
    """End this process at once, from any thread."""
    print(f"mrigan: {message}", file=sys.stderr, flush=True)
    os._exit(1)
