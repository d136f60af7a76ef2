"""The same generator, critic and training step, written the plain way: the yardstick for speed.

Nothing here is clever.  Doubling is an interpolation and then a convolution, halving a convolution
and then average pooling; the blur is a depthwise convolution that autograd differentiates; style
is instance norm, then a scale and a shift; real and fake images pass through the critic one after
the other; Adam and the running mean go through the parameters one by one.  Parameters have the
names and shapes of `mri_gan.nets`, so that either side loads the other's state dict.

Karras et al. 2018 ("Progressive Growing of GANs"), Karras et al. 2019 ("A Style-Based Generator
Architecture for GANs"), Gulrajani et al. 2017 (the penalty).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.config import ModelConfig
from mri_gan.nets.layers import channels_at, num_style_layers, resolutions_up_to


class PlainLinear(nn.Module):
    """A dense layer with equalised learning rate.  Karras et al. 2018, section 4.1."""

    def __init__(self, inputs: int, outputs: int, gain: float = 2**0.5, speed: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.speed = speed * gain / math.sqrt(inputs), speed

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.speed)


class PlainConv(nn.Module):
    """A convolution with equalised learning rate.  Karras et al. 2018, section 4.1."""

    def __init__(
        self, inputs: int, outputs: int, px: int, gain: float = 2**0.5, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, px, px))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.border = gain / math.sqrt(inputs * px * px), px // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.border)


class PlainBlur(nn.Module):
    """The binomial filter on every channel.  Karras et al. 2019, section 2.1."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (taps[:, None] * taps / 16)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.repeat(channels, 1, 1, 1), padding=1, groups=channels)


class PlainNoise(nn.Module):
    """Noise times a strength per channel.  Karras et al. 2019, section 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight.view(1, -1, 1, 1) * noise


class PlainAdaIN(nn.Module):
    """Instance norm, then the style's scale and shift.  Karras et al. 2019, equation 1."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.affine = PlainLinear(latent_dim, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style: Tensor = self.affine(w)[:, :, None, None]  # [N, 2C, 1, 1]
        scale, shift = style.chunk(2, dim=1)
        normalised: Tensor = F.instance_norm(x)
        return normalised * scale + shift


