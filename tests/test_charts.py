"""Curves on a page, and as SVG and PDF."""

from __future__ import annotations

import itertools
import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from mri_gan.charts import (
    SERIES,
    Chart,
    Curve,
    build_chart,
    chart_metrics,
    draw_figure,
    find_spike,
    mark_levels,
    metric_points,
    name_metric,
    save_charts,
    thin,
)

STATES = {"title": "Losses", "description": "CHART: drawn from numbers, without any image"}
LINE = Curve("critic", tuple((float(i), float(i * i)) for i in range(11)))


def chart_of(*curves: Curve) -> Chart:
    chart = build_chart("Losses", curves, "kimg", "loss", [(5.0, "16 px")])
    assert chart is not None
    return chart


def paths(markup: str, colour: str) -> list[list[tuple[float, float]]]:
    """The points of every path that is drawn in a colour."""
    found = [
        path.get("d", "")
        for path in ET.fromstring(markup).iter("path")
        if f"stroke: {colour}" in path.get("style", "") and "clip-path" in path.attrib
    ]
    numbers = [re.findall(r"-?[\d.]+", d) for d in found]
    return [list(zip(map(float, n[::2]), map(float, n[1::2]), strict=True)) for n in numbers]


def test_a_curve_keeps_its_shape() -> None:
    (points,) = paths(chart_of(LINE).svg, "var(--c0)")
    xs, ys = zip(*points, strict=True)
    width, height = xs[-1] - xs[0], ys[0] - ys[-1]  # up is larger
    shape = [((x - xs[0]) / width, (ys[0] - y) / height) for x, y in points]
    assert shape == [pytest.approx((i / 10, i * i / 100), abs=1e-4) for i in range(11)]


def test_colours_are_those_of_the_page_so_that_the_dark_has_its_own() -> None:
    assert re.findall("#[0-9a-f]{6}", chart_of(LINE, Curve("b", LINE.points)).svg) == []


def test_a_screen_reader_hears_where_curves_begin_and_end() -> None:
    assert ET.fromstring(chart_of(LINE).svg).get("aria-label") == "Losses: critic from 0 to 100"


def test_text_and_marks_are_text() -> None:
    texts = [text.text for text in ET.fromstring(chart_of(LINE).svg).iter("text")]
    assert {"critic", "kimg"} < set(texts)
    assert any("16 px" in str(text) for text in texts)


def test_names_are_escaped_and_no_formula() -> None:
    svg = chart_of(Curve("<b> $x$", ((0, 1), (1, 2)))).svg
    assert "<b>" not in svg
    assert "&lt;b&gt; $x$" in svg


def test_no_points_no_chart() -> None:
    assert build_chart("t", [Curve("a", ())], "x") is None


@pytest.mark.parametrize("points", [((1.0, 3.0),), ((1.0, 3.0), (2.0, 3.0))])
def test_one_point_or_a_constant_can_be_drawn(points: tuple[tuple[float, float], ...]) -> None:
    assert "<path" in chart_of(Curve("a", points)).svg


def test_thinning_keeps_the_mean() -> None:
    points = [(float(i), float(i % 7)) for i in range(1200)]
    thinned = thin(points, 300)
    assert len(thinned) == 300
    assert sum(y for _, y in thinned) / 300 == pytest.approx(sum(y for _, y in points) / 1200)


def test_papers_get_vectors_that_do_not_change(tmp_path: Path) -> None:
    written = save_charts(tmp_path, [chart_of(LINE)])
    first = [path.read_bytes() for path in written]
    assert [path.name for path in written] == ["losses.svg", "losses.pdf"]
    assert first[1].startswith(b"%PDF-")
    save_charts(tmp_path, [chart_of(LINE)])
    assert [path.read_bytes() for path in written] == first


def test_vectors_state_what_they_are_and_show(tmp_path: Path) -> None:
    vector, printed = (path.read_bytes() for path in save_charts(tmp_path, [chart_of(LINE)]))
    assert b"/Title (Losses)" in printed
    assert b"/Subject (CHART: drawn from numbers, without any image)" in printed
    told = ET.fromstring(vector)
    said = {name: told.find(f".//{{http://purl.org/dc/elements/1.1/}}{name}") for name in STATES}
    assert {name: getattr(found, "text", "") for name, found in said.items()} == STATES
    assert b"matplotlib" not in printed.lower()


def test_a_figure_for_a_paper_names_itself_and_both_axes(tmp_path: Path) -> None:
    lines = [{"nimg": 1000 * i, "resolution": 8, "d_loss": 1.0} for i in range(3)]
    written, _ = save_charts(tmp_path, chart_metrics(lines, "r1"))
    texts = {text.text for text in ET.parse(written).iter("{http://www.w3.org/2000/svg}text")}
    assert {"Losses", "r1 loss, no unit", "thousand real images shown (kimg)"} < texts


