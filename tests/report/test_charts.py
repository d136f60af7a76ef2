"""Curves as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from mri_gan.report.charts import HEIGHT, WIDTH, Curve, draw_chart, nice_ticks, thin

LINE = Curve("critic", tuple((float(i), float(i * i)) for i in range(11)))


def svg_of(markup: str) -> ET.Element:
    return ET.fromstring(str(markup).split("</svg>")[0] + "</svg>")


def test_the_line_spans_the_plotting_area() -> None:
    polyline = svg_of(draw_chart("Losses", [LINE], "kimg")).find("polyline")
    assert polyline is not None
    points = [tuple(map(float, p.split(","))) for p in polyline.get("points", "").split()]
    xs, ys = zip(*points, strict=True)
    assert (min(xs), max(xs)) == (52, WIDTH - 12)
    assert (min(ys), max(ys)) == (10, HEIGHT - 28)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)  # up is larger


def test_a_screen_reader_is_told_where_curves_begin_and_end() -> None:
    assert svg_of(draw_chart("Losses", [LINE], "kimg")).get("aria-label") == (
        "Losses: critic from 0 to 100"
    )


def test_names_are_escaped() -> None:
    assert "<b>" not in draw_chart("t", [Curve("<b>", ((0, 1), (1, 2)))], "x")


def test_no_points_no_chart() -> None:
    assert draw_chart("t", [Curve("a", ())], "x") == ""


def test_one_point_or_a_constant_can_be_drawn() -> None:
    assert draw_chart("t", [Curve("a", ((1, 3),))], "x")
    assert draw_chart("t", [Curve("a", ((1, 3), (2, 3)))], "x")


def test_thinning_keeps_the_mean() -> None:
    points = [(float(i), float(i % 7)) for i in range(1200)]
    thinned = thin(points, 300)
    assert len(thinned) == 300
    assert sum(y for _, y in thinned) / 300 == pytest.approx(sum(y for _, y in points) / 1200)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-1.2, 0.9, [-1, -0.5, 0, 0.5]), (3, 3, [3])],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks
