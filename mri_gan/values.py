"""Kinds of values and how a person calls them; counts and lists in words."""

from __future__ import annotations

import collections.abc
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from mri_gan.errors import UsageError

StrPath = str | os.PathLike[str]  # also a store, what was prepared, or a run: each is its folder
IN_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "a path",
    os.PathLike: "a path",
    collections.abc.Callable: "a function",
    collections.abc.Mapping: 'names with values, such as {"age": 70}',
}
EXAMPLES: dict[Any, str] = {str: '["a", "b"]', int: "[1, 2]", float: "[0.5, 2]"}


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; whole numbers are floats, too, and none is infinite."""
    origin, within = typing.get_origin(kind) or kind, typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(is_of(value, each) for each in within)
    if origin is Literal:
        return value in within
    if origin in (int, float):
        number = isinstance(value, Integral) or (origin is float and isinstance(value, Real))
        return number and not isinstance(value, bool) and math.isfinite(value)
    if origin is Path:
        return isinstance(value, os.PathLike)
    if not isinstance(value, origin):
        return False
    return not isinstance(value, list | tuple) or all(is_of(v, within[0]) for v in value)


def in_words(kind: Any) -> str:
    """A type as a person says it: "a whole number or None"."""
    origin, within = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(in_words(each) for each in within))
    if origin is Literal:
        return f"one of {', '.join(map(str, within))}"
    if origin is type(None):
        return "None"
    if within and origin not in IN_WORDS:
        example = EXAMPLES.get(within[0])
        return f"a list, such as {example}" if example else f"a list of {in_words(within[0])}"
    return IN_WORDS.get(origin, getattr(origin, "__name__", str(origin)))


def require_of(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise UsageError for a name that there is not, or a value that is not of its kind."""
    for name, value in values.items():
        if name not in kinds:
            raise UsageError(f"{name}: no such setting", suggest(name, kinds))
        if not is_of(value, kinds[name]):
            shown = " ".join(repr(value).split())  # arrays take many lines
            raise UsageError(f"{name} is {shown:.60}", hint_for(value, kinds[name]))


def hint_for(value: Any, kind: Any) -> str:
    """What to give in place of a value that is not of its kind."""
    if isinstance(value, type):
        return f"give an instance: {value.__name__}()"
    is_range = kind is str and isinstance(value, list | tuple) and len(value) == 2
    example = f', such as "{value[0]}:{value[1]}"' if is_range else ""
    return f"give {in_words(kind)}{example}"


def find_near(name: str, known: Iterable[str]) -> str:
    """The name that somebody may have meant who wrote one that there is not; empty for none.

    Give names without what they all begin with, which would make any two of them alike. Names
    of as many words are compared word by word: save-every is not eval-every.
    """
    from difflib import SequenceMatcher  # loaded where a name is wrong, and not with every command

    def alike(one: str, other: str) -> float:
        return SequenceMatcher(None, one, other).ratio()

    def alike_by_words(one: str, other: str) -> float:
        words = [re.split("[-_]", each) for each in (one, other)]
        same = len(words[0]) == len(words[1])
        return min(map(alike, *words)) if same else alike(one, other)

    near = [each for each in known if alike(name, each) >= 0.65 <= alike_by_words(name, each)]
    return max(near, key=lambda each: alike(name, each), default="")


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A question after the name that somebody may have meant."""
    near = find_near(name, known)
    return f"did you mean {near}?" if near else otherwise


def as_path(path: StrPath) -> Path:
    """A path as a person wrote it, `~` for the home folder; raises UsageError for what is none."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise UsageError(f"{path!r:.60} is no path", "give text or a Path")
    if not os.fspath(path):
        raise UsageError("a path is empty", "give the name of a file or folder")
    return Path(os.path.expanduser(path))  # noqa: PTH111 - it leaves `~nobody` as it is


def say_count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 slice", "2,000 slices"; `many` where an s is not enough."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def say_span(first: float, last: float) -> str:
    """From one number of images to another in thousands: "2 to 4 kimg", and "2 kimg" where one."""
    begin = "" if first == last else f"{first / 1000:.4g} to "
    return f"{begin}{last / 1000:.4g} kimg"


def say_some(names: Sequence[str], most: int) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def say_number(value: float, digits: int = 3) -> str:
    """A number rounded to some digits, never as a power of ten for being large: "11,700"."""
    rounded = float(f"{value:.{digits}g}")
    large = 10**digits <= abs(rounded) < 10**15
    return f"{rounded:,.0f}" if large else f"{value:.{digits}g}"
