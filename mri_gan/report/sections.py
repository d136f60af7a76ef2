"""The sections of a page as plain values, and those that training fills."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mri_gan.charts import Chart, chart_metrics
from mri_gan.conditions import Conditions, columns_of
from mri_gan.config import CONFIG, GROWING, METRICS, list_problems
from mri_gan.pictures import Shows, edges_of, say_edges
from mri_gan.report.facts import Picture, RunFacts, showing
from mri_gan.report.terms import flatten, say_name, words
from mri_gan.values import say_count, say_number, say_some, say_span

# What stands on a page, as plain values: text, tables, charts and pictures

MIME = {".png": "image/png", ".apng": "image/apng", ".gif": "image/gif"}
MAX_NAMED = 8
MANY_ROWS = 15
# How a picture is announced: by the mark in its own file, never by where it was found.
CAPTIONS = {
    Shows.SYNTHETIC: "Synthetic",
    Shows.REAL: "Real people",
    Shows.BOTH: "Real people beside synthetic images",
    Shows.LIKENESS: "Drawn to resemble a given image",
    Shows.CHART: "Chart",
}


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

    @property
    def is_wide(self) -> bool:
        """Whether it may be wider than the page, and scrolls."""
        return len(self.head or ()) > 4

    @property
    def needs_row(self) -> bool:
        """Whether it has too many columns to stand beside another table."""
        return len(self.head or ()) > 2

    @property
    def is_long(self) -> bool:
        """Whether its rows of two cells are shown in several columns, where there is room."""
        return self.head is None and len(self.rows) > MANY_ROWS


@dataclass(frozen=True)
class Answer:
    """What is known about one question, and the limits of that."""

    question: str
    text: str
    limits: Sequence[str] = ()
    mood: str = ""  # "pass", "fail" or "": the colour of the text, never its only sign


@dataclass
class Section:
    """One part of the page; what is empty is not shown."""

    id: str
    name: str
    answers: list[Answer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Shown] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    frames: list[Shown] = field(default_factory=list)
    hint: str = ""  # what to type for what is missing
    command: str = ""
    text: str = ""  # shown as it is

    def ask_for(self, run: RunFacts, command: str) -> None:
        """Show the command that measures what is missing."""
        self.hint = "Not measured yet. Run:"
        self.command = command_to_judge(run, command)

    def add_pictures(self, pictures: Sequence[Picture], with_people: bool, newest: int = 0) -> None:
        """Show the pictures that may be shown, and count those that are left out.

        `newest` is how many images the run's newest checkpoint has been shown: a caption says where
        a picture is older.
        """
        shown = [p for p in pictures if may_show(p, with_people)]
        self.pictures += [embed(p, name_picture(p.path.stem) + say_age(p, newest)) for p in shown]
        self.notes += left_out(pictures, with_people)


def command_to_judge(run: RunFacts | None, command: str) -> str:
    """What to type to have a run judged."""
    return f"mrigan {command} {typed(run) if run else 'RUN'} --data STORE"


def typed(run: RunFacts) -> str:
    """The run's folder as it was typed; of a whole path, which may tell of people, the name."""
    return shlex.quote(run.folder.name if run.folder.is_absolute() else str(run.folder))


def may_show(picture: Picture, with_people: bool) -> bool:
    """Whether a picture belongs on a page; one without a mark may show anybody."""
    return picture.shows is not None and (with_people or not picture.shows.shows_people)


def left_out(pictures: Sequence[Picture], with_people: bool) -> list[str]:
    """Sentences about the pictures that are not shown."""
    hidden = [p for p in pictures if not may_show(p, with_people)]
    people = [p.path.name for p in hidden if p.shows is not None]
    unknown = [p.path.name for p in hidden if p.shows is None]
    said = []
    if people:
        named = say_some(people, MAX_NAMED)
        said.append(f"Left out because they show people (--with-people shows them): {named}.")
    if unknown:
        named = say_some(unknown, MAX_NAMED)
        said.append(f"Left out because they carry no mark of what they show: {named}.")
    return said


def say_age(picture: Picture, newest: int) -> str:
    """How many real images the network had been shown that drew a picture, for its caption."""
    if picture.nimg is None:
        return ""
    older = f", an older checkpoint: the run has one of {newest:,}" * (picture.nimg < newest)
    return f", after {say_count(picture.nimg, 'image')}{older}"


UNDATED = "Where a caption gives no number of images, the picture may be of an older checkpoint."


