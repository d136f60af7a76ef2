"""TrainState: everything that changes during training, built from the configuration."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from mri_gan.config import TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.protocol import CriticNet, GeneratorNet
from mri_gan.train.randomness import key

ADAM_BETAS = (0.0, 0.99)  # Karras 2018, appendix A.1
ADAM_EPS = 1e-8


@dataclass
class TrainState:
    """Networks, their running mean, optimisers and one integer of progress.

    `attempt` counts rollbacks; it salts the random numbers so that another try differs.
    """

    g: GeneratorNet
    d: CriticNet
    g_ema: GeneratorNet
    g_opt: torch.optim.Adam
    d_opt: torch.optim.Adam
    nimg: int = 0
    attempt: int = 0


def build_state(config: TrainConfig, device: torch.device) -> TrainState:
    """The state at nimg 0; initial weights are a function of the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.seed, "init"))
        g, d = build_generator(config.model), build_critic(config.model)
    g, d = g.to(device), d.to(device)
    g_ema = copy.deepcopy(g).requires_grad_(False).eval()
    return TrainState(g, d, g_ema, build_optimiser(g), build_optimiser(d))


def build_optimiser(net: nn.Module) -> torch.optim.Adam:
    """Adam as in the paper; the learning rate is set at every step from the phase."""
    return torch.optim.Adam(net.parameters(), betas=ADAM_BETAS, eps=ADAM_EPS, fused=True)
