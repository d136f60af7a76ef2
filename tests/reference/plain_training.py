"""The training step written plainly: what the papers say, in the order of their algorithms.

Networks come from outside and are called as functions; optimisers go through the parameters one by
one; every penalty is a few lines of autograd. Only the random numbers are shared with the package:
they are a pure function of (seed, purpose, nimg), drawn here in the documented order.

Gulrajani et al. 2017 (WGAN-GP), Arjovsky et al. 2017 (clipping), Goodfellow et al. 2014, Lim and Ye
2017 (hinge), Mescheder et al. 2018 (R1), Huang et al. 2024 (R1 and R2, pairs), Karras et al. 2018
(fade, drift), 2019 (mixing, mean of w, running mean of weights), 2020 (path length, lazy
regularisation), 2020b (adaptive augmentation).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.nets.augmentation.pipeline import augment, draw_augmentations
from mri_gan.nets.layers import draw_noise
from mri_gan.schedule import Phase
from mri_gan.train.parallel import generator as keyed

PAIRED = ("relativistic", "r3gan")


@dataclass
class PlainTraining:
    """Everything that a step changes."""

    config: TrainConfig
    g: Any
    d: Any
    g_ema: Any
    nimg: int
    steps: int  # of the critic so far
    g_opt: torch.optim.Optimizer = field(init=False)
    d_opt: torch.optim.Optimizer = field(init=False)
    p: float = 0.0  # probability of an augmentation
    signs: list[float] = field(default_factory=list)
    path_mean: float = 0.0

    def __post_init__(self) -> None:
        self.g_opt, self.d_opt = (plain_optimiser(net, self.config) for net in (self.g, self.d))
        self.p = self.config.augment_p


def copy_networks(config: TrainConfig, state: Any, steps: int) -> PlainTraining:
    """A plain training that begins where `state` is, `steps` critic steps after the start."""
    g, d, g_ema = (copy.deepcopy(net) for net in (state.g, state.d, state.g_ema))
    return PlainTraining(config, g, d, g_ema, state.nimg, steps)


def plain_optimiser(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """torch's own optimisers in their simplest form, as the papers set them."""
    if config.loss == "wgan-clip":
        return torch.optim.RMSprop(net.parameters(), alpha=0.99, eps=1e-8, foreach=False)
    betas = (0.0, 0.99)
    if config.arch == "dcgan":
        betas = (0.0, 0.9) if config.loss == "wgan-gp" else (0.5, 0.999)
    return torch.optim.Adam(net.parameters(), betas=betas, eps=1e-8, foreach=False, fused=False)


# One step


def plain_step(
    t: PlainTraining, phase: Phase, images: Tensor, conditions: Tensor | None = None
) -> None:
    """The critic's step on uint8 images [N, C, R, R], and every n_critic-th time the generator's.

    conditions [2, N, K] are those of the real images and those of the generator's.
    """
    for optimiser in (t.g_opt, t.d_opt):
        for group in optimiser.param_groups:
            group["lr"] = phase.lr
    shown, drawn = (None, None) if conditions is None else (conditions[0], conditions[1])
    if t.config.share_fakes or t.config.loss in PAIRED:
        drawn = shown
    real_scores = plain_critic_step(t, phase, prepare_real(t, phase, images), shown)
    t.steps += 1
    if t.steps % t.config.n_critic == 0:
        plain_generator_step(t, phase, drawn, real_scores)
        move_running_mean(t, phase)
    t.nimg += phase.batch