def embed(picture: Picture, name: str) -> Shown:
    """A marked picture file as part of the page, its caption by its own mark."""
    assert picture.shows is not None
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    label = f"{CAPTIONS[picture.shows]}: {name}"
    return Shown(f"data:{MIME[picture.path.suffix.lower()]};base64,{data}", label, label)


# What the commands call their pictures, and how a caption says it
PICTURE_NAMES = {
    "map": "map of real and synthetic slices by their features",
    "evaluation": "figures of quality beside those of real people",
    "samples": "samples",
    "mixing": "style mixing",
    "matrix": "styles of one picture in another: coarse, middle and fine",
    "truncation": "truncation from the mean image up",
    "strip": "from one seed to another",
    "noise": "what noise changes",
    "fade": "how a level fades in",
    "nearest": "samples beside their nearest training slices",
    "worst-pairs": "samples most like a training slice, beside it",
}


def name_picture(stem: str) -> str:
    """The caption of a picture by its file's name: 'samples-64px' -> 'samples, 64 px'."""
    name, dash, size = stem.rpartition("-")
    sized = bool(dash) and size.endswith("px") and size[:-2].isdigit()
    if not sized:
        name = stem
    said = PICTURE_NAMES.get(name, words(name))
    if sized and len(name) == 9 and name.isdigit():  # a grid of training
        said = f"samples after {say_count(int(name), 'image')}"
    return f"{said}, {int(size[:-2])} px" if sized else said


def kimg(nimg: float) -> str:
    """12000 -> '12 kimg'."""
    return f"{nimg / 1000:.4g} kimg"


