"""The style-based generator, and the progressive critic that ProGAN has, too.

Karras, Laine and Aila 2019, "A Style-Based Generator Architecture for GANs" (StyleGAN), on
Karras, Aila, Laine and Lehtinen 2018, "Progressive Growing of GANs" (ProGAN).  The blocks for all
resolutions exist from the start, keyed by their size: `synthesis.blocks.32.conv0.weight`.  Those
not yet reached take no part in a forward pass and get no gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import convolution, layers


class MappingNetwork(nn.Module):
    """Map latents to styles: z [N, latent_dim], condition [N, condition_dim] -> w [N, latent_dim].

    z is normalised to unit mean square first.  Karras et al. 2019, section 2; the learning rate
    times 0.01: appendix C.
    """

    def __init__(
        self,
        latent_dim: int = 512,
        depth: int = 8,
        lr_multiplier: float = 0.01,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.embed = layers.ConditionEmbedding(condition_dim, latent_dim)
        inputs = [2 * latent_dim if condition_dim else latent_dim] + [latent_dim] * (depth - 1)
        self.layers = nn.ModuleList(
            layers.EqualLinear(n, latent_dim, lr_multiplier=lr_multiplier) for n in inputs
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        w: Tensor = self.embed(layers.pixel_norm(z), condition)
        for layer in self.layers:
            w = layers.leaky_relu(layer(w))
        return w


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Give every channel of every image the standard deviation `scale` and the mean `shift`.

    x [N, C, H, W], scale and shift [N, C] -> [N, C, H, W].  The variance is the biased one.
    Karras et al. 2019, equation 1.
    """
    n, channels, height, width = x.shape
    if convolution.innermost(x) or convolution.is_traced():
        # The way below would copy to the other order of axes and back, and holds for N alone.
        # In float32 at least: a mean rounded to bfloat16 is off by a tenth of a deviation.
        variance, mean = torch.var_mean(
            convolution.widen(x), dim=(2, 3), correction=0, keepdim=True
        )
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
        self.affine = layers.EqualLinear(latent_dim, 2 * channels, gain=1.0)
        with torch.no_grad():
            self.affine.bias[:channels] = 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style: Tensor = self.affine(w)  # [N, 2C]
        scale, shift = style.chunk(2, dim=1)
        return adaptive_instance_norm(x, scale, shift)


class StyleLayer(nn.Module):
    """Noise, bias, leaky rectifier, AdaIN: x [N, C, H, W], w [N, D], noise -> [N, C, H, W].

    Karras et al. 2019, figure 1b.
    """

    def __init__(self, channels: int, latent_dim: int, *, blur_bias: bool = False) -> None:
        super().__init__()
        self.blur_bias = blur_bias  # as if the bias had been added before the blur
        self.noise = layers.NoiseInjection(channels)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.adain = AdaIN(channels, latent_dim)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        x = self.noise(x, noise)
        bias = self.bias[:, None, None]
        if self.blur_bias:
            bias = bias * convolution.blur(torch.ones_like(x[:1, :1], dtype=bias.dtype))[0]
        x = layers.leaky_relu(x + bias.to(x.dtype))
        styled: Tensor = self.adain(x, w)
        return styled


