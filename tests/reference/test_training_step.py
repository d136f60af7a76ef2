"""The training step does what the papers say: it equals a plain formulation over several steps."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from plain_training import PlainTraining, copy_networks, plain_step
from torch import Tensor, nn

from mri_gan.conditions import build_conditions
from mri_gan.config import TrainConfig
from mri_gan.schedule import Phase
from mri_gan.train.state import TrainState, build_state
from mri_gan.train.step import train_step

STEPS = 6
BEGUN = 4000  # images: late enough that the running means forget slowly
# Larger than the papers' 1e-8, with which Adam turns gradients that are zero but for rounding into
# whole steps of either sign; `test_the_optimisers_are_those_of_the_papers` holds the real ones.
EPS = 1e-5
BATCH = 8
BASE = TrainConfig(
    max_size=16, capacity=1 / 64, latent_dim=8, mapping_depth=2, batch=BATCH, phase=10**6
)
GROUPS = build_conditions(["group"], [{"group": "a"}, {"group": "b"}])
ADA = {"augment": "ada", "augment_p": 0.5, "ada_kimg": 0.1}
CASES: dict[str, dict[str, Any]] = {
    "stylegan": {"mixing": True},
    "stylegan fading in": {"mixing": True, "alpha": 0.3},
    "stylegan, conditions, mirrored": {"conditions": GROUPS, "flip": True, "mixing": True},
    "stylegan, lazy penalty": {"penalty_every": 3},
    "stylegan, lazy R1": {"loss": "r1", "gp_weight": 10.0, "penalty_every": 4},
    "stylegan, hinge": {"loss": "hinge", "n_critic": 2},
    "stylegan, logistic, fixed augmentation": {
        "loss": "logistic",
        "augment": "fixed",
        "augment_p": 0.7,
    },
    "stylegan, pairs, conditions": {"loss": "relativistic", "conditions": GROUPS},
    "stylegan, R1 and R2, shared fakes, lazy": {
        "loss": "r3gan",
        "gp_weight": 5.0,
        "penalty_every": 2,
        "share_fakes": True,
        "mixing": True,
        "augment": "fixed",
        "augment_p": 0.7,
    },
    "progan, R1 and R2 by size, n_critic": {
        "arch": "progan",
        "loss": "r3gan",
        "gp_weight": None,
        "n_critic": 2,
        "share_fakes": True,
    },
    "progan": {"arch": "progan", "n_critic": 2},
    "progan fading in, no drift": {"arch": "progan", "alpha": 0.6, "drift": 0.0},
    "dcgan": {"arch": "dcgan", "loss": "logistic"},
    "dcgan, clipped": {"arch": "dcgan", "loss": "wgan-clip", "n_critic": 3},
    "dcgan, penalty": {"arch": "dcgan", "loss": "wgan-gp", "n_critic": 2},
    "stylegan2": {"arch": "stylegan2", "loss": "r1", "gp_weight": 5.0, "penalty_every": 3},
    "stylegan2, path length": {
        "arch": "stylegan2",
        "loss": "r1",
        "gp_weight": None,
        "path_weight": 2.0,
        "path_every": 2,
        "mixing": True,
    },
    "stylegan2, path length, n_critic": {
        "arch": "stylegan2",
        "loss": "r1",
        "path_weight": 2.0,
        "path_every": 2,
        "n_critic": 2,
        "conditions": GROUPS,
    },
    "stylegan2, adaptive augmentation": {
        "arch": "stylegan2",
        "loss": "r1",
        "gp_weight": 100.0,
        "channel_names": ("image",),
        **ADA,
    },
}


def begin(config: TrainConfig) -> TrainState:
    """A state in the middle of a run: nothing is zero or constant, as it is at the start.

    The running mean is not the weights themselves, and no feature is constant over the image,
    which instance normalisation would blow up to rounding noise.
    """
    state = build_state(config, torch.device("cpu"))
    state.nimg = BEGUN
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in itertools.chain(*(n.parameters() for n in (state.g, state.d, state.g_ema))):
            weight.add_(0.1 * torch.randn(weight.shape, generator=source))
        state.g.w_avg.add_(1.0)
    return state


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """All numbers of a network, counters left out."""
    return {
        name: value.detach().clone().double()
        for name, value in net.state_dict().items()
        if value.is_floating_point()
    }


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The root of the summed squares of the differences."""
    squares = [float(((a[name] - b[name]) ** 2).sum()) for name in a]
    return math.sqrt(sum(squares))


def run_both(
    config: TrainConfig, alpha: float
) -> tuple[TrainState, PlainTraining, dict[str, dict[str, Tensor]]]:
    """Both sides from the same weights over the same images; and the weights they began with."""
    ours = begin(config)
    plain = copy_networks(config, ours, steps=BEGUN // BATCH)
    for optimiser in (ours.g_opt, ours.d_opt, plain.g_opt, plain.d_opt):
        optimiser.param_groups[0]["eps"] = EPS
    start = {name: weights_of(getattr(ours, name)) for name in ("g", "d", "g_ema")}
    phase = Phase(16, alpha, BATCH, 1e-3)
    source = torch.Generator().manual_seed(3)
    for _ in range(STEPS):
        images = torch.randint(0, 256, (BATCH, 1, 16, 16), generator=source, dtype=torch.uint8)
        conditions = None
        if config.conditions:
            drawn = torch.randint(0, 2, (2, BATCH), generator=source)
            conditions = nn.functional.one_hot(drawn, config.conditions.dim).float()
        train_step(ours, config, phase, images, conditions=conditions)
        plain_step(plain, phase, images, conditions)
    return ours, plain, start


@pytest.mark.parametrize(
    ("arch", "loss", "betas"),
    [
        ("stylegan", "wgan-gp", (0.0, 0.99)),  # Karras et al. 2018, appendix A.1
        ("stylegan2", "r1", (0.0, 0.99)),  # Karras et al. 2020, appendix B
        ("dcgan", "logistic", (0.5, 0.999)),  # Radford et al. 2016, section 4
        ("dcgan", "wgan-gp", (0.0, 0.9)),  # Gulrajani et al. 2017, algorithm 1
    ],
)
def test_the_optimisers_are_those_of_the_papers(
    arch: str, loss: str, betas: tuple[float, float]
) -> None:
    state = build_state(replace(BASE, arch=arch, loss=loss), torch.device("cpu"))
    for optimiser in (state.g_opt, state.d_opt):
        assert isinstance(optimiser, torch.optim.Adam)
        assert optimiser.defaults["betas"] == betas
        assert optimiser.defaults["eps"] == 1e-8


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_what_the_papers_say(name: str) -> None:
    values = dict(CASES[name])
    alpha = values.pop("alpha", 1.0)
    config = replace(BASE, **values)
    ours, plain, start = run_both(config, alpha)
    for net in ("g", "d", "g_ema"):
        expected, found = weights_of(getattr(plain, net)), weights_of(getattr(ours, net))
        moved = distance(expected, start[net])
        assert moved > 0
        assert distance(found, expected) < 0.005 * moved, net
    torch.testing.assert_close(ours.g.w_avg, plain.g.w_avg)
    torch.testing.assert_close(ours.g_ema.w_avg, plain.g.w_avg)
    assert float(ours.augment.p) == pytest.approx(plain.p, abs=1e-6)
    assert float(ours.path_mean) == pytest.approx(plain.path_mean, rel=1e-4)
    assert ours.nimg == plain.nimg == BEGUN + STEPS * BATCH
