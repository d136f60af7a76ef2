"""The progressive critic that StyleGAN shares with ProGAN.

Karras et al. 2018, "Progressive Growing of GANs", table 2, with the blur of Karras et al. 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mri_gan.nets.layers import (
    Blur,
    DownConv2d,
    EqualConv2d,
    EqualLinear,
    leaky_relu,
    minibatch_stddev,
)
from mri_gan.nets.protocol import ConditionProjection, CriticNet
from mri_gan.nets.resample import downsample_mean2
from mri_gan.nets.resolutions import (
    channels_at,
    check_alpha,
    check_resolution,
    resolutions_up_to,
)


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
    that is no power of two in 4..1024, or a capacity not above 0.  Karras et al. 2018, table 2.
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
                x = torch.lerp(self._features(downsample_mean2(images)), x, alpha)
        scores: Tensor = self.blocks["4"](x, parts=parts, condition=condition)
        return scores

    def _features(self, images: Tensor) -> Tensor:
        """Lift images to features: [N, image_channels, R, R] -> [N, C, R, R]."""
        return leaky_relu(self.from_image[str(images.shape[-1])](images))
