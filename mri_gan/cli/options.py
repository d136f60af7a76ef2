"""What several commands share: options, `--config run.toml`, and small printing helpers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.errors import UsageError
from mri_gan.values import as_path, find_near

if TYPE_CHECKING:
    from rich.console import Console


class UserPath(click.Path):
    """A file or folder; `~` is the home folder also where no shell has replaced it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; a mistake in it is a usage error."""
        return super().convert(as_path(value), param, ctx)


PATH = UserPath()
Decorator = Callable[[Any], Any]


def read_number(text: str) -> float:
    """A number or, as shares are written, a fraction such as 1/64; ValueError for anything else."""
    above, slash, below = text.partition("/")
    return float(above) / (float(below) or math.nan) if slash else float(text)


class AnyNumber(click.types.FloatParamType):
    """A number or fraction."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a mistake in it is a usage error."""
        with contextlib.suppress(TypeError, ValueError):  # of which click says what it is
            value = read_number(str(value))
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number in a range; neither infinite nor NaN, which click lets through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; reported as a usage error where it is none."""
        number = super().convert(AnyNumber().convert(value, param, ctx), param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


ABOVE_0 = Number(0, min_open=True)


def setting(
    flag: str,
    kind: Any,
    default: Any,
    help_text: str,
    *,
    name: str | None = None,
    **more: Any,
) -> Decorator:
    """An option that takes a value: help shows its default, unless the text names another."""
    names = (flag,) if name is None else (flag, name)
    kind = AnyNumber() if kind is float else kind
    # click takes a default of None for an answer, also where an option is required.
    if not (more.get("multiple") or more.get("required")):
        more["default"] = default
    shown = default not in (None, "") and "[default: " not in help_text
    return click.option(*names, type=kind, help=help_text, show_default=shown, **more)


def of_config(config: type[Any]) -> Callable[..., Decorator]:
    """`setting` for the fields of a configuration, which has their types and defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}

    def add(flag: str, help_text: str, kind: Any = None, **more: Any) -> Decorator:
        default = defaults[more.get("name") or flag.lstrip("-").replace("-", "_")]
        many = more.get("multiple", False)  # its default is a tuple, which one value is not
        return setting(flag, kind or (str if many else type(default)), default, help_text, **more)

    return add


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order of the help text."""

    def add(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add


def path(flag: str, help_text: str, **more: Any) -> Decorator:
    """An option that names a file or folder."""
    return setting(flag, PATH, None, help_text, **more)


def gathered(name: str, kind: type[Any], *decorators: Decorator) -> Decorator:
    """Options of which those that are fields of `kind` arrive as one object, called `name`."""
    names = [field.name for field in dataclasses.fields(kind)]

    def add(command: Any) -> Any:
        @functools.wraps(command)
        def call(**given: Any) -> Any:
            fields = {field: given.pop(field) for field in names if field in given}
            return command(**{name: kind(**fields)}, **given)

        return together(*decorators)(call)

    return add


def check_out(_ctx: click.Context, _param: click.Parameter, out: Path | None) -> Path | None:
    """For `--out` of long work: DataError at once where the folder could not be written."""
    from mri_gan.files import check_folder

    if out is not None:
        check_folder(out)
    return out


quiet = click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
with_people = click.option(
    "--with-people",
    is_flag=True,
    help="Also show pictures of real people; the page is then as confidential as the scans.",
)
seed = setting("--seed", int, 0, "Seed for all random numbers.")


def pick_device(name: str) -> str:
    """The torch device of a name; `auto` is a GPU where there is one.

    Raises UsageError where this machine has no such device.
    """
    from mri_gan.nets import build

    # One GPU for each process that torchrun started on this machine.
    return build.pick_device(name, os.environ.get("LOCAL_RANK", "0"))


device = setting(
    "--device",
    str,
    "auto",
    "auto, cpu, cuda, cuda:1, mps.",
    callback=lambda _ctx, _param, value: pick_device(value),
)


def has_gpu() -> bool:
    """Whether this machine seems to have a GPU that torch can use, without importing torch."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def train_command(store: Path) -> str:
    """The command that trains on a store and suits this machine, and what to install before."""
    from mri_gan.config import FEATURE_CRITIC
    from mri_gan.pretrained import is_installed

    there = {"train": find_spec("torch") is not None, "features": is_installed(FEATURE_CRITIC)}
    extras = ",".join(name for name, has in there.items() if not has)
    before = f" (first: pip install 'mrigan[{extras}]')" if extras else ""
    preset = "gpu" if has_gpu() else "laptop"
    return f"mrigan train {shlex.quote(str(store))} --preset {preset}{before}"


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2))


def report_files(paths: Sequence[Path], as_json: bool, quiet: bool, **facts: Any) -> None:
    """What a command has written: a line each, or one JSON document with further facts."""
    if as_json:
        print_json({"files": [str(path) for path in paths], **facts})
    elif not quiet:
        for path in paths:
            click.echo(path)


def write_page(path: Path, page: str, quiet: bool) -> None:
    """Write an HTML file and print where it is."""
    from mri_gan.files import make_folder, write_text

    make_folder(path.parent)
    write_text(path, page)
    if not quiet:
        click.echo(f"{path} ({human_bytes(path.stat().st_size)}); open it in a browser")


def human_bytes(count: float) -> str:
    """1536 -> '1.5 KB'."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """3725 -> '1 h 02 min'; from two days on, whole days."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes >= 2 * 24 * 60:
        return f"{minutes / (24 * 60):,.0f} days"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def open_console(*, stderr: bool = False) -> Console:
    """Where tables and panels go: no escape codes at all with NO_COLOR, 100 columns in a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        highlight=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() else 100,
    )


LINE_EVERY_S = 10.0  # in log files, where nothing is drawn over


UNEVEN = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]"  # tqdm's own, but for the time left


class Progress:
    """A bar in a terminal, a line every ten seconds elsewhere, nothing when quiet.

    The time left is said where each step takes about as long (`even`).
    """

    def __init__(
        self, total: int, unit: str, quiet: bool, done: int = 0, even: bool = True
    ) -> None:
        self._total, self._unit, self._quiet, self._even = total, unit.strip(), quiet, even
        self._first = self._done = done
        self._start = self._printed = time.monotonic()
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=done,
                unit=unit,
                delay=0.5,
                dynamic_ncols=True,
                file=sys.stderr,
                bar_format=None if even else UNEVEN,
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int) -> None:
        """Show how much is done by now."""
        more, self._done = done - self._done, done
        if self._bar is not None:
            self._bar.update(more)
        elif not self._quiet and time.monotonic() - self._printed >= LINE_EVERY_S:
            self._printed = time.monotonic()
            seconds = self._printed - self._start
            left = seconds / max(done - self._first, 1) * (self._total - done)
            said = f"{done:,} of {self._total:,} {self._unit}, {human_seconds(seconds)}"
            click.echo(f"{said}, left {human_seconds(left)}" if self._even else said, err=True)

    def add(self, more: int) -> None:
        """Show how much has been done since the last time."""
        self.show(self._done + more)


# `--config run.toml`: options from a file, and the file that says what a command was given

# What says where, how fast or how loud, not what: it is not kept for another time.
MANNERS = {"config", "out", "overwrite", "dry_run", "as_json", "quiet", "id_key"}
# In a context's `meta`: options of the file, all that were given, and files it does not name
FILE, GIVEN, AGAIN = "mri_gan.config_file", "mri_gan.given", "mri_gan.again"
CONFIG_PATH = "mri_gan.config_path"
GIVEN_FILE = re.compile(r"^# --([a-z-]+)", re.MULTILINE)


class Remembering(click.Command):
    """A command that remembers what it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; keep its words."""
        words, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        rest = super().parse_args(ctx, args)
        given = dict(ctx.meta.get(FILE, {}))
        for param in options_of(self).values():
            name = str(param.name)
            source = ctx.get_parameter_source(name)
            if source is click.core.ParameterSource.COMMANDLINE:
                given[name] = words[name]
            elif source is click.core.ParameterSource.ENVIRONMENT:
                given[name] = param.value_from_envvar(ctx)
        ctx.meta[GIVEN] = given
        return rest


class Configurable(Remembering):
    """A command that takes `--config FILE` and remembers what it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        option = click.Option(
            ["--config"],
            type=UserPath(dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=_use_file,
            metavar="FILE.toml",
            help="Take options from this file; the command line overrides them.",
        )
        self.params.insert(0, option)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line, and require the files that the config file does not name."""
        rest = super().parse_args(ctx, args)
        _require_files(ctx)
        return rest


def _require_files(ctx: click.Context) -> None:
    """Raise UsageError for a file that a store or run was made with and that is not given again.

    Without its `--split-file` people of the test split would be trained on.
    """
    for flag in ctx.meta.get(AGAIN, ()):
        option = options_of(ctx.command).get(flag)
        if option is not None and option.name not in ctx.meta[GIVEN]:
            raise UsageError(
                f"--config: that was made with --{flag}, whose file it does not name",
                f"give --{flag} again, or take the line `# --{flag}` out of the file",
            )


def explain_unknown(name: str, command: click.Command, spell: Callable[[str], str]) -> str:
    """What to write in place of an option that a command does not have; `spell` writes one."""
    flags = options_of(command)
    for flag, option in flags.items():
        if f"--{name}" in option.secondary_opts:
            return f"set {spell(flag)} to false"
    near = find_near(name, flags)
    return f"did you mean {spell(near)}?" if near else f"see mrigan {command.name} --help"


def _use_file(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    """A click callback: the options of a file become the defaults of this call."""
    if path is None:
        return
    ctx.meta[FILE] = read_options(path, ctx.command)
    ctx.meta[CONFIG_PATH] = path
    ctx.meta[AGAIN] = GIVEN_FILE.findall(path.read_text(encoding="utf-8"))
    ctx.default_map = {**(ctx.default_map or {}), **ctx.meta[FILE]}


def given_names() -> frozenset[str]:
    """The parameters that the running command was given: by words, environment or file."""
    context = click.get_current_context(silent=True)
    return frozenset(context.meta.get(GIVEN, ())) if context else frozenset()


def read_options(path: Path, command: click.Command) -> dict[str, Any]:
    """The options of one command, from a table of its name or else from the top of the file.

    Raises UsageError for a file that is not TOML, or an option that the command does not have.
    """
    import tomllib

    if not path.is_file():
        raise UsageError(f"--config {path}: no such file", "check the spelling")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: cannot be read as TOML", str(error)) from error
    table = document.get(str(command.name), document)
    known = options_of(command)
    values = {}
    for key, value in table.items():
        if isinstance(value, dict):  # the table of another command
            continue
        flag = key.replace("_", "-")
        if flag not in known or known[flag].name == "config":
            hint = explain_unknown(flag, command, str)
            raise UsageError(f"--config {path}: unknown option {key} of {command.name}", hint)
        values[str(known[flag].name)] = _as_given(value, known[flag])
    return values


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options of a command by their long flag, without its dashes."""
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {max(option.opts, key=len).lstrip("-"): option for option in options}


def _as_given(value: Any, option: click.Option) -> Any:
    """A value of the file as the command line would give it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        texts = [str(item) for item in value]
        return texts if option.multiple else ",".join(texts)
    return [str(value)] if option.multiple else str(value)


def write_given(path: Path) -> None:
    """Write what the running command was given, so that `--config` takes it again."""
    from mri_gan.files import write_options

    context = click.get_current_context()
    flags = options_of(context.command)
    names = {str(option.name): flag for flag, option in flags.items()}
    kept = {
        names[name]: None if isinstance(flags[names[name]].type, click.Path) else value
        for name, value in context.meta.get(GIVEN, {}).items()
        if name not in MANNERS
    }
    write_options(path, str(context.command.name), kept)


def command_line(files: Mapping[str, str]) -> tuple[str, ...]:
    """The running command with all options it was given, by words, environment or file.

    `files` says what stands for each path, since folders can name people.
    """
    context = click.get_current_context()
    words = ["mrigan", str(context.command.name)]
    for param in context.command.params:
        name, value = str(param.name), context.meta[GIVEN].get(str(param.name))
        if isinstance(param, click.Argument):
            words.append(files[name])
        elif isinstance(param, click.Option) and value is not None and name != "config":
            words += _as_words(param, files.get(name, "FILE"), value, context.params[name])
    return tuple(words)


def given_words(but: Collection[str]) -> list[str]:
    """The options that the running command was given, with its paths, all `but` these."""
    context = click.get_current_context()
    given = context.meta.get(GIVEN, {})
    params = [p for p in context.command.params if isinstance(p, click.Option)]
    return [
        word
        for param in params
        if (name := str(param.name)) in given and name not in but
        for word in _as_words(param, str(given[name]), given[name], context.params[name])
    ]


def _as_words(option: click.Option, file: str, given: Any, taken: Any) -> list[str]:
    flag = max(option.opts, key=len)
    if option.is_flag:
        return [flag] if taken else option.secondary_opts[:1]
    if isinstance(option.type, click.Path):
        return [flag, file]
    values = given if isinstance(given, list | tuple) else [given]
    return [word for value in values for word in (flag, str(value))]
