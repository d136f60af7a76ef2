"""Critics that judge images by the features of a frozen network which was trained on photographs.

Sauer, Chitta, Müller and Geiger 2021, "Projected GANs Converge Faster", section 3: features at
four scales, mixed by fixed random convolutions, a small critic on each.  The small critics are
spectrally normalised (Miyato et al. 2018) and see how much the images of a batch differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mri_gan.nets import layers
from mri_gan.nets.convolution import block_precision, convolve

STAGE_ENDS = (3, 5, 11, 16)  # blocks of EfficientNet-Lite0 before 1/4, 1/8, 1/16, 1/32 of the size
MIXED = 64  # channels of every scale after mixing
WIDTH = 64  # of the small critics
# Standard deviation of each scale after mixing, the finest first: the mean of brain and knee slices
# at 64, 128 and 256 px, which differ by less than a quarter. Small critics begin with scores of 1.
SPREADS = (12.0, 9.5, 6.3, 2.9)
MAP_PX = 4  # a side of each small critic's scores
LOWEST_PX = 64  # smaller images are enlarged to this before the features
EDGE_SPREAD, CORNER_SPREAD = 1.3, 0.6  # of wavelet bands, times the root of the image's size
MEAN, SCALE = 127 / 128, 127.5 / 128  # EfficientNet-Lite takes (grey - 127) / 128 of 0..255


class Folded(nn.Module):
    """A convolution and the batch normalisation after it as one, frozen: kept in no checkpoint.

    Borders as TensorFlow has them for "same": with a stride of 2 one more at the right and below.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: Any, norm: Any) -> None:
        super().__init__()
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = (convolution.weight * factor[:, None, None, None]).detach()
        self.register_buffer("weight", weight, persistent=False)
        bias = (norm.bias - norm.running_mean * factor).detach()
        self.register_buffer("bias", bias, persistent=False)
        self.stride, self.groups = int(convolution.stride[0]), int(convolution.groups)

    def forward(self, x: Tensor) -> Tensor:
        px = self.weight.shape[-1]
        if self.stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, px // 2, 1, self.groups)
        sides = [_same_border(size, px, self.stride) for size in (x.shape[3], x.shape[2])]
        padded = F.pad(x, [*sides[0], *sides[1]])
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _same_border(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class FrozenBlock(nn.Module):
    """An inverted residual block of EfficientNet-Lite.  Sandler et al. 2018, section 3.3."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        expands = hasattr(block, "_expand_conv")
        self.expand = Folded(block._expand_conv, block._bn0) if expands else None
        self.depthwise = Folded(block._depthwise_conv, block._bn1)
        self.project = Folded(block._project_conv, block._bn2)
        inputs = block._block_args.input_filters
        self.adds = bool(
            self.depthwise.stride == 1 and block.id_skip and inputs == len(self.project.weight)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = F.relu6(self.depthwise(y))
        y = self.project(y)
        return torch.add(x, y) if self.adds else y


class FrozenFeatures(nn.Module):
    """Features of a grey image at four scales: [N, 1, R, R], -1..1 -> four of [N, D, r, r].

    Grey is given to all three colours, which is the same as one convolution with their sum.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.stem = Folded(network._conv_stem, network._bn0)
        self.stem.weight = self.stem.weight.sum(1, keepdim=True)
        blocks = [FrozenBlock(block) for block in network._blocks]
        starts = (0, *STAGE_ENDS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(*blocks[a:b]) for a, b in zip(starts, STAGE_ENDS, strict=True)
        )
        self.widths = [len(blocks[end - 1].project.weight) for end in STAGE_ENDS]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem(images * SCALE + (SCALE - MEAN)))
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class RandomMixing(nn.Module):
    """Fixed random mixing of channels and scales: four of [N, D, r, r] -> four of [N, 64, r, r].

    Each scale through a 1x1 convolution, then from the coarsest to the finest the sum with the
    enlarged one below through a 3x3 convolution.  Sauer et al. 2021, section 3.2 and figure 2.
    Each is divided by `SPREADS`.  The weights are drawn once, never trained, and kept in
    checkpoints.
    """

    spreads: Tensor

    def __init__(self, widths: Iterable[int]) -> None:
        super().__init__()
        self.channels = [self._draw(f"channels{i}", w, 1) for i, w in enumerate(widths)]
        self.scales = [self._draw(f"scales{i}", MIXED, 3) for i in range(len(self.channels) - 1)]
        self.register_buffer("spreads", torch.tensor(SPREADS[: len(self.channels)]))

    def _draw(self, name: str, inputs: int, px: int) -> str:
        weight = torch.empty(MIXED, inputs, px, px)
        self.register_buffer(name, nn.init.kaiming_normal_(weight, nonlinearity="linear"))
        return name

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        pairs = zip(features, self.channels, strict=True)
        mixed = [F.conv2d(x, self.get_buffer(name)) for x, name in pairs]
        for i in range(len(mixed) - 2, -1, -1):
            enlarged = F.interpolate(mixed[i + 1], mixed[i].shape[2:], mode="bilinear")
            mixed[i] = F.conv2d(mixed[i] + enlarged, self.get_buffer(self.scales[i]), padding=1)
        return [x / spread for x, spread in zip(mixed, self.spreads, strict=True)]

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """As every module does; checkpoints of earlier versions divided by nothing."""
        state.setdefault(f"{prefix}spreads", torch.ones_like(self.spreads))
        super()._load_from_state_dict(state, prefix, *others)


