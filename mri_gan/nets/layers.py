"""The building blocks of the progressive networks, and the resolutions they come in.

Equalised weights, convolutions that double or halve the image, normalisation, noise and style.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets.convolution import (
    binomial_kernel,
    blur,
    convolve,
    downsample_mean2,
    fold_downsampling,
    fold_upsampling,
    innermost,
    is_traced,
    upsample_nearest2,
)

# Which resolutions the networks have, and how wide they are at each

SMALLEST_PX = 4
LARGEST_PX = 1024


def check_resolution(resolution: int, largest: int = LARGEST_PX) -> None:
    """Raise ValueError unless `resolution` is a power of two in 4..`largest` px."""
    is_power_of_two = resolution > 0 and resolution & (resolution - 1) == 0
    if not (is_power_of_two and SMALLEST_PX <= resolution <= largest):
        raise ValueError(f"resolution {resolution} px is not a power of two in 4..{largest}")


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless the fade-in weight is in 0..1."""
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"fade-in weight alpha {alpha} is not in 0..1")


def check_largest(resolution: int, largest: int, alpha: float) -> None:
    """Raise ValueError unless the request is what a network that does not grow can do."""
    check_alpha(alpha)
    if resolution != largest or alpha != 1.0:
        raise ValueError(
            f"this network is of {largest} px and does not grow: "
            f"{resolution} px with alpha {alpha} is not in it"
        )


def check_square(images: Tensor) -> None:
    """Raise ValueError unless images are as high as wide."""
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"images of {height}x{width} px are not square")


def resolutions_up_to(largest: int) -> list[int]:
    """List the resolutions 4, 8, .., `largest` px; ValueError for no power of two in 4..1024."""
    check_resolution(largest)
    return [1 << exponent for exponent in range(2, largest.bit_length())]


def num_style_layers(resolution: int) -> int:
    """Count the style inputs of a generator grown to `resolution` px, two for each block.

    2 at 4 px, 18 at 1024 px; ValueError for no power of two in 4..1024.  Karras et al. 2019,
    section 2.
    """
    return 2 * len(resolutions_up_to(resolution))


def channels_at(
    resolution: int,  # px
    capacity: float = 1.0,  # multiplies every width; 1 is the paper
    *,
    base: int = 8192,
    maximum: int = 512,
) -> int:
    """Return the width of the layers at one resolution, a multiple of 4 and at least 4.

    512 at 4..32 px, then halved with each doubling down to 16 at 1024 px, times `capacity`.
    Raises ValueError for a bad resolution or a capacity not above 0.  Karras et al. 2018, table 2
    (the widths of Karras et al. 2019 are the same).
    """
    check_resolution(resolution)
    if not capacity > 0:
        raise ValueError(f"capacity {capacity} is not above 0")
    paper_width = min(maximum, base * 2 // resolution)
    return max(4, 4 * round(paper_width * capacity / 4))


# The building blocks of the progressive networks

# Keeps the variance through a leaky rectifier: He et al. 2015, section 2.2, with slope ~ 0.
RECTIFIER_GAIN = math.sqrt(2)
# Slope of the leaky rectifier for negative input: Karras et al. 2018, appendix A.1.
LEAK = 0.2
# Pixels of a whole batch, at the smaller of two sizes, from which a folded kernel is faster than
# two steps.  Below, what is saved is less than folding costs: 16 taps for 9 to make and to read.
FOLDING_PAYS_PX = 256


def widen(x: Tensor) -> Tensor:
    """Half precision as float32, all else as it is; any shape."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def fade(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """`old` at alpha 0, `new` at 1; one shape.  Karras et al. 2018, figure 2.

    On a GPU autocast may leave one of them in float32, which torch does not mix.
    """
    kind = torch.promote_types(old.dtype, new.dtype)
    return torch.lerp(old.to(kind), new.to(kind), alpha)


def leaky_relu(x: Tensor) -> Tensor:
    """Apply the leaky rectifier with slope 0.2; any shape.  Karras et al. 2018, appendix A.1."""
    return F.leaky_relu(x, LEAK)


class EqualLinear(nn.Module):
    """A dense layer with equalised learning rate: [.., inputs] -> [.., outputs].

    The stored weights have unit variance (divided by `lr_multiplier`); the constant of He's
    initialiser, gain / sqrt(fan_in), is applied at run time, so that Adam moves every layer at
    the same relative speed, and `lr_multiplier` times as fast.

    Karras et al. 2018, section 4.1; the multiplier: Karras et al. 2019, appendix C.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = RECTIFIER_GAIN,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier))
        self.scale = gain / math.sqrt(inputs) * lr_multiplier
        self.lr_multiplier = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


class EqualConv2d(nn.Module):
    """A convolution with equalised learning rate that keeps the size: [N, C, H, W] -> [N, D, H, W].

    `kernel_px` is odd and the border is zero.  With `bias=False` the caller adds one later.
    Karras et al. 2018, section 4.1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_px: int = 3,
        *,
        gain: float = RECTIFIER_GAIN,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_px, kernel_px))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / math.sqrt(inputs * kernel_px**2)

    def kernel(self) -> Tensor:
        """Return the kernel in force: the stored one, scaled."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.kernel(), self.bias, padding=self.weight.shape[-1] // 2)


