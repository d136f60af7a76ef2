"""What stands on a page, as plain values: text, tables, charts and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

MIME = {".png": "image/png", ".apng": "image/apng", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass(frozen=True)
class Shown:
    """A picture inside the page."""

    src: str  # a data URI
    alt: str
    label: str


@dataclass(frozen=True)
class Table:
    """Rows whose first cell names them."""

    caption: str
    rows: Sequence[Sequence[Any]]
    head: Sequence[str] | None = None


@dataclass(frozen=True)
class Chart:
    """A drawn chart and what stands above it."""

    title: str
    svg: Markup


@dataclass
class Section:
    """One part of the page; what is empty is not shown."""

    id: str
    name: str
    verdict: str = ""
    mood: str = ""  # "pass" or "fail": the colour of the verdict, never its only sign
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Shown] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    frames: list[Shown] = field(default_factory=list)
    hint: str = ""  # what to type for what is missing
    command: str = ""


def embed(path: Path, alt: str, label: str) -> Shown:
    """A picture file as part of the page."""
    return embed_bytes(path.read_bytes(), path.suffix, alt, label)


def embed_bytes(data: bytes, suffix: str, alt: str, label: str) -> Shown:
    """Picture bytes as part of the page."""
    text = base64.b64encode(data).decode("ascii")
    return Shown(f"data:{MIME[suffix.lower()]};base64,{text}", alt, label)


def words(name: str) -> str:
    """A setting's or a file's name as people read it: 'real_score' -> 'real score'."""
    return name.replace("-", " ").replace("_", " ")


def kimg(nimg: float) -> str:
    """12000 -> '12 kimg'."""
    return f"{nimg / 1000:.4g} kimg"


def plain(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    return "" if value is None else str(value)
