"""A disk that fills up while saving: what was saved loads, and the message says what is needed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faults.disks import grow_disk, small_disk
from faults.training import SMALL, limit_files, run

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.config import METRICS, TrainConfig, read_metrics
from mri_gan.train import run_folder
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions

# Kilobytes for a whole run folder, of which checkpoints of 220 to 260 kB take most: the second
# save fails at its beginning, in its middle or near its end, or a later one does.
SIZES_KB = (400, 440, 480, 520, 600, 680, 760, 840, 920, 1000)


def states(folder: Path) -> dict[str, str]:
    return {path.name: digest(load_checkpoint(path).state) for path in list_checkpoints(folder)}


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(("train", store, *SMALL, "--out", folder / "run"), folder / "log") == 0
    return states(folder / "run")


def check_told(log: Path) -> None:
    """One line says what is missing; others before it expect that, or miss room for pictures."""
    notes = ("without", "mrigan: the disk has only")
    said = [x for x in log.read_text().splitlines() if not any(note in x for note in notes)]
    assert len(said) == 1, said
    assert "needs about" in said[0]
    assert "Traceback" not in said[0]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk; see the test below")
@pytest.mark.parametrize("size_kb", SIZES_KB)
def test_a_full_disk_keeps_what_was_saved(
    store: Path, tmp_path: Path, undisturbed: dict[str, str], size_kb: int
) -> None:
    with small_disk(tmp_path / "disk", size_kb << 10) as disk:
        words, log = ("train", store, *SMALL, "--out", disk / "run"), tmp_path / "log"
        assert run(words, log) == 1
        check_told(log)
        assert "the disk is full; free some space" in log.read_text()
        left = states(disk / "run")
        assert left
        assert left.items() < undisturbed.items()
        assert list((disk / "run").rglob("*.tmp")) == []
        grow_disk(disk, 8 << 20)
        assert run(words, log) == 0
        assert states(disk / "run") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("spare", [-1, -1000, -10_000, -20_000])
def test_a_file_that_may_not_grow_keeps_what_was_saved(
    store: Path, tmp_path: Path, undisturbed: dict[str, str], spare: int
) -> None:
    """The limit lies below the checkpoints of 16 px, but above those of 8 px. Needs no root."""
    whole = tmp_path / "whole"
    assert run(("train", store, *SMALL, "--out", whole), tmp_path / "log0") == 0
    sizes = sorted(path.stat().st_size for path in list_checkpoints(whole))
    words, log = ("train", store, *SMALL, "--out", tmp_path / "run"), tmp_path / "log"
    assert run(words, log, partial(limit_files, sizes[-1] + spare)) == 1
    check_told(log)
    assert 0 < len(states(tmp_path / "run")) < len(undisturbed)
    assert run(words, log) == 0
    assert states(tmp_path / "run") == undisturbed


CONFIG = TrainConfig(max_size=8, phase=48, batch=8, capacity=1 / 64, latent_dim=8)
OPTIONS = RunOptions(snap_kimg=0.016, keep=100)


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def test_pictures_that_have_no_room_do_not_end_a_run(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mri_gan import files

    clean = files.write_atomic

    def write_atomic(path: Path, write: Any, n_bytes: int = 0) -> None:
        clean(path, refuse if path.suffix == ".png" else write, n_bytes)

    monkeypatch.setattr(files, "write_atomic", write_atomic)
    notes: list[str] = []
    last = train(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append))
    assert last.name == "ckpt-000000048.pt"
    assert len(list_checkpoints(tmp_path)) == 3
    told = [note for note in notes if "goes on without this picture" in note]
    assert any("samples" in note for note in told)
    assert any("loss.png" in note for note in told)


def test_metrics_that_have_no_room_do_not_end_a_run(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "draw_losses", lambda *_: None)
    clean, lines = Path.open, [0]

    def open_path(self: Path, mode: str = "r", *args: Any, **choices: Any) -> Any:
        if self.name == METRICS and mode == "a":
            lines[0] += 1
            if lines[0] in (2, 3):
                with clean(self, mode) as stream:
                    stream.write('{"nimg": 16, "d_lo')  # what had room
                refuse()
        return clean(self, mode, *args, **choices)

    monkeypatch.setattr(Path, "open", open_path)
    notes: list[str] = []
    train(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append))
    assert sum("goes on without these metrics" in note for note in notes) == 1
    written = [line["nimg"] for line in read_metrics(tmp_path / METRICS)]
    assert written == [8, 32, 40, 48]
