"""One training step: losses and penalties as pure functions, and the changes of a TrainState."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.config import TrainConfig
from mri_gan.nets.convolution import widen
from mri_gan.nets.feature_critic import MAP_PX
from mri_gan.nets.layers import GeneratorNet, Noise, broadcast_styles, draw_noise, mix_styles
from mri_gan.pictures import to_signed
from mri_gan.schedule import Phase, r1_gamma, step_number
from mri_gan.train.parallel import SOLO, Step, World, average, gradients
from mri_gan.train.state import (
    TrainState,
    View,
    adapt,
    clip_weights,
    freeze_levels,
    signs_of,
    step_if_finite,
    view_of,
)

# Losses and penalties: scalars on the device of their input, which nothing waits for

PLACES = MAP_PX**2  # of each critic that scores parts of an image


def wgan_critic_loss(real_scores: Tensor, fake_scores: Tensor, drift: float = 1e-3) -> Tensor:
    """What the critic minimises, without the gradient penalty.

    real_scores [N], fake_scores [M] -> [].  The drift term keeps the scores of real images near
    zero.  Gulrajani et al. 2017, equation 3, first two terms; drift: Karras et al. 2018,
    appendix A.1.
    """
    real, fake = widen(real_scores), widen(fake_scores)
    return fake.mean() - real.mean() + drift * real.square().mean()


def wgan_generator_loss(fake_scores: Tensor) -> Tensor:
    """What the generator minimises: the negative mean score of its images.

    fake_scores [N] -> [].  Gulrajani et al. 2017, algorithm 1, line 12.
    """
    return -widen(fake_scores).mean()


def logistic_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The cross entropy of real against fake; scores are logits.

    real_scores [N], fake_scores [M] -> [].  Goodfellow et al. 2014, equation 1.
    """
    return F.softplus(widen(fake_scores)).mean() + F.softplus(-widen(real_scores)).mean()


def logistic_generator_loss(fake_scores: Tensor) -> Tensor:
    """The non-saturating loss: fake_scores [N] -> [].  Goodfellow et al. 2014, section 3."""
    return F.softplus(-widen(fake_scores)).mean()


def hinge_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The hinge loss, zero for scores beyond +-1.

    real_scores [N], fake_scores [M] -> [].  Lim and Ye 2017, equation 13.
    """
    return F.relu(1 - widen(real_scores)).mean() + F.relu(1 + widen(fake_scores)).mean()


def relativistic_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The cross entropy of which image of a pair is real; scores are logits.

    real_scores and fake_scores of one shape -> [].  Jolicoeur-Martineau 2019, section 3.2.2 (the
    paired loss); against lost modes: Huang et al. 2024, section 2.1.
    """
    return F.softplus(widen(fake_scores) - widen(real_scores)).mean()


def relativistic_generator_loss(fake_scores: Tensor, real_scores: Tensor) -> Tensor:
    """The same with the parts exchanged: two of one shape -> []."""
    return F.softplus(widen(real_scores) - widen(fake_scores)).mean()


def gradient_penalty(
    critic_fn: Callable[[Tensor], Tensor],  # images [N, C, H, W] -> scores [N]
    real: Tensor,  # [N, C, H, W]
    fake: Tensor,  # [N, C, H, W]
    mix: Tensor,  # [N, 1, 1, 1], uniform in 0..1: 0 is real, 1 is fake
    weight: float = 10.0,
) -> Tensor:
    """The penalty on critic gradients whose norm is not 1, between real and fake images.

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
    """Gamma / 2 times the mean squared norm of the critic's gradient at real images.

    -> [].  Mescheder et al. 2018, equation 9; gamma 10: Karras et al. 2019, appendix C.
    """
    squares = _gradient(critic_fn, real.detach().clone()).square().sum(dim=1)  # [N]
    return weight / 2 * squares.mean()


def zero_centred_penalty(scores: Tensor, inputs: Sequence[Tensor], weight: float = 1.0) -> Tensor:
    """R1 + R2: gamma / 2 times the mean squared norm of gradients at real and fake inputs.

    scores [2N], or [2N, K] of K critics and places; inputs [2N, ..] that they were computed from,
    N of real images and N of fakes -> [].  Of the scores at 4x4 places of one critic the mean
    counts.  Huang et al. 2024, section 2.2.
    """
    total = widen(scores).sum() / min(PLACES, scores[0].numel())
    gradients = torch.autograd.grad(total, list(inputs), create_graph=True)
    squares = [widen(g).square().flatten(1).sum(1) for g in gradients]
    return weight * torch.stack(squares).sum(0).mean()  # of 2N, so half becomes the whole


def _gradient(critic_fn: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of each image's score by its pixels [N, C * H * W], differentiable again."""
    images = images.requires_grad_()
    (gradient,) = torch.autograd.grad(critic_fn(images).sum(), images, create_graph=True)
    return widen(gradient).flatten(1)


