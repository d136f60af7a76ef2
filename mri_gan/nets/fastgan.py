"""FastGAN's light generator: one network of few channels whose first layers steer the last ones.

Liu, Zhu, Song and Elgammal 2021, "Towards Faster and Stabilized GAN Training for High-fidelity
Few-shot Image Synthesis", section 3.1 and figure 3.  Two changes for processors: leaky rectifiers
in place of gated linear units, which halve the convolutions, and no noise.  Its critic is
`feature_critic.Critic`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import layers
from mri_gan.nets.convolution import convolve, fold_upsampling, widen
from mri_gan.nets.dcgan import BatchNorm

FULL_WIDTHS = {4: 1024, 8: 1024, 16: 512, 32: 256, 64: 128, 128: 96, 256: 64, 512: 32, 1024: 16}
SECOND_CONVOLUTION = (8, 32, 128, 512)  # px at which a block has two
EXCITED_FROM = 64  # px; each such size is steered by the block of a sixteenth of its size
POOLED = 4  # px


def widths_of(max_resolution: int, capacity: float) -> dict[int, int]:
    """Channels at every size up to the image's, multiples of 8: {px: channels}."""
    chosen = {r: width for r, width in FULL_WIDTHS.items() if r <= max_resolution}
    return {r: max(8, 8 * round(width * capacity / 8)) for r, width in chosen.items()}


def orthogonal(outputs: int, inputs: int, kernel_px: int) -> nn.Parameter:
    """A kernel [outputs, inputs, k, k] with orthogonal rows.  Saxe et al. 2014, section 3."""
    return nn.Parameter(nn.init.orthogonal_(torch.empty(outputs, inputs, kernel_px, kernel_px)))


class Convolution(nn.Module):
    """A 3x3 convolution, batch normalisation, leaky rectifier: [N, C, H, W] -> [N, D, H, W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = orthogonal(outputs, inputs, 3)
        self.norm = BatchNorm(outputs)

    def lead(self, x: Tensor) -> Tensor:
        """The convolution alone."""
        return convolve(x, self.weight, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return layers.leaky_relu(self.norm(self.lead(x)))


class UpConvolution(Convolution):
    """The same after nearest-neighbour doubling: [N, C, H, W] -> [N, D, 2H, 2W].

    Computed as one transposed 4x4 convolution, which is equal and takes 4 taps for 9.
    """

    def lead(self, x: Tensor) -> Tensor:
        """Doubling and convolution."""
        kernel = fold_upsampling(self.weight)
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            kernel = kernel.contiguous(memory_format=torch.channels_last)
        return convolve(x, kernel, stride=2, padding=1, transposed=True)


class Excitation(nn.Module):
    """Factors 0..1 for channels of a large image from a small one: [N, C, h, w] -> [N, D, 1, 1].

    Liu et al. 2021, section 3.1, "skip-layer channel-wise excitation", and figure 3.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gather = nn.Conv2d(inputs, outputs, POOLED, bias=False)
        self.scale = nn.Conv2d(outputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, POOLED)
        return torch.sigmoid(self.scale(F.silu(self.gather(pooled))))


class Synthesis(nn.Module):
    """Draw images from latents: ws [N, 1, D] -> [N, image_channels, R, R], -1..1."""

    def __init__(self, widths: dict[int, int], image_channels: int, inputs: int) -> None:
        super().__init__()
        self.max_resolution = max(widths)
        self.first = nn.ConvTranspose2d(inputs, widths[4], 4, bias=False)
        self.first_norm = BatchNorm(widths[4])
        self.blocks, self.excitations = nn.ModuleDict(), nn.ModuleDict()
        for r in sorted(widths)[1:]:
            block: list[nn.Module] = [UpConvolution(widths[r // 2], widths[r])]
            if r in SECOND_CONVOLUTION:
                block.append(Convolution(widths[r], widths[r]))
            self.blocks[str(r)] = nn.Sequential(*block)
            if r >= EXCITED_FROM:
                self.excitations[str(r)] = Excitation(widths[r // 16], widths[r])
        self.to_image = nn.Conv2d(widths[self.max_resolution], image_channels, 3, padding=1)

    def forward(
        self, ws: Tensor, *, resolution: int, alpha: float = 1.0, noise: layers.Noise = None
    ) -> Tensor:
        """Raises ValueError for another resolution, or for noise."""
        layers.check_largest(resolution, self.max_resolution, alpha)
        layers.check_single(ws, noise)
        x = layers.leaky_relu(self.first_norm(self.first(ws[:, 0, :, None, None])))
        drawn = {4: x}
        for name, block in self.blocks.items():
            r = int(name)
            x = block(x)
            if name in self.excitations:
                x = x * self.excitations[name](drawn[r // 16])
            drawn[r] = x
        image = self.to_image(x)
        return torch.tanh(widen(image))


class Generator(layers.LatentGenerator):
    """Normalised latents to images.  Liu et al. 2021, section 3.1.

    Batch statistics in training, running ones in `eval()`, where an image depends on nothing but
    its own latent.  Raises ValueError for a max_resolution that is not a power of two in 8..1024.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 8..1024
        image_channels: int = 1,
        capacity: float = 0.25,
        latent_dim: int = 128,
        condition_dim: int = 0,
    ) -> None:
        super().__init__(latent_dim, condition_dim)
        if max_resolution not in FULL_WIDTHS or max_resolution < 8:
            raise ValueError(f"{max_resolution} px is not a power of two in 8..1024")
        self.resolutions = (max_resolution,)
        widths = widths_of(max_resolution, capacity)
        self.synthesis = Synthesis(widths, image_channels, self.inputs)