class UpConv2d(EqualConv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: [N, C, H, W] -> [N, D, 2H, 2W].

    Computed, where that is faster, as one transposed 4x4 convolution: equal up to rounding.
    Karras et al. 2018, section 2 and table 2; the folding: `fold_upsampling`.
    """

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        if is_traced() or n * height * width < FOLDING_PAYS_PX:
            return super().forward(upsample_nearest2(x))
        kernel = fold_upsampling(self.kernel())  # [C, D, 4, 4]
        return convolve(x, kernel, self.bias, stride=2, padding=1, transposed=True)


class DownConv2d(EqualConv2d):
    """A 3x3 convolution, then 2x2 means: [N, C, 2H, 2W] -> [N, D, H, W].

    Computed, where that is faster, as one 4x4 convolution of stride 2: equal up to rounding.
    Karras et al. 2018, section 2 and table 2; the folding: `fold_downsampling`.
    """

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        if n * height * width < 4 * FOLDING_PAYS_PX:
            return downsample_mean2(super().forward(x))
        kernel = fold_downsampling(self.kernel())  # [D, C, 4, 4]
        return convolve(x, kernel, self.bias, stride=2, padding=1)


class Blur(nn.Module):
    """`blur` with its kernel kept on the device: [N, C, H, W] -> [N, C, H, W]."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", binomial_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return blur(x, self.kernel)


class NoiseInjection(nn.Module):
    """Add one noise image to all channels, each with its own learned strength, zero at the start.

    x [N, C, H, W], noise [N or 1, 1, H, W] -> [N, C, H, W]; `None` adds nothing.
    Karras et al. 2019, section 2 and figure 1b ("B").
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            return x
        # Cast the small operands: otherwise float32 noise would widen bfloat16 activations.
        strength = self.weight.to(x.dtype)[:, None, None]  # [C, 1, 1]
        return torch.addcmul(x, noise.to(x.dtype), strength)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Divide each vector along axis 1 by its root mean square: [N, C, ...] -> [N, C, ...].

    Karras et al. 2018, section 4.2.
    """
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + eps)


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Give every channel of every image the standard deviation `scale` and the mean `shift`.

    x [N, C, H, W], scale and shift [N, C] -> [N, C, H, W].  The variance is the biased one.
    Karras et al. 2019, equation 1.
    """
    n, channels, height, width = x.shape
    if innermost(x) or is_traced():
        # The way below would copy to the other order of axes and back, and holds for N alone.
        # In float32 at least: a mean rounded to bfloat16 is off by a tenth of a deviation.
        variance, mean = torch.var_mean(widen(x), dim=(2, 3), correction=0, keepdim=True)
        factor = scale[:, :, None, None] * torch.rsqrt(variance + eps)
        offset = shift[:, :, None, None] - mean * factor
        return torch.addcmul(offset.to(x.dtype), x, factor.to(x.dtype))
    # Each (image, channel) as one channel of one image: batch norm then is instance norm and
    # applies a style per image in the same pass, 1.8 to 3.9 times as fast as separate steps.
    flat = F.batch_norm(
        x.reshape(1, n * channels, height, width),
        running_mean=None,
        running_var=None,
        weight=scale.reshape(-1).to(x.dtype),
        bias=shift.reshape(-1).to(x.dtype),
        training=True,
        eps=eps,
    )
    return flat.view(n, channels, height, width)


class AdaIN(nn.Module):
    """Normalise each channel, then scale and shift it by a learned affine map of w.

    x [N, C, H, W], w [N, latent_dim] -> [N, C, H, W].  The scale starts around 1, the shift
    around 0.  Karras et al. 2019, section 2, equation 1 ("A" in figure 1b).
    """

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.affine = EqualLinear(latent_dim, 2 * channels, gain=1.0)
        with torch.no_grad():
            self.affine.bias[:channels] = 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style: Tensor = self.affine(w)  # [N, 2C]
        scale, shift = style.chunk(2, dim=1)
        return adaptive_instance_norm(x, scale, shift)


def minibatch_stddev(x: Tensor, group_size: int = 4, *, parts: int = 1) -> Tensor:
    """Append one channel that says how much the images of a group differ from each other.

    [N, C, H, W] -> [N, C + 1, H, W].  The batch is cut into `parts` equal runs that never share a
    group (real and fake images in one pass: `parts=2`).  Within a run of n images a group holds
    the largest divisor of n up to `group_size`; its members are a fixed stride apart.  The
    standard deviation over the group is averaged over channels and pixels.

    Raises ValueError when N is not a multiple of `parts`.  Karras et al. 2018, section 3.
    """
    n, channels, height, width = x.shape
    if n % parts:
        raise ValueError(f"{n} images cannot be cut into {parts} equal parts")
    size = max(d for d in range(1, group_size + 1) if (n // parts) % d == 0)
    groups = widen(x).reshape(parts, size, -1, channels, height, width)  # [P, G, M, C, H, W]
    spread = (groups.var(dim=1, correction=0) + 1e-8).sqrt()  # [P, M, C, H, W]
    value = spread.mean(dim=(2, 3, 4))[:, None, :]  # [P, 1, M]
    channel = value.expand(-1, size, -1).reshape(n, 1, 1, 1).expand(-1, -1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)
