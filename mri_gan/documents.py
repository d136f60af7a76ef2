"""Settings as JSON there and back, and JSON of which nothing is taken for granted."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from mri_gan.errors import UsageError


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says; raises ValueError for a damaged one and one nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises UsageError naming the file where it is none."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON", str(error)) from error
    require(isinstance(value, dict), f"{path}: not a JSON object")
    return dict(value)


def require(condition: bool, message: str, hint: str = "") -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message, hint)


class JsonConfig:
    """Frozen dataclass to JSON and back; unknown names are refused, missing ones defaulted."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` wrote; raises UsageError on unknown names and odd values."""
        kinds = typing.get_type_hints(cls)
        unknown = sorted(set(values) - kinds.keys())
        require(not unknown, f"unknown settings {unknown}, perhaps of a newer mrigan")
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        for name, value in plain.items():
            require(is_of(value, kinds[name]), f"the setting {name} is {value!s:.40}", "change it")
        return cls(**plain)


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a field's type; whole numbers are floats, too, and none is infinite."""
    if isinstance(kind, types.UnionType):
        return any(is_of(value, each) for each in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(is_of(v, typing.get_args(kind)[0]) for v in value)
    if kind is float:
        return is_of(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, typing.get_origin(kind) or kind) and (
        kind is bool or not isinstance(value, bool)
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that differ between two dictionaries, one readable phrase each."""
    names = sorted(set(before) | set(now))
    return [
        f"{name} was {_in_words(before.get(name))}, now {_in_words(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and "columns" in value:  # conditions
        names = {column["name"]: ", ".join(column.get("values", ())) for column in value["columns"]}
        return ", ".join(f"{n} ({v})" if v else str(n) for n, v in names.items()) or "none"
    return "by the schedule" if value is None else str(value)
