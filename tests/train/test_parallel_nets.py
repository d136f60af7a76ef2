"""Two real processes bring each architecture the gradients and statistics of one process."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mri_gan.conditions import Column, Conditions
from mri_gan.config import PENALISED_LOSSES, TrainConfig, defaults_of
from mri_gan.nets.dcgan import BatchNorm
from mri_gan.schedule import Phase
from mri_gan.train import step
from mri_gan.train.parallel import SOLO, World, join, leave, rows, share_norms
from mri_gan.train.state import build_state
from mri_gan.train.step import train_step

BATCH = 8
PHASE = Phase(16, 1.0, BATCH, 1e-3)
FADE = Phase(16, 0.4, BATCH, 1e-3)
SEX = Conditions((Column("sex", values=("F", "M")),))


def config(arch: str, loss: str | None = None, **choices: object) -> TrainConfig:
    """A tiny network of the architecture with its paper's settings, and every second step paid."""
    mine = {**defaults_of(arch, loss), "batch": BATCH, "latent_dim": 8, "n_critic": 1}
    if loss:
        mine["loss"] = loss
    mine |= {"max_size": 16, "capacity": 1 / 32, "conditions": SEX, "arch": arch, **choices}
    return TrainConfig(**mine)


CASES = {
    "dcgan": (config("dcgan"), PHASE),
    "dcgan, wgan-clip": (config("dcgan", "wgan-clip"), PHASE),
    "dcgan, wgan-gp": (config("dcgan", "wgan-gp"), PHASE),
    "dcgan, augmented": (config("dcgan", augment="fixed", augment_p=0.7), PHASE),
    "progan": (config("progan"), PHASE),
    "progan, fade": (config("progan"), FADE),
    "stylegan": (config("stylegan", mixing=True), PHASE),
    "stylegan, fade, r1": (config("stylegan", "r1", mixing=True), FADE),
    "fastgan": (config("fastgan"), PHASE),
    "stylegan2": (config("stylegan2", penalty_every=2, path_every=1), PHASE),
    "stylegan2, ada": (
        config("stylegan2", penalty_every=2, path_every=2, augment="ada", augment_p=0.5,
               augment_kinds="blit,geometry,colour,filter,noise,cutout", ada_kimg=0.1),
        PHASE,
    ),
}  # fmt: skip
STEPS = 4  # after which ADA moves its probability


def observe(case: str, world: World) -> dict[str, list[Tensor]]:
    """The averaged gradients of every update of some steps with the weights kept, and the rest.

    Updates are left out, since Adam turns rounding into whole steps.
    """
    cfg, phase = CASES[case]
    seen: dict[str, list[Tensor]] = {"g": [], "d": [], "statistics": [], "side": []}
    state = build_state(cfg, torch.device("cpu"))
    share_norms(world, state.g, state.d)
    names = {id(state.g_opt): "g", id(state.d_opt): "d"}

    def keep(optimiser: torch.optim.Optimizer) -> Tensor:
        grads = [p.grad for group in optimiser.param_groups for p in group["params"]]
        flat = torch.cat([grad.flatten() for grad in grads if grad is not None])
        seen[names[id(optimiser)]].append(flat.clone())
        return torch.tensor(0.0)

    rng = torch.Generator().manual_seed(1)
    own = rows(world, BATCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "step_if_finite", keep)
        for _ in range(STEPS):
            images = torch.randint(256, (BATCH, 1, 16, 16), dtype=torch.uint8, generator=rng)
            labels = torch.eye(2)[torch.randint(2, (2, BATCH), generator=rng)]
            train_step(state, cfg, phase, images[own], world, labels[:, own])
    seen["statistics"] = [b.clone() for b in state.g.buffers() if b.is_floating_point()]
    seen["side"] = [state.path_mean, state.augment.p, state.augment.signs]
    return seen


def work(rank: int, address: str, out: Path) -> None:
    torch.set_num_threads(1)
    world = join(rank, 2, address)
    try:
        torch.save({case: observe(case, world) for case in CASES}, out / f"{rank}.pt")
    finally:
        leave(world)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw, in every case."""
    out = tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("spawn")
    address = (out / "rendezvous").as_uri()
    processes = [context.Process(target=work, args=(rank, address, out)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(2)]


def apart(one: Tensor, other: Tensor) -> float:
    """How far two vectors are from each other, as a share of their length."""
    assert float(one.norm()) > 0
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("case", CASES)
def test_two_processes_see_what_one_sees(two: list[dict[str, Any]], case: str) -> None:
    cfg, _ = CASES[case]
    alone = observe(case, SOLO)
    assert len(alone["g"]) == len(alone["d"]) == STEPS
    for net in ("g", "d"):
        ranks = [rank[case][net] for rank in two]
        assert all(map(torch.equal, *ranks))
        away = sorted(map(apart, alone[net], ranks[0]))
        # An activation that is zero but for rounding changes its slope, which the gradient of a
        # gradient shows: in one step in ten, so that it may be seen here in one of four.
        if cfg.critic != "own":  # so many slopes that most steps have such an activation
            assert away[0] < 1e-5, away
            assert away[-1] < 2e-2, away
            continue
        assert away[-2] < 1e-5, away
        assert away[-1] < (1e-2 if cfg.path_weight or cfg.loss in PENALISED_LOSSES else 1e-5), away
    for kind in ("statistics", "side"):
        for rank in two:
            for whole, theirs in zip(alone[kind], rank[case][kind], strict=True):
                torch.testing.assert_close(theirs, whole, rtol=1e-4, atol=1e-6)


def test_the_cases_reach_what_could_depend_on_the_number_of_processes() -> None:
    """Batch normalisation, path lengths and a probability that moves."""
    dcgan = build_state(CASES["dcgan"][0], torch.device("cpu"))
    assert sum(isinstance(m, BatchNorm) for m in dcgan.d.modules()) == 1
    assert sum(isinstance(m, BatchNorm) for m in dcgan.g.modules()) == 2
    path, p, signs = observe("stylegan2, ada", SOLO)["side"]
    assert float(path) > 0
    assert float(p) != 0.5
    assert float(signs) == 0


def test_batch_normalisation_over_parts_equals_torchs() -> None:
    """Two halves, normalised by statistics that are summed over both, as torch does the whole."""
    torch.manual_seed(0)
    whole = (3 + 2 * torch.randn(6, 4, 5, 5)).requires_grad_()
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm2d(4)
    stacked: list[Tensor] = []
    for half in whole.chunk(2):
        stacked.append(torch.stack([half.mean((0, 2, 3)), half.square().mean((0, 2, 3))]))
    total = torch.stack([*(stacked[0] + stacked[1]), torch.full((4,), 2.0)])
    ours.sum_over_processes = lambda _: total
    out = torch.cat([ours(half) for half in whole.chunk(2)])
    expected = theirs(whole)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(out.shape)
    gradients = [torch.autograd.grad((y * weights).sum(), whole)[0] for y in (out, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
    theirs(whole)  # ours has moved its running statistics twice, too
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-5)
