"""Gradients that are not finite: left out, counted, rolled back, and given up with a remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mri_gan.checkpoint import checkpoint_nimg, list_checkpoints, load_checkpoint
from mri_gan.config import METRICS, TrainConfig, list_problems, read_metrics
from mri_gan.errors import DataError
from mri_gan.train import loop, monitor, run_folder, step
from mri_gan.train.loop import train
from mri_gan.train.monitor import Health
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
    last = train(Run(store, tmp_path, CONFIG, OPTIONS, on_warning=notes.append))
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


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[Poison], None]:
    """Make the critic score fakes far above reals, finitely, whenever the state says so."""

    def install(when: Poison) -> None:
        clean = step.step_critic

        def lost(state: TrainState, *args: object) -> step.Stats:
            stats = clean(state, *args)  # type: ignore[arg-type]
            return stats | ({"fake_score": torch.tensor(35773.0)} if when(state) else {})

        monkeypatch.setattr(step, "step_critic", lost)

    return install


def test_finite_divergence_goes_back_with_half_the_learning_rate_and_is_kept_in_the_metrics(
    store: Path, tmp_path: Path, turn: Callable[[Poison], None]
) -> None:
    turn(lambda state: state.nimg >= 72 and state.attempt == 0)
    warnings: list[str] = []
    train(Run(store, tmp_path, CONFIG, OPTIONS, on_warning=warnings.append))
    assert "3.58e+04 higher than real ones" in warnings[0]
    assert "ckpt-000000064.pt with half the learning rate" in warnings[0]
    assert "diverged at 0.096 kimg" in warnings[0]  # the third tick after 72 images
    lines = read_metrics(tmp_path / METRICS)
    assert {line["lr"] for line in lines if line["nimg"] <= 64} == {1e-3}
    assert {line["lr"] for line in lines if line["nimg"] > 64} == {0.5e-3}
    (text,) = [text for _, _, text in list_problems(lines).values() if "diverged" in text]
    assert text == next(w for w in warnings if "diverged" in w)


def test_another_try_has_other_random_numbers(
    store: Path, tmp_path: Path, turn: Callable[[Poison], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(lambda state: state.nimg >= 72 and state.attempt == 0)
    clean, seeds = step.train_step, set[tuple[int, int]]()

    def note(state: TrainState, config: TrainConfig, *args: Any) -> step.Stats:
        seeds.add((state.attempt, config.seed))
        return clean(state, config, *args)

    monkeypatch.setattr(loop, "train_step", note)
    train(Run(store, tmp_path, CONFIG, OPTIONS))
    (first, second) = sorted(seeds)
    assert first == (0, CONFIG.seed)
    assert second[0] == 1
    assert second[1] != CONFIG.seed


def test_it_goes_back_beyond_checkpoints_at_which_something_was_wrong(
    store: Path,
    tmp_path: Path,
    turn: Callable[[Poison], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    turn(lambda state: state.nimg >= 88 and state.attempt == 0)

    def judge(self: Health, metrics: dict[str, Any], *_: float) -> dict[str, str]:
        seen.append(metrics["nimg"])
        names = {48: "starvation", 64: "collapse", 80: "saturation"}
        name = names.get(metrics["nimg"]) if len(seen) <= 5 else None
        return {name: "wrong"} if name else {}

    monkeypatch.setattr(Health, "judge", judge)
    warnings: list[str] = []
    train(Run(store, tmp_path, CONFIG, OPTIONS, on_warning=warnings.append))
    assert seen[:7] == [16, 32, 48, 64, 80, 64, 80]
    assert any("back to ckpt-000000048.pt" in text for text in warnings)
    assert all(
        load_checkpoint(path).state["attempt"] == (checkpoint_nimg(path) > 48)
        for path in list_checkpoints(tmp_path)
    )


def test_no_checkpoint_is_made_of_a_state_that_diverges(
    store: Path, tmp_path: Path, turn: Callable[[Poison], None]
) -> None:
    turn(lambda state: state.nimg >= 64)
    made: list[str] = []
    with pytest.raises(DataError, match="diverged 4 times") as error:
        train(Run(store, tmp_path, CONFIG, OPTIONS, on_snapshot=lambda p: made.append(p.name)))
    assert made == [f"ckpt-{at:09d}.pt" for at in (16, 32, 48, 64)]
    saved = [path.name for path in list_checkpoints(tmp_path)]
    assert saved[0] == "ckpt-000000064.pt"
    assert saved[0] in error.value.hint


def test_a_spike_of_two_ticks_is_let_pass(
    store: Path, tmp_path: Path, turn: Callable[[Poison], None]
) -> None:
    turn(lambda state: state.nimg in (64, 72))
    last = train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert load_checkpoint(last).state["attempt"] == 0


def test_a_run_whose_samples_are_all_alike_for_long_ends_and_names_the_file_to_use(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = iter([1.0, 0.9] * 3 + [1.0, 0.0] * 9)  # of reals, then of samples, at each snapshot
    monkeypatch.setattr(run_folder, "diversity", lambda images: next(spread))
    monkeypatch.setattr(monitor, "LOST_NIMG", 0)
    with pytest.raises(DataError, match=r"stopped at 0\.096 kimg.*mode collapse") as error:
        train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert "ckpt-0000000" in error.value.hint
    assert "--lr" in error.value.hint


def test_the_best_and_the_last_of_each_level_are_kept_besides_the_newest(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(max_size=16, phase=80, batch=8, capacity=1 / 64, latent_dim=8)
    figures = {208: 0.5}
    monkeypatch.setattr(run_folder, "diversity", lambda images: 1.0)
    monkeypatch.setattr(
        run_folder, "spectrum_distance", lambda *_: figures.get(nimg_of(tmp_path), 1.0)
    )
    train(Run(store, tmp_path, config, RunOptions(snap_kimg=0.016, keep=1)))
    saved = [checkpoint_nimg(path) for path in list_checkpoints(tmp_path)]
    assert saved == [240, 208, 80]


def nimg_of(folder: Path) -> int:
    return int(read_metrics(folder / METRICS)[-1]["nimg"])


HOPELESS: dict[str, dict[str, Any]] = {
    "stylegan": {"max_size": 16, "phase": 800},
    "stylegan2": {"arch": "stylegan2", "loss": "r1", "gp_weight": None, "path_weight": 2.0},
    "dcgan": {"arch": "dcgan", "loss": "logistic"},
    "fastgan": {
        "arch": "fastgan",
        "critic": "both",
        "loss": "relativistic",
        "share_fakes": True,
        "phase": 320,
        "batch": 16,
    },
}


@pytest.mark.parametrize("name", HOPELESS)
def test_a_hopeless_learning_rate_never_ends_without_a_word(
    store: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "UNTRAINED_NIMG", 100)
    # What happens depends on the last bits: it diverges for good, or collapses, or a critic wins.
    small = {"max_size": 8, "phase": 2400, "batch": 8, "capacity": 1 / 64, "latent_dim": 8}
    config = TrainConfig(**{**small, "lr": 0.5, **HOPELESS[name]})
    warnings: list[str] = []
    run = Run(store, tmp_path, config, on_warning=warnings.append)
    said = ""
    try:
        train(run)
    except DataError as error:
        said = f"{error}"
    problems = list_problems(read_metrics(tmp_path / METRICS))
    assert set(problems) & {"divergence", "collapse", "noise", "saturation"}
    assert warnings or "diverged" in said
    assert all("--lr" in text for text in (said, *warnings) if text and "back to" not in text)
    saved = list_checkpoints(tmp_path)
    assert all_finite(tmp_path) if saved else "before its first checkpoint" in said
