"""What the public functions are given: checked, and mistakes told in the words of Python."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mri_gan.config import require
from mri_gan.errors import MriganError
from mri_gan.values import require_of

P = ParamSpec("P")
R = TypeVar("R")

FLAG = re.compile(r"(?<!\S)--([a-z][a-z-]+)")
COMMAND = "mrigan "  # words of a text that is to be typed, and stays as it is


def public(function: Callable[P, R]) -> Callable[P, R]:
    """The function with its arguments compared with their annotations before it begins.

    Options that a message names are called as in Python. Raises UsageError for an argument that
    is not of its kind.
    """
    signature = inspect.signature(function)
    stars = {p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD}

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        given = signature.bind(*arguments, **options).arguments
        checked = {name: value for name, value in given.items() if name not in {"self", *stars}}
        require_of(checked, typing.get_type_hints(function))
        try:
            return function(*arguments, **options)
        except MriganError as error:
            error.message, error.hint = in_python(error.message), in_python(error.hint)
            raise

    return call


def in_python(text: str) -> str:
    """A message with options called as arguments are: `--max-size` is max_size."""
    if COMMAND in text:
        return text
    return FLAG.sub(lambda found: found[1].replace("-", "_"), text)


def require_least(least: int, **given: float | None) -> None:
    """Raise UsageError for an argument that is below the least; None is none given."""
    for name, value in given.items():
        require(value is None or value >= least, f"{name} {value}", f"give {least} or more")
