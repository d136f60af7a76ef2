"""The interface of every generator and critic, and the styles and noise they are given.

Noise comes from an explicit generator or from seeds, never from the global one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mri_gan.nets.layers import EqualLinear, pixel_norm

# What goes into the synthesis network besides its weights: styles per layer, and noise

NOISE_SALT = 0x6E6F697365  # "noise"


def broadcast_styles(w: Tensor, layers: int) -> Tensor:
    """Give every layer the same style: w [N, D] -> ws [N, layers, D], without a copy.

    Karras et al. 2019, section 2 and figure 1b.
    """
    return w[:, None].expand(-1, layers, -1)


def mix_styles(w_a: Tensor, w_b: Tensor, crossover: int | Tensor, layers: int) -> Tensor:
    """Give the layers before `crossover` style a, the others style b: two [N, D] -> [N, layers, D].

    `crossover` is one number for all images or an integer tensor [N] with one for each; 0 is all
    b, `layers` all a.  Karras et al. 2019, section 3.1.
    """
    layer = torch.arange(layers, device=w_a.device)[:, None]  # [L, 1]
    first_b = crossover[:, None, None] if isinstance(crossover, Tensor) else crossover
    return torch.where(layer < first_b, w_a[:, None], w_b[:, None])


def truncate(w: Tensor, w_avg: Tensor, psi: float) -> Tensor:
    """Pull w towards its mean: w_avg + psi * (w - w_avg); psi 0 is the mean, 1 leaves w alone.

    w [N, D] or [N, L, D], w_avg [D] -> the shape of w.  Karras et al. 2019, appendix B.
    """
    return torch.lerp(w_avg, w, psi)


def draw_noise(
    shapes: Sequence[tuple[int, ...]],  # of each layer: `GeneratorNet.noise_shapes`
    generator: torch.Generator,
    *,
    device: torch.device | str | None = None,  # the generator's own by default
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Draw fresh N(0, 1) noise for each layer.

    The numbers are drawn where the generator lives, low resolutions first: the list for 8 px is
    the beginning of that for 16 px.  Karras et al. 2019, section 2.
    """
    drawn = [torch.randn(s, generator=generator, device=generator.device) for s in shapes]
    return [noise.to(device or generator.device, dtype) for noise in drawn]


