"""Reading a training schedule of the user's own: one line or object for each level."""

from __future__ import annotations

import csv
import json
from dataclasses import MISSING as REQUIRED
from dataclasses import fields
from pathlib import Path
from typing import Any

from mri_gan.config import Stage, check_stages, require
from mri_gan.errors import UsageError

EXAMPLE = "size fade stay batch lr, for example: 16 50000 100000 32 0.001"


def read_schedule(path: Path) -> tuple[Stage, ...]:
    """The levels in a `.json` list of objects or a table with tabs, by the names of `Stage`.

    fade and stay are images. Raises UsageError that names the file, the line and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--schedule {path}: cannot be read", str(error)) from error
    rows = _json_rows(path, text) if path.suffix == ".json" else _table_rows(text)
    require(bool(rows), f"--schedule {path}: has no levels", f"one line each: {EXAMPLE}")
    stages = tuple(_build_stage(path, line, row) for line, row in rows)
    try:
        check_stages(stages)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error
    return stages


def _json_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--schedule {path}: is no JSON", str(error)) from error
    right = isinstance(value, list) and all(isinstance(row, dict) for row in value)
    require(right, f"--schedule {path}: is no list of objects", EXAMPLE)
    return list(enumerate(value, start=1))


def _table_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = csv.DictReader(lines, delimiter="\t")
    return [(rows.line_num, {k: v for k, v in row.items() if v != ""}) for row in rows]


def _build_stage(path: Path, line: int, row: dict[Any, Any]) -> Stage:
    where = f"--schedule {path}: level {line}"
    known = {field.name: field for field in fields(Stage)}
    unknown = ", ".join(str(name) for name in row if name not in known)
    require(not unknown, f"{where} has {unknown}", f"give {EXAMPLE}")
    lacking = [n for n, f in known.items() if row.get(n) is None and f.default is REQUIRED]
    require(not lacking, f"{where} lacks {', '.join(lacking)}", f"give {EXAMPLE}")
    values = {n: v for n, v in row.items() if v is not None}
    return Stage(**{name: _number(where, name, value) for name, value in values.items()})


def _number(where: str, name: str, value: Any) -> Any:
    """An image count may be written 5e4; a part of an image may not."""
    try:
        number = float(value)
        if name == "lr":
            return number
        require(number == int(number), f"{where}: {name} {value}", "give a whole number")
        return int(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{where}: {name} {value} is no number", f"give {EXAMPLE}") from error
