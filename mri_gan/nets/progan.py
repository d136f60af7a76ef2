"""The progressively grown generator; its critic is `stylegan.Critic(blur=False)`.

Karras, Aila, Laine and Lehtinen 2018, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation", table 2. The blocks for all
resolutions exist from the start and those not yet reached take no part.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mri_gan.nets import layers
from mri_gan.nets.convolution import upsample_nearest2


class LatentBlock(nn.Module):
    """The block at 4 px: latents [N, D] -> [N, C, 4, 4].

    A 4x4 convolution that sees one pixel, then one of 3x3.  Karras et al. 2018, table 2.
    """

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.spread = layers.EqualConv2d(latent_dim, channels, 4)
        self.conv1 = layers.EqualConv2d(channels, channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        assert self.spread.bias is not None
        x = torch.einsum("nd,cdhw->nchw", z, self.spread.kernel())
        x = layers.pixel_norm(layers.leaky_relu(x + self.spread.bias[:, None, None]))
        return layers.pixel_norm(layers.leaky_relu(self.conv1(x)))


class GrowingBlock(nn.Module):
    """A block that doubles the size: [N, C, H, W] -> [N, D, 2H, 2W].

    Karras et al. 2018, table 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = layers.UpConv2d(inputs, outputs)
        self.conv1 = layers.EqualConv2d(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = layers.pixel_norm(layers.leaky_relu(self.conv0(x)))
        return layers.pixel_norm(layers.leaky_relu(self.conv1(x)))


class Synthesis(nn.Module):
    """Draw images from normalised latents: ws [N, 1, D] -> [N, image_channels, R, R].

    Karras et al. 2018, section 2, figure 2 and table 2.
    """

    def __init__(
        self, max_resolution: int, image_channels: int, capacity: float, inputs: int
    ) -> None:
        super().__init__()
        sizes = layers.resolutions_up_to(max_resolution)
        width = {r: layers.channels_at(r, capacity) for r in sizes}
        self.max_resolution = max_resolution
        self.blocks = nn.ModuleDict({"4": LatentBlock(inputs, width[4])})
        for r in sizes[1:]:
            self.blocks[str(r)] = GrowingBlock(width[r // 2], width[r])
        self.to_image = nn.ModuleDict(
            {str(r): layers.EqualConv2d(width[r], image_channels, 1, gain=1.0) for r in sizes}
        )

    def forward(
        self, ws: Tensor, *, resolution: int, alpha: float = 1.0, noise: layers.Noise = None
    ) -> Tensor:
        """Raises ValueError for a resolution the network lacks, or for noise."""
        layers.check_resolution(resolution, self.max_resolution, alpha)
        layers.check_single(ws, noise)
        lower = x = self.blocks["4"](ws[:, 0])
        for r in layers.resolutions_up_to(resolution)[1:]:
            lower = x
            x = self.blocks[str(r)](x)
        image: Tensor = self.to_image[str(resolution)](x)
        if alpha == 1.0 or resolution == 4:
            return image
        old = upsample_nearest2(self.to_image[str(resolution // 2)](lower))
        return layers.fade(old, image, alpha)


class Generator(layers.LatentGenerator):
    """Normalised latents to images.  Karras et al. 2018, section 2 and table 2.

    Initial weights come from the global random generator.  Raises ValueError for a max_resolution
    that is not a power of two in 4..1024, or a capacity not above 0.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 4..1024
        image_channels: int = 1,
        capacity: float = 1.0,
        latent_dim: int = 512,
        condition_dim: int = 0,
    ) -> None:
        super().__init__(latent_dim, condition_dim)
        self.resolutions = tuple(layers.resolutions_up_to(max_resolution))
        self.synthesis = Synthesis(max_resolution, image_channels, capacity, self.inputs)
