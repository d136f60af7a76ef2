"""NaN and infinity in loss, gradient or image: left out, counted, rolled back, never in weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mri_gan.checkpoint import Start, digest, list_checkpoints, load_checkpoint
from mri_gan.config import METRICS, TrainConfig, read_metrics
from mri_gan.errors import DataError
from mri_gan.schedule import Phase
from mri_gan.train import loop, run_folder, step
from mri_gan.train.loop import train
from mri_gan.train.parallel import average as clean_average
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import TrainState, build_state
from mri_gan.train.step import LOSSES
from mri_gan.train.step import train_step as clean_step

CONFIG = TrainConfig(max_size=8, phase=96, batch=8, capacity=1 / 64, latent_dim=8)
OPTIONS = RunOptions(snap_kimg=0.016, keep=100)
VALUES = (float("nan"), float("inf"))
PLACES = ("loss", "gradient", "image")
BAD_FROM = 40  # nimg

Poison = Callable[[str, float, Callable[[TrainState], bool]], None]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """`poison(place, value, when)` spoils what the critic's step has there."""
    monkeypatch.setattr(run_folder, "draw_losses", lambda *_: None)

    def install(place: str, value: float, when: Callable[[TrainState], bool]) -> None:
        now: list[TrainState] = []
        clean_loss, clean_draw = LOSSES["wgan-gp"], step.draw_fakes

        def train_step(state: TrainState, *args: Any) -> Any:
            now[:] = [state]
            return clean_step(state, *args)

        def critic(*args: Any) -> torch.Tensor:
            return clean_loss.critic(*args) * (value if when(now[0]) else 1)

        def average(world: Any, tensors: Any) -> None:
            clean_average(world, tensors)
            if tensors and when(now[0]):
                tensors[0].view(-1)[0] = value

        def draw_fakes(state: TrainState, *args: Any) -> Any:
            images, *rest = clean_draw(state, *args)
            return images * value if when(state) else images, *rest

        monkeypatch.setattr(loop, "train_step", train_step)
        if place == "loss":
            monkeypatch.setitem(LOSSES, "wgan-gp", replace(clean_loss, critic=critic))
        elif place == "gradient":
            monkeypatch.setattr(step, "average", average)
        else:
            monkeypatch.setattr(step, "draw_fakes", draw_fakes)

    return install


def all_finite(value: Any) -> bool:
    """Whether every number in a nest of dicts and lists of tensors is finite."""
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    return all(map(all_finite, value)) if isinstance(value, list | tuple) else True


def check_all_checkpoints(folder: Path) -> None:
    """Weights, running mean, its w and the moments of both optimisers are finite in all."""
    paths = list_checkpoints(folder)
    assert paths
    assert all(all_finite(load_checkpoint(path).state) for path in paths)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("place", PLACES)
def test_one_bad_step_is_left_out_and_counted(
    store: Path, tmp_path: Path, poison: Poison, place: str, value: float
) -> None:
    poison(place, value, lambda state: state.nimg == BAD_FROM)
    notes: list[str] = []
    last = train(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append))
    skipped = {line["nimg"]: line["skipped"] for line in read_metrics(tmp_path / METRICS)}
    expected = 1 if place == "loss" else 2  # gradient and image spoil the generator's update, too
    assert skipped.pop(BAD_FROM + 8) == expected
    assert set(skipped.values()) == {0}
    assert sum("not finite and were left out" in note for note in notes) == 1
    assert load_checkpoint(last).state["attempt"] == 0
    check_all_checkpoints(tmp_path)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("place", PLACES)
