"""Metrics survive a crash, and their plot needs no display."""

import itertools
import math
from pathlib import Path

import pytest
import torch

from mri_gan.charts import Chart, chart_metrics, draw_figure, draw_png
from mri_gan.config import METRICS, read_metrics
from mri_gan.schedule import Phase
from mri_gan.train import monitor as monitor_module
from mri_gan.train.monitor import Monitor, draw_losses, spectrum_distance

PHASE = Phase(8, 1.0, 4, 1e-3)


def test_a_tick_writes_the_means_since_the_last(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, 0)
    for value in (1.0, 3.0):
        monitor.add({"d_loss": torch.tensor(value)}, 4, 0.0)
    monitor.tick(8, PHASE)
    monitor.add({"d_loss": torch.tensor(5.0)}, 4, 0.0)
    monitor.tick(12, PHASE)
    lines = read_metrics(tmp_path / METRICS)
    assert [(line["nimg"], line["d_loss"]) for line in lines] == [(8, 2.0), (12, 5.0)]


def test_a_mean_that_is_not_finite_is_null(tmp_path: Path) -> None:
    """NaN is no JSON."""
    monitor = Monitor(tmp_path, 0)
    monitor.add({"d_loss": torch.tensor(float("nan"))}, 4, 0.0)
    assert monitor.tick(4, PHASE)["d_loss"] is None
    assert '"d_loss": null' in (tmp_path / METRICS).read_text()


def test_speed_is_images_by_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.chain([0.0, 0.0, 2.0], itertools.repeat(4.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monitor = Monitor(tmp_path, 0)
    monitor.add({}, 100, 1.0)
    line = monitor.tick(100, PHASE)
    assert (line["images_per_s"], line["data_wait"]) == (100 / line["seconds"], 1 / line["seconds"])
    assert line["seconds"] in (2.0, 4.0)


def test_updates_left_out_count_in_a_row(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, 0)
    for flag in (1.0, 0.0, 1.0, 1.0, 0.0, 1.0):
        monitor.add({"skipped": torch.tensor(flag)}, 4, 0.0)
    assert monitor.tick(24, PHASE)["skipped"] == 4
    assert monitor.skipped_in_a_row == 2


def test_louder_and_softer_frequencies_do_not_cancel() -> None:
    """Of eight radii one has twice the amplitude and one half of it: 6.02 dB each."""
    x = torch.arange(16, dtype=torch.float64) / 16 * 2 * math.pi
    low, high = torch.cos(2 * x), torch.cos(5 * x)
    reals = (0.2 * low + 0.2 * high).expand(1, 1, 16, 16)
    images = (0.4 * low + 0.1 * high).expand(1, 1, 16, 16)
    expected = 2 * 20 * math.log10(2) / 8
    assert spectrum_distance(images, reals) == pytest.approx(expected, rel=1e-3)


def test_lines_beyond_the_checkpoint_and_half_lines_are_dropped(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"nimg": 8}\n{"nimg": 16}\n[1]\n{"nimg": 24, "d_lo')
    Monitor(tmp_path, 8)
    assert [line["nimg"] for line in read_metrics(tmp_path / METRICS)] == [8]


def test_the_plot_is_a_png_even_of_one_line_with_gaps() -> None:
    line = {"nimg": 8, "resolution": 8, "d_loss": 1.0}
    assert draw_png(chart_metrics([line])).startswith(b"\x89PNG")


def test_after_a_spike_the_axis_is_logarithmic_beyond_the_usual_values() -> None:
    lines = [
        {"nimg": i, "resolution": 8, "d_loss": 3e14 if i == 9 else 1.0, "real_score": 2.0}
        for i in range(30)
    ]
    losses, scores = draw_figure(chart_metrics(lines)).axes
    assert (losses.get_yscale(), scores.get_yscale()) == ("symlog", "linear")
    heights = losses.transData.transform([(0, 0.0), (0, 1.0), (0, 3e14)])[:, 1]
    assert heights[1] - heights[0] > 0.03 * (heights[2] - heights[0])  # 3e-15 on a linear axis


def test_the_legend_covers_no_curve() -> None:
    lines = [{"nimg": i, "resolution": 8, "d_loss": float(i), "g_loss": -1.0} for i in range(30)]
    figure = draw_figure(chart_metrics(lines))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_a_line_can_be_added_to_after_the_snapshot(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, 0)
    for nimg in (4, 8):
        monitor.add({"d_loss": torch.tensor(1.0)}, 4, 0.0)
        monitor.tick(nimg, PHASE)
    monitor.amend({"diversity": 0.5})
    lines = read_metrics(tmp_path / METRICS)
    assert [line.get("diversity") for line in lines] == [None, 0.5]


def test_no_metrics_no_plot(tmp_path: Path) -> None:
    draw_losses(tmp_path, "r3gan")
    assert list(tmp_path.iterdir()) == []


def test_the_plot_names_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Monitor(tmp_path, 0)
    monitor.add({"d_loss": torch.tensor(1.0)}, 4, 0.0)
    monitor.tick(4, PHASE)
    drawn: list[str] = []

    def note(charts: list[Chart]) -> bytes:
        drawn.extend(chart.y_name for chart in charts)
        return b""

    monkeypatch.setattr(monitor_module, "draw_png", note)
    draw_losses(tmp_path, "r3gan")
    assert drawn[0] == "r3gan loss, no unit"
