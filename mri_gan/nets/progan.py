"""The progressively grown generator and critic; StyleGAN uses the same critic with a blur.

Karras, Aila, Laine and Lehtinen 2018, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation", table 2; the blur is of Karras et al. 2019. The blocks for all
resolutions exist from the start and those not yet reached take no part.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mri_gan.nets.filters import downsample_mean2, upsample_nearest2
from mri_gan.nets.layers import (
    Blur,
    DownConv2d,
    EqualConv2d,
    EqualLinear,
    UpConv2d,
    channels_at,
    check_alpha,
    check_resolution,
    fade,
    leaky_relu,
    minibatch_stddev,
    pixel_norm,
    resolutions_up_to,
)
from mri_gan.nets.protocol import (
    ConditionEmbedding,
    ConditionProjection,
    CriticNet,
    GeneratorNet,
    Noise,
    NoiseShape,
)

# The progressive critic that StyleGAN shares with ProGAN


class ShrinkingBlock(nn.Module):
    """A block that halves the size: [N, C, 2H, 2W] -> [N, D, H, W].

    Karras et al. 2018, table 2; blur before halving: Karras et al. 2019, section 2.1, appendix C.
    """

    def __init__(self, inputs: int, outputs: int, *, blur: bool = True) -> None:
        super().__init__()
        self.conv0 = EqualConv2d(inputs, inputs, 3)
        self.blur = Blur() if blur else nn.Identity()
        self.conv1 = DownConv2d(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv0(x))
        return leaky_relu(self.conv1(self.blur(x)))


class ScoringBlock(nn.Module):
    """The block at 4 px: [N, C, 4, 4] -> scores [N].

    Karras et al. 2018, section 3 (the extra channel) and table 2.
    """

    def __init__(self, channels: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.conv = EqualConv2d(channels + 1, channels, 3)
        self.dense0 = EqualLinear(channels * 4 * 4, channels)
        self.dense1 = EqualLinear(channels, 1, gain=1.0)
        self.project = ConditionProjection(condition_dim, channels)

    def forward(self, x: Tensor, *, parts: int, condition: Tensor | None = None) -> Tensor:
        x = minibatch_stddev(x, parts=parts)
        x = leaky_relu(self.conv(x))
        x = leaky_relu(self.dense0(x.flatten(1)))
        scores: Tensor = self.dense1(x)  # [N, 1]
        projected: Tensor = self.project(x, condition)
        return scores.squeeze(1) + projected


class Critic(CriticNet):
    """Score images, higher for real: images [N, image_channels, R, R] -> scores [N].

    Initial weights come from the global random generator.  Raises ValueError for a max_resolution
    that is not a power of two in 4..1024, or a capacity not above 0.  Karras et al. 2018, table 2.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 4..1024
        image_channels: int = 1,
        capacity: float = 1.0,  # multiplies every width; 1 is the paper
        condition_dim: int = 0,
        blur: bool = True,  # before halving: StyleGAN; without: ProGAN
    ) -> None:
        super().__init__()
        sizes = resolutions_up_to(max_resolution)
        width = {r: channels_at(r, capacity) for r in sizes}
        self.max_resolution = max_resolution
        self.condition_dim = condition_dim
        self.from_image = nn.ModuleDict(
            {str(r): EqualConv2d(image_channels, width[r], 1) for r in sizes}
        )
        self.blocks = nn.ModuleDict({"4": ScoringBlock(width[4], condition_dim)})
        for r in sizes[1:]:
            self.blocks[str(r)] = ShrinkingBlock(width[r], width[r // 2], blur=blur)

    def forward(
        self,
        images: Tensor,
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Score images of any resolution the critic has; alpha < 1 fades the newest block in.

        `parts` says how many equal batches were joined along axis 0, so that the groups of
        `minibatch_stddev` stay within each: `critic(cat([real, fake]), parts=2)` gives the
        scores of two passes.

        Raises ValueError for images that are not square or of a resolution the critic lacks, an
        alpha outside 0..1, or N no multiple of `parts`.  Karras et al. 2018, figure 2.
        """
        resolution = images.shape[-1]
        check_resolution(resolution, self.max_resolution)
        check_alpha(alpha)
        if images.shape[-2] != resolution:
            raise ValueError(f"images of {images.shape[-2]}x{resolution} px are not square")
        x = self._features(images)
        below = [r for r in resolutions_up_to(resolution) if r > 4][::-1]
        for r in below:
            x = self.blocks[str(r)](x)
            if r == resolution and alpha < 1.0:
                x = fade(self._features(downsample_mean2(images)), x, alpha)
        scores: Tensor = self.blocks["4"](x, parts=parts, condition=condition)
        return scores

    def _features(self, images: Tensor) -> Tensor:
        """Lift images to features: [N, image_channels, R, R] -> [N, C, R, R]."""
        return leaky_relu(self.from_image[str(images.shape[-1])](images))


# The progressively grown generator; its critic is `critic.Critic(blur=False)`


class LatentBlock(nn.Module):
    """The block at 4 px: latents [N, D] -> [N, C, 4, 4].

    A 4x4 convolution that sees one pixel, then one of 3x3.  Karras et al. 2018, table 2.
    """

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.spread = EqualConv2d(latent_dim, channels, 4)
        self.conv1 = EqualConv2d(channels, channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        assert self.spread.bias is not None
        x = torch.einsum("nd,cdhw->nchw", z, self.spread.kernel())
        x = pixel_norm(leaky_relu(x + self.spread.bias[:, None, None]))
        return pixel_norm(leaky_relu(self.conv1(x)))


class GrowingBlock(nn.Module):
    """A block that doubles the size: [N, C, H, W] -> [N, D, 2H, 2W].

    Karras et al. 2018, table 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = UpConv2d(inputs, outputs)
        self.conv1 = EqualConv2d(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_norm(leaky_relu(self.conv0(x)))
        return pixel_norm(leaky_relu(self.conv1(x)))


class Synthesis(nn.Module):
    """Draw images from normalised latents: ws [N, 1, D] -> [N, image_channels, R, R].

    Karras et al. 2018, section 2, figure 2 and table 2.
    """

    def __init__(
        self, max_resolution: int, image_channels: int, capacity: float, inputs: int
    ) -> None:
        super().__init__()
        sizes = resolutions_up_to(max_resolution)
        width = {r: channels_at(r, capacity) for r in sizes}
        self.max_resolution = max_resolution
        self.blocks = nn.ModuleDict({"4": LatentBlock(inputs, width[4])})
        for r in sizes[1:]:
            self.blocks[str(r)] = GrowingBlock(width[r // 2], width[r])
        self.to_image = nn.ModuleDict(
            {str(r): EqualConv2d(width[r], image_channels, 1, gain=1.0) for r in sizes}
        )

    def forward(
        self, ws: Tensor, *, resolution: int, alpha: float = 1.0, noise: Noise = None
    ) -> Tensor:
        """Raises ValueError for a resolution the network lacks, or for noise."""
        check_resolution(resolution, self.max_resolution)
        check_alpha(alpha)
        check_single(ws, noise)
        lower = x = self.blocks["4"](ws[:, 0])
        for r in resolutions_up_to(resolution)[1:]:
            lower = x
            x = self.blocks[str(r)](x)
        image: Tensor = self.to_image[str(resolution)](x)
        if alpha == 1.0 or resolution == 4:
            return image
        old = upsample_nearest2(self.to_image[str(resolution // 2)](lower))
        return fade(old, image, alpha)


def check_single(ws: Tensor, noise: Noise) -> None:
    """Raise ValueError unless there is one latent for each image, and no noise."""
    if ws.shape[1] != 1 or noise:
        raise ValueError(f"one latent and no noise are taken, not {ws.shape[1]} and {noise}")


class LatentGenerator(GeneratorNet):
    """What generators without styles have in common: one layer, no noise, no truncation."""

    has_styles = False

    def num_layers(self, resolution: int) -> int:
        """One: the latent itself."""
        return 1

    def noise_shapes(self, n: int, resolution: int) -> list[NoiseShape]:
        """None at all."""
        return []


class Generator(LatentGenerator):
    """Normalised latents to images.  Karras et al. 2018, section 2 and table 2.

    Initial weights come from the global random generator.  Raises ValueError for a max_resolution
    that is not a power of two in 4..1024, or a capacity not above 0.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 4..1024
        image_channels: int = 1,
        capacity: float = 1.0,
        latent_dim: int = 512,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions_up_to(max_resolution))
        self.latent_dim, self.condition_dim = latent_dim, condition_dim
        self.embed = ConditionEmbedding(condition_dim, latent_dim)
        inputs = latent_dim * (2 if condition_dim else 1)
        self.synthesis = Synthesis(max_resolution, image_channels, capacity, inputs)
        self.register_buffer("w_avg", torch.zeros(inputs))

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents on the unit sphere (times the root of D), and the embedded condition behind.

        Karras et al. 2018, appendix A.1 and section 4.2.
        """
        w: Tensor = self.embed(pixel_norm(z), condition)
        return w
