"""Shades of grey, sheets of slices and charts, in files that record what they show.

The one place that knows what white is.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from mri_gan.errors import UsageError, printable
from mri_gan.files import parse_json, write_bytes

if TYPE_CHECKING:
    from markupsafe import Markup
    from torch import Tensor


Pixels = NDArray[np.float32]


def white_of(images: Any) -> int:
    """The white of uint8 or uint16 pixels, an array's or a tensor's: 255 or 65535."""
    return int((1 << 8 * images.itemsize) - 1)


def to_unit(images: NDArray[Any]) -> Pixels:
    """uint8 or uint16 as 0..1."""
    return np.asarray(images, np.float32) / np.float32(white_of(images))


def to_stored(images: NDArray[Any], depth: int = 8) -> NDArray[Any]:
    """-1..1 as grey levels of 8 or 16 bits, rounded half up; what is beyond is cut off."""
    levels = np.floor((np.clip(images, -1, 1) + 1) * (((1 << depth) - 1) / 2) + 0.5)
    return np.asarray(levels, np.uint8 if depth == 8 else np.uint16)


def to_grey(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pictures of uint8, uint16 or float -1..1 as 8-bit grey."""
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.uint16:
        return (images >> 8).astype(np.uint8)
    return to_stored(images)


def to_signed(images: Tensor) -> Tensor:
    """Stored uint8 or uint16 as a float32 tensor of -1..1, black to white."""
    return images.float().mul_(2 / white_of(images)).sub_(1)


def write_signed(images: NDArray[Any], out: NDArray[np.float32]) -> None:
    """What `to_signed` gives, bit for bit, into an array that is there."""
    np.copyto(out, images)
    np.multiply(out, np.float32(2 / white_of(images)), out)
    np.subtract(out, np.float32(1), out)


def write_unit(images: NDArray[Any], out: NDArray[np.float32]) -> None:
    """What `to_unit` gives, bit for bit, into an array that is there."""
    np.copyto(out, images)
    np.divide(out, np.float32(white_of(images)), out)


# Arrays to PNG files that record what they show: sheets of slices with labels, for people

GAP = 2
SHEET_COMPRESSION = 2  # a fifth of the time of Pillow's default for a tenth more bytes
COMPRESS_LEVEL = 3  # half the time of Pillow's default for two per cent more bytes
INK, PAPER = 235, 0
MARKED_PX = 48  # in narrower pictures the letters would hide too much
COMMENT = "Comment"  # the text chunk of a PNG that holds the mark; Pillow calls a GIF's "comment"
SEED = "seed"  # the text chunk of an image that is one drawn slice
LAYOUT, SHEET = "Layout", "sheet"  # that of several slices in one picture


class Shows(Enum):
    """What a picture shows. The value is the mark that the file carries, its first word decides."""

    SYNTHETIC = "SYNTHETIC: drawn by a generative network, not a scan of a person"
    REAL = "REAL: scans of people, as confidential as the data"
    BOTH = "BOTH: scans of people beside synthetic images, as confidential as the data"
    LIKENESS = "LIKENESS: drawn by a generative network to equal a given image, perhaps of a person"
    CHART = "CHART: drawn from numbers, without any image"

    @property
    def shows_people(self) -> bool:
        """Whether it is as confidential as the scans of the people in it."""
        return self in (Shows.REAL, Shows.BOTH, Shows.LIKENESS)


def read_mark(path: Path) -> Shows | None:
    """What a PNG or GIF says that it shows; None without a mark, or where it cannot be read."""
    return _mark_of(_read_texts(path))


def read_slice_mark(data: bytes) -> tuple[Shows | None, bool]:
    """The mark of a PNG in memory, and whether it can be one slice: no chart, sheet or likeness."""
    texts = _read_texts(io.BytesIO(data))
    mark = _mark_of(texts)
    single = {None: True, Shows.REAL: LAYOUT not in texts, Shows.SYNTHETIC: SEED in texts}
    return mark, single.get(mark, False)


