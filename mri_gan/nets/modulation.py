"""Convolutions whose kernel is scaled by a style.  Karras et al. 2020, section 2.2, equations 1-3.

Instead of one kernel for each image, as the paper writes it, the input channels are scaled by the
style and the output channels by the demodulation, around one shared convolution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets.convolution import Smooth, block_precision, convolve, innermost
from mri_gan.nets.layers import LEAK, EqualLinear

DEMODULATION_EPS = 1e-8
ACTIVATION_GAIN = math.sqrt(2)


def demodulation(kernel: Tensor, style: Tensor) -> Tensor:
    """The factor that gives each output unit variance: kernel [D, C, k, k], style [N, C] -> [N, D].

    In float32 whatever the precision around it.  Karras et al. 2020, equation 3.
    """
    with block_precision(kernel, low=False):
        power = _power(kernel)
        return torch.rsqrt(style.square().to(power.dtype) @ power.T + DEMODULATION_EPS)


def _power(kernel: Tensor) -> Tensor:
    """The sum of squares of each pair of channels: -> [D, C], added up as the kernel is."""
    turned = kernel.transpose(0, 1)
    if innermost(turned):
        return turned.square().sum(dim=(2, 3)).T
    return kernel.square().sum(dim=(2, 3))


def modulated_conv2d(
    x: Tensor,  # [N, C, H, W]
    kernel: Tensor,  # [D, C, k, k], k odd
    style: Tensor,  # [N, C]
    factor: Tensor | None = None,  # [N, D], the demodulation; None is none
    *,
    up: bool = False,
) -> Tensor:
    """What convolving each image with its own kernel, factor * kernel * style, gives.

    -> [N, D, H, W], or with `up` [N, D, 2H + 1, 2W + 1]: the transposed convolution of stride 2,
    unsmoothed.
    """
    scaled = x * style.to(x.dtype)[:, :, None, None]
    if up:
        out = convolve(scaled, kernel.transpose(0, 1), stride=2, transposed=True)
    else:
        out = convolve(scaled, kernel, padding=kernel.shape[-1] // 2)
    return out if factor is None else out * factor.to(out.dtype)[:, :, None, None]


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky rectifier: x, w [N, W], noise -> features.

    [N, C, H, W] -> [N, D, H, W], or with `up` [N, D, 2H, 2W], smoothed by [1 3 3 1].  The
    rectifier is followed by a gain of the square root of 2, folded here into what precedes it.
    Karras et al. 2020, figure 2d; one noise strength for all channels: appendix B.
    """

    def __init__(self, inputs: int, outputs: int, latent_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.affine = EqualLinear(latent_dim, inputs, gain=1.0, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.up = up
        self.smooth = Smooth(padding=1, gain=4.0) if up else None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, clamp: float = 0.0) -> Tensor:
        kernel: Tensor = self.weight
        style: Tensor = self.affine(w) * self.scale
        if x.dtype != torch.float32 and x.dtype != torch.float64:
            kernel, style = normalise(kernel, style)
        factor = ACTIVATION_GAIN * demodulation(kernel, style)  # [N, D]
        x = modulated_conv2d(x, kernel, style, up=self.up)
        x = self.smooth(x) if self.smooth is not None else x
        bias = (ACTIVATION_GAIN * self.bias).to(x.dtype)[:, None, None]
        x = torch.addcmul(bias, x, factor.to(x.dtype)[:, :, None, None])
        if noise is not None:
            x += (ACTIVATION_GAIN * self.noise_strength * noise).to(x.dtype)
        x = F.leaky_relu_(x, LEAK)
        return F.hardtanh(x, -clamp, clamp) if clamp else x


def normalise(kernel: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel and style scaled to a largest magnitude of 1 (kernel: by 1 / sqrt(fan in)).

    Demodulation takes the scale out again, so images stay what they are while half-precision
    activations cannot overflow, and the scale needs no gradient.  Karras et al. 2020b, appendix
    D.1.
    """
    root = math.sqrt(kernel[0].numel())
    with torch.no_grad():
        scale = 1 / (kernel.abs().amax(dim=(1, 2, 3), keepdim=True) * root)
        largest = style.abs().amax(dim=1, keepdim=True)
    return kernel * scale, style / largest


class ToImage(nn.Module):
    """Modulated 1x1 convolution without demodulation: x [N, C, H, W], w [N, W] -> [N, I, H, W].

    Karras et al. 2020, section 4.1 and figure 7b ("tRGB").
    """

    def __init__(self, inputs: int, image_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.affine = EqualLinear(latent_dim, inputs, gain=1.0, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(image_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor, clamp: float = 0.0) -> Tensor:
        style = self.affine(w) * self.scale  # [N, C]
        kernels = (self.weight.flatten(1)[None] * style[:, None]).to(x.dtype)  # [N, I, C]
        # One matrix product reads the features once; scaling them first would write them again.
        if innermost(x):  # the gradient must come back in this order, too
            pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, HW, C]
            image = torch.bmm(pixels, kernels.transpose(1, 2)).transpose(1, 2)
        else:
            image = torch.bmm(kernels, x.flatten(2))
        image = image.reshape(x.shape[0], -1, *x.shape[2:])
        image = image + self.bias.to(image.dtype)[:, None, None]
        return F.hardtanh(image, -clamp, clamp) if clamp else image
