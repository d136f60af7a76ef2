"""ProGAN and DCGAN written plainly, as functions of a state dict and an image or a latent.

Karras et al. 2018, section 4 and table 2; Radford et al. 2016, section 3 and figure 1. Conditions:
an embedding of unit mean square beside the latent, and a projection in the critic (Miyato and
Koyama 2018, equation 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


def per_pixel(x: Tensor) -> Tensor:
    """Every pixel's features to unit mean square.  Karras et al. 2018, section 4.2."""
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def equalised(weights: Weights, name: str, gain: float = math.sqrt(2)) -> Tensor:
    """A weight times gain / sqrt(fan in).  Karras et al. 2018, section 4.1."""
    weight = weights[f"{name}.weight"]
    return weight * gain / math.sqrt(weight[0].numel())


def convolve(
    weights: Weights, name: str, x: Tensor, pad: int = 1, gain: float = math.sqrt(2)
) -> Tensor:
    """An equalised convolution."""
    return F.conv2d(x, equalised(weights, name, gain), weights[f"{name}.bias"], padding=pad)


def embed_condition(weights: Weights, z: Tensor, condition: Tensor | None) -> Tensor:
    """Latents with the embedded condition behind them."""
    if condition is None:
        return z
    dense = equalised(weights, "embed.dense", 1.0)
    return torch.cat([z, per_pixel(condition @ dense.T + weights["embed.dense.bias"])], dim=1)


def project_condition(weights: Weights, name: str, x: Tensor, condition: Tensor | None) -> Tensor:
    """The inner product of features [N, C] and the condition's direction, over the root of C."""
    if condition is None:
        return torch.zeros(len(x), dtype=x.dtype)
    dense = equalised(weights, f"{name}.dense", 1.0)
    direction = condition @ dense.T + weights[f"{name}.dense.bias"]
    return (x * direction).sum(dim=1) / math.sqrt(x.shape[1])


def double(x: Tensor) -> Tensor:
    """Every pixel four times."""
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def halve(x: Tensor) -> Tensor:
    """The mean of four pixels."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(dim=(3, 5))


# ProGAN


def draw_progan(
    weights: Weights, z: Tensor, size: int, alpha: float, condition: Tensor | None = None
) -> Tensor:
    """z [N, D] to images [N, C, size, size]."""
    inputs = embed_condition(weights, per_pixel(z), condition)
    # A 4x4 convolution with a border of 3 sees one pixel; flipped, since it correlates.
    spread = equalised(weights, "synthesis.blocks.4.spread").flip(2, 3)
    x = F.conv2d(F.pad(inputs[:, :, None, None], (3, 3, 3, 3)), spread)
    x = x + weights["synthesis.blocks.4.spread.bias"][:, None, None]
    x = per_pixel(F.leaky_relu(x, 0.2))
    x = per_pixel(F.leaky_relu(convolve(weights, "synthesis.blocks.4.conv1", x), 0.2))
    lower, at = x, 4
    while at < size:
        lower, at = x, 2 * at
        for name, given in (("conv0", double(x)), ("conv1", None)):
            block = f"synthesis.blocks.{at}.{name}"
            x = convolve(weights, block, x if given is None else given)
            x = per_pixel(F.leaky_relu(x, 0.2))
    image = convolve(weights, f"synthesis.to_image.{size}", x, 0, 1.0)
    if alpha == 1:
        return image
    old = double(convolve(weights, f"synthesis.to_image.{size // 2}", lower, 0, 1.0))
    return alpha * image + (1 - alpha) * old


def score_progan(
    weights: Weights, images: Tensor, alpha: float, condition: Tensor | None = None
) -> Tensor:
    """Images [N, C, R, R] to scores [N]; N a multiple of 4."""
    size = images.shape[-1]
    x = F.leaky_relu(convolve(weights, f"from_image.{size}", images, 0), 0.2)
    at = size
    while at > 4:
        x = F.leaky_relu(convolve(weights, f"blocks.{at}.conv0", x), 0.2)
        x = F.leaky_relu(halve(convolve(weights, f"blocks.{at}.conv1", x)), 0.2)
        if at == size and alpha < 1:
            small = convolve(weights, f"from_image.{size // 2}", halve(images), 0)
            x = alpha * x + (1 - alpha) * F.leaky_relu(small, 0.2)
        at //= 2
    groups = x.reshape(4, len(x) // 4, -1)
    spread = (groups.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=1).repeat(4)
    x = torch.cat([x, spread[:, None, None, None].expand(-1, 1, 4, 4)], dim=1)
    x = F.leaky_relu(convolve(weights, "blocks.4.conv", x), 0.2)
    dense = x.flatten(1) @ equalised(weights, "blocks.4.dense0").T + weights["blocks.4.dense0.bias"]
    x = F.leaky_relu(dense, 0.2)
    score = x @ equalised(weights, "blocks.4.dense1", 1.0).T + weights["blocks.4.dense1.bias"]
    return score[:, 0] + project_condition(weights, "blocks.4.project", x, condition)


# DCGAN


def draw_dcgan(weights: Weights, z: Tensor, size: int, condition: Tensor | None = None) -> Tensor:
    """z [N, D] from N(0, 1), made uniform in -1..1, to images by batch statistics."""
    uniform = torch.special.erf(z / math.sqrt(2))  # twice the normal distribution less 1
    x = embed_condition(weights, uniform, condition)[:, :, None, None]
    x = F.conv_transpose2d(x, weights["synthesis.blocks.4.weight"])
    at = 4
    while at < size:
        norm = f"synthesis.norms.{at}"
        scale, shift = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
        x = F.relu(F.batch_norm(x, None, None, scale, shift, training=True))
        at *= 2
        block = f"synthesis.blocks.{at}"
        bias = weights.get(f"{block}.bias")
        x = F.conv_transpose2d(x, weights[f"{block}.weight"], bias, stride=2, padding=1)
    return x.tanh()


def score_dcgan(
    weights: Weights, images: Tensor, norm: str, condition: Tensor | None = None
) -> Tensor:
    """Images [N, C, R, R] to scores [N]; `norm` is "batch" or "layer"."""
    x, at = images, images.shape[-1] // 2
    while at >= 4:
        kernel, bias = weights[f"blocks.{at}.weight"], weights.get(f"blocks.{at}.bias")
        x = F.conv2d(x, kernel, bias, stride=2, padding=1)
        if at != images.shape[-1] // 2:
            scale, shift = weights[f"norms.{at}.norm.weight"], weights[f"norms.{at}.norm.bias"]
            axes = (0, 2, 3) if norm == "batch" else (1, 2, 3)
            mean = x.mean(dim=axes, keepdim=True)
            variance = x.var(dim=axes, correction=0, keepdim=True)
            x = (x - mean) / (variance + 1e-5).sqrt()
            x = x * scale[:, None, None] + shift[:, None, None]
        x = F.leaky_relu(x, 0.2)
        at //= 2
    score = x.flatten(1) @ weights["score.weight"].T + weights["score.bias"]
    features = x.mean(dim=(2, 3))
    return score[:, 0] + project_condition(weights, "project", features, condition)