def to_text(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return say_number(value, 4)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        known = {name: item for name, item in value.items() if item is not None}
        return ", ".join(f"{name}: {to_text(item)}" for name, item in known.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(to_text(item) for item in value) or "none"
    return "" if value is None else str(value)


def say_known(counts: Mapping[str, Any], name: str, one: str, many: str = "") -> str:
    """A count of a document with its noun: "1 sample", and "? samples" where it is not there."""
    count = counts.get(name)
    return say_count(count, one, many) if isinstance(count, int) else f"? {many or f'{one}s'}"


def say_setting(value: Any) -> str:
    """A setting as people read it, labels by the values that they had in training."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return "; ".join(say_level(each) for each in value)
    if not isinstance(value, dict) or "columns" not in value:
        return to_text(value)
    try:
        columns = Conditions.from_dict(value).columns
        return "; ".join(column.describe() for column in columns) or "none"
    except (AttributeError, LookupError, TypeError, ValueError):  # of another version
        return to_text(value)


def say_value(name: str, value: Any) -> str:
    """The same by its name: a seed is a label, and not a count whose digits come in groups."""
    if name == "augment_kinds":
        return str(value).replace(",", ", ")
    return str(value) if name == "seed" else say_setting(value)


def say_level(level: dict[str, Any]) -> str:
    """A level of a schedule: "8 px: 480 images, batch 32, learning rate 0.001"."""
    try:
        fade = f"fade-in {level['fade']:,}, then " if level["fade"] else ""
        images = f"{fade}{level['stay']:,} images, batch {level['batch']}"
        return f"{level['size']} px: {images}, learning rate {level['lr']:g}"
    except (LookupError, TypeError, ValueError):  # of another version
        return to_text(level)


# The sections that training itself fills: data sheet, curves, grids over time, reproduction

MAX_FRAMES = 60


@showing(METRICS)
def progress(run: RunFacts) -> Section:
    """How far training has come, with which settings, and where."""
    last = run.metrics[-1] if run.metrics else {}
    skipped = sum(int(line.get("skipped", 0)) for line in run.metrics)
    state = [
        ("Real images shown", f"{run.nimg:,} ({kimg(run.nimg)})"),
        ("Resolution reached", f"{last['resolution']} px" if last else "none yet"),
        ("Fade-in of that level", to_text(last.get("alpha", ""))),
        ("Seconds in steps", to_text(sum(float(line.get("seconds", 0)) for line in run.metrics))),
        ("Updates skipped as not finite", to_text(skipped)),
    ]
    elsewhere = ("settings", "options", "data", "command")
    facts = {n: v for n, v in flatten(run.config).items() if n not in elsewhere}
    machine = [(say_name(name), say_setting(value)) for name, value in facts.items()]
    tables = [Table("Progress", state), Table("Software and machine", machine)]
    tables = [*list_problems_of(run, "Problems"), *tables]
    settings = {n: v for n, v in run.settings.items() if n != "init_size" or _grows(run)}
    said = [(say_name(name), say_value(name, value)) for name, value in settings.items()]
    tables.append(Table("Settings", [(name, value) for name, value in said if value]))
    return Section("progress", "Training", tables=tables)


def _grows(run: RunFacts) -> bool:
    """Whether it trains at several levels, of which there is a first one."""
    sizes = {run.settings.get(name) for name in ("init_size", "max_size")}
    return run.settings.get("arch") in GROWING and len(sizes) == 2


@showing(METRICS)
def list_problems_of(run: RunFacts, title: str) -> list[Table]:
    """A table of what went wrong in training, if anything did."""
    problems = list_problems(run.metrics).items()
    rows = [(name, say_span(first, last), text) for name, (first, last, text) in problems]
    return [Table(title, rows, ("", "when", "what was seen"))] if rows else []


@showing(METRICS)
def curves(run: RunFacts) -> Section:
    """Losses, scores, speed and waiting for data over the images shown."""
    section = Section("curves", "Curves")
    section.charts = chart_metrics(run.metrics, str(run.settings.get("loss", "")))
    if not section.charts:
        section.notes.append("No metrics have been written yet.")
    return section


def grids(run: RunFacts) -> Section:
    """Synthetic samples from fixed latents over the course of training, and real slices."""
    section = Section("grids", "Synthetic samples as training went on")
    pictures = [grid.picture for grid in run.grids]
    shown = [grid for grid in run.grids if may_show(grid.picture, run.with_people)]
    section.frames = [
        embed(grid.picture, f"{kimg(grid.nimg)}, {grid.size} px")
        for grid in thin_out(shown, MAX_FRAMES)
    ]
    if len(shown) > 1:
        section.notes.append("The same latents at every moment: move the slider, or press Play.")
    if shown:
        section.notes += say_sides(run)
    elif not run.grids:
        section.notes.append("No samples have been drawn yet.")
    section.notes += left_out(pictures, run.with_people)
    section.add_pictures([run.reals] if run.reals else [], run.with_people)
    return section


def say_sides(run: RunFacts) -> list[str]:
    """Which side of the body is where in the training slices; empty where that is not recorded."""
    said = say_edges(edges_of(run.config))
    return [f"{said}, as in the training slices."] if said else []


def thin_out(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the items, evenly spread, the last one always among them."""
    if len(items) <= most:
        return list(items)
    last = len(items) - 1
    return [items[round(i * last / (most - 1))] for i in range(most)]


def drawings(run: RunFacts) -> Section:
    """What `mrigan test`, `walk` and others have drawn from the checkpoints."""
    section = Section("drawings", "Drawn from the checkpoint")
    section.add_pictures(run.pictures, run.with_people, run.newest)
    shown = [p for p in run.pictures if may_show(p, run.with_people)]
    if any(p.nimg is None and p.shows is not Shows.CHART for p in shown):
        section.notes.append(UNDATED)
    if not run.pictures:
        section.hint = "Nothing yet. To draw samples, run:"
        section.command = f"mrigan test {typed(run)}"
    return section


@showing(CONFIG)
def reproduction(run: RunFacts) -> Section:
    """The recorded command line, and what the promise to reproduce depends on."""
    section = Section("reproduce", "How to reproduce")
    recorded = run.config.get("command")
    if recorded:
        section.hint = (
            "With the same store, seed, number of threads and versions, a CPU gives the same "
            "weights bit for bit; a GPU gives them within rounding."
        )
        section.command = recorded if isinstance(recorded, str) else shlex.join(recorded)
        if "--minutes" in section.command:
            section.hint = (
                "This run ended by the clock: another one is longer or shorter. Up to the same "
                "number of images, " + section.hint[0].lower() + section.hint[1:]
            )
    else:
        section.notes.append(
            "No command line is recorded: Python or an earlier version began this run. All its "
            "settings are listed above."
        )
    digest = run.config.get("data_digest", "")
    section.tables = [Table("Digests", [("training data", digest)])]
    return section


def changed_settings(runs: Sequence[RunFacts]) -> list[str]:
    """The names of settings that are not the same in all runs."""
    each = [run.settings for run in runs]
    names = sorted({name for settings in each for name in settings})
    first = each[0]
    return [
        name
        for name in names
        if any(columns_of(own.get(name)) != columns_of(first.get(name)) for own in each)
    ]
