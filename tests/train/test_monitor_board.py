"""The curves and grids of a run for TensorBoard."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from mri_gan.config import METRICS, TrainConfig, read_metrics
from mri_gan.errors import UsageError
from mri_gan.train.loop import train
from mri_gan.train.monitor import FOLDER, Board
from mri_gan.train.run_folder import Run, RunOptions

CONFIG = TrainConfig(max_size=8, phase=64, batch=8, capacity=1 / 64, latent_dim=8)


def test_every_line_and_every_grid_is_there(store: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    callbacks: Any = {"on_tick": board.write_line, "on_snapshot": board.write_checkpoint}
    train(Run(store, tmp_path, CONFIG, RunOptions(snap_kimg=0.032), **callbacks))
    board.close()
    events = EventAccumulator(str(tmp_path / FOLDER), size_guidance={"images": 0})
    events.Reload()
    lines = read_metrics(tmp_path / METRICS)
    written = [(event.step, event.value) for event in events.Scalars("d_loss")]
    assert written == [(line["nimg"], pytest.approx(line["d_loss"])) for line in lines]
    assert len(events.Images("samples")) == len(list((tmp_path / "samples").glob("*.png"))) > 0


def test_without_tensorboard_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("torch.utils.tensorboard"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install .*mrigan\[tensorboard\]"):
        Board(tmp_path)
