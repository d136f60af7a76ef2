"""Settings, captions and names of metrics, as people read them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from phantoms.runs import make_run, metrics_line
from PIL import Image

from mri_gan.conditions import Column, Conditions
from mri_gan.pictures import Shows, save_png
from mri_gan.report.comparison import build_comparison, overlaid
from mri_gan.report.facts import read_run
from mri_gan.report.page import build_report
from mri_gan.report.sections import UNDATED, name_picture, say_setting

LABELLED = Conditions(
    (Column("age", (), 67.13, 7.334, 58.0, 78.0, gaps=True), Column("sex", ("F", "M")))
)


def test_labels_are_told_as_people_would_and_empty_settings_left_out(tmp_path: Path) -> None:
    runs = [
        read_run(make_run(tmp_path / "A", conditions=LABELLED)),
        read_run(make_run(tmp_path / "B")),
    ]
    said = "age: numbers 58 to 78, some unknown; sex: classes F, M"
    for page in (build_report(runs[0]), build_comparison(runs)):
        rows = dict(re.findall(r'<th scope="row">([^<]*)</th><td[^>]*>([^<]*)</td>', page))
        assert rows["conditions"] == said
        assert "" not in rows.values()
    assert say_setting({"columns": [{"name": "age"}]}) == "columns: name: age"  # by hand


def test_metrics_have_the_names_of_their_curves(tmp_path: Path) -> None:
    page = build_comparison([read_run(make_run(tmp_path / name)) for name in "AB"])
    assert "Losses: critic" in page
    assert "d_loss" not in page
    assert "d loss" not in page


def test_each_run_says_of_how_many_points_its_means_are(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A", ticks=45), make_run(tmp_path / "B"), make_run(tmp_path / "C")]
    young = make_run(tmp_path / "D", ticks=0)
    (runs[2] / "metrics.jsonl").write_text(json.dumps(metrics_line(1)) + "\n")
    page = build_comparison([read_run(run) for run in (*runs, young)])
    row = re.search(r"points in each mean below</th>(.*)</tr>", page)
    assert row is not None
    said = ["the last 30 of 45", "all 4", "1", "0"]
    assert re.findall("<td[^>]*>([^<]*)</td>", row[1]) == said
    assert 'resolution</th><td class="short">16 px<' in page
    assert "none yet</td>" in page


def test_the_means_at_the_end_are_of_the_points_of_the_curves(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name) for name in "AB"]
    lines = [{"nimg": n, "resolution": 16, "d_loss": d} for n, d in ((900, 1.0), (1000, 11.0))]
    for folder in folders:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = build_comparison([read_run(folder) for folder in folders])
    assert '<th scope="row">Losses: critic</th><td class="short">2</td>' in page


def test_a_picture_of_an_older_checkpoint_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    sheet = Image.new("L", (200, 50), 9)
    for name, nimg in (("samples-64px", 1568), ("mixing-64px", 4000)):
        save_png(folder / f"{name}.png", sheet, Shows.SYNTHETIC, nimg)
    page = build_report(read_run(folder))
    old = "after 1,568 images, an older checkpoint: the run has one of 4,000"
    assert f"<figcaption>Synthetic: samples, 64 px, {old}</figcaption>" in page
    assert "<figcaption>Synthetic: style mixing, 64 px, after 4,000 images</figcaption>" in page
    assert UNDATED not in page
    save_png(folder / "strip-64px.png", sheet, Shows.SYNTHETIC)
    assert UNDATED in build_report(read_run(folder))


@pytest.mark.parametrize(
    ("stem", "said"),
    [
        ("000000001-0064px", "samples after 1 image, 64 px"),
        ("samples-64px", "samples, 64 px"),
        ("map", "map of real and synthetic slices by their features"),
        ("000001680-0064px", "samples after 1,680 images, 64 px"),
        ("fade-0016px", "how a level fades in, 16 px"),
        ("my_own-picture", "my own picture"),
        ("12px", "12px"),
    ],
)
def test_captions_say_what_a_file_is(stem: str, said: str) -> None:
    assert name_picture(stem) == said


def test_one_moment_needs_no_slider(tmp_path: Path) -> None:
    page = build_report(read_run(make_run(tmp_path / "R", ticks=1)))
    assert 'type="range"' not in page
    assert "move the slider" not in page
    assert "Synthetic: 1 kimg, 8 px" in page


def test_losses_of_different_kinds_have_charts_of_their_own(tmp_path: Path) -> None:
    losses = {"A": "wgan-gp", "B": "r3gan", "C": "wgan-gp"}
    runs = [read_run(make_run(tmp_path / name, loss=loss)) for name, loss in losses.items()]
    titles = [chart.title for chart in overlaid(runs).charts]
    assert titles[:2] == ["Losses: critic (wgan-gp)", "Losses: critic (r3gan)"]
    shown = [[curve.name for curve in chart.curves] for chart in overlaid(runs).charts[:2]]
    assert shown == [["A", "C"], ["B"]]
    assert "Speed, images per second" in titles  # of all runs in one chart
    assert overlaid([runs[0], runs[2]]).charts[0].title == "Losses: critic"


def test_a_comparison_repeats_what_went_wrong_in_each_run(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name) for name in "AB"]
    line = metrics_line(1) | {"problems": {"collapse": "all slices are alike"}}
    (folders[1] / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    page = build_comparison([read_run(folder) for folder in folders])
    assert "B: problems" in page
    assert "all slices are alike" in page
    assert "A: problems" not in page