def prepare_real(t: PlainTraining, phase: Phase, images: Tensor) -> Tensor:
    """0..255 to -1..1; half of them mirrored under `flip`; faded as the generator's are."""
    real = images.float() / 127.5 - 1
    if t.config.flip:
        for i, coin in enumerate(torch.rand(phase.batch, generator=keyed_for(t, "flip"))):
            if coin < 0.5:
                real[i] = real[i].flip(-1)
    if phase.alpha < 1:
        n, c, height, width = real.shape
        small = real.reshape(n, c, height // 2, 2, width // 2, 2).mean(dim=(3, 5))
        coarse = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        real = phase.alpha * real + (1 - phase.alpha) * coarse
    return real


def keyed_for(t: PlainTraining, *purpose: str) -> torch.Generator:
    """The random numbers of this step for one purpose."""
    return keyed(t.config.seed, *purpose, t.nimg)


# The critic


def plain_critic_step(
    t: PlainTraining, phase: Phase, real: Tensor, condition: Tensor | None
) -> Tensor:
    """Real images against as many generated ones, both augmented; then the penalty.

    Returns the scores of the real ones.
    """
    shares = t.config.share_fakes and (t.steps + 1) % t.config.n_critic == 0
    rng = keyed_for(t, "generator" if shares else "critic")
    with torch.no_grad():
        fake, _ = generate(t, phase, rng, condition)
    see_real, see_fake = augmentation(t, phase, "real"), augmentation(t, phase, "fake")
    t.d.zero_grad()
    real_scores = t.d(see_real(real), alpha=phase.alpha, condition=condition)
    fake_scores = t.d(see_fake(fake), alpha=phase.alpha, condition=condition)
    loss = critic_loss(t.config, real_scores, fake_scores)
    # Lazily: every k-th step pays for all k (Karras et al. 2020, appendix B).
    if (t.steps % t.config.penalty_every) == 0:

        def score(x: Tensor) -> Tensor:
            scores: Tensor = t.d(see_real(x), alpha=phase.alpha, condition=condition)
            return scores

        if t.config.loss == "r3gan":  # R1 and R2, of what the critic sees
            both = (see_real(real), see_fake(fake))
            halves = [
                zero_centred(t, phase, lambda x: t.d(x, alpha=phase.alpha, condition=condition), x)
                for x in both
            ]
            loss = loss + t.config.penalty_every * (halves[0] + halves[1])
        else:
            penalty = critic_penalty(t, phase, score, real, fake, rng)
            loss = loss + t.config.penalty_every * penalty
    loss.backward()  # type: ignore[no-untyped-call]
    t.d_opt.step()
    if t.config.loss == "wgan-clip":
        with torch.no_grad():
            for weight in t.d.parameters():
                weight.copy_(weight.clip(-t.config.clip, t.config.clip))
    move_augmentation(t, phase, real_scores)
    scored: Tensor = real_scores.detach()
    return scored


def critic_loss(config: TrainConfig, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises, without its penalty."""
    if config.loss == "wgan-gp":
        return fake.mean() - real.mean() + config.drift * (real**2).mean()
    if config.loss == "wgan-clip":
        return fake.mean() - real.mean()
    if config.loss == "hinge":
        return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    if config.loss in PAIRED:  # Jolicoeur-Martineau 2019, section 3.2.2
        return -F.logsigmoid(real - fake).mean()
    # -log sigmoid(real) - log(1 - sigmoid(fake))
    return -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()


def critic_penalty(
    t: PlainTraining, phase: Phase, score: Any, real: Tensor, fake: Tensor, rng: torch.Generator
) -> Tensor:
    """The penalty on the gradient of each image's score by its pixels."""
    if t.config.loss == "wgan-gp":
        mix = torch.rand(phase.batch, 1, 1, 1, generator=rng)
        between = ((1 - mix) * real + mix * fake).requires_grad_()
        norms = pixel_gradient(score, between).pow(2).sum(dim=(1, 2, 3)).sqrt()
        return float(t.config.gp_weight or 0) * ((norms - 1) ** 2).mean()
    if t.config.loss == "r1":
        return zero_centred(t, phase, score, real)
    return torch.zeros(())


def zero_centred(t: PlainTraining, phase: Phase, score: Any, images: Tensor) -> Tensor:
    """R1 at real images, R2 at generated ones: Huang et al. 2024, section 2.2."""
    gamma = t.config.gp_weight or 0.0002 * phase.resolution**2 / phase.batch
    squares = pixel_gradient(score, images.clone().requires_grad_()).pow(2).sum(dim=(1, 2, 3))
    return gamma / 2 * squares.mean()


def pixel_gradient(score: Any, images: Tensor) -> Tensor:
    """The gradient of the scores by the pixels, which the loss may differentiate again."""
    (gradient,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    return gradient


# The generator


def generate(
    t: PlainTraining, phase: Phase, rng: torch.Generator, condition: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Images, and the first w of each; nine in ten mix two styles (Karras et al. 2019, 3.1)."""
    z_first, z_second = torch.randn(2, phase.batch, t.config.latent_dim, generator=rng)
    noise = draw_noise(t.g.noise_shapes(phase.batch, phase.resolution), rng)
    layers = t.g.num_layers(phase.resolution)
    if not (t.config.mixing and layers > 1):
        w = t.g.map(z_first, condition)
        ws = torch.stack([w] * layers, dim=1)
    else:
        is_mixed = torch.rand(phase.batch, generator=rng) < 0.9
        cut = torch.randint(1, layers, (phase.batch,), generator=rng)
        w, other = t.g.map(z_first, condition), t.g.map(z_second, condition)
        rows = []
        for i in range(phase.batch):
            last = int(cut[i]) if is_mixed[i] else layers
            rows.append(torch.stack([w[i] if n < last else other[i] for n in range(layers)]))
        ws = torch.stack(rows)
    images = t.g.synthesis(ws, resolution=phase.resolution, alpha=phase.alpha, noise=noise)
    return images, w


def plain_generator_step(
    t: PlainTraining, phase: Phase, condition: Tensor | None, real_scores: Tensor
) -> None:
    """The generator against the critic as it now is, on augmented images, too."""
    t.g.zero_grad()
    images, w = generate(t, phase, keyed_for(t, "generator"), condition)
    scores = t.d(
        augmentation(t, phase, "generator")(images), alpha=phase.alpha, condition=condition
    )
    saturates_not = t.config.loss in ("logistic", "r1")
    loss = -F.logsigmoid(scores).mean() if saturates_not else -scores.mean()
    if t.config.loss in PAIRED:
        loss = -F.logsigmoid(scores - real_scores).mean()
    generator_steps = (t.steps - 1) // t.config.n_critic  # before this one
    if t.config.path_weight and generator_steps % t.config.path_every == 0:
        loss = loss + t.config.path_every * path_penalty(t, phase, condition)
    for weight in t.d.parameters():
        weight.requires_grad_(False)
    loss.backward()
    for weight in t.d.parameters():
        weight.requires_grad_(True)
    t.g_opt.step()
    t.g.w_avg.copy_(0.995 * t.g.w_avg + 0.005 * w.detach().mean(dim=0))


def path_penalty(t: PlainTraining, phase: Phase, condition: Tensor | None) -> Tensor:
    """The spread of path lengths about their running mean, on half of a batch of its own."""
    rng, half = keyed_for(t, "path"), (phase.batch + 1) // 2
    z = torch.randn(phase.batch, t.config.latent_dim, generator=rng)[:half]
    noise = draw_noise(t.g.noise_shapes(phase.batch, phase.resolution), rng)
    shape = (phase.batch, t.config.channels, phase.resolution, phase.resolution)
    y = torch.randn(shape, generator=rng)[:half]
    w = t.g.map(z, None if condition is None else condition[:half])
    ws = torch.stack([w] * t.g.num_layers(phase.resolution), dim=1)
    images = t.g.synthesis(
        ws, resolution=phase.resolution, alpha=phase.alpha, noise=[layer[:half] for layer in noise]
    )
    # Karras et al. 2020, equation 4: |J^T y|, with y scaled by the number of pixels.
    product = (images * y).sum() / phase.resolution
    (jacobian,) = torch.autograd.grad(product, ws, create_graph=True)
    lengths = (jacobian**2).sum(dim=2).mean(dim=1).sqrt()
    t.path_mean += 0.01 * (float(lengths.detach().mean()) - t.path_mean)
    return t.config.path_weight * ((lengths - t.path_mean) ** 2).mean()


@torch.no_grad()
def move_running_mean(t: PlainTraining, phase: Phase) -> None:
    """Half of what the mean holds is younger than ema_kimg, or than a twentieth of the run."""
    half_life = min(1000 * t.config.ema_kimg, t.nimg / 20)
    images = phase.batch * t.config.n_critic
    kept = 0.5 ** (images / half_life) if half_life else 0.0
    now = dict(t.g.named_parameters())
    for name, mean in t.g_ema.named_parameters():
        if now[name].grad is not None:  # blocks not yet reached stay as they are
            mean.copy_(kept * mean + (1 - kept) * now[name])
    buffers = dict(t.g.named_buffers())
    for name, mean in t.g_ema.named_buffers():
        if "running" in name:
            mean.copy_(kept * mean + (1 - kept) * buffers[name])
    t.g_ema.w_avg.copy_(t.g.w_avg)


# Augmentation


def augmentation(t: PlainTraining, phase: Phase, purpose: str) -> Any:
    """The view of one batch: drawn once, the same however often it is applied."""
    if t.config.augment == "none":
        return lambda images: images
    draws = draw_augmentations(
        phase.batch,
        torch.tensor(t.p),
        keyed(t.config.seed, "augment", purpose, t.nimg),
        size=phase.resolution,
        channels=t.config.channels,
        kinds=tuple(t.config.augment_kinds.split(",")),
        mirror=t.config.flip,
    )
    return lambda images: augment(images, draws, t.config.channels)


def move_augmentation(t: PlainTraining, phase: Phase, real_scores: Tensor) -> None:
    """Every four steps the probability moves by how sure the critic is of real images."""
    if t.config.augment != "ada":
        return
    t.signs.append(float(real_scores.detach().sign().mean()))
    if len(t.signs) == 4:
        step = 4 * phase.batch / (t.config.ada_kimg * 1000)
        sure = sum(t.signs) / 4 > t.config.ada_target
        t.p = min(0.8, max(0.0, t.p + (step if sure else -step)))
        t.signs = []
