"""TrainState: everything that changes during training, built from the configuration."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mri_gan.config import TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.protocol import CriticNet, GeneratorNet
from mri_gan.train.augment import AugmentState, start_augmenting
from mri_gan.train.device import lay_out
from mri_gan.train.optimisers import build_optimiser
from mri_gan.train.randomness import key


@dataclass
class TrainState:
    """Networks, their running mean, optimisers and one integer of progress.

    `attempt` counts rollbacks; it salts the random numbers so that another try differs.
    """

    g: GeneratorNet
    d: CriticNet
    g_ema: GeneratorNet
    g_opt: torch.optim.Optimizer
    d_opt: torch.optim.Optimizer
    augment: AugmentState
    path_mean: Tensor  # [], running mean of path lengths
    nimg: int = 0
    attempt: int = 0


def build_state(config: TrainConfig, device: torch.device) -> TrainState:
    """The state at nimg 0; initial weights are a function of the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.seed, "init"))
        g, d = build_generator(config.model), build_critic(config.model)
    for net in (g, d):
        lay_out(net, config, device)
    g_ema = copy.deepcopy(g).requires_grad_(False).eval()
    return TrainState(
        g,
        d,
        g_ema,
        build_optimiser(g, config),
        build_optimiser(d, config),
        start_augmenting(config, device),
        torch.zeros((), device=device),
    )


def side_state(state: TrainState) -> dict[str, Any]:
    """What a checkpoint keeps besides networks and optimisers."""
    return {
        "attempt": state.attempt,
        "augment_p": state.augment.p.clone(),
        "augment_signs": state.augment.signs.clone(),
        "augment_steps": state.augment.steps,
        "path_mean": state.path_mean.clone(),
    }


def restore_side_state(state: TrainState, parts: dict[str, Any]) -> None:
    """Take back what `side_state` gave; checkpoints of older versions lack some or all of it."""
    state.attempt = int(parts.get("attempt", 0))
    if "path_mean" in parts:
        device = state.path_mean.device
        state.path_mean = parts["path_mean"].to(device)
        state.augment = AugmentState(
            parts["augment_p"].to(device),
            parts["augment_signs"].to(device),
            int(parts["augment_steps"]),
        )
