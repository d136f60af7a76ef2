"""Charts for pages and papers, and the words and arrows by which figures of quality are read."""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_gan.files import write_bytes
from mri_gan.pictures import COMMENT, Shows
from mri_gan.values import say_number

if TYPE_CHECKING:
    from markupsafe import Markup


# Charts, drawn once: for a page, where they follow its colours, and as SVG or PDF for papers

Point = tuple[float, float]
X_NAME = "thousand real images shown (kimg)"
MAX_POINTS = 300  # more would not be seen
DIM, RULE = "#5d5d66", "#d7d7d2"
SERIES = ("#0a5c8f", "#c0500c", "#2e7d32", "#7b3fa0", "#a8326a", "#1b1b1f")
DASHES = ("-", "--", ":", "-.")  # the seventh curve has the first colour again, but broken
# On a page each colour is the style sheet's own, which is another one in the dark.
PAGE_COLOURS = {DIM: "var(--dim)", RULE: "var(--rule)"} | {
    colour: f"var(--c{i})" for i, colour in enumerate(SERIES)
}
# Text stays text, in TrueType: journals refuse the Type 3 fonts that matplotlib embeds by itself.
PRINTED: Any = {"svg.fonttype": "none", "svg.hashsalt": "mrigan", "pdf.fonttype": 42}
STYLE: Any = {**PRINTED, "text.parse_math": False, "font.size": 9}
STYLE |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), DIM)


# Which way a figure of quality should go
ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}"}
ARROWS |= {"zero": "\N{RIGHTWARDS ARROW}0", "far": "=", "told": ""}
ARROWS_MEAN = (
    "{lower}: lower is better, {higher}: higher is better, {zero}: near 0 is best, {far}: as among "
    "people is best"
).format(**ARROWS)


# What a figure of quality says, in words
AMONG = "the differences among people"
WITHIN, FAR = f"within {AMONG}", "far outside"
FORMER = {"within what people differ among themselves": WITHIN}  # in results of earlier versions
NEAR = "nearer than people are to each other"
MORE_UPRIGHT = "more upright than people are"
FEW_PEOPLE = "not known, with so few people"  # even the worst would be within
VERDICTS = {WITHIN: "within", NEAR: "too near", MORE_UPRIGHT: "more upright"}
VERDICTS |= {FEW_PEOPLE: "not known"}
TOO_FEW = "too few images"  # in place of a number that needs more of them
SEEN = 0.95  # of planted copies of a kind, for an audit to detect it


def list_seen(recall: Mapping[str, float]) -> list[str]:
    """The kinds of planted copies that an audit detects."""
    return [kind for kind, share in recall.items() if share >= SEEN]


@dataclass(frozen=True)
class Curve:
    """A named series of (x, y)."""

    name: str
    points: tuple[Point, ...]
    place: int = 0  # among all that could be in the chart: decides the colour


@dataclass(frozen=True)
class Chart:
    """Curves over one axis, with vertical marks (x, text) where something begins."""

    title: str
    curves: tuple[Curve, ...]
    x_name: str
    y_name: str = ""  # with the unit
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def svg(self) -> Markup:
        """The chart as part of a page: scales to a phone, can be read aloud."""
        from markupsafe import Markup

        text = _draw(self, "svg").decode()
        size, inside = re.findall(r'(viewBox="[^"]*")[^>]*>.*?(<defs>.*)', text, re.DOTALL)[0]
        inside = re.sub(r'<g id="[^"]*"', "<g", inside).replace("xlink:href", "href")
        inside = re.sub(r"#[0-9a-f]{6}\b", lambda m: PAGE_COLOURS.get(m[0], m[0]), inside)
        head = Markup('<svg class="chart" role="img" aria-label="{}" ').format(self.in_words)
        return Markup(f"{head}{size}>{inside}")

    @property
    def in_words(self) -> str:
        """What a screen reader says: where each curve begins and ends."""
        ends = [f"{c.name} from {c.points[0][1]:.3g} to {c.points[-1][1]:.3g}" for c in self.curves]
        return f"{self.title}: {'; '.join(ends)}"


def build_chart(
    title: str,
    curves: Sequence[Curve],
    x_name: str,
    y_name: str = "",
    marks: Sequence[tuple[float, str]] = (),
) -> Chart | None:
    """A chart of the curves that have points, thinned to what can be seen; None without any.

    A curve has the colour of its place, so that a run looks alike in charts where others are not.
    """
    kept = tuple(Curve(c.name, thin(c.points), i) for i, c in enumerate(curves) if c.points)
    return Chart(title, kept, x_name, y_name, tuple(marks)) if kept else None


# The charts of a run, from the lines of its metrics

