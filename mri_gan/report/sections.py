"""The sections of a page as plain values, and those that training fills."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mri_gan.config import TrainConfig, differences
from mri_gan.report.charts import Curve, Point, draw_chart
from mri_gan.report.facts import RunFacts

# What stands on a page, as plain values: text, tables, charts and pictures

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


# The sections that training itself fills: data sheet, curves, grids over time, reproduction

CHARTS = (
    ("Losses", ("d_loss", "g_loss", "penalty")),
    ("Mean scores of the critic", ("real_score", "fake_score")),
    ("Speed, images per second", ("images_per_s",)),
    ("Share of the time spent waiting for data", ("data_wait",)),
)
NAMES = {"d_loss": "critic", "g_loss": "generator", "real_score": "real", "fake_score": "fake"}
MAX_FRAMES = 60
# Not options: the store, the architecture or a file decides them.
NO_OPTIONS = ("channels", "channel_names", "pixel_mm", "clamp", "channel_max")


def data_sheet(run: RunFacts) -> Section:
    """What was trained, on what, and where."""
    last = run.metrics[-1] if run.metrics else {}
    skipped = sum(int(line.get("skipped", 0)) for line in run.metrics)
    state = [
        ("Real images shown", f"{run.nimg:,} ({kimg(run.nimg)})"),
        ("Resolution reached", f"{last['resolution']} px" if last else "none yet"),
        ("Fade-in of that level", plain(last.get("alpha", ""))),
        ("Seconds in steps", plain(sum(float(line.get("seconds", 0)) for line in run.metrics))),
        (
            "Updates left out as not finite",
            plain(skipped),
        ),
    ]
    machine = [(words(n), plain(run.config[n])) for n in _machine(run.config)]
    tables = [Table("How far it has come", state)]
    data = run.config.get("data")
    if isinstance(data, dict):
        tables.append(Table("The training data", [(words(k), plain(v)) for k, v in data.items()]))
    tables.append(Table("Settings", [(words(k), plain(v)) for k, v in run.settings.items()]))
    tables.append(Table("Software and machine", machine))
    return Section("data", "What was trained on what", tables=tables)


def _machine(config: dict[str, Any]) -> list[str]:
    return [name for name in config if name not in ("settings", "options", "data", "command")]


def curves(run: RunFacts) -> Section:
    """Losses, scores, speed and waiting for data over the images shown."""
    section = Section("curves", "Curves")
    marks = level_marks(run.metrics)
    for title, names in CHARTS:
        svg = draw_chart(title, list(_series(run, names)), "thousand real images shown", marks)
        if svg:
            section.charts.append(Chart(title, svg))
    if not section.charts:
        section.notes.append("No metrics have been written yet.")
    return section


def _series(run: RunFacts, names: Sequence[str]) -> Iterator[Curve]:
    for name in names:
        yield Curve(NAMES.get(name, words(name)), metric_points(run, name))


def metric_points(run: RunFacts, name: str) -> tuple[Point, ...]:
    """One metric as (thousand images, value), where it was finite."""
    return tuple(
        (line["nimg"] / 1000, float(line[name]))
        for line in run.metrics
        if isinstance(line.get(name), int | float)
    )


def level_marks(lines: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
    """Where each resolution begins: (thousand images, '32 px')."""
    marks: list[tuple[float, str]] = []
    for line in lines:
        text = f"{line.get('resolution')} px"
        if not marks or marks[-1][1] != text:
            marks.append((line["nimg"] / 1000, text))
    return marks


def grids(run: RunFacts) -> Section:
    """Synthetic samples from fixed latents over the course of training, and real slices."""
    section = Section("grids", "Synthetic samples as training went")
    chosen = thin_out(run.grids, MAX_FRAMES)
    section.frames = [
        embed(
            grid.path,
            f"Synthetic slices at {grid.size} px after {kimg(grid.nimg)}",
            f"synthetic, {kimg(grid.nimg)}, {grid.size} px",
        )
        for grid in chosen
    ]
    if run.grids:
        section.notes.append("The same latents at every moment: move the slider, or press Play.")
    else:
        section.notes.append("No samples have been drawn yet.")
    if run.reals:
        section.pictures.append(embed(run.reals, "Real training slices", "real training slices"))
    return section


def thin_out(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the items, evenly spread, the last one always among them."""
    if len(items) <= most:
        return list(items)
    last = len(items) - 1
    return [items[round(i * last / (most - 1))] for i in range(most)]


def drawings(run: RunFacts) -> Section:
    """What `mrigan test`, `walk` and others have drawn from the checkpoints."""
    section = Section("drawings", "Drawn from the checkpoint")
    for path in run.pictures:
        name = words(path.stem)
        section.pictures.append(embed(path, f"Synthetic: {name}", f"synthetic: {name}"))
    if not section.pictures:
        section.hint = "Nothing yet. This draws samples and style mixing into the run folder:"
        section.command = f"mrigan test {shlex.quote(run.folder.name)}"
    return section


def reproduction(run: RunFacts) -> Section:
    """The command that trains this run again, and what the promise depends on."""
    section = Section("reproduce", "How to reproduce")
    section.hint = (
        "With the same store, seed, number of threads and versions, a CPU gives the same "
        "weights bit for bit; a GPU gives them within rounding."
    )
    section.command = train_command(run)
    digest = run.config.get("data_digest", "")
    section.tables = [Table("Digests", [("training data", digest)])]
    return section


def train_command(run: RunFacts) -> str:
    """`mrigan train` with every setting that differs from its default."""
    words = ["mrigan", "train", "STORE"]
    defaults = TrainConfig().to_dict()
    for name, value in run.settings.items():
        if name == "max_size" or (name not in NO_OPTIONS and defaults.get(name) != value):
            words += _option(name, value)
    return shlex.join([*words, "--out", run.folder.name])


def _option(name: str, value: Any) -> list[str]:
    if name == "schedule":
        return ["--schedule", "SCHEDULE"]  # the table itself stands among the settings
    if name == "conditions":
        return [word for column in value["columns"] for word in ("--condition", column["name"])]
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else []
    return [] if value is None else [flag, plain_number(value)]


def plain_number(value: Any) -> str:
    """A setting as the command line takes it: 600000.0 -> '600000'."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def changed_settings(runs: Sequence[RunFacts]) -> list[str]:
    """The names of settings that are not the same in all runs."""
    first = runs[0].settings
    found = {
        phrase.split(" ", 1)[0] for run in runs[1:] for phrase in differences(first, run.settings)
    }
    return sorted(found)