def _read_texts(file: Path | BinaryIO) -> dict[str, Any]:
    try:
        with Image.open(file, formats=("PNG", "GIF")) as picture:
            return {str(name): text for name, text in picture.info.items()}
    except (OSError, ValueError, SyntaxError):
        return {}


def _mark_of(texts: Mapping[str, Any]) -> Shows | None:
    text = texts.get(COMMENT) or texts.get("comment") or ""
    word = (text.decode("latin-1") if isinstance(text, bytes) else str(text)).partition(":")[0]
    return next((mark for mark in Shows if mark.name == word), None)


def png_text(shows: Shows, facts: Mapping[str, str] = {}) -> PngImagePlugin.PngInfo:
    """The text chunks of a PNG: the mark, and further facts."""
    text = PngImagePlugin.PngInfo()
    for name, value in {COMMENT: shows.value, **facts}.items():
        text.add_itxt(name, value)
    return text


def png_bytes(
    pixels: NDArray[Any], facts: Mapping[str, str] = {}, shows: Shows = Shows.SYNTHETIC
) -> bytes:
    """A PNG of [C, H, W] uint8 or uint16 with text chunks: the mark, and the facts.

    Raises UsageError for what PNG cannot hold: other than 1 or 3 channels, 16-bit colour.
    """
    if len(pixels) not in (1, 3) or (len(pixels) == 3 and pixels.dtype == np.uint16):
        raise UsageError(
            f"a PNG does not hold {len(pixels)} channels of {8 * pixels.itemsize} bits",
            "use --format nifti",
        )
    array = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(array))
    picture.save(stream, "PNG", pnginfo=png_text(shows, facts), compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def read_edges(config: Path) -> tuple[str, ...]:
    """`edges_of` a run by its config.json; empty where that cannot be read."""
    try:
        return edges_of(parse_json(config.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ()


def edges_of(facts: Any) -> tuple[str, ...]:
    """The sides of the body at the left and right edge of a run's pictures: ("R", "L").

    Empty where it is not recorded, differs among slices, or training mirrored them.
    """
    try:
        flipped, edges = facts["settings"].get("flip"), tuple(facts["data"]["image_edges"])
    except (LookupError, TypeError, AttributeError):
        return ()
    return edges if sorted(map(str, edges)) == ["L", "R"] and not flipped else ()


def build_sheet(
    images: NDArray[Any],
    columns: int,
    labels: Sequence[str] = (),
    scale: int = 1,
    edges: Sequence[str] = (),
) -> Image.Image:
    """A contact sheet of [N, H, W] grey or [N, 3, H, W] colour images, row by row.

    Labels are written under the pictures, `edges` (R and L) into the upper corners of the first
    one; `scale` repeats pixels so that small levels can be seen. Empty cells stay black.
    """
    tiles = [build_tile(image, scale) for image in to_grey(images)]
    width, height = tiles[0].size
    text = 14 if labels else 0
    rows = -(-len(tiles) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + text + GAP) + GAP)
    sheet = Image.new(tiles[0].mode, size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, tile in enumerate(tiles):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (height + text + GAP)
        sheet.paste(tile, (x, y))
        if labels:
            draw.text((x, y + height + 1), _fit(labels[i], width), INK, ImageFont.load_default(10))
    if edges and width >= MARKED_PX:
        mark_edges(draw, width, edges)
    return sheet


def html_row(images: NDArray[Any], caption: str) -> str:
    """Images [N, H, W] beside each other as HTML, for notebooks."""
    stream = io.BytesIO()
    build_sheet(images, len(images), scale=magnification(images.shape[-1])).save(stream, "PNG")
    data, text = base64.b64encode(stream.getvalue()).decode(), escape(printable(caption))
    return f'<p>{text}</p><img alt="{text}" src="data:image/png;base64,{data}">'


def mark_edges(draw: ImageDraw.ImageDraw, width: int, edges: Sequence[str]) -> None:
    """R and L in the upper corners of the first picture, with a dark rim."""
    font = ImageFont.load_default(10)
    for letter, x, anchor in zip(edges, (GAP + 2, GAP + width - 2), ("la", "ra"), strict=True):
        draw.text((x, GAP + 1), letter, INK, font, anchor, stroke_width=1, stroke_fill=PAPER)


SHOWN_PX = 128  # smaller pictures are magnified to about this size


def magnification(size: int) -> int:
    """How many screen pixels to show each pixel with."""
    return max(1, SHOWN_PX // size)


def sheet_pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, C, H, W] -1..1 to what a sheet takes: grey from the first channel, or three as RGB.

    More than three are contrasts of one head, and stand beside each other.
    """
    grey = to_grey(images)
    if grey.shape[1] > 3:
        return np.concatenate(list(grey.swapaxes(0, 1)), axis=-1)
    return grey if grey.shape[1] == 3 else grey[:, 0]


def build_tile(image: NDArray[np.uint8], scale: int) -> Image.Image:
    if image.ndim == 3:
        image = image[0] if image.shape[0] != 3 else image.transpose(1, 2, 0)
    tile = Image.fromarray(np.ascontiguousarray(image))
    if scale == 1:
        return tile
    return tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST)


def _fit(label: str, width: int) -> str:
    longest = max(1, width // 6)
    return label if len(label) <= longest else label[: longest - 1] + "…"


def save_png(path: Path, image: Image.Image, shows: Shows) -> None:
    """Write a PNG of several slices, marked with what it shows, atomically."""
    stream = io.BytesIO()
    text = png_text(shows, {LAYOUT: SHEET})
    image.save(stream, "PNG", pnginfo=text, compress_level=SHEET_COMPRESSION)
    write_bytes(path, stream.getvalue())


# Charts, drawn once: for a page, where they follow its colours, and as SVG or PDF for papers

Point = tuple[float, float]
X_NAME = "thousand real images shown"
MAX_POINTS = 300  # more would not be seen
DIM, RULE = "#5d5d66", "#d7d7d2"
SERIES = ("#0a5c8f", "#c0500c", "#2e7d32", "#7b3fa0", "#a8326a", "#1b1b1f")
# On a page each colour is the style sheet's own, which is another one in the dark.
PAGE_COLOURS = {DIM: "var(--dim)", RULE: "var(--rule)"} | {
    colour: f"var(--c{i})" for i, colour in enumerate(SERIES)
}
STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mrigan",
    "pdf.fonttype": 42,
    "font.size": 9,
}
STYLE |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), DIM)


# Which way a figure of quality should go
ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}"}
ARROWS |= {"zero": "\N{RIGHTWARDS ARROW}0", "far": "=", "told": ""}
ARROWS_MEAN = (
    "{lower} lower is better, {higher} higher is better, {zero} 0 is best, {far} as people is best"
).format(**ARROWS)


# What a figure of quality says, in words
AMONG = "what people differ among themselves"
WITHIN, FAR = f"within {AMONG}", "far outside"
NEAR = "nearer than people are to each other"


@dataclass(frozen=True)
class Curve:
    """A named series of (x, y)."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Chart:
    """Curves over one axis, with vertical marks (x, text) where something begins."""

    title: str
    curves: tuple[Curve, ...]
    x_name: str
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
    title: str, curves: Sequence[Curve], x_name: str, marks: Sequence[tuple[float, str]] = ()
) -> Chart | None:
    """A chart of the curves that have points, thinned to what can be seen; None without any."""
    kept = tuple(Curve(c.name, thin(c.points)) for c in curves if c.points)
    return Chart(title, kept, x_name, tuple(marks)) if kept else None


# The charts of a run, from the lines of its metrics

RUN_CHARTS = (
    ("Losses", ("d_loss", "g_loss", "penalty")),
    ("Mean scores of the critic", ("real_score", "fake_score")),
    ("Speed, images per second", ("images_per_s",)),
    ("Share of the time spent waiting for data", ("data_wait",)),
)
CURVE_NAMES = {
    "d_loss": "critic",
    "g_loss": "generator",
    "real_score": "real",
    "fake_score": "fake",
}


def chart_metrics(lines: Sequence[dict[str, Any]]) -> list[Chart]:
    """Losses, scores, speed and waiting for data over the images shown, where there are any."""
    charts = []
    for title, names in RUN_CHARTS:
        curves = [
            Curve(CURVE_NAMES.get(name, name.replace("_", " ")), metric_points(lines, name))
            for name in names
        ]
        charts.append(build_chart(title, curves, X_NAME, mark_levels(lines)))
    return [chart for chart in charts if chart]


def metric_points(lines: Sequence[dict[str, Any]], name: str) -> tuple[Point, ...]:
    """One metric as (thousand images, value), where it was finite."""
    return tuple(
        (line["nimg"] / 1000, float(line[name]))
        for line in lines
        if isinstance(line.get(name), int | float)
    )


def mark_levels(lines: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
    """Where each resolution begins: (thousand images, '32 px')."""
    marks: list[tuple[float, str]] = []
    for line in lines:
        text = f"{line.get('resolution')} px"
        if not marks or marks[-1][1] != text:
            marks.append((line["nimg"] / 1000, text))
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
            _plot(axes, chart)
            axes.set_ylabel(chart.title.lower())
    return figure


def save_charts(folder: Path, charts: Sequence[Chart]) -> list[Path]:
    """Each chart as an SVG and a PDF with text that can be edited, named after its title."""
    written = []
    for chart in charts:
        name = re.sub(r"\W+", "-", chart.title.lower()).strip("-")
        for format_ in ("svg", "pdf"):
            written.append(folder / f"{name}.{format_}")
            write_bytes(written[-1], _draw(chart, format_))
    return written


def _draw(chart: Chart, format_: str) -> bytes:
    # The object interface, not pyplot: no display, no global state, safe in any thread.
    import matplotlib
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.7))  # no layout engine: it takes half of the time
        figure.subplots_adjust(left=0.09, right=0.99, bottom=0.16, top=0.88)
        _plot(figure.subplots(), chart)
        nothing: dict[str, Any] = dict.fromkeys(
            ("Date", "Creator") if format_ == "svg" else ("CreationDate", "Creator", "Producer")
        )
        figure.savefig(stream, format=format_, transparent=True, metadata=nothing)
    return stream.getvalue()


def _plot(axes: Any, chart: Chart) -> None:
    for i, curve in enumerate(chart.curves):
        mark = "o" if len(curve.points) == 1 else None
        axes.plot(
            *zip(*curve.points, strict=True),
            color=SERIES[i % len(SERIES)],
            label=curve.name,
            linewidth=1.3,
            marker=mark,
        )
    for x, text in chart.marks:
        axes.axvline(x, color=DIM, linestyle=":", linewidth=0.8)
        axes.text(x, 0.97, f" {text}", transform=axes.get_xaxis_transform(), fontsize=8, va="top")
    if (usual := find_spike([y for curve in chart.curves for _, y in curve.points])) is not None:
        axes.set_yscale("symlog", linthresh=usual)
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(chart.x_name)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.spines[:].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, borderpad=0)


SPIKE = 20.0  # a largest value this many times the usual ones hides all else on a linear axis


def find_spike(values: Sequence[float]) -> float | None:
    """Where an axis should turn from linear to logarithmic, or None: there is no spike."""
    sizes = np.abs(np.array(values, dtype=np.float64))
    usual = float(np.percentile(sizes, 90)) if len(sizes) else 0.0
    return usual if usual > 0 and sizes.max() > SPIKE * usual else None