# Title, what the upright axis says, and the metrics
LOSSES = "Losses"
RUN_CHARTS = (
    (LOSSES, "loss, no unit", ("d_loss", "g_loss", "penalty")),
    ("Mean scores of the critic", "score, no unit", ("real_score", "fake_score")),
    ("Speed, images per second", "images per second", ("images_per_s",)),
    ("Share of the time spent waiting for data", "share, 0 to 1", ("data_wait",)),
)
CURVE_NAMES = {
    "d_loss": "critic",
    "g_loss": "generator",
    "real_score": "real",
    "fake_score": "synthetic",
    "images_per_s": "images per second",
    "data_wait": "waiting for data",
}


def chart_metrics(lines: Sequence[dict[str, Any]], loss: str = "") -> list[Chart]:
    """Losses, scores, speed and waiting for data over the images shown, where there are any.

    `loss` is the name of the loss, for the axis of its chart.
    """
    charts = []
    for title, y_name, names in RUN_CHARTS:
        y_name = f"{loss} {y_name}".lstrip() if title == LOSSES else y_name
        curves = [
            Curve(CURVE_NAMES.get(name, name.replace("_", " ")), metric_points(lines, name))
            for name in names
        ]
        charts.append(build_chart(title, curves, X_NAME, y_name, mark_levels(lines)))
    return [chart for chart in charts if chart]


def name_metric(title: str, name: str) -> str:
    """What a chart or row of one metric is called, by the title of its chart in a run."""
    alone = any(title == known and len(names) == 1 for known, _, names in RUN_CHARTS)
    return title if alone else f"{title}: {CURVE_NAMES.get(name, name.replace('_', ' '))}"


def metric_points(lines: Sequence[dict[str, Any]], name: str) -> tuple[Point, ...]:
    """One metric as (thousand images, value), where it was finite; short ticks have no point."""
    points = []
    for ticks in join_short_ticks(lines):
        known = [(n, line[name]) for n, line in ticks if isinstance(line.get(name), int | float)]
        if total := sum(n for n, _ in known):
            mean = sum(n * value for n, value in known) / total
            points.append((ticks[-1][1]["nimg"] / 1000, float(mean)))
    return tuple(points)


SHORT = 0.5  # of the usual number of images


def join_short_ticks(
    lines: Sequence[dict[str, Any]],
) -> list[list[tuple[int, dict[str, Any]]]]:
    """The lines as (images, line), each short tick with the one before it at the same resolution.

    A run that stops writes what it has, and the mean of 16 images beside those of thousands looks
    like a collapse.
    """
    ends = [0, *(line["nimg"] for line in lines)]
    images = [max(1, end - start) for start, end in itertools.pairwise(ends)]
    least = SHORT * median_high(images) if images else 0
    joined: list[list[tuple[int, dict[str, Any]]]] = []
    for count, line in zip(images, lines, strict=True):
        before = joined[-1][-1][1].get("resolution") if joined else None
        if joined and count < least and before == line.get("resolution"):
            joined[-1].append((count, line))
        else:
            joined.append([(count, line)])
    return joined


