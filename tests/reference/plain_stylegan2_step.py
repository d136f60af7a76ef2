"""StyleGAN2's training step on the plain networks, written plainly.

Karras et al. 2020, sections 3.2 and 4 and appendix B: non-saturating logistic loss, R1, path
length.  What is measured beside it does the same work: `mri_gan.train.step`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from plain_step import plain_adam
from plain_stylegan2 import PlainCritic2, PlainGenerator2
from torch import Tensor

from mri_gan.config import TrainConfig


@dataclass
class PlainState2:
    """Networks and optimisers."""

    g: PlainGenerator2
    d: PlainCritic2
    g_opt: torch.optim.Optimizer
    d_opt: torch.optim.Optimizer
    config: TrainConfig
    path_mean: Tensor


def build_plain_state2(config: TrainConfig) -> PlainState2:
    """Untrained plain networks."""
    g, d = PlainGenerator2(config.model), PlainCritic2(config.model)
    return PlainState2(g, d, plain_adam(g), plain_adam(d), config, torch.zeros(()))


def plain_images(state: PlainState2, n: int) -> tuple[Tensor, Tensor]:
    """Images of fresh latents with two styles each, and their styles."""
    size, dim = state.config.max_size, state.config.latent_dim
    layers = 2 * int(math.log2(size)) - 2
    first, second = (
        state.g.mapping(torch.randn(n, dim))[:, None].repeat(1, layers, 1) for _ in range(2)
    )
    cut = int(torch.randint(1, layers, ()))
    ws = torch.cat([first[:, :cut], second[:, cut:]], dim=1)
    sizes = [4] + [r for r in (2**e for e in range(3, int(math.log2(size)) + 1)) for _ in range(2)]
    return state.g.synthesis(ws, [torch.randn(n, 1, r, r) for r in sizes]), ws


def plain_step2(state: PlainState2, real: Tensor, *, r1: bool, path: bool) -> None:
    """One update of the critic and one of the generator, with or without their penalties."""
    config, n = state.config, len(real)
    with torch.no_grad():
        fake, _ = plain_images(state, n)
    state.d_opt.zero_grad()
    loss = F.softplus(state.d(fake)).mean() + F.softplus(-state.d(real)).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    if r1:
        leaf = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(state.d(leaf).sum(), leaf, create_graph=True)
        (5 * config.penalty_every * (gradient**2).sum(dim=(1, 2, 3)).mean()).backward()  # type: ignore[no-untyped-call]
    state.d_opt.step()
    state.g_opt.zero_grad()
    state.d.requires_grad_(False)
    F.softplus(-state.d(plain_images(state, n)[0])).mean().backward()  # type: ignore[no-untyped-call]
    state.d.requires_grad_(True)
    if path:
        images, ws = plain_images(state, max(1, n // 2))
        noise = torch.randn_like(images) / config.max_size
        (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = (gradient**2).sum(dim=2).mean(dim=1).sqrt()
        state.path_mean = state.path_mean.lerp(lengths.detach().mean(), 0.01)
        (config.path_every * 2 * ((lengths - state.path_mean) ** 2).mean()).backward()  # type: ignore[no-untyped-call]
    state.g_opt.step()