class ConstantBlock(nn.Module):
    """The block at 4 px, grown from a learned constant: ws [N, 2, D] -> [N, C, 4, 4].

    Karras et al. 2019, section 2 and figure 1b.
    """

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.ones(channels, 4, 4))
        self.style0 = StyleLayer(channels, latent_dim)
        self.conv1 = layers.EqualConv2d(channels, channels, 3, bias=False)
        self.style1 = StyleLayer(channels, latent_dim)

    def forward(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        x = self.constant.expand(ws.shape[0], -1, -1, -1)  # [N, C, 4, 4]
        x = self.style0(x, ws[:, 0], noise[0])
        features: Tensor = self.style1(self.conv1(x), ws[:, 1], noise[1])
        return features


class GrowingBlock(nn.Module):
    """A block that doubles the size: x [N, C, H, W], ws [N, 2, D] -> [N, E, 2H, 2W].

    Karras et al. 2019, figure 1b; blur after doubling: section 2.1 and appendix C.
    """

    def __init__(
        self, inputs: int, outputs: int, latent_dim: int, *, blur_bias: bool = False
    ) -> None:
        super().__init__()
        # The biases sit in the style layers: after the blur, which would bend them at the border,
        # unless weights from elsewhere want it so.
        self.conv0 = layers.UpConv2d(inputs, outputs, bias=False)
        self.blur = layers.Blur()
        self.style0 = StyleLayer(outputs, latent_dim, blur_bias=blur_bias)
        self.conv1 = layers.EqualConv2d(outputs, outputs, 3, bias=False)
        self.style1 = StyleLayer(outputs, latent_dim)

    def forward(self, x: Tensor, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        x = self.style0(self.blur(self.conv0(x)), ws[:, 0], noise[0])
        features: Tensor = self.style1(self.conv1(x), ws[:, 1], noise[1])
        return features


class Synthesis(nn.Module):
    """Draw images from styles: ws [N, L, latent_dim] -> images [N, image_channels, R, R].

    Karras et al. 2019, section 2 and figure 1b; growing: Karras et al. 2018, section 2.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 4..1024
        image_channels: int,
        capacity: float,
        latent_dim: int,
        blur_bias: bool = False,
    ) -> None:
        super().__init__()
        sizes = layers.resolutions_up_to(max_resolution)
        width = {r: layers.channels_at(r, capacity) for r in sizes}
        self.max_resolution = max_resolution
        self.blocks = nn.ModuleDict({"4": ConstantBlock(width[4], latent_dim)})
        for r in sizes[1:]:
            self.blocks[str(r)] = GrowingBlock(
                width[r // 2], width[r], latent_dim, blur_bias=blur_bias
            )
        self.to_image = nn.ModuleDict(
            {str(r): layers.EqualConv2d(width[r], image_channels, 1, gain=1.0) for r in sizes}
        )

    def forward(
        self,
        ws: Tensor,  # [N, num_style_layers(resolution), latent_dim]
        *,
        resolution: int,  # px
        alpha: float = 1.0,
        noise: layers.Noise = None,
    ) -> Tensor:
        """Run the blocks up to `resolution`; alpha < 1 fades it in over the doubled lower image.

        Raises ValueError for a resolution the network lacks, an alpha outside 0..1, or styles or
        noise not made for this resolution.  Karras et al. 2018, section 2, figure 2.
        """
        layers.check_resolution(resolution, self.max_resolution, alpha)
        count = layers.num_style_layers(resolution)
        noise = [None] * count if noise is None else noise
        if ws.shape[1] != count or len(noise) != count:
            raise ValueError(
                f"{resolution} px has {count} style layers, "
                f"not {ws.shape[1]} (styles) or {len(noise)} (noise)"
            )
        lower = x = self.blocks["4"](ws[:, :2], noise[:2])
        for i, r in enumerate(layers.resolutions_up_to(resolution)[1:], start=1):
            lower, here = x, slice(2 * i, 2 * i + 2)
            x = self.blocks[str(r)](x, ws[:, here], noise[here])
        image: Tensor = self.to_image[str(resolution)](x)
        if alpha == 1.0 or resolution == 4:
            return image
        old = convolution.upsample_nearest2(self.to_image[str(resolution // 2)](lower))
        return layers.fade(old, image, alpha)


class Generator(layers.GeneratorNet):
    """Mapping, synthesis and the running mean of w (`w_avg`, kept up to date by the trainer).

    Initial weights come from the global random generator; nothing later does.
    Karras et al. 2019, section 2 and figure 1b.  Raises ValueError for a max_resolution that is no
    power of two in 4..1024, or a capacity not above 0.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 4..1024
        image_channels: int = 1,
        capacity: float = 1.0,  # multiplies every width; 1 is the paper
        latent_dim: int = 512,
        mapping_depth: int = 8,
        condition_dim: int = 0,
        blur_bias: bool = False,  # biases of growing layers as if added before the blur
    ) -> None:
        super().__init__()
        self.resolutions = tuple(layers.resolutions_up_to(max_resolution))
        self.latent_dim = latent_dim
        self.condition_dim = condition_dim
        self.mapping = MappingNetwork(latent_dim, mapping_depth, condition_dim=condition_dim)
        self.synthesis = Synthesis(
            max_resolution=max_resolution,
            image_channels=image_channels,
            capacity=capacity,
            latent_dim=latent_dim,
            blur_bias=blur_bias,
        )
        self.register_buffer("w_avg", torch.zeros(latent_dim))

    def num_layers(self, resolution: int) -> int:
        """Two styles for each block."""
        return layers.num_style_layers(resolution)

    def noise_shapes(self, n: int, resolution: int) -> list[layers.NoiseShape]:
        """Two [n, 1, r, r] for each r = 4, 8, .., resolution."""
        return [(n, 1, r, r) for r in layers.resolutions_up_to(resolution) for _ in range(2)]

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents to styles: z [N, latent_dim] -> w [N, latent_dim]."""
        w: Tensor = self.mapping(z, condition)
        return w


# The progressive critic


class ShrinkingBlock(nn.Module):
    """A block that halves the size: [N, C, 2H, 2W] -> [N, D, H, W].

    Karras et al. 2018, table 2; blur before halving: Karras et al. 2019, section 2.1, appendix C.
    """

    def __init__(self, inputs: int, outputs: int, *, blur: bool = True) -> None:
        super().__init__()
        self.conv0 = layers.EqualConv2d(inputs, inputs, 3)
        self.blur = layers.Blur() if blur else nn.Identity()
        self.conv1 = layers.DownConv2d(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = layers.leaky_relu(self.conv0(x))
        return layers.leaky_relu(self.conv1(self.blur(x)))


class ScoringBlock(nn.Module):
    """The block at 4 px: [N, C, 4, 4] -> scores [N].

    Karras et al. 2018, section 3 (the extra channel) and table 2.
    """

    def __init__(self, channels: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.conv = layers.EqualConv2d(channels + 1, channels, 3)
        self.dense0 = layers.EqualLinear(channels * 4 * 4, channels)
        self.dense1 = layers.EqualLinear(channels, 1, gain=1.0)
        self.project = layers.ConditionProjection(condition_dim, channels)

    def forward(self, x: Tensor, *, parts: int, condition: Tensor | None = None) -> Tensor:
        x = layers.minibatch_stddev(x, parts=parts)
        x = layers.leaky_relu(self.conv(x))
        x = layers.leaky_relu(self.dense0(x.flatten(1)))
        scores: Tensor = self.dense1(x)  # [N, 1]
        projected: Tensor = self.project(x, condition)
        return scores.squeeze(1) + projected


class Critic(layers.CriticNet):
    """Score images, higher for real: images [N, image_channels, R, R] -> scores [N].

    Initial weights come from the global random generator.  Raises ValueError for a max_resolution
    that is not a power of two in 4..1024, or a capacity not above 0.  Karras et al. 2018, table 2.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px, 4..1024
        image_channels: int = 1,
        capacity: float = 1.0,  # multiplies every width; 1 is the paper
        condition_dim: int = 0,
        blur: bool = True,  # before halving: StyleGAN; without: ProGAN
    ) -> None:
        super().__init__()
        sizes = layers.resolutions_up_to(max_resolution)
        width = {r: layers.channels_at(r, capacity) for r in sizes}
        self.max_resolution = max_resolution
        self.condition_dim = condition_dim
        self.from_image = nn.ModuleDict(
            {str(r): layers.EqualConv2d(image_channels, width[r], 1) for r in sizes}
        )
        self.blocks = nn.ModuleDict({"4": ScoringBlock(width[4], condition_dim)})
        for r in sizes[1:]:
            self.blocks[str(r)] = ShrinkingBlock(width[r], width[r // 2], blur=blur)

    def score_inputs(
        self,
        inputs: list[Tensor],
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Score images of any resolution the critic has; alpha < 1 fades the newest block in.

        Karras et al. 2018, figure 2.
        """
        (images,) = inputs
        resolution = images.shape[-1]
        layers.check_resolution(resolution, self.max_resolution, alpha)
        layers.check_square(images)
        x = self._features(images)
        below = [r for r in layers.resolutions_up_to(resolution) if r > 4][::-1]
        for r in below:
            x = self.blocks[str(r)](x)
            if r == resolution and alpha < 1.0:
                x = layers.fade(self._features(convolution.downsample_mean2(images)), x, alpha)
        scores: Tensor = self.blocks["4"](x, parts=parts, condition=condition)
        return scores

    def _features(self, images: Tensor) -> Tensor:
        """Lift images to features: [N, image_channels, R, R] -> [N, C, R, R]."""
        return layers.leaky_relu(self.from_image[str(images.shape[-1])](images))
