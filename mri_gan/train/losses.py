"""The losses and penalties as pure functions, and which of them belong together.

Every function returns a scalar tensor on the device of its input and never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.nets.feature_critic import MAP_PX

PLACES = MAP_PX**2  # of each critic that scores parts of an image


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


def logistic_critic_loss(real_scores: Tensor, fake_scores: Tensor, drift: float = 0.0) -> Tensor:
    """Return the cross entropy of telling real from fake; scores are logits.

    real_scores [N], fake_scores [M] -> [].  Goodfellow et al. 2014, equation 1.
    """
    real = _at_least_float32(real_scores)
    fake = _at_least_float32(fake_scores)
    return F.softplus(fake).mean() + F.softplus(-real).mean() + drift * real.square().mean()


def logistic_generator_loss(fake_scores: Tensor) -> Tensor:
    """Return the non-saturating loss: fake_scores [N] -> [].  Goodfellow et al. 2014, section 3."""
    return F.softplus(-_at_least_float32(fake_scores)).mean()


def hinge_critic_loss(real_scores: Tensor, fake_scores: Tensor, drift: float = 0.0) -> Tensor:
    """Return the hinge loss, zero for scores beyond +-1.

    real_scores [N], fake_scores [M] -> [].  Lim and Ye 2017, equation 13.
    """
    real = _at_least_float32(real_scores)
    fake = _at_least_float32(fake_scores)
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean() + drift * real.square().mean()


def relativistic_critic_loss(
    real_scores: Tensor, fake_scores: Tensor, drift: float = 0.0
) -> Tensor:
    """Return the cross entropy of telling which of a pair is real; scores are logits.

    real_scores and fake_scores of one shape -> [].  Jolicoeur-Martineau 2019, section 3.2.2 (the
    paired loss); against lost modes: Huang et al. 2024, section 2.1.
    """
    real = _at_least_float32(real_scores)
    pairs = _at_least_float32(fake_scores) - real
    return F.softplus(pairs).mean() + drift * real.square().mean()


def relativistic_generator_loss(fake_scores: Tensor, real_scores: Tensor) -> Tensor:
    """Return the same with the parts exchanged: two of one shape -> []."""
    return F.softplus(_at_least_float32(real_scores) - _at_least_float32(fake_scores)).mean()


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
    gradient = _gradient(critic_fn, real.detach().lerp(fake.detach(), mix))
    norms = torch.linalg.vector_norm(gradient, dim=1)  # [N]
    penalty: Tensor = weight * (norms - 1).square().mean()
    return penalty


def r1_penalty(
    critic_fn: Callable[[Tensor], Tensor],  # images [N, C, H, W] -> scores [N]
    real: Tensor,  # [N, C, H, W]
    weight: float = 10.0,
) -> Tensor:
    """Return gamma / 2 times the mean squared norm of the critic's gradient at real images.

    -> [].  Mescheder et al. 2018, equation 9; gamma 10: Karras et al. 2019, appendix C.
    """
    squares = _gradient(critic_fn, real.detach().clone()).square().sum(dim=1)  # [N]
    return weight / 2 * squares.mean()


def zero_centred_penalty(scores: Tensor, inputs: Sequence[Tensor], weight: float = 1.0) -> Tensor:
    """Return R1 + R2: gamma / 2 times the mean squared norm of gradients at real and fake inputs.

    scores [2N], or [2N, K] of K critics and places; inputs [2N, ..] that they were computed from,
    N of real images and N of fakes -> [].  Of the scores at 4x4 places of one critic the mean
    counts.  Huang et al. 2024, section 2.2.
    """
    total = _at_least_float32(scores).sum() / min(PLACES, scores[0].numel())
    gradients = torch.autograd.grad(total, list(inputs), create_graph=True)
    squares = [_at_least_float32(g).square().flatten(1).sum(1) for g in gradients]
    return weight * torch.stack(squares).sum(0).mean()  # of 2N, so half becomes the whole


def _gradient(critic_fn: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of each image's score by its pixels [N, C * H * W], differentiable again."""
    images = images.requires_grad_()
    (gradient,) = torch.autograd.grad(critic_fn(images).sum(), images, create_graph=True)
    return _at_least_float32(gradient).flatten(1)


def _at_least_float32(x: Tensor) -> Tensor:
    """Widen half-precision tensors, whose means and norms would lose digits or overflow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class Loss:
    """What belongs together under one name of `--loss`."""

    critic: Callable[[Tensor, Tensor, float], Tensor]
    generator: Callable[..., Tensor]  # of fake scores, and of real ones where it pairs
    penalty: str = "none"  # "gradient", "r1", "zero-centred" or "none"
    clips: bool = False  # the critic's weights, after each of its steps
    drifts: bool = False
    pairs: bool = False  # the generator's part needs scores of real images, too


# A new loss is a row here and its name in `config.LOSS_NAMES`; the step and `--loss` follow.
LOSSES = {
    "wgan-gp": Loss(wgan_critic_loss, wgan_generator_loss, "gradient", drifts=True),
    "wgan-clip": Loss(wgan_critic_loss, wgan_generator_loss, clips=True),
    "logistic": Loss(logistic_critic_loss, logistic_generator_loss),
    "r1": Loss(logistic_critic_loss, logistic_generator_loss, "r1"),
    "hinge": Loss(hinge_critic_loss, wgan_generator_loss),
    "relativistic": Loss(relativistic_critic_loss, relativistic_generator_loss, pairs=True),
    "r3gan": Loss(
        relativistic_critic_loss, relativistic_generator_loss, "zero-centred", pairs=True
    ),
}