@dataclass(frozen=True)
class Loss:
    """What belongs together under one name of `--loss`."""

    critic: Callable[..., Tensor]  # of real and fake scores, and of the drift's weight
    generator: Callable[..., Tensor]  # of fake scores, and of real ones where it pairs
    penalty: Literal["gradient", "r1", "zero-centred", "none"] = "none"
    clips: bool = False  # the critic's weights, after each of its steps
    drifts: bool = False
    pairs: bool = False  # the generator's part needs scores of real images, too


# A new loss is a row here and its name in `config.LOSS_NAMES`, and in `AUGMENTABLE_LOSSES`,
# `PENALISED_LOSSES`, `BY_SIZE_LOSSES` and `LOSS_DEFAULTS` there, where it needs them.
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


# Path-length regularisation: a step in w should change the image by a fixed amount

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
    step: Step,
    condition: Tensor | None = None,  # [n, K]
) -> dict[str, Tensor]:
    """Add the gradients of the penalty to the generator's, and move the mean of the lengths.

    With half of the batch, without mixing, and weighted for the steps that it is left out of
    (appendix B).  Each process takes half of its own rows.
    """
    device, config, phase = state.g.w_avg.device, step.config, step.phase
    rng = step.rng("path", device=device)
    z = torch.randn((phase.batch, config.latent_dim), generator=rng, device=device)
    noise = draw_noise(state.g.noise_shapes(phase.batch, phase.resolution), rng)
    shape = (phase.batch, config.channels, phase.resolution, phase.resolution)
    directions = torch.randn(shape, generator=rng, device=device)
    own = step.own_rows(device)
    own = own[: (len(own) + 1) // 2]
    if condition is not None:
        condition = condition[: len(own)]
    with step.in_precision(device):
        images, ws = draw_styled(state.g, phase, z[own], [x[own] for x in noise], condition)
    lengths = path_lengths(images.float(), ws, directions[own])
    mean = lengths.detach().mean()
    average(step.world, [mean])
    mean = state.path_mean.lerp(mean, MEAN_DECAY)
    penalty = config.path_weight * (lengths - mean).square().mean()
    (config.path_every * penalty).backward()  # type: ignore[no-untyped-call]
    state.path_mean.copy_(torch.where(mean.isfinite(), mean, state.path_mean))
    return {"path_penalty": penalty.detach(), "path_length": mean}


def draw_styled(
    g: GeneratorNet,
    phase: Phase,
    z: Tensor,  # [n, latent_dim], or two styles each: [2, n, latent_dim]
    noise: Noise,
    condition: Tensor | None = None,  # [n, K]
    crossover: Tensor | None = None,  # [n], the layer at which the second style begins
) -> tuple[Tensor, Tensor]:
    """Images [n, C, R, R] of a generator that learns, and their styles ws [n, L, D]."""
    layers = g.num_layers(phase.resolution)
    if crossover is None:
        ws = broadcast_styles(g.map(z, condition), layers)
    else:
        both = None if condition is None else condition.repeat(2, 1)
        w, w_other = g.map(z.flatten(0, 1), both).chunk(2)
        ws = mix_styles(w, w_other, crossover, layers)
    images = g.synthesis(ws, resolution=phase.resolution, alpha=phase.alpha, noise=noise)
    return images, ws


# One step of training: what changes in a TrainState, and how

MIXING_PROBABILITY = 0.9  # Karras 2019, section 3.1
W_AVG_DECAY = 0.995  # per step; Karras 2019, appendix B
EMA_RAMP = 0.05  # a young run remembers at most this share of its images

Stats = dict[str, Tensor]
Drawn = tuple[Tensor, Tensor]  # images [n, C, R, R] and their w [n, D]
REAL_SCORES = "real_scores"  # each of them, from the critic's step to the generator's


def train_step(
    state: TrainState,
    config: TrainConfig,
    phase: Phase,
    images: Tensor,  # uint8 or uint16 [n, C, R, R] on the device: this process's rows of the batch
    world: World = SOLO,
    conditions: Tensor | None = None,  # [2, n, K]: of the images, and of the generator's
) -> Stats:
    """One update of the critic on `images`, and of the generator every n_critic-th time.

    Advances nimg by the whole batch. Returns statistics as tensors on the device: nothing waits
    for it.
    """
    nimg, count = state.nimg, step_number(config, state.nimg)
    for optimiser in (state.g_opt, state.d_opt):
        optimiser.param_groups[0]["lr"] = phase.lr
    step = Step(config, phase, nimg, world)
    real = to_network_range(images, step)
    of_images, of_fakes = (None, None) if conditions is None else conditions
    if config.share_fakes or LOSSES[config.loss].pairs:
        of_fakes = of_images  # a pair of one condition
    due = penalty_due(config, count)
    moves = (count + 1) % config.n_critic == 0
    drawn = draw_once(state, step, of_fakes) if moves and config.share_fakes else None
    stats = step_critic(state, step, real, due, of_images, drawn)
    scores = stats.pop(REAL_SCORES)
    if moves:
        stats |= step_generator(state, step, of_fakes, drawn, scores)
        update_ema(state, ema_decay(phase.batch * config.n_critic, nimg, config.ema_kimg))
    state.nimg = nimg + phase.batch
    return stats


def draw_once(state: TrainState, step: Step, condition: Tensor | None) -> Drawn:
    """The fakes that both networks learn from, with the generator's gradients to come."""
    rng = step.rng("generator", device=state.g.w_avg.device)
    return draw_fakes(state, step, rng, condition)


def penalty_due(config: TrainConfig, count: int) -> bool:
    """Whether step number `count` pays the penalty; lazily, it pays for several at once."""
    return count % config.penalty_every == 0


def to_network_range(images: Tensor, step: Step) -> Tensor:
    """uint8 or uint16 [n, C, R, R] to float -1..1, flipped and faded as the phase says.

    While a level fades in, real images fade with it (Karras 2018, appendix A), so that the
    critic cannot recognise them by detail that the generator is not yet allowed to draw.
    """
    phase, real = step.phase, to_signed(images)
    if step.config.flip:
        rng = step.rng("flip", device=real.device)
        flips = step.keep_own(torch.rand(phase.batch, generator=rng, device=real.device)) < 0.5
        real = torch.where(flips[:, None, None, None], real.flip(-1), real)
    if phase.alpha < 1:
        coarse = F.interpolate(F.avg_pool2d(real, 2), scale_factor=2.0, mode="nearest")
        real = coarse.lerp(real, phase.alpha)
    return real


def draw_fakes(
    state: TrainState,
    step: Step,
    rng: torch.Generator,
    condition: Tensor | None = None,  # [n, K]
) -> Drawn:
    """Images [n, C, R, R] of the generator in training, and their w [n, D], in float32."""
    batch, resolution = step.phase.batch, step.phase.resolution
    layers = state.g.num_layers(resolution)
    shape = (2, batch, step.config.latent_dim)
    latents = torch.randn(shape, generator=rng, device=rng.device)  # [2, N, D]
    noise = draw_noise(state.g.noise_shapes(batch, resolution), rng)
    mixes = step.config.mixing and state.g.has_styles and layers > 1
    crossover = step.keep_own(draw_crossover(batch, layers, rng)) if mixes else None
    a, b = map(step.keep_own, latents)
    z = a if crossover is None else torch.stack((a, b))
    with step.in_precision(rng.device):
        own_noise = [step.keep_own(layer) for layer in noise]
        images, ws = draw_styled(state.g, step.phase, z, own_noise, condition, crossover)
    return images.float(), ws[:, 0].float()  # no image changes its style before the second layer


def draw_crossover(n: int, layers: int, rng: torch.Generator) -> Tensor:
    """The layer of each image [n] at which its style changes: 1..layers - 1, `layers` for never.

    Nine images in ten are mixed (Karras 2019, section 3.1), each with a crossover of its own.
    """
    mixed = torch.rand(n, generator=rng, device=rng.device) < MIXING_PROBABILITY
    crossover = torch.randint(1, layers, (n,), generator=rng, device=rng.device)
    return torch.where(mixed, crossover, layers)


def step_critic(
    state: TrainState,
    step: Step,
    real: Tensor,
    with_penalty: bool = True,
    condition: Tensor | None = None,  # [n, K]
    drawn: Drawn | None = None,  # or it draws its own
) -> Stats:
    """One optimiser step of the critic on real images and as many fakes of the same conditions."""
    config, kind = step.config, LOSSES[step.config.loss]
    rng = step.rng("critic", device=real.device)
    with torch.no_grad():
        fake, _ = drawn or draw_fakes(state, step, rng, condition)
    fake = fake.detach()
    state.d_opt.zero_grad(set_to_none=True)
    both = None if condition is None else condition.repeat(2, 1)
    view, view_fake = (view_of(state.augment, step, of) for of in ("real", "fake"))
    seen = torch.cat([view(real), view_fake(fake)])
    centred = with_penalty and kind.penalty == "zero-centred"
    with step.in_precision(real.device):
        inputs = state.d.trained_inputs(seen)
        if centred:
            inputs = [x.detach().requires_grad_() for x in inputs]
        scores = state.d.score_inputs(inputs, alpha=step.phase.alpha, parts=2, condition=both)
    real_scores, fake_scores = scores.float().chunk(2)
    drift = (config.drift,) if kind.drifts else ()
    loss = kind.critic(real_scores, fake_scores, *drift)
    stats = {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()}
    if with_penalty and kind.penalty != "none":
        if centred:
            penalty = zero_centred_penalty(scores, inputs, gamma_of(config, step.phase))
        else:
            penalty = critic_penalty(state, step, real, fake, rng, condition, view)
        loss = loss + config.penalty_every * penalty
        stats["penalty"] = penalty.detach()
    loss.backward()  # type: ignore[no-untyped-call]
    signs = signs_of(config, real_scores)
    average(step.world, [*gradients(state.d.parameters()), *signs])
    stats["skipped"] = step_if_finite(state.d_opt)
    if kind.clips:
        clip_weights(state.d, config.clip)
    stats |= adapt(state.augment, step, signs)
    return {"d_loss": loss.detach(), **stats, REAL_SCORES: real_scores.detach()}


def critic_penalty(
    state: TrainState,
    step: Step,
    real: Tensor,
    fake: Tensor,
    rng: torch.Generator,
    condition: Tensor | None = None,  # [n, K]
    view: View = lambda images: images,
) -> Tensor:
    """The penalty on the critic's gradient that belongs to the loss: a scalar."""
    config, phase = step.config, step.phase

    def score(images: Tensor) -> Tensor:
        seen = view(images)
        with step.in_precision(images.device):
            scores: Tensor = state.d(seen, alpha=phase.alpha, condition=condition)
        return scores

    if LOSSES[config.loss].penalty == "r1":
        return r1_penalty(score, real, gamma_of(config, phase))
    mix = step.keep_own(torch.rand(phase.batch, 1, 1, 1, generator=rng, device=real.device))
    return gradient_penalty(score, real, fake, mix, config.gp_weight or 0.0)


def step_generator(
    state: TrainState,
    step: Step,
    condition: Tensor | None = None,  # [n, K]
    drawn: Drawn | None = None,  # or it draws its own
    real_scores: Tensor | None = None,  # of the critic's last step, for losses of pairs
) -> Stats:
    """One optimiser step of the generator against the critic as it is now."""
    config, kind = step.config, LOSSES[step.config.loss]
    state.g_opt.zero_grad(set_to_none=True)
    state.d.requires_grad_(False)
    images, w = drawn or draw_once(state, step, condition)
    seen = view_of(state.augment, step, "generator")(images)
    with step.in_precision(images.device):
        scores = state.d(seen, alpha=step.phase.alpha, condition=condition)
    loss = kind.generator(scores, real_scores) if kind.pairs else kind.generator(scores)
    loss.backward()  # type: ignore[no-untyped-call]
    state.d.requires_grad_(True)
    if config.freeze_critic:
        freeze_levels(state.d, config.freeze_critic)
    stats = {"g_loss": loss.detach()}
    if path_due(config, step.nimg):
        stats |= add_path_gradients(state, step, condition)
    w_mean = w.detach().mean(0)
    average(step.world, [*gradients(state.g.parameters()), w_mean])
    skipped = step_if_finite(state.g_opt)
    # Where the update was skipped, w_avg stays, too: a weight of 0 needs no wait for the device.
    weight = (1 - W_AVG_DECAY) * (1 - skipped)
    state.g.w_avg.lerp_(w_mean.nan_to_num(0.0, 0.0, 0.0), weight)
    return {**stats, "g_skipped": skipped}


def ema_decay(batch: int, nimg: int, ema_kimg: float = 10.0) -> float:
    """The weight of the old mean after a step of `batch` images.

    A half-life of `ema_kimg` thousand images (10: Karras 2019, appendix C), or of a twentieth of
    the run so far while that is shorter: otherwise the mean of a short run would still show its
    first, random weights.
    """
    half_life = min(1000 * ema_kimg, EMA_RAMP * nimg)
    return float(0.5 ** (batch / half_life)) if half_life > 0 else 0.0


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
    statistics = running_statistics(state.g)
    if statistics:
        torch._foreach_lerp_(running_statistics(state.g_ema), statistics, 1 - decay)


def running_statistics(net: torch.nn.Module) -> list[Tensor]:
    """Means and variances that batch normalisation keeps."""
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    kept = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
    return [buffer for buffer in kept if buffer is not None]


def gamma_of(config: TrainConfig, phase: Phase) -> float:
    """The weight of R1 (and R2): the user's, or by size and batch."""
    weight = config.gp_weight
    return r1_gamma(phase.resolution, phase.batch) if weight is None else weight