def test_three_in_a_row_go_back_and_try_otherwise(
    store: Path, tmp_path: Path, poison: Poison, place: str, value: float
) -> None:
    poison(place, value, lambda state: state.nimg >= BAD_FROM and state.attempt == 0)
    notes: list[str] = []
    last = train(Run(store, tmp_path, CONFIG, OPTIONS, on_warning=notes.append))
    # The newest checkpoint before the third bad step, which may have left out one or two.
    back = [note for note in notes if "back to" in note]
    assert len(back) == 1
    assert "ckpt-000000048.pt with half the learning rate" in back[0]
    assert load_checkpoint(last).state["attempt"] == 1
    assert last.name == "ckpt-000000096.pt"
    check_all_checkpoints(tmp_path)


def test_two_in_a_row_twice_are_no_reason_to_go_back(
    store: Path, tmp_path: Path, poison: Poison
) -> None:
    poison("loss", VALUES[0], lambda state: state.nimg in (24, 32, 48, 56))
    last = train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert load_checkpoint(last).state["attempt"] == 0
    assert sum(line["skipped"] for line in read_metrics(tmp_path / METRICS)) == 4


def test_the_generator_alone_is_noticed_when_a_tick_is_one_step(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, states = step.step_generator, []

    def step_generator(state: TrainState, *args: Any) -> Any:
        states.append(state)
        if state.nimg >= BAD_FROM and state.attempt == 0:
            with monkeypatch.context() as within:
                kind = LOSSES["wgan-gp"]
                bad = replace(kind, generator=lambda scores: scores.mean() * float("nan"))
                within.setitem(LOSSES, "wgan-gp", bad)
                return clean(state, *args)
        return clean(state, *args)

    monkeypatch.setattr(step, "step_generator", step_generator)
    last = train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert load_checkpoint(last).state["attempt"] == 1
    check_all_checkpoints(tmp_path)


def test_a_bad_step_changes_no_bit_of_weights_w_or_moments(
    poison: Poison,
) -> None:
    poison("image", float("nan"), lambda state: state.nimg == 8)
    state, phase = build_state(CONFIG, torch.device("cpu")), Phase(8, 1.0, 8, 1e-3)
    images = torch.arange(8 * 64, dtype=torch.uint8).reshape(8, 1, 8, 8)
    clean_step(state, CONFIG, phase, images)
    parts = ("g", "d", "g_opt", "d_opt")
    before = digest({name: getattr(state, name).state_dict() for name in parts})
    stats = clean_step(state, CONFIG, phase, images)
    assert (float(stats["skipped"]), float(stats["g_skipped"])) == (1, 1)
    assert digest({name: getattr(state, name).state_dict() for name in parts}) == before
    assert all_finite(state.g_ema.state_dict())
    assert state.nimg == 16


@pytest.mark.parametrize("place", PLACES)
def test_after_three_rollbacks_the_file_to_use_is_named_and_can_be_used(
    store: Path, tmp_path: Path, poison: Poison, place: str
) -> None:
    """As told: --ckpt FILE --transfer with a lower learning rate goes on where it was."""
    longer = replace(CONFIG, phase=160)
    spoilt = [tmp_path]
    poison(place, float("nan"), lambda state: bool(spoilt) and state.nimg >= BAD_FROM)
    notes: list[str] = []
    with pytest.raises(DataError, match="diverged 4 times") as given_up:
        train(Run(store, tmp_path / "a", longer, OPTIONS, on_warning=notes.append))
    assert sum("back to" in note for note in notes) == 3
    newest = list_checkpoints(tmp_path / "a")[0]
    assert f"--ckpt {newest} --transfer, a lower --lr" in str(given_up.value)
    check_all_checkpoints(tmp_path / "a")
    spoilt.clear()
    lower, options = replace(longer, lr=1e-4), replace(OPTIONS, transfer=True)
    (tmp_path / "b").mkdir()
    train(
        Run(store, tmp_path / "b", lower, options, on_note=notes.append), start_from=Start(newest)
    )
    assert f"continuing from {newest} ({load_checkpoint(newest).nimg / 1000:g} kimg)" in notes[-1]
    assert "lr was 0.001, now 0.0001" in notes[-1]
    assert list_checkpoints(tmp_path / "b")[0].name == "ckpt-000000160.pt"