def test_a_title_that_names_its_only_curve_has_no_legend_to_run_into(tmp_path: Path) -> None:
    lines = [{"nimg": 1000 * i, "resolution": 8, "data_wait": 0.1, "d_loss": 1.0} for i in range(3)]
    losses, _, waiting, _ = save_charts(tmp_path, chart_metrics(lines))
    assert "critic" in losses.read_text()
    texts = {text.text for text in ET.parse(waiting).iter("{http://www.w3.org/2000/svg}text")}
    assert "Share of the time spent waiting for data" in texts
    assert "waiting for data" not in texts
    assert ">waiting for data<" in chart_metrics(lines)[1].svg  # of a page, whose heading is apart


def test_every_chart_of_a_run_says_what_its_upright_axis_is() -> None:
    names = ("d_loss", "real_score", "images_per_s", "data_wait")
    line = {"nimg": 8, "resolution": 8, **dict.fromkeys(names, 1.0)}
    axes = draw_figure(chart_metrics([line])).axes
    assert [one.get_ylabel() for one in axes] == [
        "loss, no unit",
        "score, no unit",
        "images per second",
        "share, 0 to 1",
    ]


def test_each_level_is_marked_where_it_begins_and_the_first_one_at_0() -> None:
    lines = [{"nimg": nimg, "resolution": px} for nimg, px in ((140, 8), (280, 8), (420, 16))]
    assert mark_levels(lines) == [(0.0, "8 px"), (0.42, "16 px")]


def test_on_a_page_the_heading_is_the_title() -> None:
    texts = [text.text for text in ET.fromstring(chart_of(LINE).svg).iter("text")]
    assert "loss" in texts
    assert "Losses" not in texts


def test_one_spike_does_not_flatten_the_rest() -> None:
    values = [1.0, 2.0] * 20 + [3e6] + [1.0, 2.0] * 20
    svg = chart_of(Curve("critic", tuple(enumerate(values)))).svg
    (points,) = paths(svg, "var(--c0)")
    heights = [y for _, y in points]
    assert heights[0] - heights[1] > 0.03 * (max(heights) - min(heights))
    assert "mathdefault" not in svg


@pytest.mark.parametrize(
    ("values", "usual"),
    [
        ([], None),
        ([0.0, 0.0], None),
        ([1.0, -1.2, 0.8] * 10, None),
        ([2.0] * 30 + [39.0], None),
        ([2.0] * 30 + [-41.0], 2.0),
        ([2.0] * 30 + [3e14], 2.0),
    ],
)
def test_a_spike_is_a_value_of_twenty_times_the_usual_size(
    values: list[float], usual: float | None
) -> None:
    assert find_spike(values) == usual


def test_points_of_a_metric_are_over_thousands_of_images_where_it_was_finite() -> None:
    lines: list[dict[str, Any]] = [
        {"nimg": 2000, "d_loss": 1.5},
        {"nimg": 3500, "d_loss": None},
        {"nimg": 5000},
    ]
    assert metric_points(lines, "d_loss") == ((2.0, 1.5),)


def ticks(*images: int, resolution: int = 8) -> list[dict[str, Any]]:
    """Lines of metrics after so many images each; the loss of each is their number."""
    ends = list(itertools.accumulate(images))
    return [
        {"nimg": end, "resolution": resolution, "d_loss": float(n)}
        for end, n in zip(ends, images, strict=True)
    ]


@pytest.mark.parametrize(
    ("images", "values"),
    [
        ((144, 144, 144, 16), (144, 144, (144 * 144 + 16 * 16) / 160)),  # stopped
        ((144, 16, 144, 32, 128), ((144 * 144 + 16 * 16) / 160, (144 * 144 + 32 * 32) / 176, 128)),
        ((144, 128, 144, 73), (144, 128, 144, 73)),
        ((16, 144, 144), (16, 144, 144)),  # there is none before it
        ((16, 16), (16, 16)),
    ],
)
def test_a_tick_of_few_images_is_no_point_of_its_own(
    images: tuple[int, ...], values: tuple[float, ...]
) -> None:
    points = metric_points(ticks(*images), "d_loss")
    assert [y for _, y in points] == pytest.approx(values)
    assert points[-1][0] == sum(images) / 1000


def test_a_short_tick_does_not_join_one_of_another_resolution() -> None:
    second = [{**line, "nimg": line["nimg"] + 288, "resolution": 16} for line in ticks(16, 144)]
    points = metric_points([*ticks(144, 144), *second], "d_loss")
    assert [y for _, y in points] == [144, 144, 16, 144]


