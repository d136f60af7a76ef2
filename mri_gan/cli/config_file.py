"""`--config run.toml`: options from a file, and the file that says what a command was given."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mri_gan import __version__
from mri_gan.errors import UsageError

# What says where, how fast or how loud, not what: it is not kept for another time.
MANNERS = {"config", "out", "overwrite", "dry_run", "as_json", "quiet", "id_key"}
FILE, GIVEN = "mri_gan.config_file", "mri_gan.given"  # in a context's `meta`


class Configurable(click.Command):
    """A command that takes `--config FILE` and remembers what it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.insert(0, _config_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; keep its words for `write_given`."""
        words, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        rest = super().parse_args(ctx, args)
        given = dict(file_values(ctx))
        for param in _options(self).values():
            name = str(param.name)
            source = ctx.get_parameter_source(name)
            if source is click.core.ParameterSource.COMMANDLINE:
                given[name] = words[name]
            elif source is click.core.ParameterSource.ENVIRONMENT:
                given[name] = param.value_from_envvar(ctx)
        ctx.meta[GIVEN] = given
        return rest


def _config_option() -> click.Option:
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_use_file,
        metavar="FILE.toml",
        help="Take options from this file; the command line overrides them.",
    )


def _use_file(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    """A click callback: the options of a file become the defaults of this call."""
    if path is None:
        return
    ctx.meta[FILE] = read_options(path, ctx.command)
    ctx.default_map = {**(ctx.default_map or {}), **file_values(ctx)}


def file_values(ctx: click.Context) -> Mapping[str, Any]:
    """What the file of `--config` says, by the names of the parameters."""
    values: Mapping[str, Any] = ctx.meta.get(FILE, {})
    return values


def read_options(path: Path, command: click.Command) -> dict[str, Any]:
    """The options of one command, from a table of its name or else from the top of the file.

    Raises UsageError for a file that is not TOML, or an option that the command does not have.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: cannot be read as TOML", str(error)) from error
    table = document.get(str(command.name), document)
    known = _options(command)
    values = {}
    for key, value in table.items():
        if isinstance(value, dict):  # the table of another command
            continue
        flag = key.replace("_", "-")
        if flag not in known or known[flag].name == "config":
            near = difflib.get_close_matches(flag, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"see mrigan {command.name} --help"
            raise UsageError(f"--config {path}: unknown option {key} of {command.name}", hint)
        values[str(known[flag].name)] = _as_given(value, known[flag])
    return values


def _options(command: click.Command) -> dict[str, click.Option]:
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
    """Write what the running command was given, so that `--config` takes it again.

    Files are not named, since their folders may reveal whose they are: a comment says which options
    must be given again.
    """
    from mri_gan.files import write_bytes

    context = click.get_current_context()
    flags = _options(context.command)
    names = {str(option.name): flag for flag, option in flags.items()}
    lines = [f"# mrigan {context.command.name}, version {__version__}"]
    for name, value in context.meta.get(GIVEN, {}).items():
        if name in MANNERS:
            continue
        is_file = isinstance(flags[names[name]].type, click.Path)
        lines.append(f"# --{names[name]}" if is_file else f"{names[name]} = {_as_toml(value)}")
    write_bytes(path, ("\n".join(lines) + "\n").encode(errors="replace"))


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_as_toml(item) for item in value)}]"
    text = str(value)
    try:
        number = json.loads(text)
    except ValueError:
        number = None
    if isinstance(number, int | float) and not isinstance(number, bool):
        return text
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
