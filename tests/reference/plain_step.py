"""The training step of `mri_gan.train.step`, written the plain way on the plain networks.

The random numbers are ours, so that losses and gradients can be compared with ours one by one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from plain_stylegan import PlainCritic, PlainGenerator
from torch import Tensor

from mri_gan.config import TrainConfig
from mri_gan.nets.layers import draw_noise, resolutions_up_to
from mri_gan.schedule import Phase
from mri_gan.train.parallel import Step, generator
from mri_gan.train.state import ADAM_BETAS, ADAM_EPS, TrainState
from mri_gan.train.step import W_AVG_DECAY, Stats, ema_decay, gradient_penalty, to_network_range


@dataclass
class PlainState:
    """What `TrainState` is for the fast step."""

    g: PlainGenerator
    d: PlainCritic
    g_ema: PlainGenerator
    g_opt: torch.optim.Adam
    d_opt: torch.optim.Adam
    nimg: int = 0


def build_plain_state(config: TrainConfig, ours: TrainState) -> PlainState:
    """Plain networks with the weights of `ours`, and optimisers without history."""
    g, d = PlainGenerator(config.model), PlainCritic(config.model)
    g.load_state_dict(ours.g.state_dict())
    d.load_state_dict(ours.d.state_dict())
    weight = next(ours.g.parameters())
    g, d = g.to(weight), d.to(weight)
    g_ema = copy.deepcopy(g).requires_grad_(False)
    return PlainState(g, d, g_ema, plain_adam(g), plain_adam(d), ours.nimg)


def plain_adam(net: torch.nn.Module) -> torch.optim.Adam:
    """Adam that goes through the parameters one by one."""
    return torch.optim.Adam(
        net.parameters(), betas=ADAM_BETAS, eps=ADAM_EPS, foreach=False, fused=False
    )


def plain_train_step(state: PlainState, config: TrainConfig, phase: Phase, images: Tensor) -> Stats:
    """One WGAN-GP update of the critic on `images`, then one of the generator.

    Karras et al. 2018, appendix A.1; Gulrajani et al. 2017, algorithm 1.
    """
    for optimiser in (state.g_opt, state.d_opt):
        optimiser.param_groups[0]["lr"] = phase.lr
    real = to_network_range(images, Step(config, phase, state.nimg))
    stats = plain_critic_step(state, config, phase, real)
    stats |= plain_generator_step(state, config, phase)
    plain_ema(state, ema_decay(phase.batch, state.nimg))
    state.nimg += phase.batch
    return stats


def plain_fakes(
    state: PlainState, config: TrainConfig, phase: Phase, rng: torch.Generator, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Images and their w; the draws are those of `mri_gan.train.step.draw_fakes`."""
    shape = (2, phase.batch, config.latent_dim)
    latents = torch.randn(shape, generator=rng, device=rng.device)
    noise = draw_noise(noise_shapes(phase), rng, dtype=like.dtype)
    w = state.g.mapping(latents[0].to(like.dtype))
    ws = w[:, None].repeat(1, len(noise), 1)
    return state.g.synthesis(ws, phase.resolution, phase.alpha, noise), w


def noise_shapes(phase: Phase) -> list[tuple[int, int, int, int]]:
    """Two noise images for each size up to the phase's own."""
    sizes = [r for r in resolutions_up_to(phase.resolution) for _ in range(2)]
    return [(phase.batch, 1, r, r) for r in sizes]


def plain_critic_step(state: PlainState, config: TrainConfig, phase: Phase, real: Tensor) -> Stats:
    """One optimiser step of the critic."""
    rng = generator(config.seed, "critic", state.nimg, device=real.device)
    with torch.no_grad():
        fake, _ = plain_fakes(state, config, phase, rng, real)
    state.d_opt.zero_grad()
    real_scores = state.d(real, phase.alpha)
    fake_scores = state.d(fake, phase.alpha)
    loss = fake_scores.mean() - real_scores.mean() + config.drift * (real_scores**2).mean()
    mix = torch.rand(phase.batch, 1, 1, 1, generator=rng, device=rng.device).to(real.dtype)
    penalty = gradient_penalty(
        lambda images: state.d(images, phase.alpha), real, fake, mix, config.gp_weight or 0.0
    )
    loss = loss + penalty
    loss.backward()
    state.d_opt.step()
    return {"d_loss": loss.detach(), "penalty": penalty.detach()}


def plain_generator_step(state: PlainState, config: TrainConfig, phase: Phase) -> Stats:
    """One optimiser step of the generator."""
    rng = generator(config.seed, "generator", state.nimg, device=state.g.w_avg.device)
    state.g_opt.zero_grad()
    state.d.requires_grad_(False)
    images, w = plain_fakes(state, config, phase, rng, state.g.w_avg)
    loss = -state.d(images, phase.alpha).mean()
    loss.backward()
    state.d.requires_grad_(True)
    state.g_opt.step()
    state.g.w_avg.lerp_(w.detach().mean(0), 1 - W_AVG_DECAY)
    return {"g_loss": loss.detach()}


@torch.no_grad()
def plain_ema(state: PlainState, decay: float) -> None:
    """Move the running mean of the generator, parameter by parameter."""
    now = dict(state.g.named_parameters())
    for name, mean in state.g_ema.named_parameters():
        if now[name].grad is not None:
            mean.copy_(decay * mean + (1 - decay) * now[name])
    state.g_ema.w_avg.copy_(state.g.w_avg)
