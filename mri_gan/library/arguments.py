"""What the public functions are given: checked, and mistakes told in the words of Python."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mri_gan.config import require
from mri_gan.errors import MriganError, UsageError
from mri_gan.files import write_options
from mri_gan.values import require_of, suggest

P = ParamSpec("P")
R = TypeVar("R")

FLAG = re.compile(r"(?<!\S)--([a-z][a-z-]+)")
RENAMED = {  # options that functions call otherwise
    "ckpt": "start_from",
    "data": "store",
    "people": "people_file",
    "snap": "snap_kimg",
}
COMMAND_ONLY = {  # options of the command of the same name that a function does not have
    "audit": ("images", "json", "out", "quiet", "strict"),
    "evaluate": ("features_file", "images", "json", "out", "quiet", "trained_on"),
    "prepare": ("config", "dry_run", "engine", "json", "quiet", "shard", "strict"),
    "train": (
        "ahead", "config", "dry_run", "eval_every", "json", "judge", "quiet", "tensorboard",
        "threads", "timeout",
    ),
}  # fmt: skip
SYNONYMS = {  # what other libraries call an argument
    "batch_size": "batch",
    "epochs": "kimg",
    "learning_rate": "lr",
    "num_workers": "workers",
    "resolution": "size",
    "truncation": "psi",
}
FLAGS = {name: flag for flag, name in RENAMED.items()}
COMMAND = "mrigan "  # words of a text that is to be typed, and stays as it is


def public(function: Callable[P, R]) -> Callable[P, R]:
    """The function with its arguments compared with their annotations before it begins.

    Numbers of NumPy and torch arrive as Python's. Options that a message names are called as in
    Python. Raises UsageError for an argument that there is not, or that is not of its kind.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        given: Any = [as_plain(value) for value in arguments]
        named: Any = {name: as_plain(value) for name, value in options.items()}
        kinds, takes_any = kinds_of(function, signature)
        if not takes_any:
            require_known(function.__qualname__, named, kinds)
        with contextlib.suppress(TypeError):  # what is missing Python says itself, below
            bound = signature.bind(*given, **named).arguments | named
            require_of({name: bound[name] for name in kinds.keys() & bound.keys()}, kinds)
        try:
            return function(*given, **named)
        except MriganError as error:
            error.message, error.hint = in_python(error.message), in_python(error.hint)
            raise

    return call


def kinds_of(
    function: Callable[..., object], signature: inspect.Signature
) -> tuple[dict[str, Any], bool]:
    """The type of each argument, those of typed settings too; and whether any other is taken."""
    kinds = typing.get_type_hints(function)
    kinds.pop("return", None)
    stars = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    settings = [kind for star in stars for kind in typing.get_args(kinds.pop(star))]
    for kind in settings:  # of Unpack[...]
        kinds |= typing.get_type_hints(kind)
    return kinds, len(stars) > len(settings)


def require_known(where: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise UsageError for an argument that a function does not have."""
    for name in names:
        if name not in known:
            where = where.removesuffix(".__init__")
            raise UsageError(f"{where} has no {name}", hint_for(where, name, known))


def hint_for(where: str, name: str, known: Collection[str]) -> str:
    """What to do about an argument that a function does not have."""
    other = SYNONYMS.get(name) or RENAMED.get(name)
    if other in known:
        return f"did you mean {other}?"
    if name in COMMAND_ONLY.get(where, ()):
        return f"only the command `mrigan {where}` has it"
    return suggest(name, known, f"see help({where})")


def as_plain(value: Any) -> Any:
    """A number, or a list of them, in place of an array or tensor of at most one dimension."""
    if isinstance(value, str | Path) or getattr(value, "ndim", 2) > 1:
        return value
    return value.tolist() if hasattr(value, "tolist") else value


def in_python(text: str) -> str:
    """A message with options called as arguments are: `--max-size` is max_size."""
    if COMMAND in text:
        return text
    text = text.replace("same command", "same call")
    return FLAG.sub(lambda found: RENAMED.get(found[1], found[1].replace("-", "_")), text)


def keep_options(
    path: Path, command: str, options: Mapping[str, Any], files: Mapping[str, Any]
) -> None:
    """Write what a function was given as the file that its command writes, for `--config`."""
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    given |= {name: None for name, file in files.items() if file}
    flags = {FLAGS.get(name, name.replace("_", "-")): value for name, value in given.items()}
    write_options(path, command, flags)


def require_least(least: int, **given: float | None) -> None:
    """Raise UsageError for an argument that is below the least; None is none given."""
    for name, value in given.items():
        require(value is None or value >= least, f"{name} {value}", f"give {least} or more")
