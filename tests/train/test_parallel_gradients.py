"""The gradients of two processes are those of one to rounding, in one all-reduce per update."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from mri_gan.config import LOSS_NAMES, TrainConfig
from mri_gan.schedule import Phase
from mri_gan.train import step
from mri_gan.train.loop import train
from mri_gan.train.parallel import SOLO, World, average, rows
from mri_gan.train.run_folder import Run
from mri_gan.train.state import build_state
from mri_gan.train.step import train_step

PHASES = {
    "first level": Phase(8, 1.0, 8, 1e-3),
    "fade": Phase(16, 0.4, 8, 1e-3),
    "after the fade": Phase(16, 1.0, 8, 1e-3),
}


def config(loss: str) -> TrainConfig:
    return TrainConfig(
        max_size=16, phase=32, batch=8, capacity=1 / 64, latent_dim=8,
        mixing=True, flip=True, loss=loss, n_critic=1,
    )  # fmt: skip


def updates(
    monkeypatch: pytest.MonkeyPatch, loss: str, phase: Phase, world: World
) -> list[list[Tensor]]:
    """What one process brings to each average of a step: of the critic, then of the generator."""
    brought: list[list[Tensor]] = []

    def average(_world: World, tensors: Sequence[Tensor]) -> None:
        brought.append([tensor.detach().clone() for tensor in tensors])

    monkeypatch.setattr(step, "average", average)
    monkeypatch.setattr(step, "step_if_finite", lambda _: torch.tensor(0.0))
    state = build_state(config(loss), torch.device("cpu"))
    state.nimg = 8
    size = phase.resolution
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(256, (phase.batch, 1, size, size), dtype=torch.uint8, generator=rng)
    train_step(state, config(loss), phase, images[rows(world, phase.batch)], world)
    return [tensors for tensors in brought if tensors]


@pytest.mark.parametrize("loss", LOSS_NAMES)
@pytest.mark.parametrize("name", PHASES)
def test_two_processes_bring_the_gradients_of_one(
    monkeypatch: pytest.MonkeyPatch, loss: str, name: str
) -> None:
    alone = updates(monkeypatch, loss, PHASES[name], SOLO)
    ranks = [updates(monkeypatch, loss, PHASES[name], World(rank, 2)) for rank in range(2)]
    assert [len(update) for update in alone] == [len(update) for update in ranks[0]]
    assert len(alone) == 2
    for whole, *parts in zip(alone, *ranks, strict=True):
        flat = torch.cat([tensor.flatten() for tensor in whole])
        shared = torch.stack([torch.cat([t.flatten() for t in part]) for part in parts])
        assert float(flat.norm()) > 0
        assert float((shared.mean(0) - flat).norm() / flat.norm()) < 1e-5
        assert not torch.equal(shared[0], shared[1])  # each had rows of its own


def test_one_flattened_all_reduce_per_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two updates in a step: two all-reduces of all gradients, none of anything else."""
    sizes: list[int] = []
    monkeypatch.setattr(dist, "all_reduce", lambda tensor, *_: sizes.append(tensor.numel()))
    state = build_state(config("wgan-gp"), torch.device("cpu"))
    images = torch.zeros(4, 1, 16, 16, dtype=torch.uint8)
    train_step(state, config("wgan-gp"), PHASES["fade"], images, World(0, 2))
    of_critic = sum(p.numel() for p in state.d.parameters() if p.grad is not None)
    of_generator = sum(p.numel() for p in state.g.parameters() if p.grad is not None)
    assert sizes == [of_critic, of_generator + state.g.w_avg.numel()]


def test_only_the_first_process_writes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_reduce(tensor: Tensor, operation: Any = None, _group: Any = None) -> None:
        if operation == dist.ReduceOp.MAX:
            tensor.zero_()

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    train(Run(store, tmp_path, config("wgan-gp"), world=World(1, 2)))
    assert list(tmp_path.iterdir()) == []


def test_an_average_is_the_mean_over_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process holds 3 and 5 where this one holds 1 and 2."""

    def add_other(flat: Tensor, *_: Any) -> None:
        flat += torch.tensor([3.0, 5.0])

    monkeypatch.setattr(dist, "all_reduce", add_other)
    here = [torch.tensor([1.0]), torch.tensor([[2.0]])]
    average(World(0, 2), here)
    assert [float(tensor) for tensor in here] == [2.0, 3.5]
