"""StyleGAN2: modulated convolutions, a skip generator, a residual critic, no growing.

Karras, Laine, Aittala, Hellsten, Lehtinen and Aila 2020, "Analyzing and Improving the Image
Quality of StyleGAN" (configuration F), section 4.1 and figure 7c; half precision in the largest
blocks: Karras et al. 2020b, appendix D.1. Conventions, for mapping weights made elsewhere (R: a
resolution, 4 to the image's):

z: divided by its root mean square, eps 1e-8; a condition: `mapping.embed.dense` (bias, gain 1),
  divided by its root mean square, behind z.
Dense layers: weight [out, in] times lr / sqrt(in), bias times lr, stored weight N(0, 1) / lr.
  `mapping.layers.0..7`: lr 0.01, then the rectifier: slope 0.2, gain sqrt(2), after the bias.
`affine`: dense from w, gain 1, bias starts at 1; gives the style.
`conv0`, `conv1`: kernel [out, in, 3, 3] times 1 / sqrt(9 in), times the style, divided by the root
  of its sum of squares + 1e-8. `conv1`: conv2d, padding 1. `conv0`: conv_transpose2d of stride 2,
  [in, out] exchanged and not flipped (2H + 1), then [1 3 3 1] x [1 3 3 1] / 64 times 4, padding 1.
Noise: one image for all channels times `noise_strength`, after demodulation, before the bias; the
  list has one for 4 px, then two per size, small to large: 17 at 1024 px.
`to_image`: kernel [I, C, 1, 1] times the style times 1 / sqrt(C), not demodulated, plus bias, plus
  the smaller image doubled by [1 3 3 1] (padded 2 before and 1 behind, gain 4).
Styles: `conv1` at 4 px, each `conv0`, `conv1`; `to_image` shares the next `conv0`'s: 18 at 1024
Constant: `synthesis.blocks.4.constant` [C, 4, 4], no activation.
Critic: `conv1` smooths with padding 2 (H + 1), then 3x3 of stride 2, bias, rectifier; `skip`
  smooths and halves (padding 1, stride 2), then 1x1 without bias; their sum times sqrt(1/2). At 4
  px the spread over groups of 4 (members a fixed stride apart) is the last channel; `conv`,
  `dense0` on [C, 4, 4], `dense1`; with a condition the score is the inner product of `mapping` of
  the condition and `dense1`'s outputs, over sqrt(their number).
`ModelConfig.clamp` applies after the gain; 0 clamps (at 256) in half-precision blocks only.
Widths: min(`channel_base` / R, `channel_max`) times the capacity, a multiple of 4; configuration F:
  32768 and 512.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import convolution, layers
from mri_gan.nets.modulation import ACTIVATION_GAIN, StyledConv, ToImage

# StyleGAN2: modulated convolutions, a skip generator, no growing

CHANNEL_BASE = 32768  # width times resolution: configuration F


class ActivatedLinear(layers.EqualLinear):
    """Dense layer, leaky rectifier, gain of sqrt(2): [N, inputs] -> [N, outputs].

    Karras et al. 2020, appendix B (the gain follows the bias, unlike in StyleGAN).
    """

    def __init__(self, inputs: int, outputs: int, *, lr_multiplier: float = 1.0) -> None:
        super().__init__(inputs, outputs, gain=1.0, lr_multiplier=lr_multiplier)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), layers.LEAK) * ACTIVATION_GAIN


class Mapping(nn.Module):
    """z [N, Z], condition [N, K] -> w [N, W]; with Z = 0 a mapping of the condition alone.

    Karras et al. 2019, section 2; conditions: Karras et al. 2020b, appendix D.1.
    """

    def __init__(
        self, latent_dim: int, depth: int, condition_dim: int, *, of_latents: bool = True
    ) -> None:
        super().__init__()
        self.embed = layers.ConditionEmbedding(condition_dim, latent_dim)
        width = latent_dim * (of_latents + (condition_dim > 0))
        inputs = [width] + [latent_dim] * (depth - 1)
        self.layers = nn.ModuleList(
            ActivatedLinear(n, latent_dim, lr_multiplier=0.01) for n in inputs
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        w: Tensor = self.embed(layers.pixel_norm(z) if z.shape[1] else z, condition)
        for layer in self.layers:
            w = layer(w)
        return w


class SynthesisBlock(nn.Module):
    """One resolution: features and image of half the size -> both at this size.

    At 4 px it begins from a learned constant.  Karras et al. 2020, figures 2d and 7b.
    """

    def __init__(self, inputs: int, outputs: int, image_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.is_first = inputs == 0
        if self.is_first:
            self.constant = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            self.conv0 = StyledConv(inputs, outputs, latent_dim, up=True)
            self.enlarge = convolution.Double()
        self.conv1 = StyledConv(outputs, outputs, latent_dim)
        self.to_image = ToImage(outputs, image_channels, latent_dim)

    def forward(
        self,
        x: Tensor | None,  # [N, C, H, W]; None in the first block
        image: Tensor | None,  # [N, I, H, W] float32
        ws: Tensor,  # [N, 2 or 3, W]
        noise: Sequence[Tensor | None],  # 1 or 2
        clamp: float,
    ) -> tuple[Tensor, Tensor]:
        if x is None:
            x = self.constant.expand(ws.shape[0], -1, -1, -1)
        else:
            x = self.conv0(x, ws[:, 0], noise[0], clamp)
        x = self.conv1(x, ws[:, -2], noise[-1], clamp)
        added = self.to_image(x, ws[:, -1], clamp)
        added = convolution.widen(added)
        return x, added if image is None else self.enlarge(image) + added


class Synthesis(nn.Module):
    """Draw images from styles: ws [N, L, W] -> [N, image_channels, R, R], R the largest size.

    Karras et al. 2020, figure 7b (output skips); half precision in the largest blocks: Karras et
    al. 2020b, appendix D.1.
    """

    def __init__(
        self, widths: dict[int, int], image_channels: int, latent_dim: int, clamp: float
    ) -> None:
        super().__init__()
        self.sizes = tuple(widths)
        self.clamp = clamp
        self.blocks = nn.ModuleDict()
        for r, width in widths.items():
            inputs = widths[r // 2] if r > 4 else 0
            self.blocks[str(r)] = SynthesisBlock(inputs, width, image_channels, latent_dim)

    def forward(
        self,
        ws: Tensor,  # [N, num_style_layers(R), W]
        *,
        resolution: int,  # px; the largest
        alpha: float = 1.0,  # 1: there is no growing
        noise: layers.Noise = None,
    ) -> Tensor:
        """Raises ValueError for another resolution, or styles or noise not made for it."""
        layers.check_largest(resolution, self.sizes[-1], alpha)
        count = layers.num_style_layers(resolution)
        noise = [None] * (count - 1) if noise is None else noise
        if ws.shape[1] != count or len(noise) != count - 1:
            raise ValueError(
                f"{resolution} px has {count} style and {count - 1} noise layers, "
                f"not {ws.shape[1]} and {len(noise)}"
            )
        ws = convolution.widen(ws)
        x: Tensor | None = None
        image: Tensor | None = None
        casting = convolution.autocasting(ws.device.type)
        for i, r in enumerate(self.sizes):
            low = casting and i >= len(self.sizes) - convolution.LOW_PRECISION_BLOCKS
            first = max(0, 2 * i - 1)
            with convolution.block_precision(ws, low=low):
                x = None if x is None else convolution.enter(x, low=low)
                clamp = self.clamp or (convolution.LOW_PRECISION_CLAMP if low else 0.0)
                x, image = self.blocks[str(r)](
                    x, image, ws[:, first : 2 * i + 2], noise[first : 2 * i + 1], clamp
                )
        assert image is not None
        return image


class Generator(layers.GeneratorNet):
    """Mapping, synthesis and the running mean of w (`w_avg`, kept up to date by the trainer).

    Initial weights come from the global random generator.  Raises ValueError for a max_resolution
    that is not a power of two in 4..1024.  Karras et al. 2020, configuration F.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px
        image_channels: int = 1,
        capacity: float = 1.0,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = 512,
        latent_dim: int = 512,
        mapping_depth: int = 8,
        condition_dim: int = 0,
        clamp: float = 0.0,  # of activations, in float32 as well; 0: in half precision only
    ) -> None:
        super().__init__()
        self.resolutions = (max_resolution,)
        self.latent_dim, self.condition_dim = latent_dim, condition_dim
        self.mapping = Mapping(latent_dim, mapping_depth, condition_dim)
        widths = widths_of(max_resolution, capacity, channel_base, channel_max)
        self.synthesis = Synthesis(widths, image_channels, latent_dim, clamp)
        self.register_buffer("w_avg", torch.zeros(latent_dim))

    def num_layers(self, resolution: int) -> int:
        """Two for each block: three, one of them shared with the next block's first."""
        return layers.num_style_layers(resolution)

    def noise_shapes(self, n: int, resolution: int) -> list[layers.NoiseShape]:
        """One [n, 1, 4, 4], then two [n, 1, r, r] for each r = 8, .., resolution."""
        return [(n, 1, r, r) for r in layers.resolutions_up_to(resolution) for _ in range(2)][1:]

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents to styles: z [N, latent_dim] -> w [N, latent_dim], in float32."""
        with convolution.block_precision(z, low=False):
            w: Tensor = self.mapping(z, condition)
        return w


def widths_of(max_resolution: int, capacity: float, base: int, maximum: int) -> dict[int, int]:
    """The width at each resolution: min(base / r, maximum) times the capacity.

    At full capacity that is exact, as in weights made elsewhere; else a multiple of 4.
    """
    if capacity == 1:
        return {
            r: max(1, min(base // r, maximum)) for r in layers.resolutions_up_to(max_resolution)
        }
    return {
        r: layers.channels_at(r, capacity, base=base // 2, maximum=maximum)
        for r in layers.resolutions_up_to(max_resolution)
    }


# The residual critic of StyleGAN2

RESIDUAL_GAIN = math.sqrt(0.5)  # the sum of two branches keeps the variance of each


class ActivatedConv(layers.EqualConv2d):
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
        x = F.leaky_relu_(
            convolution.convolve(x, kernel, bias, stride=self.stride, padding=padding), layers.LEAK
        )
        limit = clamp * self.gain / ACTIVATION_GAIN
        return F.hardtanh(x, -limit, limit) if clamp else x


class FromImage(ActivatedConv):
    """Images to features, pixel by pixel: [N, I, H, W] -> [N, D, H, W] in the order of `like`.

    Karras et al. 2020, figure 7c ("fRGB").
    """

    def __init__(self, image_channels: int, outputs: int) -> None:
        super().__init__(image_channels, outputs, 1)

    def forward(self, x: Tensor, clamp: float = 0.0, like: Tensor | None = None) -> Tensor:
        if like is None or not convolution.innermost(like):
            return super().forward(x, clamp)
        assert self.bias is not None
        # As one matrix product: a convolution of so few channels does not keep the order.
        kernel, bias = self.weight.flatten(1) * (self.scale * self.gain), self.bias * self.gain
        x = F.linear(x.permute(0, 2, 3, 1), kernel.to(x.dtype), bias.to(x.dtype))
        x = F.leaky_relu_(x, layers.LEAK).permute(0, 3, 1, 2)
        return F.hardtanh(x, -clamp, clamp) if clamp else x


class ResidualBlock(nn.Module):
    """A block that halves the size: [N, C, 2H, 2W] -> [N, D, H, W].

    Both branches are smoothed by [1 3 3 1] before every second pixel is taken.
    Karras et al. 2020, figure 7c.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = ActivatedConv(inputs, inputs, 3)
        self.smooth = convolution.Smooth(padding=2)
        self.conv1 = ActivatedConv(
            inputs, outputs, 3, gain=ACTIVATION_GAIN * RESIDUAL_GAIN, stride=2
        )
        self.halve = convolution.Halve()
        self.skip = layers.EqualConv2d(inputs, outputs, 1, gain=RESIDUAL_GAIN, bias=False)

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
        self.dense1 = layers.EqualLinear(channels, outputs, gain=1.0)

    def forward(self, x: Tensor, *, parts: int, clamp: float) -> Tensor:
        x = self.conv(layers.minibatch_stddev(x, parts=parts), clamp)
        features: Tensor = self.dense1(self.dense0(x.flatten(1)))
        return features


class Critic(layers.CriticNet):
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

    def score_inputs(
        self,
        inputs: list[Tensor],
        *,
        alpha: float = 1.0,  # 1: there is no growing
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Scores [N]; raises ValueError for images of another size, too."""
        (images,) = inputs
        layers.check_square(images)
        layers.check_largest(images.shape[-1], self.sizes[0], alpha)
        layers.check_condition(condition, len(images), self.condition_dim)
        casting = convolution.autocasting(images.device.type)
        x = images
        for i, r in enumerate(self.sizes[:-1]):
            low = casting and i < convolution.LOW_PRECISION_BLOCKS
            clamp = self.clamp or (convolution.LOW_PRECISION_CLAMP if low else 0.0)
            with convolution.block_precision(images, low=low):
                x = convolution.enter(x, low=low)
                x = self.from_image(x, clamp, self.order) if i == 0 else x
                x = self.blocks[str(r)](x, clamp)
        with convolution.block_precision(images, low=False):
            x = convolution.enter(x, low=False)
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
