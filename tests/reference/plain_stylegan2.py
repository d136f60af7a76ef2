"""StyleGAN2 written plainly from the papers' equations, as a yardstick for speed and a check.

One kernel for each image and a grouped convolution (Karras et al. 2020, equations 1 to 3), and
resampling as its definition says: insert zeros, pad, filter, drop pixels (appendix B).  Parameters
have the names of `mri_gan.nets.stylegan2`, so that one state fits both; nothing else is shared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.config import ModelConfig
from mri_gan.nets.layers import resolutions_up_to

FIR = torch.tensor([1.0, 3.0, 3.0, 1.0])


def upfirdn(x: Tensor, up: int, down: int, before: int, after: int, gain: float = 1.0) -> Tensor:
    """Insert zeros, pad, filter by [1 3 3 1] x [1 3 3 1] / 64, keep every `down`-th pixel."""
    n, channels, height, width = x.shape
    if up > 1:
        wide = x.new_zeros(n, channels, height, up, width, up)
        wide[:, :, :, 0, :, 0] = x
        x = wide.reshape(n, channels, height * up, width * up)
    x = F.pad(x, (before, after, before, after))
    taps = FIR.to(x)
    kernel = (torch.outer(taps, taps) * gain / 64)[None, None]
    flat = F.conv2d(x.reshape(n * channels, 1, *x.shape[2:]), kernel)
    return flat.reshape(n, channels, *flat.shape[2:])[:, :, ::down, ::down]


def widths_of(model: ModelConfig) -> dict[int, int]:
    """The width at each size, a multiple of 4."""
    base = model.channel_base
    return {
        r: max(4, 4 * round(min(base // r, model.channel_max) * model.capacity / 4))
        for r in resolutions_up_to(model.max_size)
    }


def lrelu(x: Tensor, gain: float = math.sqrt(2)) -> Tensor:
    """The leaky rectifier and its gain."""
    return F.leaky_relu(x, 0.2) * gain


class PlainDense(nn.Module):
    """Equalised dense layer."""

    def __init__(self, inputs: int, outputs: int, speed: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.full((outputs,), bias / speed))
        self.speed, self.scale = speed, speed / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight * self.scale).T + self.bias * self.speed


class PlainModulated(nn.Module):
    """Equations 1 to 3: one kernel for each image, then a grouped convolution."""

    def __init__(self, inputs: int, outputs: int, size: int, latent_dim: int, up: bool) -> None:
        super().__init__()
        self.affine = PlainDense(latent_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up, self.scale = up, 1 / math.sqrt(inputs * size**2)

    def convolve(self, x: Tensor, w: Tensor, demodulate: bool) -> Tensor:
        """x [N, C, H, W], w [N, D] -> [N, E, H, W] or twice the size."""
        n, channels, height, width = x.shape
        kernel = self.weight[None] * self.scale * self.affine(w)[:, None, :, None, None]
        if demodulate:
            power = (kernel**2).sum(dim=(2, 3, 4), keepdim=True)
            kernel = kernel * torch.rsqrt(power + 1e-8)
        joined = x.reshape(1, n * channels, height, width)
        if self.up:
            turned = kernel.transpose(1, 2).reshape(n * channels, -1, *kernel.shape[3:])
            out = F.conv_transpose2d(joined, turned, stride=2, groups=n)
            return upfirdn(out.reshape(n, -1, *out.shape[2:]), 1, 1, 1, 1, gain=4.0)
        flat = kernel.reshape(-1, *kernel.shape[2:])
        out = F.conv2d(joined, flat, padding=kernel.shape[-1] // 2, groups=n)
        return out.reshape(n, -1, height, width)


class PlainStyled(PlainModulated):
    """Convolution, noise, bias, rectifier."""

    def __init__(self, inputs: int, outputs: int, latent_dim: int, up: bool) -> None:
        super().__init__(inputs, outputs, 3, latent_dim, up)
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        x = self.convolve(x, w, demodulate=True)
        return lrelu(x + self.noise_strength * noise + self.bias.view(1, -1, 1, 1))


class PlainToImage(PlainModulated):
    """The image of one size."""

    def __init__(self, inputs: int, image_channels: int, latent_dim: int) -> None:
        super().__init__(inputs, image_channels, 1, latent_dim, False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.convolve(x, w, demodulate=False) + self.bias.view(1, -1, 1, 1)


class PlainBlock(nn.Module):
    """One size of the generator."""

    def __init__(self, inputs: int, outputs: int, image_channels: int, latent_dim: int) -> None:
        super().__init__()
        if inputs:
            self.conv0 = PlainStyled(inputs, outputs, latent_dim, True)
        else:
            self.constant = nn.Parameter(torch.randn(outputs, 4, 4))
        self.conv1 = PlainStyled(outputs, outputs, latent_dim, False)
        self.to_image = PlainToImage(outputs, image_channels, latent_dim)


class PlainMapping(nn.Module):
    """z to w."""

    def __init__(self, latent_dim: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PlainDense(latent_dim, latent_dim, speed=0.01) for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt((z**2).mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = lrelu(layer(w))
        return w


class PlainSynthesis(nn.Module):
    """Styles to images, by output skips (figure 7b)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        widths = widths_of(model)
        self.blocks = nn.ModuleDict(
            {
                str(r): PlainBlock(widths.get(r // 2, 0), width, model.channels, model.latent_dim)
                for r, width in widths.items()
            }
        )

    def forward(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        first: Any = self.blocks["4"]
        x = first.conv1(first.constant.repeat(len(ws), 1, 1, 1), ws[:, 0], noise[0])
        image = first.to_image(x, ws[:, 1])
        rest: list[Any] = list(self.blocks.values())[1:]
        for i, block in enumerate(rest):
            x = block.conv0(x, ws[:, 2 * i + 1], noise[2 * i + 1])
            x = block.conv1(x, ws[:, 2 * i + 2], noise[2 * i + 2])
            skipped = upfirdn(image, 2, 1, 2, 1, gain=4.0)
            image = skipped + block.to_image(x, ws[:, 2 * i + 3])
        return torch.as_tensor(image)


class PlainGenerator2(nn.Module):
    """Mapping and synthesis."""

    w_avg: Tensor

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.mapping = PlainMapping(model.latent_dim, model.mapping_depth)
        self.synthesis = PlainSynthesis(model)
        self.register_buffer("w_avg", torch.zeros(model.latent_dim))


class PlainConv(nn.Module):
    """Equalised convolution, with smoothing and stride where it halves."""

    def __init__(self, inputs: int, outputs: int, size: int, halve: bool, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.halve, self.scale = halve, 1 / math.sqrt(inputs * size**2)

    def forward(self, x: Tensor) -> Tensor:
        size = self.weight.shape[-1]
        if self.halve:
            margin = (size + 1) // 2
            x = upfirdn(x, 1, 1, margin, margin)
            x = F.conv2d(x, self.weight * self.scale, stride=2)
        else:
            x = F.conv2d(x, self.weight * self.scale, padding=size // 2)
        if self.bias is None:
            return x
        return lrelu(x + self.bias.view(1, -1, 1, 1))


class PlainResidual(nn.Module):
    """One halving of the critic (figure 7c)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = PlainConv(inputs, inputs, 3, False, True)
        self.conv1 = PlainConv(inputs, outputs, 3, True, True)
        self.skip = PlainConv(inputs, outputs, 1, True, False)

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.conv1(self.conv0(x)) + self.skip(x)
        return summed / math.sqrt(2)


class PlainScoring(nn.Module):
    """The critic's block at 4 px."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = PlainConv(channels + 1, channels, 3, False, True)
        self.dense0 = PlainDense(channels * 16, channels)
        self.dense1 = PlainDense(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        group = max(d for d in (1, 2, 3, 4) if n % d == 0)
        spread = torch.sqrt(x.view(group, n // group, -1).var(0, unbiased=False) + 1e-8).mean(1)
        extra = spread.repeat(group).view(n, 1, 1, 1).expand(-1, 1, 4, 4)
        x = self.conv(torch.cat([x, extra], dim=1))
        scores: Tensor = self.dense1(lrelu(self.dense0(x.reshape(n, -1))))
        return scores.view(n)


class PlainCritic2(nn.Module):
    """Images to scores."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        widths = widths_of(model)
        sizes = list(widths)[::-1]
        self.from_image = PlainConv(model.channels, widths[sizes[0]], 1, False, True)
        self.blocks = nn.ModuleDict(
            {str(r): PlainResidual(widths[r], widths[r // 2]) for r in sizes[:-1]}
        )
        self.blocks["4"] = PlainScoring(widths[4])

    def forward(self, images: Tensor) -> Tensor:
        x = self.from_image(images)
        for block in self.blocks.values():
            x = block(x)
        return torch.as_tensor(x)
