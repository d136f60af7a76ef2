"""Every architecture trains on two processes, stops together, and goes on to the same bits."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.config import ARCHS, TrainConfig, defaults_of
from mri_gan.files import StopSignal
from mri_gan.train.loop import train
from mri_gan.train.parallel import join, leave
from mri_gan.train.run_folder import Progress, Run, RunOptions

KINDS = (*ARCHS, "stylegan, features")


def config_of(kind: str) -> TrainConfig:
    arch, _, critic = kind.partition(", ")
    small = {"batch": 8, "latent_dim": 8, "penalty_every": 2, "capacity": 1 / 64}
    config = TrainConfig(
        arch=arch, max_size=16, phase=24, **{**defaults_of(arch, None, critic or None), **small}
    )
    if arch != "stylegan2":
        return config
    return TrainConfig.from_dict({**config.to_dict(), "augment": "ada", "ada_kimg": 0.1})


def work(rank: int, address: str, store: Path, folder: Path, arch: str, stop_at: int) -> None:
    torch.set_num_threads(1)
    world, stop = join(rank, 2, address), StopSignal()

    def on_step(progress: Progress) -> None:
        if rank == 1 and progress.nimg == stop_at:
            stop.signum = 15

    try:
        train(Run(store, folder, config_of(arch), RunOptions(), world, stop, on_step))
    finally:
        leave(world)


def run_two(store: Path, folder: Path, arch: str, stop_at: int = 0) -> list[int | None]:
    folder.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    address = (folder / f"rendezvous{stop_at}").as_uri()
    processes = [
        context.Process(target=work, args=(rank, address, store, folder, arch, stop_at))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


@pytest.mark.slow
@pytest.mark.parametrize("arch", KINDS)
def test_two_processes_stop_together_and_continue(store: Path, tmp_path: Path, arch: str) -> None:
    assert run_two(store, tmp_path / "whole", arch) == [0, 0]
    assert run_two(store, tmp_path / "cut", arch, stop_at=40) == [1, 1]
    assert run_two(store, tmp_path / "cut", arch) == [0, 0]
    ended, expected = (list_checkpoints(tmp_path / name)[0] for name in ("cut", "whole"))
    assert ended.name == expected.name == "ckpt-000000072.pt"
    assert digest(load_checkpoint(ended).state) == digest(load_checkpoint(expected).state)