class PlainStyle(nn.Module):
    """Noise, bias, leaky rectifier, style.  Karras et al. 2019, figure 1b."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.noise = PlainNoise(channels)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.adain = PlainAdaIN(channels, latent_dim)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        x = self.noise(x, noise) + self.bias.view(1, -1, 1, 1)
        styled: Tensor = self.adain(F.leaky_relu(x, 0.2), w)
        return styled


class PlainConstantBlock(nn.Module):
    """The generator's block at 4 px.  Karras et al. 2019, figure 1b."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.ones(channels, 4, 4))
        self.style0 = PlainStyle(channels, latent_dim)
        self.conv1 = PlainConv(channels, channels, 3, bias=False)
        self.style1 = PlainStyle(channels, latent_dim)

    def forward(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        x = self.style0(self.constant.repeat(len(ws), 1, 1, 1), ws[:, 0], noise[0])
        features: Tensor = self.style1(self.conv1(x), ws[:, 1], noise[1])
        return features


class PlainGrowingBlock(nn.Module):
    """A doubling block of the generator.  Karras et al. 2019, figure 1b."""

    def __init__(self, inputs: int, outputs: int, latent_dim: int) -> None:
        super().__init__()
        self.conv0 = PlainConv(inputs, outputs, 3, bias=False)
        self.blur = PlainBlur()
        self.style0 = PlainStyle(outputs, latent_dim)
        self.conv1 = PlainConv(outputs, outputs, 3, bias=False)
        self.style1 = PlainStyle(outputs, latent_dim)

    def forward(self, x: Tensor, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = self.style0(self.blur(self.conv0(x)), ws[:, 0], noise[0])
        features: Tensor = self.style1(self.conv1(x), ws[:, 1], noise[1])
        return features


class PlainMapping(nn.Module):
    """From z to w.  Karras et al. 2019, section 2 and appendix C."""

    def __init__(self, latent_dim: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PlainLinear(latent_dim, latent_dim, speed=0.01) for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        w = z / torch.sqrt(torch.mean(z**2, dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), 0.2)
        return w


class PlainSynthesis(nn.Module):
    """From one style per layer to images.  Karras et al. 2019, section 2."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        sizes, latent_dim = resolutions_up_to(model.max_size), model.latent_dim
        width = {r: channels_at(r, model.capacity) for r in sizes}
        self.blocks = nn.ModuleDict({"4": PlainConstantBlock(width[4], latent_dim)})
        self.to_image = nn.ModuleDict()
        for r in sizes:
            if r > 4:
                self.blocks[str(r)] = PlainGrowingBlock(width[r // 2], width[r], latent_dim)
            self.to_image[str(r)] = PlainConv(width[r], model.channels, 1, gain=1.0)

    def forward(self, ws: Tensor, resolution: int, alpha: float, noise: list[Tensor]) -> Tensor:
        lower = x = self.blocks["4"](ws[:, :2], noise[:2])
        for i, r in enumerate(resolutions_up_to(resolution)[1:], start=1):
            lower = x
            x = self.blocks[str(r)](x, ws[:, 2 * i : 2 * i + 2], noise[2 * i : 2 * i + 2])
        image: Tensor = self.to_image[str(resolution)](x)
        if alpha < 1 and resolution > 4:
            old = F.interpolate(self.to_image[str(resolution // 2)](lower), scale_factor=2)
            image = (1 - alpha) * old + alpha * image
        return image


class PlainGenerator(nn.Module):
    """Mapping and synthesis.  Karras et al. 2019, section 2."""

    w_avg: Tensor

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.mapping = PlainMapping(model.latent_dim, model.mapping_depth)
        self.synthesis = PlainSynthesis(model)
        self.register_buffer("w_avg", torch.zeros(model.latent_dim))

    def forward(self, z: Tensor, resolution: int, alpha: float, noise: list[Tensor]) -> Tensor:
        ws = self.mapping(z)[:, None].repeat(1, num_style_layers(resolution), 1)
        images: Tensor = self.synthesis(ws, resolution, alpha, noise)
        return images


class PlainShrinkingBlock(nn.Module):
    """A halving block of the critic.  Karras et al. 2018, table 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = PlainConv(inputs, inputs, 3)
        self.blur = PlainBlur()
        self.conv1 = PlainConv(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv0(x), 0.2)
        return F.leaky_relu(F.avg_pool2d(self.conv1(self.blur(x)), 2), 0.2)


class PlainScoringBlock(nn.Module):
    """The critic's block at 4 px, with the spread over groups of 4.  Karras et al. 2018, 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = PlainConv(channels + 1, channels, 3)
        self.dense0 = PlainLinear(channels * 16, channels)
        self.dense1 = PlainLinear(channels, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        size = max(d for d in (1, 2, 3, 4) if n % d == 0)
        grouped = x.view(size, n // size, -1)
        deviation = torch.sqrt(grouped.var(dim=0, unbiased=False) + 1e-8).mean(dim=1)
        extra = deviation.repeat(size).view(n, 1, 1, 1).repeat(1, 1, height, width)
        x = F.leaky_relu(self.conv(torch.cat([x, extra], dim=1)), 0.2)
        x = F.leaky_relu(self.dense0(x.view(n, -1)), 0.2)
        scores: Tensor = self.dense1(x)
        return scores.view(n)


class PlainCritic(nn.Module):
    """Images to scores.  Karras et al. 2018, table 2, with the blur of Karras et al. 2019."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        sizes = resolutions_up_to(model.max_size)
        width = {r: channels_at(r, model.capacity) for r in sizes}
        self.from_image = nn.ModuleDict(
            {str(r): PlainConv(model.channels, width[r], 1) for r in sizes}
        )
        self.blocks = nn.ModuleDict({"4": PlainScoringBlock(width[4])})
        for r in sizes[1:]:
            self.blocks[str(r)] = PlainShrinkingBlock(width[r], width[r // 2])

    def forward(self, images: Tensor, alpha: float) -> Tensor:
        resolution = images.shape[-1]
        x = F.leaky_relu(self.from_image[str(resolution)](images), 0.2)
        for r in reversed(resolutions_up_to(resolution)[1:]):
            x = self.blocks[str(r)](x)
            if r == resolution and alpha < 1:
                small = self.from_image[str(r // 2)](F.avg_pool2d(images, 2))
                x = (1 - alpha) * F.leaky_relu(small, 0.2) + alpha * x
        scores: Tensor = self.blocks["4"](x)
        return scores
