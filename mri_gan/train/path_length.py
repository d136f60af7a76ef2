"""Path-length regularisation: a step in w should change the image by a fixed amount.

Karras et al. 2020, section 3.2 and equation 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mri_gan.config import TrainConfig
from mri_gan.nets.styles import broadcast_styles, draw_noise
from mri_gan.schedule import Phase, step_number
from mri_gan.train.parallel import World, average, rows
from mri_gan.train.randomness import generator
from mri_gan.train.state import TrainState

MEAN_DECAY = 0.01  # of the running mean of lengths; Karras et al. 2020, appendix B


def path_lengths(images: Tensor, ws: Tensor, directions: Tensor) -> Tensor:
    """How far the image moves along random directions for a step in w: -> [N].

    images [N, C, H, W] drawn from ws [N, L, D], directions like images, from N(0, 1).  The root
    of the mean over layers of the squared norm of the Jacobian's product with the direction over
    the root of its pixels.  May be differentiated again.  Karras et al. 2020, equation 4.
    """
    scaled = directions / math.sqrt(images.shape[-2] * images.shape[-1])
    (gradient,) = torch.autograd.grad((images * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_due(config: TrainConfig, nimg: int) -> bool:
    """Whether the generator's step behind this nimg pays for its path length."""
    steps = step_number(config, nimg) // config.n_critic
    return config.path_weight > 0 and steps % config.path_every == 0


def add_path_gradients(
    state: TrainState,
    config: TrainConfig,
    phase: Phase,
    world: World,
    condition: Tensor | None = None,  # [n, K]
) -> dict[str, Tensor]:
    """Add the gradients of the penalty to the generator's, and move the mean of the lengths.

    With half of the batch, without mixing, and weighted for the steps that it is left out of
    (appendix B).  Each process takes half of its own rows.
    """
    device = state.g.w_avg.device
    rng = generator(config.seed, "path", state.nimg, device=device)
    z = torch.randn((phase.batch, config.latent_dim), generator=rng, device=device)
    noise = draw_noise(state.g.noise_shapes(phase.batch, phase.resolution), rng)
    shape = (phase.batch, config.channels, phase.resolution, phase.resolution)
    directions = torch.randn(shape, generator=rng, device=device)
    own = rows(world, phase.batch)
    own = own[: (len(own) + 1) // 2]
    if condition is not None:
        condition = condition[: len(own)]
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        w = state.g.map(z[own], condition)
        ws = broadcast_styles(w, state.g.num_layers(phase.resolution))
        images = state.g.synthesis(
            ws, resolution=phase.resolution, alpha=phase.alpha, noise=[x[own] for x in noise]
        )
    lengths = path_lengths(images.float(), ws, directions[own])
    mean = lengths.detach().mean()
    average(world, [mean])
    mean = state.path_mean.lerp(mean, MEAN_DECAY)
    penalty = config.path_weight * (lengths - mean).square().mean()
    (config.path_every * penalty).backward()  # type: ignore[no-untyped-call]
    state.path_mean.copy_(torch.where(mean.isfinite(), mean, state.path_mean))
    return {"path_penalty": penalty.detach(), "path_length": mean}
