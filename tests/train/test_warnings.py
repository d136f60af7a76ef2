"""Whole runs in which something is planted that goes wrong, and one in which nothing does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mri_gan.config import METRICS, TrainConfig, list_problems, read_metrics
from mri_gan.nets import build
from mri_gan.train import loop, monitor, run_folder, step
from mri_gan.train.data import Batches
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions

CONFIG = TrainConfig(max_size=8, phase=160, batch=8, capacity=1 / 64, latent_dim=8, lr=1e-3)
WORDS = {"collapse": "mode collapse", "saturation": "it has won", "starvation": "waiting for data"}


@pytest.fixture
def notes_of(store: Path, tmp_path: Path) -> Callable[[], list[str]]:
    def run() -> list[str]:
        notes: list[str] = []
        options = RunOptions(snap_kimg=0.08, ahead=0)
        train(Run(store, tmp_path, CONFIG, options, on_warning=notes.append))
        kept = list_problems(read_metrics(tmp_path / METRICS))
        found = [name for name, text in WORDS.items() if any(text in note for note in notes)]
        assert found == list(kept)
        return found

    return run


def test_a_healthy_run_warns_of_nothing(
    notes_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small a generator stays behind the reals in diversity; samples that are as different as
    # slices stand in for a trained one.
    monkeypatch.setattr(run_folder, "diversity", lambda images: 0.4)
    assert notes_of() == []


def test_samples_that_become_equal_are_told_as_collapse(
    notes_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def collapsed(*args: Any) -> torch.Tensor:
        images = build.draw_seeds(*args)
        return images[:1].expand_as(images)

    monkeypatch.setattr(run_folder, "draw_seeds", collapsed)
    monkeypatch.setattr(monitor, "UNTRAINED_NIMG", 0)
    assert notes_of() == ["collapse"]


def test_a_critic_that_is_certain_is_told_as_saturation(
    notes_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "diversity", lambda images: 0.4)
    honest = step.step_critic

    def certain(*args: Any) -> step.Stats:
        stats = honest(*args)
        return stats | {"real_score": stats["real_score"] + 100}

    monkeypatch.setattr(step, "step_critic", certain)
    assert notes_of() == ["saturation"]


def test_a_store_that_answers_slowly_is_told_as_starvation(
    notes_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "diversity", lambda images: 0.4)
    monkeypatch.setattr(monitor, "NOTICEABLE_S", 0.0)
    quick = Batches._read

    def slow(batches: Batches) -> Any:
        for batch in quick(batches):
            time.sleep(0.15)
            yield batch

    monkeypatch.setattr(Batches, "_read", slow)
    assert notes_of() == ["starvation"]


def test_work_beside_the_step_is_not_taken_for_waiting_for_data(
    notes_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "diversity", lambda images: 0.4)
    monkeypatch.setattr(monitor, "NOTICEABLE_S", 0.0)

    def slow(*_: Any) -> float:
        time.sleep(0.15)
        return 0.0

    monkeypatch.setattr(loop, "seconds_left", slow)
    assert notes_of() == []
