"""DCGAN: strided convolutions and batch normalisation, no growing.

Radford, Metz and Chintala 2016, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", section 3 and figure 1.  64 px is the paper's size; others have
more or fewer of the same blocks.  Kernels are 4x4, so that strides of 2 meet every pixel equally
often (Odena, Dumoulin and Olah 2016).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import layers
from mri_gan.nets.convolution import widen

WIDEST = 1024  # at 4 px of the 64 px network
NARROWEST = 128  # at half the image's size
INITIAL_STD = 0.02  # of all weights: section 4


def widths_of(max_resolution: int, capacity: float) -> dict[int, int]:
    """The width at each size below the image's: 128 at half of it, doubling to 1024 at most.

    Times `capacity`, a multiple of 4.  Radford et al. 2016, figure 1.
    """
    sizes = layers.resolutions_up_to(max_resolution)[:-1]
    paper = {r: min(WIDEST, NARROWEST * max_resolution // (2 * r)) for r in sizes}
    return {r: max(4, 4 * round(width * capacity / 4)) for r, width in paper.items()}


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), scales around 1, shifts zero.  Radford et al. 2016, section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, INITIAL_STD)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, INITIAL_STD)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes: [N, C, H, W] -> same.

    Where several share a batch, `sum_over_processes` sums a tensor over them and passes
    gradients; without it the images at hand are the whole batch.  Every process holds as many.
    """

    sum_over_processes: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.sum_over_processes is None or not (self.training or self.running_mean is None):
            return super().forward(x)
        wide, axes = widen(x), (0, 2, 3)
        mean, square = wide.mean(axes), wide.square().mean(axes)
        mean, square, size = self.sum_over_processes(
            torch.stack([mean, square, torch.ones_like(mean)])
        )
        mean, square = mean / size, square / size
        variance = (square - mean.square()).clamp_min(0)
        self._remember(mean.detach(), variance.detach(), size * (x.numel() / x.shape[1]))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], wide, scale[:, None, None]).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics as torch does, the variance without bias."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class Synthesis(nn.Module):
    """Draw images from latents: ws [N, 1, D] -> [N, image_channels, R, R], -1..1.

    Radford et al. 2016, figure 1: ReLU inside, tanh at the end, batch normalisation everywhere
    but there.
    """

    def __init__(self, widths: dict[int, int], image_channels: int, inputs: int) -> None:
        super().__init__()
        self.max_resolution = 2 * max(widths)
        self.blocks = nn.ModuleDict({"4": nn.ConvTranspose2d(inputs, widths[4], 4, bias=False)})
        self.norms = nn.ModuleDict({str(r): BatchNorm(width) for r, width in widths.items()})
        for r, width in widths.items():
            outputs = widths.get(2 * r, image_channels)
            last = 2 * r == self.max_resolution
            self.blocks[str(2 * r)] = nn.ConvTranspose2d(
                width, outputs, 4, stride=2, padding=1, bias=last
            )

    def forward(
        self, ws: Tensor, *, resolution: int, alpha: float = 1.0, noise: layers.Noise = None
    ) -> Tensor:
        """Raises ValueError for another resolution, or for noise."""
        layers.check_largest(resolution, self.max_resolution, alpha)
        layers.check_single(ws, noise)
        x = ws[:, 0, :, None, None]
        for name, block in self.blocks.items():
            x = block(x)
            if name in self.norms:
                x = F.relu_(self.norms[name](x))
        return torch.tanh(widen(x))


class Generator(layers.LatentGenerator):
    """Uniform latents to images.  Radford et al. 2016, section 4 and figure 1.

    Batch statistics in training, running ones in `eval()`, where an image depends on nothing but
    its own latent.  Raises ValueError for a max_resolution that is not a power of two in 8..1024.
    """

    def __init__(
        self,
        *,
        max_resolution: int = 64,  # px, 8..1024
        image_channels: int = 1,
        capacity: float = 1.0,
        latent_dim: int = 100,
        condition_dim: int = 0,
    ) -> None:
        super().__init__(latent_dim, condition_dim)
        self.resolutions = (max_resolution,)
        widths = widths_of(max_resolution, capacity)
        self.synthesis = Synthesis(widths, image_channels, self.inputs).apply(initialise)

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z from N(0, 1) to the paper's prior, uniform in -1..1; the embedded condition behind.

        The error function of z over the root of 2 is uniform when z is normal.
        Radford et al. 2016, section 4.
        """
        w: Tensor = self.embed(torch.erf(z / 2**0.5), condition)
        return w


class PartNorm(nn.Module):
    """Batch normalisation of each of `parts` equal batches by itself: [N, C, H, W] -> same.

    Real and synthetic images are normalised apart, as in two passes; there are no running
    statistics, since a critic is never used outside training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels, track_running_stats=False)

    def forward(self, x: Tensor, parts: int) -> Tensor:
        return torch.cat([self.norm(part) for part in x.chunk(parts)])


class LayerNorm(nn.Module):
    """Normalisation of each image by itself: [N, C, H, W] -> same.

    For penalties on the gradient of one image's score, which batch normalisation would mix with
    its neighbours'.  Gulrajani et al. 2017, section 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor, parts: int) -> Tensor:
        normalised: Tensor = self.norm(x)
        return normalised


class Critic(layers.CriticNet):
    """Score images, higher for real: [N, image_channels, R, R] -> scores [N].

    Leaky rectifiers, normalisation everywhere but at the image and the score.
    Radford et al. 2016, section 3; `critic_norm` is "batch" or, for gradient penalties, "layer".
    """

    def __init__(
        self,
        *,
        max_resolution: int = 64,  # px, 8..1024
        image_channels: int = 1,
        capacity: float = 1.0,
        condition_dim: int = 0,
        critic_norm: str = "batch",
    ) -> None:
        super().__init__()
        widths = widths_of(max_resolution, capacity)
        self.max_resolution, self.condition_dim = max_resolution, condition_dim
        self.blocks, self.norms = nn.ModuleDict(), nn.ModuleDict()
        inputs = image_channels
        for r in sorted(widths, reverse=True):
            first = inputs == image_channels and r == max(widths)
            self.blocks[str(r)] = nn.Conv2d(inputs, widths[r], 4, stride=2, padding=1, bias=first)
            if not first:
                self.norms[str(r)] = (PartNorm if critic_norm == "batch" else LayerNorm)(widths[r])
            inputs = widths[r]
        self.score = nn.Linear(inputs * 4 * 4, 1)
        self.project = layers.ConditionProjection(condition_dim, inputs)
        for part in (self.blocks, self.norms, self.score):
            part.apply(initialise)

    def score_inputs(
        self,
        inputs: list[Tensor],
        *,
        alpha: float = 1.0,  # 1: there is no growing
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Scores [N]; raises ValueError for other sizes, too."""
        (images,) = inputs
        layers.check_largest(images.shape[-1], self.max_resolution, alpha)
        layers.check_square(images)
        if len(images) % parts:
            raise ValueError(f"{len(images)} images cannot be cut into {parts} equal parts")
        x = images
        for name, block in self.blocks.items():
            x = block(x)
            if name in self.norms:
                x = self.norms[name](x, parts)
            x = F.leaky_relu(x, layers.LEAK)
        scores: Tensor = self.score(x.flatten(1)).squeeze(1)
        projected: Tensor = self.project(x.mean(dim=(2, 3)), condition)
        return scores + projected
