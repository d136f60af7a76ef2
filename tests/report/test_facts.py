"""What is read from a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from phantoms.runs import make_run, write_result
from PIL import Image

from mri_gan.errors import DataError
from mri_gan.report.facts import read_run


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    (folder / "mixing-16px.png").write_bytes((folder / "reals.png").read_bytes())
    write_result(folder, "audit", {"verdict": "fine"}, "pairs.png")
    run = read_run(folder)
    assert run.nimg == 4000
    assert [(g.nimg, g.size) for g in run.grids] == [(1000, 8), (2000, 8), (3000, 16), (4000, 16)]
    assert [p.path.name for p in run.pictures] == ["mixing-16px.png"]  # not loss.png nor reals.png
    assert run.results["audit"].document == {"verdict": "fine"}
    assert [p.path.name for p in run.results["audit"].pictures] == ["pairs.png"]


def test_a_young_run_without_metrics_or_samples_is_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R", ticks=0)
    (folder / "metrics.jsonl").unlink()
    (folder / "reals.png").unlink()
    run = read_run(folder)
    assert (run.nimg, run.grids, run.reals) == (0, [], None)


def test_foreign_pictures_among_the_samples_are_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    Image.new("L", (2, 2)).save(folder / "samples" / "holiday.png")
    assert len(read_run(folder).grids) == 4


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "has no config.json"),
        ("{", "cannot be read as JSON"),
        ("[]", "not a JSON object"),
        ("{}", "not a run folder"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, content: str | None, named: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(DataError, match=named):
        read_run(tmp_path)


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read_run(tmp_path / "nowhere")