def mark_levels(lines: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
    """Where each resolution begins: (thousand images, '32 px'), the first of them at 0."""
    marks: list[tuple[float, str]] = []
    for line in lines:
        text = f"{line.get('resolution')} px"
        if not marks or marks[-1][1] != text:
            marks.append((line["nimg"] / 1000 if marks else 0.0, text))
    return marks


def thin(points: Sequence[Point], most: int = MAX_POINTS) -> tuple[Point, ...]:
    """At most `most` points: the means of neighbouring ones."""
    if len(points) <= most:
        return tuple(points)
    bounds = [len(points) * i // most for i in range(most + 1)]
    groups = [points[a:b] for a, b in itertools.pairwise(bounds)]
    return tuple((sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups)


def draw_png(charts: Sequence[Chart]) -> bytes:
    """Charts below each other as one PNG, marked as one."""
    stream = io.BytesIO()
    draw_figure(charts).savefig(stream, dpi=100, metadata={COMMENT: Shows.CHART.value})
    return stream.getvalue()


def draw_figure(charts: Sequence[Chart]) -> Any:
    """Charts below each other as a figure of matplotlib, axes in the order of the charts."""
    # The object interface, not pyplot: no display, no global state, safe in any thread.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3 * len(charts)), layout="constrained")
        panels = figure.subplots(len(charts), 1, squeeze=False)[:, 0]
        for axes, chart in zip(panels, charts, strict=True):
            _plot(axes, chart, chart.title)
    return figure


def save_charts(folder: Path, charts: Sequence[Chart]) -> list[Path]:
    """Each chart as an SVG and a PDF with text that can be edited, named after its title."""
    written = []
    for chart in charts:
        name = re.sub(r"\W+", "-", chart.title.lower()).strip("-")
        for format_ in ("svg", "pdf"):
            written.append(folder / f"{name}.{format_}")
            write_bytes(written[-1], _draw(chart, format_, chart.title))
    return written


WIDTH_IN, HEIGHT_IN, LINE_IN = 4.8, 2.6, 0.17  # narrow, so that a phone shows it legibly


def _draw(chart: Chart, format_: str, title: str = "") -> bytes:
    # The object interface, not pyplot: no display, no global state, safe in any thread.
    import matplotlib
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    height = HEIGHT_IN + LINE_IN * (_legend_of(chart)[1] - 1)  # room for each line of the legend
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height))  # no layout engine: it takes half of the time
        top, bottom = height - HEIGHT_IN * 0.88, HEIGHT_IN * 0.16
        figure.subplots_adjust(left=0.17, right=0.98, bottom=bottom / height, top=1 - top / height)
        _plot(figure.subplots(), chart, title)
        notes = metadata_of(format_, title, Shows.CHART)
        with warnings.catch_warnings():  # a page's reader may have letters that the printer lacks
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            figure.savefig(stream, format=format_, transparent=True, metadata=notes)
    return stream.getvalue()


def _plot(axes: Any, chart: Chart, title: str) -> None:
    """The curves with both axes named; a title, where the page does not give it, on the left."""
    columns, _ = _legend_of(chart)
    for curve in chart.curves:
        again, colour = divmod(curve.place, len(SERIES))
        axes.plot(
            *zip(*curve.points, strict=True),
            color=SERIES[colour],
            linestyle=DASHES[again % len(DASHES)],
            label=_wrap(curve.name),
            linewidth=1.3,
            marker="o" if len(curve.points) == 1 else None,
        )
    for x, text in chart.marks:
        axes.axvline(x, color=DIM, linestyle=":", linewidth=0.8)
        axes.text(x, 0.97, f" {text}", transform=axes.get_xaxis_transform(), fontsize=8, va="top")
    if (usual := find_spike([y for curve in chart.curves for _, y in curve.points])) is not None:
        axes.set_yscale("symlog", linthresh=usual)
        axes.yaxis.set_major_formatter("{x:g}")
    if chart.marks:
        _leave_room(axes)
    axes.set(xlabel=chart.x_name, ylabel=chart.y_name)
    axes.set_title(title, loc="left", fontsize=9)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.spines[:].set_visible(False)
    if len(chart.curves) == 1 and chart.curves[0].name in title:  # named once, and in its room
        return
    side, x = ("right", 1) if title else ("left", 0)
    place = {"loc": f"lower {side}", "bbox_to_anchor": (x, 1)}
    axes.legend(**place, ncols=columns, frameon=False, borderpad=0, labelspacing=0.2)


MARK_ROOM = 0.1  # of the height, above all curves for the names of marks


def _leave_room(axes: Any) -> None:
    """Raise the upper end of a chart, on whatever scale, so that no curve crosses what is there."""
    scale = axes.yaxis.get_transform()
    low, high = scale.transform(axes.get_ylim())
    axes.set_ylim(top=scale.inverted().transform([high + MARK_ROOM * (high - low)])[0])


LEGEND_LETTERS = 44  # that fit beside each other above a chart
SAMPLE_LETTERS = 6  # as wide as the line before a name


EAST_ASIAN = 0x2E80  # the first letter of its scripts


def _room(text: str) -> float:
    """How many usual letters a text is as wide as, in about any font."""
    return sum(map(_room_of, text))


def _room_of(letter: str) -> float:
    if ord(letter) >= EAST_ASIAN:
        return 1.9
    if letter in "MWmw@%":
        return 1.65
    return 1.25 if letter.isupper() else 1.0


def _wrap(name: str) -> str:
    """A name in as many lines as it takes, for a folder's may be of any length.

    It breaks behind a sign between words where it can, and within a word where it must.
    """
    lines = [""]
    for piece in re.findall(r".+?(?:[-_. ]|$)", name):
        if _room(piece) <= LEGEND_LETTERS < _room(lines[-1] + piece):
            lines.append("")
        for letter in piece:
            if _room(lines[-1] + letter) > LEGEND_LETTERS:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines)


