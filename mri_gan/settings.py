"""What all configurations share: checks in one line, and JSON there and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from mri_gan.errors import UsageError

LEVELS = (8, 16, 32, 64, 128, 256, 512, 1024)
AUTO = "auto"
SPLITS = ("train", "validate", "test")


def require(condition: bool, message: str, hint: str = "") -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message, hint)


def require_level(name: str, value: int) -> None:
    """Raise UsageError unless the value is one of the eight resolution levels."""
    require(value in LEVELS, f"{name} {value} is no level", f"choose one of {LEVELS}")


class JsonConfig:
    """Frozen dataclass to JSON and back; unknown names are refused, missing ones defaulted."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` wrote; raises UsageError on unknown names."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        require(not unknown, f"unknown settings {unknown}", "written by a newer mrigan?")
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that differ between two dictionaries, one readable phrase each."""
    names = sorted(set(before) | set(now))
    return [
        f"{name} was {before.get(name)}, now {now.get(name)}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises UsageError naming the file where it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON", str(error)) from error
    require(isinstance(value, dict), f"{path}: is no JSON object")
    return dict(value)
