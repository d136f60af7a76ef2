"""The residual critic of StyleGAN2.

Karras et al. 2020, section 4.1 and figure 7c ("residual nets"); half precision in the largest
blocks: Karras et al. 2020b, appendix D.1.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets.convolution import convolve, innermost
from mri_gan.nets.fir import Halve, Smooth
from mri_gan.nets.layers import LEAK, EqualConv2d, EqualLinear, minibatch_stddev
from mri_gan.nets.modulation import ACTIVATION_GAIN
from mri_gan.nets.precision import (
    LOW_PRECISION_BLOCKS,
    LOW_PRECISION_CLAMP,
    autocasting,
    block_precision,
    enter,
)
from mri_gan.nets.protocol import CriticNet, check_condition
from mri_gan.nets.stylegan2 import (
    CHANNEL_BASE,
    ActivatedLinear,
    Mapping,
    check_largest,
    widths_of,
)

RESIDUAL_GAIN = math.sqrt(0.5)  # the sum of two branches keeps the variance of each


class ActivatedConv(EqualConv2d):
    """Convolution, bias, leaky rectifier, gain: [N, C, H, W] -> [N, D, H', W'].

    The gain is folded into kernel and bias, which precede the rectifier.
    Karras et al. 2020, appendix B.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_px: int,
        *,
        gain: float = ACTIVATION_GAIN,
        stride: int = 1,
    ) -> None:
        super().__init__(inputs, outputs, kernel_px, gain=1.0)
        self.gain, self.stride = gain, stride

    def forward(self, x: Tensor, clamp: float = 0.0) -> Tensor:
        assert self.bias is not None
        padding = self.weight.shape[-1] // 2 if self.stride == 1 else 0
        kernel, bias = self.weight * (self.scale * self.gain), self.bias * self.gain
        x = F.leaky_relu_(convolve(x, kernel, bias, stride=self.stride, padding=padding), LEAK)
        limit = clamp * self.gain / ACTIVATION_GAIN
        return F.hardtanh(x, -limit, limit) if clamp else x


class FromImage(ActivatedConv):
    """Images to features, pixel by pixel: [N, I, H, W] -> [N, D, H, W] in the order of `like`.

    Karras et al. 2020, figure 7c ("fRGB").
    """

    def __init__(self, image_channels: int, outputs: int) -> None:
        super().__init__(image_channels, outputs, 1)

    def forward(self, x: Tensor, clamp: float = 0.0, like: Tensor | None = None) -> Tensor:
        if like is None or not innermost(like):
            return super().forward(x, clamp)
        assert self.bias is not None
        # As one matrix product: a convolution of so few channels does not keep the order.
        kernel, bias = self.weight.flatten(1) * (self.scale * self.gain), self.bias * self.gain
        x = F.linear(x.permute(0, 2, 3, 1), kernel.to(x.dtype), bias.to(x.dtype))
        x = F.leaky_relu_(x, LEAK).permute(0, 3, 1, 2)
        return F.hardtanh(x, -clamp, clamp) if clamp else x


class ResidualBlock(nn.Module):
    """A block that halves the size: [N, C, 2H, 2W] -> [N, D, H, W].

    Both branches are smoothed by [1 3 3 1] before every second pixel is taken.
    Karras et al. 2020, figure 7c.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = ActivatedConv(inputs, inputs, 3)
        self.smooth = Smooth(padding=2)
        self.conv1 = ActivatedConv(
            inputs, outputs, 3, gain=ACTIVATION_GAIN * RESIDUAL_GAIN, stride=2
        )
        self.halve = Halve()
        self.skip = EqualConv2d(inputs, outputs, 1, gain=RESIDUAL_GAIN, bias=False)

    def forward(self, x: Tensor, clamp: float) -> Tensor:
        skip: Tensor = self.skip(self.halve(x))
        x = self.conv1(self.smooth(self.conv0(x, clamp)), clamp)
        return skip + x


class ScoringBlock(nn.Module):
    """The block at 4 px: [N, C, 4, 4] -> features [N, outputs].

    Karras et al. 2020, figure 7c; the extra channel: Karras et al. 2018, section 3.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = ActivatedConv(channels + 1, channels, 3)
        self.dense0 = ActivatedLinear(channels * 4 * 4, channels)
        self.dense1 = EqualLinear(channels, outputs, gain=1.0)

    def forward(self, x: Tensor, *, parts: int, clamp: float) -> Tensor:
        x = self.conv(minibatch_stddev(x, parts=parts), clamp)
        features: Tensor = self.dense1(self.dense0(x.flatten(1)))
        return features


class Critic(CriticNet):
    """Score images, higher for real: [N, image_channels, R, R] -> scores [N], R the largest size.

    With conditions the last layer has as many outputs as it has inputs, and the score is their
    inner product with a mapping of the condition: Karras et al. 2020b, appendix D.1, after
    Miyato and Koyama 2018.  Raises ValueError as the generator does.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px
        image_channels: int = 1,
        capacity: float = 1.0,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = 512,
        condition_dim: int = 0,
        clamp: float = 0.0,
    ) -> None:
        super().__init__()
        widths = widths_of(max_resolution, capacity, channel_base, channel_max)
        self.sizes = tuple(widths)[::-1]  # large to small
        self.condition_dim, self.clamp = condition_dim, clamp
        self.from_image = FromImage(image_channels, widths[max_resolution])
        self.blocks = nn.ModuleDict()
        for r in self.sizes[:-1]:
            self.blocks[str(r)] = ResidualBlock(widths[r], widths[r // 2])
        width = widths[4]
        self.blocks["4"] = ScoringBlock(width, width if condition_dim else 1)
        self.mapping = Mapping(width, 8, condition_dim, of_latents=False) if condition_dim else None

    def forward(
        self,
        images: Tensor,
        *,
        alpha: float = 1.0,  # 1: there is no growing
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Scores [N]; see `CriticNet.forward` for `parts`.

        Raises ValueError for images of another size, or N no multiple of `parts`.
        """
        if images.shape[-2] != images.shape[-1]:
            raise ValueError(f"images of {images.shape[-2]}x{images.shape[-1]} px are not square")
        check_largest(images.shape[-1], self.sizes[0], alpha)
        check_condition(condition, len(images), self.condition_dim)
        casting = autocasting(images.device.type)
        x = images
        for i, r in enumerate(self.sizes[:-1]):
            low = casting and i < LOW_PRECISION_BLOCKS
            clamp = self.clamp or (LOW_PRECISION_CLAMP if low else 0.0)
            with block_precision(images, low=low):
                x = enter(x, low=low)
                x = self.from_image(x, clamp, self.order) if i == 0 else x
                x = self.blocks[str(r)](x, clamp)
        with block_precision(images, low=False):
            x = enter(x, low=False)
            x = self.from_image(x, self.clamp, self.order) if len(self.sizes) == 1 else x
            features = self.blocks["4"](x, parts=parts, clamp=self.clamp)
            return self._score(features, condition)

    @property
    def order(self) -> Tensor:
        """The first kernel, in whose order of axes features are kept."""
        return next(self.blocks.parameters())

    def _score(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features [N, 1 or C] -> scores [N]."""
        if self.mapping is None or condition is None:
            return features.squeeze(1)
        direction: Tensor = self.mapping(features[:, :0], condition)
        return (features * direction).sum(dim=1) / math.sqrt(features.shape[1])