def noise_from_seeds(
    seeds: Sequence[int],
    shapes: Sequence[tuple[int, ...]],  # of one image: `GeneratorNet.noise_shapes(1, ..)`
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Make repeatable noise, one image for each seed: [len(seeds), 1, r, r] for each layer.

    What a seed gives depends on nothing else: not on its batch mates, the device or the final
    resolution.  One seed gives [1, 1, r, r], which any batch shares.  Karras et al. 2019,
    section 3.2.
    """
    # Salted: z of the same seed is drawn unsalted, and its numbers must not come again as noise.
    rngs = [torch.Generator().manual_seed((seed ^ NOISE_SALT) % 2**63) for seed in seeds]
    single = [draw_noise(shapes, rng) for rng in rngs]
    return [torch.cat(layer).to(device, dtype) for layer in zip(*single, strict=True)]


# What every generator and every critic can do, so that callers work for any `--arch`

# Noise images for the layers in order; `None`, for one layer or for all, means no noise.
Noise = Sequence[Tensor | None] | None
NoiseShape = tuple[int, int, int, int]  # [n, 1, r, r]


class GeneratorNet(nn.Module):
    """A generator: z -> w (`map`), a style for each layer -> images (`synthesis`).

    An architecture without styles has one layer, whose w is its input; `has_styles` says so.
    """

    w_avg: Tensor  # [D], the running mean of w, kept by the trainer
    synthesis: nn.Module  # (ws [N, L, D], *, resolution, alpha, noise) -> [N, C, R, R]
    latent_dim: int  # of z
    condition_dim: int  # of the condition vector; 0 is unconditional
    resolutions: tuple[int, ...]  # px that it can draw
    has_styles: bool = True  # whether mixing and truncation mean anything

    def num_layers(self, resolution: int) -> int:
        """How many styles it takes to draw at `resolution` px."""
        raise NotImplementedError

    def noise_shapes(self, n: int, resolution: int) -> list[NoiseShape]:
        """The noise images that n images at `resolution` px take, in order; none for no noise."""
        raise NotImplementedError

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents to styles: z [N, latent_dim], condition [N, condition_dim] -> w [N, D]."""
        raise NotImplementedError

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Pull w towards its mean by `psi`; without styles w is a latent and stays as it is.

        The middle of latents is not a style: near it such networks draw nothing sensible.
        """
        return truncate(w, self.w_avg, psi) if self.has_styles else w

    def forward(
        self,
        z: Tensor,  # [N, latent_dim]
        *,
        resolution: int,  # px
        alpha: float = 1.0,
        noise: Noise = None,
        condition: Tensor | None = None,  # [N, condition_dim]
    ) -> Tensor:
        """Draw one image for each latent, one style throughout: -> [N, image_channels, R, R].

        Raises ValueError for a resolution, noise or condition that the network does not take.
        """
        ws = broadcast_styles(self.map(z, condition), self.num_layers(resolution))
        images: Tensor = self.synthesis(ws, resolution=resolution, alpha=alpha, noise=noise)
        return images


class LatentGenerator(GeneratorNet):
    """What generators without styles have in common: one layer, no noise, no truncation."""

    has_styles = False

    def __init__(self, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.latent_dim, self.condition_dim = latent_dim, condition_dim
        self.embed = ConditionEmbedding(condition_dim, latent_dim)
        self.inputs = latent_dim * (2 if condition_dim else 1)  # of the synthesis
        self.register_buffer("w_avg", torch.zeros(self.inputs))

    def num_layers(self, resolution: int) -> int:
        """One: the latent itself."""
        return 1

    def noise_shapes(self, n: int, resolution: int) -> list[NoiseShape]:
        """None at all."""
        return []


class CriticNet(nn.Module):
    """A critic: images -> scores, higher for real."""

    condition_dim: int

    def forward(
        self,
        images: Tensor,  # [N, C, R, R]
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,  # [N, condition_dim]
    ) -> Tensor:
        """Scores [N], or [N, K] of K critics and places that weigh the same.

        `parts` equal batches joined along axis 0 never influence each other.
        """
        raise NotImplementedError

    def trained_inputs(self, images: Tensor) -> list[Tensor]:
        """What the trained layers are given: the images, or frozen features of them."""
        return [images]

    def score_inputs(
        self,
        inputs: list[Tensor],  # of `trained_inputs`
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """The scores of the images that the inputs are of, as `forward` gives them."""
        scores: Tensor = self(inputs[0], alpha=alpha, parts=parts, condition=condition)
        return scores


def check_single(ws: Tensor, noise: Noise) -> None:
    """Raise ValueError unless there is one latent for each image, and no noise."""
    if ws.shape[1] != 1 or noise:
        raise ValueError(f"one latent and no noise are taken, not {ws.shape[1]} and {noise}")


def check_condition(condition: Tensor | None, n: int, condition_dim: int) -> None:
    """Raise ValueError unless the condition is what a network of `condition_dim` takes."""
    if condition_dim == 0:
        if condition is not None and condition.shape[1]:
            raise ValueError("this network was built without conditions and takes none")
        return
    if condition is None or condition.shape != (n, condition_dim):
        given = "none" if condition is None else list(condition.shape)
        raise ValueError(f"this network takes a condition [{n}, {condition_dim}], not {given}")


class ConditionEmbedding(nn.Module):
    """Append an embedding of the condition to normalised latents: [N, D] -> [N, D + E].

    The embedding is a dense layer normalised to unit mean square, so that it weighs as much as z.
    Without conditions nothing is appended.  Conditional GAN: Mirza and Osindero 2014; the
    embedding: Karras et al. 2020b, appendix D.1 (class conditions of StyleGAN2-ADA).
    """

    def __init__(self, condition_dim: int, width: int) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.dense = EqualLinear(condition_dim, width, gain=1.0) if condition_dim else None

    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        check_condition(condition, z.shape[0], self.condition_dim)
        if self.dense is None or condition is None:
            return z
        return torch.cat([z, pixel_norm(self.dense(condition.to(z.dtype)))], dim=1)


class ConditionProjection(nn.Module):
    """What a critic adds to the scores for a condition: features [N, C] -> [N].

    The inner product of the features with a dense layer of the condition, over the root of the
    width.  Without conditions it is zero.  Miyato and Koyama 2018, equation 3.
    """

    def __init__(self, condition_dim: int, width: int) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.dense = EqualLinear(condition_dim, width, gain=1.0) if condition_dim else None

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        check_condition(condition, len(features), self.condition_dim)
        if self.dense is None or condition is None:
            return features.new_zeros(len(features))
        direction: Tensor = self.dense(condition.to(features.dtype))
        projected: Tensor = (features * direction).sum(dim=1) / math.sqrt(features.shape[1])
        return projected