def _convolve_normed(layer: Any, x: Tensor, stride: int = 1) -> Tensor:
    """What a spectrally normalised layer does; penalties are quicker through our convolution."""
    return convolve(x, layer.weight, layer.bias, stride=stride, padding=1)


class SmallCritic(nn.Module):
    """Scores of features or images: [N, inputs, r, r] -> [N, 16], each of a part of the image.

    Spectrally normalised convolutions that halve the size down to 4 px.  Sauer et al. 2021,
    section 3.1; the channel of deviations: Karras et al. 2018, section 3.
    """

    def __init__(self, size: int, inputs: int = MIXED, condition_dim: int = 0) -> None:
        super().__init__()
        self.halve = nn.ModuleList()
        while size > MAP_PX:
            width = WIDTH if self.halve or inputs == MIXED else WIDTH // 2
            self.halve.append(spectral_norm(nn.Conv2d(inputs, width, 4, stride=2, padding=1)))
            inputs, size = width, size // 2
        self.compare = spectral_norm(nn.Conv2d(inputs + 1, WIDTH, 3, padding=1))
        self.score = spectral_norm(nn.Conv2d(WIDTH, 1, 1))
        self.project = layers.ConditionProjection(condition_dim, WIDTH)

    def forward(self, x: Tensor, *, parts: int, condition: Tensor | None = None) -> Tensor:
        for layer in self.halve:
            x = layers.leaky_relu(_convolve_normed(layer, x, stride=2))
        x = layers.leaky_relu(
            _convolve_normed(self.compare, layers.minibatch_stddev(x, parts=parts))
        )
        scores = F.interpolate(self.score(x), (MAP_PX, MAP_PX)).flatten(1)
        projected: Tensor = self.project(x.mean((2, 3)), condition)
        return scores + projected[:, None]


def split_bands(images: Tensor) -> Tensor:
    """Haar's wavelet bands, each divided by its usual spread: [N, C, R, R] -> [N, 4 * C, R/2, R/2].

    The finest frequencies of a slice are a hundredth of its greys: as they are, critics hardly see
    them, and generators leave them out.  Gal et al. 2021, "SWAGAN", section 3.  The spreads are
    those of brain slices at 64 to 256 px.
    """
    edge, corner = EDGE_SPREAD / images.shape[-1] ** 0.5, CORNER_SPREAD / images.shape[-1] ** 0.5
    a, b = images[..., ::2, ::2], images[..., ::2, 1::2]
    c, d = images[..., 1::2, ::2], images[..., 1::2, 1::2]
    mean, across = (a + b + c + d) / 4, (a - b + c - d) / (2 * edge)
    along, corners = (a + b - c - d) / (2 * edge), (a - b - c + d) / (2 * corner)
    return torch.cat([mean, across, along, corners], 1)