def test_a_curve_keeps_its_colour_where_another_is_missing() -> None:
    others = (Curve("a", ()), LINE)
    charts = [build_chart("t", [other, Curve("b", LINE.points)], "x") for other in others]
    colours = [
        {line.get_label(): line.get_color() for line in draw_figure([chart]).axes[0].lines}["b"]
        for chart in charts
        if chart
    ]
    assert colours == [SERIES[1], SERIES[1]]


def test_the_seventh_curve_is_told_from_the_first() -> None:
    chart = build_chart("t", [Curve(str(i), LINE.points) for i in range(7)], "x")
    assert chart is not None
    first, *_, last = draw_figure([chart]).axes[0].lines
    assert first.get_color() == last.get_color()
    assert first.get_linestyle() != last.get_linestyle()


def test_names_of_any_length_stand_whole_above_the_curves() -> None:
    names = [f"stylegan2_oasis3_{'x' * 60}_{end}" for end in "ab"]
    svg = ET.fromstring(chart_of(*(Curve(name, LINE.points) for name in names)).svg)
    width, height = map(float, str(svg.get("viewBox")).split()[2:])
    texts = [str(text.text) for text in svg.iter("text")]
    for name in names:
        assert name in ["".join(pair) for pair in itertools.pairwise(texts)]
    assert max(map(len, texts)) * 4.9 < 0.8 * width  # points of a letter
    one_line = ET.fromstring(chart_of(LINE).svg).get("viewBox")
    assert height > float(str(one_line).split()[3])


@pytest.mark.parametrize(
    ("title", "metric", "said"),
    [
        ("Losses", "d_loss", "Losses: critic"),
        ("Losses", "penalty", "Losses: penalty"),
        ("Speed, images per second", "images_per_s", "Speed, images per second"),
    ],
)
def test_a_metric_is_named_in_words_and_once(title: str, metric: str, said: str) -> None:
    assert name_metric(title, metric) == said


NAMES = ("W" * 70, "OASIS3_T1W_AXIAL_MWMWMW_GAMMA_0.0002_BATCH_32_SEED_0", "\u8111" * 60, "a" * 99)


def test_names_of_wide_letters_stay_within_the_chart() -> None:
    """In the font that matplotlib has; a box of another script is about as wide."""
    curves = [Curve(name, LINE.points) for name in NAMES]
    figure = draw_figure([chart_of(*curves)])
    figure.dpi = 720  # where letters are as wide as in print
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.draw_without_rendering()
        boxes = [t.get_window_extent() for t in figure.axes[0].get_legend().get_texts()]
    narrow = 4.8 * (0.98 - 0.17) - 0.35  # inches beside the line, on a page
    assert max(box.width for box in boxes) / figure.dpi <= narrow


def test_a_long_name_breaks_between_words_and_loses_nothing() -> None:
    name = "stylegan2_oasis3_T1w_axial_256px_ada_gamma0.0002_batch32_seed0"
    (label,) = draw_figure([chart_of(Curve(name, LINE.points))]).axes[0].get_legend().get_texts()
    lines = label.get_text().split("\n")
    assert "".join(lines) == name
    assert [line[-1] for line in lines[:-1]] == ["_"] * (len(lines) - 1)
    assert len(lines) > 1


def test_letters_that_the_printer_lacks_are_no_warning() -> None:
    assert "\u8111" in chart_of(Curve("\u8111", LINE.points)).svg


def height_of(*names: str) -> float:
    svg = chart_of(*(Curve(name, LINE.points) for name in names)).svg
    return float(re.findall(r'viewBox="[\d.]+ [\d.]+ [\d.]+ ([\d.]+)"', svg)[0])


def test_a_chart_has_room_for_the_lines_of_its_legend_and_no_more() -> None:
    line, long = height_of("a") - height_of("b"), "a" * 60
    assert line == 0
    one = height_of(long) - height_of("a")  # two lines
    assert height_of(long, "b" * 40, "c" * 40) == pytest.approx(height_of("a") + 3 * one)


@pytest.mark.parametrize("spike", [0.0, 1e6])
def test_no_curve_crosses_the_names_of_the_levels(spike: float) -> None:
    """On a scale with a spike, too."""
    curve = Curve("loss", tuple((float(x), 5.0 + x % 2 + spike * (x == 5)) for x in range(40)))
    figure = draw_figure([chart_of(curve)])
    figure.canvas.draw()
    (axes,) = figure.axes
    (name,) = axes.texts
    highest = axes.transData.transform((5, max(y for _, y in curve.points)))[1]
    assert highest < name.get_window_extent().y0
