"""What networks are made of, and what every generator and critic can do.

Resolutions and widths; equalised layers; styles and noise; the interface of a network.  Noise
comes from an explicit generator, never from the global one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import convolution

# Which resolutions the networks have, and how wide they are at each

SMALLEST_PX = 4
LARGEST_PX = 1024


def check_resolution(resolution: int, largest: int = LARGEST_PX, alpha: float = 1.0) -> None:
    """Raise ValueError unless `resolution` is a power of two in 4..`largest` px, alpha in 0..1."""
    is_power_of_two = resolution > 0 and resolution & (resolution - 1) == 0
    if not (is_power_of_two and SMALLEST_PX <= resolution <= largest):
        raise ValueError(f"resolution {resolution} px is not a power of two in 4..{largest}")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"fade-in weight alpha {alpha} is not in 0..1")


def check_largest(resolution: int, largest: int, alpha: float) -> None:
    """Raise ValueError unless the request is what a network that does not grow can do."""
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

    2 at 4 px, 18 at 1024 px.  Karras et al. 2019, section 2.
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
    Raises ValueError for a bad resolution or a capacity not above 0.  Karras et al. 2018, table 2.
    """
    check_resolution(resolution)
    if not capacity > 0:
        raise ValueError(f"capacity {capacity} is not above 0")
    paper_width = min(maximum, base * 2 // resolution)
    return max(4, 4 * round(paper_width * capacity / 4))


# Layers

# Keeps the variance through a leaky rectifier: He et al. 2015, section 2.2, with slope ~ 0.
RECTIFIER_GAIN = math.sqrt(2)
# Slope of the leaky rectifier for negative input: Karras et al. 2018, appendix A.1.
LEAK = 0.2
# Pixels of a whole batch, at the smaller of two sizes, from which a folded kernel is faster than
# two steps.  Below, what is saved is less than folding costs: 16 taps for 9 to make and to read.
FOLDING_PAYS_PX = 256


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
    the same relative speed.  Karras et al. 2018, section 4.1; the multiplier: 2019, appendix C.
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
        self.kept: dict[tuple[str, torch.dtype], Tensor] | None = None  # see keep_kernels

    def kernel(self) -> Tensor:
        """Return the kernel in force: the stored one, scaled."""
        return self._keep("kernel", lambda: self.weight * self.scale)

    def _keep(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        if self.kept is None:
            return make()
        kind = self.weight.device.type
        precision = (
            torch.get_autocast_dtype(kind) if convolution.autocasting(kind) else self.weight.dtype
        )
        if (name, precision) not in self.kept:
            self.kept[name, precision] = make().to(precision).contiguous()
        return self.kept[name, precision]

    def forward(self, x: Tensor) -> Tensor:
        return convolution.convolve(x, self.kernel(), self.bias, padding=self.weight.shape[-1] // 2)


def keep_kernels(net: nn.Module) -> None:
    """From now on compute every kernel once: for a network whose weights no longer change.

    Scaling, folding and rounding them takes a quarter of the time of an image of a wide network.
    """
    for module in net.modules():
        if isinstance(module, EqualConv2d):
            module.kept = {}


class UpConv2d(EqualConv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: [N, C, H, W] -> [N, D, 2H, 2W].

    Computed, where that is faster, as one transposed 4x4 convolution: equal up to rounding.
    Karras et al. 2018, section 2 and table 2; the folding: `fold_upsampling`.
    """

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        if convolution.is_traced() or n * height * width < FOLDING_PAYS_PX:
            return super().forward(convolution.upsample_nearest2(x))
        # [C, D, 4, 4]
        kernel = self._keep("folded", lambda: convolution.fold_upsampling(self.weight * self.scale))
        return convolution.convolve(x, kernel, self.bias, stride=2, padding=1, transposed=True)


class DownConv2d(EqualConv2d):
    """A 3x3 convolution, then 2x2 means: [N, C, 2H, 2W] -> [N, D, H, W].

    Computed, where that is faster, as one 4x4 convolution of stride 2: equal up to rounding.
    Karras et al. 2018, section 2 and table 2; the folding: `fold_downsampling`.
    """

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        if n * height * width < 4 * FOLDING_PAYS_PX:
            return convolution.downsample_mean2(super().forward(x))
        kernel = convolution.fold_downsampling(self.kernel())  # [D, C, 4, 4]
        return convolution.convolve(x, kernel, self.bias, stride=2, padding=1)


class Blur(nn.Module):
    """`blur` with its kernel kept on the device: [N, C, H, W] -> [N, C, H, W]."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", convolution.binomial_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return convolution.blur(x, self.kernel)


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
    groups = convolution.widen(x).reshape(
        parts, size, -1, channels, height, width
    )  # [P, G, M, C, H, W]
    spread = (groups.var(dim=1, correction=0) + 1e-8).sqrt()  # [P, M, C, H, W]
    value = spread.mean(dim=(2, 3, 4))[:, None, :]  # [P, 1, M]
    channel = value.expand(-1, size, -1).reshape(n, 1, 1, 1).expand(-1, -1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)


# What goes into the synthesis network besides its weights: styles per layer, and noise


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
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Fresh N(0, 1) noise for each layer, on the generator's device.

    Low resolutions come first: the list for 8 px is the beginning of that for 16 px.  Karras et
    al. 2019, section 2.
    """
    drawn = [torch.randn(s, generator=generator, device=generator.device) for s in shapes]
    return [noise.to(dtype) for noise in drawn]


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
        """Pull w towards its mean by `psi`; without styles w is a latent and stays as it is."""
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

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents on the sphere whose radius is the root of D, the embedded condition behind.

        Karras et al. 2018, appendix A.1 and section 4.2.
        """
        w: Tensor = self.embed(pixel_norm(z), condition)
        return w


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

        `parts` equal batches joined along axis 0 never influence each other. Raises ValueError for
        images that do not fit, or N no multiple of `parts`.
        """
        inputs = self.trained_inputs(images)
        return self.score_inputs(inputs, alpha=alpha, parts=parts, condition=condition)

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
        raise NotImplementedError


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
    Mirza and Osindero 2014; the embedding: Karras et al. 2020b, appendix D.1.
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

    Their inner product with a dense layer of the condition, over the root of the width.  Without
    conditions it is zero.  Miyato and Koyama 2018, equation 3.
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
