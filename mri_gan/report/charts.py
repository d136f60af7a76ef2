"""Curves as SVG that follows the page's colours, scales to a phone and can be read aloud."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]
WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 28  # margins around the plotting area
MAX_POINTS = 300  # more would not be seen


@dataclass(frozen=True)
class Curve:
    """A named series of (x, y)."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Scale:
    """A linear map from a range of values to a range of pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def thin(points: Sequence[Point], most: int = MAX_POINTS) -> tuple[Point, ...]:
    """At most `most` points: the means of neighbouring ones."""
    if len(points) <= most:
        return tuple(points)
    bounds = [len(points) * i // most for i in range(most + 1)]
    groups = [points[a:b] for a, b in itertools.pairwise(bounds)]
    return tuple((_mean([x for x, _ in g]), _mean([y for _, y in g])) for g in groups)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within low..high, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def draw_chart(
    title: str, curves: Sequence[Curve], x_name: str, marks: Sequence[tuple[float, str]] = ()
) -> Markup:
    """An SVG of the curves with axes, grid, legend and vertical marks; empty without points."""
    curves = [Curve(c.name, thin(c.points)) for c in curves if c.points]
    if not curves:
        return Markup("")
    xs = [x for c in curves for x, _ in c.points]
    ys = [y for c in curves for _, y in c.points]
    x = Scale(*_widened(min(xs), max(xs)), LEFT, WIDTH - RIGHT)
    y = Scale(*_widened(min(ys), max(ys)), HEIGHT - BOTTOM, TOP)
    parts = [
        _grid(x, y),
        *(_mark(x, value, text) for value, text in marks if x.low <= value <= x.high),
        *(_line(i, curve, x, y) for i, curve in enumerate(curves)),
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
            WIDTH - RIGHT, HEIGHT - 2, x_name
        ),
    ]
    svg = Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>'
    ).format(WIDTH, HEIGHT, describe(title, curves), Markup("").join(parts))
    return svg + _legend(curves)


def describe(title: str, curves: Sequence[Curve]) -> str:
    """What a screen reader says for a chart: where each curve begins and ends."""
    said = [
        f"{curve.name} from {curve.points[0][1]:.3g} to {curve.points[-1][1]:.3g}"
        for curve in curves
    ]
    return f"{title}: {'; '.join(said)}"


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _grid(x: Scale, y: Scale) -> Markup:
    lines = []
    for value in nice_ticks(y.low, y.high):
        at = round(y(value), 1)
        lines.append(
            Markup(
                '<path class="grid" d="M{} {}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
            ).format(LEFT, at, WIDTH - RIGHT, LEFT - 6, at + 4, f"{value:g}")
        )
    for value in nice_ticks(x.low, x.high, 8):
        lines.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                round(x(value), 1), HEIGHT - BOTTOM + 14, f"{value:g}"
            )
        )
    return Markup("").join(lines)


def _mark(x: Scale, value: float, text: str) -> Markup:
    at = round(x(value), 1)
    return Markup(
        '<path class="mark" d="M{} {}V{}"/><text x="{}" y="{}" class="mark">{}</text>'
    ).format(at, TOP, HEIGHT - BOTTOM, at + 3, TOP + 9, text)


def _line(index: int, curve: Curve, x: Scale, y: Scale) -> Markup:
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve.points)
    return Markup('<polyline class="line c{}" points="{}"><title>{}</title></polyline>').format(
        index % 6, path, curve.name
    )


def _legend(curves: Sequence[Curve]) -> Markup:
    items = Markup("").join(
        Markup('<li><span class="key k{}"></span>{}</li>').format(i % 6, escape(c.name))
        for i, c in enumerate(curves)
    )
    return Markup('<ul class="legend">{}</ul>').format(items)
