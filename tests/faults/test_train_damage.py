"""Damaged checkpoints fall back to the one before, told and kept aside; the last good one stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mri_gan.checkpoint import (
    checkpoint_path,
    delete_old,
    digest,
    list_checkpoints,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
)
from mri_gan.config import TrainConfig
from mri_gan.train import loop as resume_module
from mri_gan.train.loop import resume, train
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import TrainState, build_state

CONFIG = TrainConfig(
    max_size=16, phase=16, batch=8, capacity=1 / 64, latent_dim=8, mixing=True, lr=1e-3
)
OPTIONS = RunOptions(snap_kimg=0.016, keep=100)
OLDER, NEWEST = 32, 48
TRUNCATED, FLIPPED = 30, 100


@pytest.fixture(scope="module")
def run_folder(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three checkpoints, at 16, 32 and 48 images."""
    folder = tmp_path_factory.mktemp("run")
    train(Run(store, folder, CONFIG, OPTIONS))
    assert [path.name for path in list_checkpoints(folder)] == [
        f"ckpt-{nimg:09d}.pt" for nimg in (NEWEST, OLDER, 16)
    ]
    return folder


@pytest.fixture
def quick_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `resume` load into one set of networks again and again, which are slow to build."""
    made: list[TrainState] = []

    def build(config: object, device: object) -> TrainState:
        if not made:
            made.append(build_state(config, device))  # type: ignore[arg-type]
        made[0].nimg = -1
        return made[0]

    monkeypatch.setattr(resume_module, "build_state", build)


def truncations(size: int) -> Iterator[bytes]:
    """Thirty lengths from nothing to all but the last byte, many of them near the ends."""
    lengths = {0, 1, 2, 3, 100, size - 1, size - 2, size - 20, size - 22, size - 100}
    lengths |= {int(x) for x in np.linspace(1000, size - 1000, TRUNCATED - len(lengths))}
    return iter(sorted(lengths))  # type: ignore[arg-type]


def damaged(good: bytes) -> Iterator[bytes]:
    """The file cut short in thirty places, then with one bit turned over, time after time."""
    for length in truncations(len(good)):
        yield good[: int(length)]
    rng = np.random.default_rng(0)
    while True:
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        yield bytes(data)


@pytest.mark.slow
def test_a_hundred_and_thirty_damaged_files_fall_back_one(
    store: Path, run_folder: Path, tmp_path: Path, quick_state: None
) -> None:
    newest, aside = (
        checkpoint_path(tmp_path, NEWEST),
        checkpoint_path(tmp_path, NEWEST).with_suffix(".damaged"),
    )
    good = checkpoint_path(run_folder, NEWEST)
    older = checkpoint_path(run_folder, OLDER)
    data = load_checkpoint(good).data
    expected = {nimg: state_digest_of(path) for nimg, path in ((NEWEST, good), (OLDER, older))}
    outcomes: list[int] = []  # the nimg of the checkpoint that was loaded
    for content in damaged(good.read_bytes()):
        shutil.copy(older, tmp_path)
        newest.write_bytes(content)
        notes: list[str] = []
        state = resume(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append), data)
        outcomes.append(state.nimg)
        assert digest_of(state) == expected[state.nimg]
        told = [note for note in notes if str(newest) in note and "set aside as .damaged" in note]
        assert (len(told) == 1) == aside.exists() == (state.nimg == OLDER)
        aside.unlink(missing_ok=True)
        if outcomes.count(OLDER) == TRUNCATED + FLIPPED:
            break
    assert outcomes[:TRUNCATED] == [OLDER] * TRUNCATED
    # Some bits of a small zip file hold nothing: then the newest is as good as it was.
    assert set(outcomes[TRUNCATED:]) == {OLDER, NEWEST}
    assert outcomes.count(NEWEST) < 0.5 * FLIPPED


def digest_of(state: TrainState) -> str:
    names = ("g", "d", "g_ema", "g_opt", "d_opt")
    return digest({name: getattr(state, name).state_dict() for name in names})


def state_digest_of(path: Path) -> str:
    state = dict(load_checkpoint(path).state)
    return digest({name: state[name] for name in ("g", "d", "g_ema", "g_opt", "d_opt")})


def test_a_run_ends_with_the_same_bits_after_damage_to_two_of_three(
    store: Path, run_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    for nimg in (NEWEST, OLDER):
        path = checkpoint_path(folder, nimg)
        path.write_bytes(path.read_bytes()[:-1000])
    notes: list[str] = []
    last = train(Run(store, folder, CONFIG, OPTIONS, on_note=notes.append))
    assert last == checkpoint_path(folder, NEWEST)
    assert state_digest_of(last) == state_digest_of(checkpoint_path(run_folder, NEWEST))
    assert sum("set aside as .damaged" in note for note in notes) == 2
    assert len(list(folder.glob("*.damaged"))) == 2


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_retention_never_deletes_the_last_good_one(
    run_folder: Path, tmp_path: Path, keep: int
) -> None:
    """Fifty histories of saves, each of which a bad disk may spoil at once or later."""
    rng = np.random.default_rng(keep)
    checkpoint = load_checkpoint(checkpoint_path(run_folder, 16))
    small = replace(checkpoint, state={"g": {}})
    saved = 0
    for _ in range(50):
        saved += 1
        save_checkpoint(checkpoint_path(tmp_path, saved), replace(small, nimg=saved))
        had_good = newest_valid(tmp_path)[0]
        if rng.random() < 0.4:
            victim = rng.choice(list_checkpoints(tmp_path))  # type: ignore[arg-type]
            Path(victim).write_bytes(b"damaged")
        had_good = newest_valid(tmp_path)[0]
        delete_old(tmp_path, keep)
        assert newest_valid(tmp_path)[0] == had_good
        if had_good is None:  # the bad disk spoilt them all: the next save begins anew
            continue
    assert saved == 50


def test_a_copy_under_another_name_is_neither_loaded_nor_deleted(
    run_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    for name in ("ckpt-best.pt", "ckpt-000000048 (copy).pt", "ckpt-x99999999.pt"):
        shutil.copy(checkpoint_path(folder, 16), folder / name)
    assert newest_valid(folder)[0] == checkpoint_path(folder, NEWEST)
    delete_old(folder, 1)
    assert len(list(folder.glob("*.pt"))) == 4


def test_a_ten_digit_count_is_newer_than_a_nine_digit_one(run_folder: Path, tmp_path: Path) -> None:
    for nimg in (999_999_999, 1_000_000_000):
        shutil.copy(checkpoint_path(run_folder, 16), checkpoint_path(tmp_path, nimg))
    assert list_checkpoints(tmp_path)[0] == checkpoint_path(tmp_path, 1_000_000_000)
