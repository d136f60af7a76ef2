"""The light generator and critics on features are as hard to kill as the other networks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faults.training import (
    SMALL,
    SMALL_END,
    Fault,
    kill_after,
    kill_around_save,
    kill_in_save,
    limit_files,
    problems_after,
    run,
    signal_at,
    states,
)

from mri_gan.checkpoint import list_checkpoints, load_checkpoint
from mri_gan.config import METRICS, TrainConfig, defaults_of, read_metrics
from mri_gan.train import step
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions

KINDS = {
    "fastgan, both": ("--arch", "fastgan", "--no-mixing", "--latent-dim", "16"),
    "stylegan, features": ("--critic", "features"),
    "stylegan2, both": ("--arch", "stylegan2", "--critic", "both", "--latent-dim", "16"),
}
KILLS: list[Fault] = [
    partial(kill_after, -1, 0.05),
    partial(kill_after, 64, 0.1),
    partial(kill_in_save, 2, 0.5),
    partial(kill_in_save, 4, 1.0),
    partial(kill_around_save, 3, "before the rename"),
    partial(kill_around_save, 3, "after the rename"),
]
SIGTERM, SIGUSR1 = 15, 10

Undisturbed = Callable[[str], dict[str, str]]


def words_of(store: Path, kind: str) -> tuple[object, ...]:
    return ("train", store, *SMALL, *KINDS[kind])


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The states of a run of a kind that nothing happened to, made once."""
    made: dict[str, dict[str, str]] = {}

    def get(kind: str) -> dict[str, str]:
        if kind not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            words = (*words_of(store, kind), "--out", folder / "run")
            assert run(words, folder / "log") == 0, (folder / "log").read_text()
            made[kind] = states(folder / "run")
            assert len(made[kind]) == 6
        return made[kind]

    return get


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_anywhere_it_ends_with_the_same_bits(
    store: Path, tmp_path: Path, undisturbed: Undisturbed, kind: str
) -> None:
    expected = undisturbed(kind)
    with ThreadPoolExecutor(2) as pool:
        cases = [
            pool.submit(problems_after, words_of(store, kind), tmp_path / str(n), expected, fault)
            for n, fault in enumerate(KILLS)
        ]
        assert [problem for case in cases for problem in case.result()] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signum", [SIGTERM, SIGUSR1])
def test_after_a_signal_it_goes_on_to_the_same_bits(
    store: Path, tmp_path: Path, undisturbed: Undisturbed, kind: str, signum: int
) -> None:
    words, log = (*words_of(store, kind), "--out", tmp_path / "run"), tmp_path / "log"
    assert run(words, log, partial(signal_at, 64, signum)) == 128 + signum
    assert "run the same command again" in log.read_text()
    assert list_checkpoints(tmp_path / "run")[0].name == "ckpt-000000072.pt"
    assert run(words, log) == 0
    ended = f"ckpt-{SMALL_END:09d}.pt"
    assert states(tmp_path / "run")[ended] == undisturbed(kind)[ended]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_where_no_checkpoint_has_room_it_says_so_and_begins_again_with_room(
    store: Path, tmp_path: Path, undisturbed: Undisturbed, kind: str
) -> None:
    words, log = (*words_of(store, kind), "--out", tmp_path / "run"), tmp_path / "log"
    assert run(words, log, partial(limit_files, 150_000)) == 1
    assert "needs about" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert run(words, log) == 0
    assert states(tmp_path / "run") == undisturbed(kind)


def config_of(**options: Any) -> TrainConfig:
    small = {"max_size": 8, "phase": 96, "batch": 8, "capacity": 1 / 64, "latent_dim": 8}
    arch, critic = options.get("arch", "stylegan"), options["critic"]
    return TrainConfig(**{**defaults_of(arch, None, critic), **small, **options})


LIGHT = config_of(arch="fastgan", critic="both")
OPTIONS = RunOptions(snap_kimg=0.016, keep=100)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_goes_on(
    store: Path, tmp_path: Path
) -> None:
    train(Run(store, tmp_path, LIGHT, OPTIONS))
    whole = states(tmp_path)
    newest, before = list_checkpoints(tmp_path)[:2]
    before_bytes = before.read_bytes()
    newest.write_bytes(newest.read_bytes()[:-1000])
    notes: list[str] = []
    train(Run(store, tmp_path, LIGHT, OPTIONS, on_note=notes.append))
    assert any("set aside as .damaged" in note for note in notes)
    assert states(tmp_path) == whole
    assert before.read_bytes() == before_bytes


@pytest.mark.parametrize("config", [LIGHT, config_of(critic="features")], ids=["light", "features"])
def test_images_that_are_not_finite_reach_no_weights(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: TrainConfig
) -> None:
    clean = step.draw_fakes

    def draw(state: Any, *args: Any) -> Any:
        images, w = clean(state, *args)
        return (images * float("nan") if state.nimg == 40 else images), w

    monkeypatch.setattr(step, "draw_fakes", draw)
    last = train(Run(store, tmp_path, config, OPTIONS))
    state = load_checkpoint(last).state
    assert all(v.isfinite().all() for net in ("g", "d", "g_ema") for v in state[net].values())
    assert sum(line["skipped"] for line in read_metrics(tmp_path / METRICS)) == 2