def _legend_of(chart: Chart) -> tuple[int, int]:
    """How many names stand beside each other above a chart, and how many lines they take."""
    names = [_wrap(curve.name) for curve in chart.curves]
    longest = max(_room(line) for name in names for line in name.split("\n"))
    fit = int((LEGEND_LETTERS + SAMPLE_LETTERS) // (longest + SAMPLE_LETTERS))
    columns = max(1, min(4, fit, len(names)))
    # As matplotlib fills the columns: one after the other, the first ones with one name more.
    parts = np.array_split([name.count("\n") + 1 for name in names], columns)
    return columns, max(int(part.sum()) for part in parts)


SPIKE = 20.0  # a largest value this many times the usual ones hides all else on a linear axis


def find_spike(values: Sequence[float]) -> float | None:
    """Where an axis should turn from linear to logarithmic, or None: there is no spike."""
    sizes = np.abs(np.array(values, dtype=np.float64))
    usual = float(np.percentile(sizes, 90)) if len(sizes) else 0.0
    return usual if usual > 0 and sizes.max() > SPIKE * usual else None


# Figures of an evaluation beside their floors, as a picture

FAKES, REALS = "#b2432f", "#2f6db2"  # distinguishable for the colour-blind, too


def save_figures(path: Path, figures: Sequence[Any]) -> None:
    """One row per figure of `evaluate`: at half, and real halves.

    Each row has its own scale, from 0 to the larger of the two without sign, as verdicts compare
    them; the bar is the 95 % interval of the figure, scaled alike. Two columns, as wide as a page
    of a journal (180 mm). The file's name says the format: .png, or .pdf and .svg for print.
    """
    # The object interface, not pyplot: no display, no global state, safe in any thread.
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    shown = [f for f in figures if f.floor == f.floor and f.at_floor == f.at_floor]  # no NaN
    rows = -(-len(shown) // 2)
    with matplotlib.rc_context({**PRINTED, "font.size": 6.5, "lines.markersize": 3.5}):
        canvas = Canvas(figsize=(PAGE_IN, 0.9 + 0.2 * rows), layout="constrained")
        columns = canvas.subplots(1, 2, sharex=True)
        for axes, part in zip(columns, (shown[:rows], shown[rows:]), strict=True):
            _draw_rows(axes, part, rows)
            axes.set_visible(bool(part))
        columns[0].set_xlim(left=-0.06)  # a mark at 0 is whole
        canvas.supxlabel(
            f"in each row, 1 is the larger value without its sign; {ARROWS_MEAN}", fontsize=6.5
        )
        canvas.legend(*columns[0].get_legend_handles_labels(), **ABOVE)
        save_figure(path, canvas, "Figures of quality beside those of real halves")


# Where each format states its title and what it shows, and what it would say of time and program
STATED = {"svg": ("Title", "Description"), "pdf": ("Title", "Subject")}
UNSAID = {"svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator", "Producer")}


def metadata_of(kind: str, title: str, shows: Shows) -> dict[str, Any]:
    """What savefig writes beside a picture: its mark and, but in PNGs, its title."""
    if kind == "png":
        return {COMMENT: shows.value}
    stated = dict(zip(STATED[kind], (title, shows.value), strict=True))
    return {**dict.fromkeys(UNSAID[kind]), **stated}


PAGE_IN = 7.1  # 180 mm
ABOVE: Any = {"loc": "outside upper center", "ncols": 2, "frameon": False}


def _draw_rows(axes: Any, figures: Sequence[Any], rows: int) -> None:
    """One column of the picture, with place for `rows` figures."""
    for row, figure in enumerate(figures):
        scale = max(abs(figure.at_floor), abs(figure.floor)) or 1.0
        half = (figure.high - figure.low) / 2 / scale
        axes.errorbar(abs(figure.at_floor) / scale, row, xerr=half, fmt="o", color=FAKES, capsize=2)
        axes.plot(abs(figure.floor) / scale, row, "s", color=REALS)
        text = f"{say_number(figure.at_floor)} / {say_number(figure.floor)}"
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")
    head = {"xycoords": "axes fraction", "va": "bottom", "weight": "bold"}
    axes.annotate("at half /\nreal halves", (1.02, 1), **head)
    names = [f"{f.name} ({f.unit})" if f.unit else f.name for f in figures]
    ways = [ARROWS[f.better] for f in figures]
    axes.set_yticks(range(len(figures)), map(" ".join, zip(names, ways, strict=True)))
    axes.set_ylim(rows - 0.4, -0.6)
    axes.plot([], [], "o", color=FAKES, label="at half: synthetic against half of the people")
    axes.plot([], [], "s", color=REALS, label="real halves: people against people")
    axes.grid(axis="x", alpha=0.3)


def save_figure(
    path: Path, canvas: Any, title: str, shows: Shows = Shows.CHART, dots_per_inch: int = 150
) -> None:
    """Write a figure of matplotlib that records what it is and shows, without a date."""
    stream, kind = io.BytesIO(), path.suffix.removeprefix(".")
    notes = metadata_of(kind, title, shows)
    canvas.savefig(stream, format=kind, dpi=dots_per_inch, metadata=notes)
    write_bytes(path, stream.getvalue())
