"""Where a wrong value came from: `--config run.toml` or the environment, not the command line."""

from __future__ import annotations

import os
import re
from typing import Any

import click
from click.core import ParameterSource

from mri_gan.cli.environment import find_variable
from mri_gan.cli.options import CONFIG_PATH, FILE, options_of
from mri_gan.errors import MriganError
from mri_gan.files import as_toml

CALL = "mri_gan.call"  # in a context's `meta`: the context of the command that was called
BLAMED = re.compile(r"--([a-z][a-z0-9-]*)")


class CallContext(click.Context):
    """The context of a command, found through that of the group after the command has failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meta[CALL] = self


def find_given(call: click.Context, option: click.Parameter) -> tuple[str, Any]:
    """Where a value is from, and the value: ("in run.toml: depth = 9", "9").

    Or ("MRIGAN_PREPARE_DEPTH=9", "9"); empty where the command line gave it, or nobody.
    """
    name = str(option.name)
    source = call.get_parameter_source(name)
    if source is ParameterSource.DEFAULT_MAP and name in call.meta.get(FILE, {}):
        value = call.meta[FILE][name]
        return f"in {call.meta[CONFIG_PATH]}: {_flag(option)[2:]} = {as_toml(value)}", value
    if source is ParameterSource.ENVIRONMENT:
        variable = find_variable(option)
        return f"{variable}={os.environ[variable]}", os.environ[variable]
    return "", ""


def _flag(option: click.Parameter) -> str:
    return max(option.opts, key=len)


def say_mistake(error: MriganError, call: click.Context | None) -> str:
    """Our own error; one that begins with an option says where its value came from."""
    said, blamed = str(error), BLAMED.match(str(error))
    option = options_of(call.command).get(blamed[1]) if call and blamed else None
    if call is None or option is None:
        return said
    origin, given = find_given(call, option)
    if not origin:
        return said
    for value in (given, call.params.get(str(option.name))):
        begun = f"{_flag(option)} {value}"
        if re.match(rf"{re.escape(begun)}(?![\w.])", said):
            return origin + said[len(begun) :]
    return f"{origin}: {said}"


def say_usage(error: click.UsageError) -> str:
    """Click's error; one about a value from elsewhere than the command line says from where."""
    if isinstance(error, click.BadParameter) and error.ctx and error.param:
        origin, _ = find_given(error.ctx, error.param)
        if origin:
            return f"{origin}: {error.message}"
    return error.format_message()
