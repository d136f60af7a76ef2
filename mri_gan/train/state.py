"""TrainState and one step of training: everything that changes, and how."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.stylegan import (
    Critic,
    Generator,
    broadcast_styles,
    draw_noise,
    mix_styles,
    num_style_layers,
)
from mri_gan.schedule import Phase
from mri_gan.train.losses import gradient_penalty, wgan_critic_loss, wgan_generator_loss
from mri_gan.train.randomness import generator, key

MIXING_PROBABILITY = 0.9  # Karras 2019, section 3.1
W_AVG_DECAY = 0.995  # per step; Karras 2019, appendix B
EMA_HALF_LIFE = 10_000  # images; Karras 2019, appendix C
EMA_RAMP = 0.05  # a young run remembers at most this share of its images
ADAM_BETAS = (0.0, 0.99)  # Karras 2018, appendix A.1
ADAM_EPS = 1e-8


@dataclass
class TrainState:
    """Networks, their running mean, optimisers and one integer of progress."""

    g: Generator
    d: Critic
    g_ema: Generator
    g_opt: torch.optim.Adam
    d_opt: torch.optim.Adam
    nimg: int = 0


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


def ema_decay(batch: int, nimg: int) -> float:
    """The weight of the old mean after a step of `batch` images.

    A half-life of 10,000 images, or of a twentieth of the run so far while that is shorter:
    otherwise the mean of a short run would still show its first, random weights.
    """
    half_life = min(EMA_HALF_LIFE, EMA_RAMP * nimg)
    return float(0.5 ** (batch / half_life)) if half_life > 0 else 0.0


def to_network_range(images: Tensor, phase: Phase, config: TrainConfig, nimg: int) -> Tensor:
    """uint8 or uint16 [N, C, R, R] to float -1..1, flipped and faded as the phase says.

    While a level fades in, real images fade with it (Karras 2018, appendix A), so that the
    critic cannot tell them by detail that the generator is not yet allowed to draw.
    """
    top = 255.0 if images.dtype == torch.uint8 else 65535.0
    real = images.float().mul_(2 / top).sub_(1)
    if config.flip:
        rng = generator(config.seed, "flip", nimg, device=real.device)
        flips = torch.rand(len(real), generator=rng, device=real.device) < 0.5
        real = torch.where(flips[:, None, None, None], real.flip(-1), real)
    if phase.alpha < 1:
        coarse = F.interpolate(F.avg_pool2d(real, 2), scale_factor=2.0, mode="nearest")
        real = coarse.lerp(real, phase.alpha)
    return real


def draw_fakes(
    state: TrainState, config: TrainConfig, phase: Phase, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images [N, C, R, R] of the generator in training, and their w [N, D]."""
    layers = num_style_layers(phase.resolution)
    latents = torch.randn(
        2, phase.batch, config.latent_dim, generator=rng, device=rng.device
    )  # [2, N, D]
    noise = draw_noise(phase.batch, phase.resolution, rng)
    # Drawn on the CPU: the crossover is a number of layers, and asking the device would wait.
    coin = torch.Generator().manual_seed(rng.initial_seed())
    if config.mixing and float(torch.rand((), generator=coin)) < MIXING_PROBABILITY:
        w, w_other = state.g.map(latents.flatten(0, 1)).chunk(2)
        crossover = int(torch.randint(1, layers, (), generator=coin))
        ws = mix_styles(w, w_other, crossover, layers)
    else:
        w = state.g.map(latents[0])
        ws = broadcast_styles(w, layers)
    images = state.g.synthesis(ws, resolution=phase.resolution, alpha=phase.alpha, noise=noise)
    return images.float(), w.float()


def train_step(state: TrainState, config: TrainConfig, phase: Phase, images: Tensor) -> Stats:
    """One update of the critic on `images`, and of the generator every n_critic-th time.

    images uint8/uint16 [N, C, R, R] on the device. Advances nimg by N. Returns statistics as
    tensors on the device: nothing here waits for it.
    """
    nimg = state.nimg
    for optimiser in (state.g_opt, state.d_opt):
        optimiser.param_groups[0]["lr"] = phase.lr
    real = to_network_range(images, phase, config, nimg)
    stats = step_critic(state, config, phase, real)
    if (nimg // phase.batch + 1) % config.n_critic == 0:
        stats |= step_generator(state, config, phase)
        update_ema(state, ema_decay(phase.batch * config.n_critic, nimg))
    state.nimg = nimg + phase.batch
    return stats


Stats = dict[str, Tensor]


def step_critic(state: TrainState, config: TrainConfig, phase: Phase, real: Tensor) -> Stats:
    """WGAN-GP with drift: one optimiser step of the critic."""
    rng = generator(config.seed, "critic", state.nimg, device=real.device)
    with torch.no_grad():
        fake, _ = draw_fakes(state, config, phase, rng)
    state.d_opt.zero_grad(set_to_none=True)
    scores = state.d(torch.cat([real, fake]), alpha=phase.alpha, parts=2)
    real_scores, fake_scores = scores.chunk(2)
    mix = torch.rand(len(real), 1, 1, 1, generator=rng, device=real.device)
    penalty = gradient_penalty(
        lambda x: state.d(x, alpha=phase.alpha), real, fake, mix, config.gp_weight
    )
    loss = wgan_critic_loss(real_scores, fake_scores, config.drift) + penalty
    loss.backward()  # type: ignore[no-untyped-call]
    step_if_finite(state.d_opt)
    return {
        "d_loss": loss.detach(),
        "real_score": real_scores.detach().mean(),
        "fake_score": fake_scores.detach().mean(),
        "penalty": penalty.detach(),
    }


def step_generator(state: TrainState, config: TrainConfig, phase: Phase) -> Stats:
    """One optimiser step of the generator against the critic as it is now."""
    device = state.g.w_avg.device
    rng = generator(config.seed, "generator", state.nimg, device=device)
    state.g_opt.zero_grad(set_to_none=True)
    state.d.requires_grad_(False)
    images, w = draw_fakes(state, config, phase, rng)
    loss = wgan_generator_loss(state.d(images, alpha=phase.alpha))
    loss.backward()  # type: ignore[no-untyped-call]
    state.d.requires_grad_(True)
    step_if_finite(state.g_opt)
    with torch.no_grad():
        state.g.w_avg.lerp_(w.detach().mean(0), 1 - W_AVG_DECAY)
    return {"g_loss": loss.detach()}


def step_if_finite(optimiser: torch.optim.Adam) -> None:
    """An optimiser step, unless a gradient is not finite: then weights and moments stay.

    Decided on the device: the fused kernel leaves out the step when `found_inf` is 1.
    """
    gradients = [
        p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None
    ]
    norms = torch.stack(torch._foreach_norm(gradients))
    found: Any = (~torch.isfinite(norms).all()).to(torch.float32)
    optimiser.found_inf = found  # type: ignore[attr-defined]
    optimiser.step()


@torch.no_grad()
def update_ema(state: TrainState, decay: float) -> None:
    """Move the running mean of the generator; blocks not yet reached stay as they are."""
    pairs: list[tuple[Tensor, Tensor]] = [
        (mean, now)
        for mean, now in zip(state.g_ema.parameters(), state.g.parameters(), strict=True)
        if now.grad is not None
    ]
    means, weights = [mean for mean, _ in pairs], [now for _, now in pairs]
    torch._foreach_lerp_(means, weights, 1 - decay)
    state.g_ema.w_avg.copy_(state.g.w_avg)
