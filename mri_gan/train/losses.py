"""The losses of the Wasserstein GAN with gradient penalty, as pure functions.

Every function returns a scalar tensor on the device of its input and never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def wgan_critic_loss(real_scores: Tensor, fake_scores: Tensor, drift: float = 1e-3) -> Tensor:
    """Return what the critic minimises, without the gradient penalty.

    real_scores [N], fake_scores [M] -> [].  The drift term keeps the scores of real images near
    zero.  Gulrajani et al. 2017, equation 3, first two terms; drift: Karras et al. 2018,
    appendix A.1.
    """
    real = _at_least_float32(real_scores)
    fake = _at_least_float32(fake_scores)
    return fake.mean() - real.mean() + drift * real.square().mean()


def wgan_generator_loss(fake_scores: Tensor) -> Tensor:
    """Return what the generator minimises: the negative mean score of its images.

    fake_scores [N] -> [].  Gulrajani et al. 2017, algorithm 1, line 12.
    """
    return -_at_least_float32(fake_scores).mean()


def gradient_penalty(
    critic_fn: Callable[[Tensor], Tensor],  # images [N, C, H, W] -> scores [N]
    real: Tensor,  # [N, C, H, W]
    fake: Tensor,  # [N, C, H, W]
    mix: Tensor,  # [N, 1, 1, 1], uniform in 0..1: 0 is real, 1 is fake
    weight: float = 10.0,
) -> Tensor:
    """Return the penalty on critic gradients whose norm is not 1, between real and fake images.

    -> [].  The gradient reaches the critic's parameters, never the images given.
    Gulrajani et al. 2017, equation 3, last term.
    """
    between = real.detach().lerp(fake.detach(), mix).requires_grad_()
    (gradient,) = torch.autograd.grad(critic_fn(between).sum(), between, create_graph=True)
    norms = torch.linalg.vector_norm(_at_least_float32(gradient).flatten(1), dim=1)  # [N]
    penalty: Tensor = weight * (norms - 1).square().mean()
    return penalty


def _at_least_float32(x: Tensor) -> Tensor:
    """Widen half-precision tensors, whose means and norms would lose digits or overflow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
