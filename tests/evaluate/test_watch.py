"""A few figures of some checkpoints, as training goes, that features do not flatter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from phantoms.heads import as_people, draw_heads

from mri_gan.config import read_metrics
from mri_gan.evaluate import watch
from mri_gan.evaluate.evaluation import build_features
from mri_gan.evaluate.features import Features
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.watch import FILE, Watch, measure


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints that were scored; each gets a line of its nimg and nothing else."""
    seen: list[Path] = []

    def score(_store: Path, checkpoint: Path, _device: str, _seed: int) -> dict[str, int]:
        seen.append(checkpoint)
        return {"nimg": int(checkpoint.stem.rpartition("-")[2])}

    monkeypatch.setattr(watch, "score_checkpoint", score)
    return seen


def see(folder: Path, *numbers: int) -> list[int]:
    """What the file holds after these checkpoints were seen, one evaluation each 100 images."""
    watching = Watch(folder, folder, every=100)
    for nimg in numbers:
        watching.evaluate_checkpoint(folder / f"ckpt-{nimg:09d}.pt")
    return [line["nimg"] for line in read_metrics(folder / FILE)]


def test_checkpoints_are_judged_when_they_are_due(tmp_path: Path, scored: list[Path]) -> None:
    assert see(tmp_path, 40, 80, 140, 150, 260) == [40, 140, 260]
    assert len(scored) == 3


def test_lines_of_a_lost_continuation_are_dropped(tmp_path: Path, scored: list[Path]) -> None:
    assert see(tmp_path, 100, 200, 300, 400) == [100, 200, 300, 400]
    assert see(tmp_path, 300) == [100, 200, 300]  # written again, and what followed is gone


def test_a_run_without_lines_has_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / FILE) == []


def test_features_are_fitted_on_people_who_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[ImageSet] = []

    def spy(names: Sequence[str], apart: ImageSet, device: str) -> list[Features]:
        fitted.append(apart)
        return build_features(names, apart, device)

    monkeypatch.setattr(watch, "build_features", spy)
    reals, apart, fakes = (as_people(draw_heads(n, seed)) for n, seed in ((30, 1), (6, 2), (30, 3)))
    line = measure(reals, apart, fakes, "cpu", 0)
    assert fitted == [apart]
    figures = line["figures"]
    assert set(figures["swd[mean]"]) == {"value", "at_floor", "floor"}
    assert all(v is None or np.isfinite(v) for f in figures.values() for v in f.values())
    assert json.loads(json.dumps(line)) == line
