"""`mrigan`: the group of commands, loaded one at a time so that help comes at once."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mri_gan import __version__
from mri_gan.cli.environment import name_variables, refuse_unknown
from mri_gan.cli.origin import CALL, CallContext, say_mistake, say_usage
from mri_gan.errors import MriganError, explain_missing, printable
from mri_gan.files import explain_os_error
from mri_gan.values import find_near, suggest

# Name -> (module, one line of help). Listing them here keeps `mrigan --help` from importing any.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "prepare": ("mri_gan.cli.data.prepare", "Turn scans into a multi-resolution store."),
    "inspect": ("mri_gan.cli.data.inspect", "Show what is in scans before preparing them."),
    "info": ("mri_gan.cli.data.info", "Show what a store holds."),
    "check": ("mri_gan.cli.data.check", "Verify that a store is intact."),
    "merge": ("mri_gan.cli.data.merge", "Join stores into one."),
    "export": ("mri_gan.cli.data.export", "Write a store as PNG, NIfTI or another tool's data."),
    "train": ("mri_gan.cli.training.train", "Train a generator on a store."),
    "test": ("mri_gan.cli.use.test", "Draw image grids from a checkpoint."),
    "import": ("mri_gan.cli.training.import_", "Import weights that other programs trained."),
    "generate": ("mri_gan.cli.use.generate", "Draw images by seed, as files."),
    "explore": ("mri_gan.cli.use.explore", "Serve a page to try a generator out."),
    "walk": ("mri_gan.cli.use.walk", "Draw an animation from seed to seed."),
    "project": ("mri_gan.cli.use.project", "Find the style that draws a given image."),
    "export-model": ("mri_gan.cli.use.export_model", "Write a generator for other programs."),
    "directions": ("mri_gan.cli.use.directions", "Find the directions in which images vary most."),
    "evaluate": (
        "mri_gan.cli.judge.evaluate",
        "Measure how close synthetic slices are to real ones.",
    ),
    "audit": ("mri_gan.cli.judge.audit", "Check whether synthetic slices copy real people."),
    "utility": (
        "mri_gan.cli.judge.utility",
        "Train a network on synthetic slices, test it on real ones.",
    ),
    "report": ("mri_gan.cli.judge.report", "Write a page about a run."),
    "compare": ("mri_gan.cli.judge.compare", "Write a page about several runs."),
}

EPILOG = """\b
Example, from scans to synthetic slices:
  mrigan prepare oasis.zip --out OASIS_PRE
  mrigan train OASIS_PRE --preset laptop --out RUN
  mrigan test RUN --size 64
"""


# What other programs count training in; here images are counted.
EPOCHS = {"--epoch", "--epochs", "--n-epochs", "--iters", "--iterations", "--steps", "--max-steps"}
COUNTED_IN_IMAGES = (
    "progress is counted in images, not epochs: give --kimg, thousands of images in all "
    "(epochs times training slices, by 1000)."
)


# How click says that something is no number, and what is said instead
NUMBERS = {"float": "a number", "integer": "a whole number"}
NUMBER = re.compile(r"is not a valid (float|integer)( range)?")


class LazyGroup(click.Group):
    """Imports a command's module when it is used, and turns our errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command; it is called `command` there."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        command.context_class = CallContext
        name_variables(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; a mistyped one is answered with the nearest."""
        name = args[0]
        if name.startswith("-") or name in COMMANDS:
            found = super().resolve_command(ctx, args)
            if found[1] and not (ctx.resilient_parsing or set(args) & set(ctx.help_option_names)):
                refuse_unknown(found[1], COMMANDS)
            return found
        hint = suggest(name, COMMANDS).replace("did", " Did", 1)
        raise click.UsageError(f"No such command {name!r}.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line; a mistake in it is one line, too."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            _say(_explain_usage(error))
            raise click.exceptions.Exit(2) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a user can fix is one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except MriganError as error:
            _say(say_mistake(error, ctx.meta.get(CALL)))
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            _say(_explain_usage(error))
            ctx.exit(2)
        except ModuleNotFoundError as error:
            missing = explain_missing(error)
            if missing is None:
                raise
            _say(str(missing))
            ctx.exit(missing.exit_code)
        except BrokenPipeError:
            raise
        except OSError as error:
            _say(str(explain_os_error(error, Path(error.filename or "disk"))))
            ctx.exit(1)
        except RuntimeError as error:
            if not str(error).startswith("Symlink loop"):  # what Path.resolve raises before 3.13
                raise
            _say(f"{error}: give the file or folder itself")
            ctx.exit(1)
        except MemoryError:
            _say("out of memory; use smaller settings or a machine with more memory")
            ctx.exit(1)


def _explain_usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "mrigan"
    said = NUMBER.sub(lambda m: f"is not {NUMBERS[m[1]]}", say_usage(error))
    if isinstance(error, click.NoSuchOption):
        said = _explain_option(error)
    return f"{_sentence(said)} See: {command} --help"


def _explain_option(error: click.NoSuchOption) -> str:
    """What to type in place of an option that there is not; click compares the dashes, too."""
    name = error.option_name
    if name in EPOCHS:
        return f"{name}: {COUNTED_IN_IMAGES}"
    params = error.ctx.command.get_params(error.ctx) if error.ctx else []
    flags = [flag for param in params for flag in (*param.opts, *param.secondary_opts)]
    long = [flag[2:] for flag in flags if flag.startswith("--")]
    near = find_near(name.removeprefix("--"), long)
    return f"No such option {name!r}." + (f" Did you mean '--{near}'?" if near else "")


def _sentence(text: str) -> str:
    """One line with a full stop, which not all of click's messages are."""
    line = " ".join(text.split())
    return line if line.endswith((".", "?", "?)")) else f"{line}."


def _say(text: str) -> None:
    click.echo(f"mrigan: {printable(text)}", err=True)


@click.command(
    cls=LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,  # by itself it shows its help
    context_settings={
        "help_option_names": ["-h", "--help"],
        # The field's older scripts spell options with underscores: --init_size.
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 100,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="mrigan")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Synthetic MRI: prepare scans, train a generative model on them, and sample slices."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