class PixelCritic(layers.CriticNet):
    """The ordinary critic of the light generator: [N, C, R, R] -> scores [N, 16] of 4x4 parts.

    One small critic as those on features, on the image itself, or with `wavelets` on its wavelet
    bands.  It sees what features blur: the finest frequencies.
    """

    def __init__(
        self,
        *,
        max_resolution: int,  # px
        image_channels: int = 1,
        condition_dim: int = 0,
        wavelets: bool = False,
    ) -> None:
        super().__init__()
        self.condition_dim, self.size, self.wavelets = condition_dim, max_resolution, wavelets
        step = 2 if wavelets else 1  # px between the values of a band
        self.critic = SmallCritic(max_resolution // step, step**2 * image_channels, condition_dim)

    def trained_inputs(self, images: Tensor) -> list[Tensor]:
        """The images or their bands; raises ValueError for another size."""
        layers.check_largest(images.shape[-1], self.size, 1.0)
        layers.check_square(images)
        return [split_bands(images.float()) if self.wavelets else images]

    def score_inputs(
        self,
        inputs: list[Tensor],
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Scores; raises ValueError for an alpha below 1, or N no multiple of `parts`."""
        layers.check_largest(self.size, self.size, alpha)
        scores: Tensor = self.critic(inputs[0], parts=parts, condition=condition)
        return scores


class Critic(layers.CriticNet):
    """Score images by frozen features: [N, C, R, R] -> scores [N, 4 * 16], higher for real.

    Four scales of 4x4 parts of the image.  Every channel is judged as a grey image; the scores
    see all.  Images of any size up to `max_resolution` are enlarged to it, or to 64 px if that
    is more, so that a growing generator keeps its critics.  Sauer et al. 2021.
    """

    def __init__(
        self,
        network: Any,  # EfficientNet-Lite0 with its weights
        *,
        max_resolution: int,  # px
        image_channels: int = 1,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.size = max(max_resolution, LOWEST_PX)
        self.features = FrozenFeatures(network)
        self.mixing = RandomMixing(width * image_channels for width in self.features.widths)
        self.critics = nn.ModuleList(
            SmallCritic(self.size // (4 << i), MIXED, condition_dim) for i in range(len(STAGE_ENDS))
        )

    def trained_inputs(self, images: Tensor) -> list[Tensor]:
        """The mixed features of each scale, the finest first: four of [N, 64, r, r]."""
        layers.check_square(images)
        # On a CPU depthwise convolutions in bfloat16 take twice as long.
        with block_precision(images, low=False):
            mixed: list[Tensor] = self.mixing(self.describe(images.float()))
        return mixed

    def score_inputs(
        self,
        inputs: list[Tensor],
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """The scores of the small critics on mixed features: [N, 64]."""
        with block_precision(inputs[0], low=False):
            scores = [
                critic(x, parts=parts, condition=condition)
                for critic, x in zip(self.critics, inputs, strict=True)
            ]
        return torch.cat(scores, 1)

    def describe(self, images: Tensor) -> list[Tensor]:
        """The features of every channel side by side: four of [N, C * D, r, r]."""
        if images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear")
        n, channels = images.shape[:2]
        grey = images.reshape(n * channels, 1, self.size, self.size)
        return [x.reshape(n, -1, *x.shape[2:]) for x in self.features(grey)]


class JointCritic(layers.CriticNet):
    """An ordinary critic beside the one on features: -> scores [N, 80].

    The ordinary score weighs as much as one scale of features.
    """

    def __init__(self, own: layers.CriticNet, features: Critic) -> None:
        super().__init__()
        self.condition_dim = features.condition_dim
        self.own, self.by_features = own, features

    def trained_inputs(self, images: Tensor) -> list[Tensor]:
        """What the ordinary critic is given, and the mixed features of each scale."""
        return [*self.own.trained_inputs(images), *self.by_features.trained_inputs(images)]

    def score_inputs(
        self,
        inputs: list[Tensor],
        *,
        alpha: float = 1.0,
        parts: int = 1,
        condition: Tensor | None = None,
    ) -> Tensor:
        """The scores of the critics on features, then those of the ordinary one: [N, 80]."""
        given: dict[str, Any] = {"alpha": alpha, "parts": parts, "condition": condition}
        own = self.own.score_inputs(inputs[:1], **given).float().reshape(len(inputs[0]), -1)
        scores = self.by_features.score_inputs(inputs[1:], **given)
        columns = MAP_PX * MAP_PX // own.shape[1]
        return torch.cat([scores, own.repeat_interleave(columns, 1)], 1)
