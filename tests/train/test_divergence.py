"""Gradients that are not finite: left out, counted, rolled back, and given up with a remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mri_gan.checkpoint import list_checkpoints, load_checkpoint
from mri_gan.config import METRICS, TrainConfig, read_metrics
from mri_gan.errors import DataError
from mri_gan.train import step
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import TrainState

CONFIG = TrainConfig(max_size=8, phase=160, batch=8, capacity=1 / 64, latent_dim=8)
OPTIONS = RunOptions(snap_kimg=0.016, keep=100)

Poison = Callable[[TrainState], bool]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[Poison, float], None]:
    """Make images turn into `value` whenever the state says so."""

    def install(when: Poison, value: float) -> None:
        clean = step.draw_fakes

        def draw(state: TrainState, *args: object) -> tuple[torch.Tensor, torch.Tensor]:
            images, w = clean(state, *args)  # type: ignore[arg-type]
            return (images * value if when(state) else images), w

        monkeypatch.setattr(step, "draw_fakes", draw)

    return install


def all_finite(folder: Path) -> bool:
    state = load_checkpoint(list_checkpoints(folder)[0]).state
    return all(v.isfinite().all() for net in ("g", "d", "g_ema") for v in state[net].values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_single_bad_step_is_left_out_and_counted(
    store: Path, tmp_path: Path, poison: Callable[[Poison, float], None], value: float
) -> None:
    poison(lambda state: state.nimg == 40, value)
    notes: list[str] = []
    train(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append))
    lines = read_metrics(tmp_path / METRICS)
    assert sum(line["skipped"] for line in lines) == 2  # the critic's update and the generator's
    assert "2 updates were not finite and were left out" in notes
    assert all_finite(tmp_path)


def test_three_in_a_row_roll_back_and_another_try_gets_through(
    store: Path, tmp_path: Path, poison: Callable[[Poison, float], None]
) -> None:
    poison(lambda state: state.nimg >= 64 and state.attempt == 0, float("nan"))
    notes: list[str] = []
    last = train(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append))
    assert load_checkpoint(last).state["attempt"] == 1
    assert any("back to" in note for note in notes)
    assert all_finite(tmp_path)
    assert last.name == "ckpt-000000160.pt"


def test_after_three_rollbacks_the_message_names_the_file_to_use(
    store: Path, tmp_path: Path, poison: Callable[[Poison, float], None]
) -> None:
    poison(lambda state: state.nimg >= 64, float("nan"))
    with pytest.raises(DataError, match=r"ckpt-\d+\.pt; start from it with --ckpt"):
        train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert all_finite(tmp_path)


def test_divergence_before_the_first_checkpoint_is_an_error(
    store: Path, tmp_path: Path, poison: Callable[[Poison, float], None]
) -> None:
    poison(lambda state: True, float("nan"))
    with pytest.raises(DataError, match="before its first checkpoint"):
        train(Run(store, tmp_path, CONFIG, RunOptions(snap_kimg=1)))
