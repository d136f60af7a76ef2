"""The augmentation pipeline of StyleGAN2-ADA: what is drawn, and in which order it is done.

Karras et al. 2020b, section 2.2 and appendix B.  Every transform happens with probability p and
is differentiable, so that the generator learns through it; while p stays below 1 the distribution
of augmented images determines that of the images, and augmentations do not leak into them.
Left and right are exchanged only on request: in scans they mean something.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mri_gan.nets.augmentation import colour
from mri_gan.nets.augmentation.geometry import blit, rotation, scaling, translation, warp

KINDS = ("blit", "geometry", "colour", "tone", "filter", "noise", "cutout")
DEFAULT_KINDS = ("blit", "geometry", "colour")  # 2020b, section 2.3 and figure 5
# Strengths as in 2020b, appendix B.
MAX_SHIFT = 0.125  # of the width
LOG2_SCALE_STD = 0.2
TRANSLATION_STD = 0.125  # of the width
BRIGHTNESS_STD = 0.2
LOG2_CONTRAST_STD = 0.5
LOG2_SATURATION_STD = 1.0
TONE_BRIGHTNESS_STD, TONE_LOG2_CONTRAST_STD = 0.1, 0.2  # as scanners differ, without inversion
LOG2_BAND_STD = 1.0
NOISE_STD = 0.1


@dataclass(frozen=True)
class Draws:
    """The random numbers of one batch; `None` where a kind is not in use.  N is the batch."""

    blit: tuple[Tensor, Tensor, Tensor] | None = None  # mirror [N], quarter turns [N], shift [N, 2]
    inverse: Tensor | None = None  # [N, 3, 3], target to source
    warped: Tensor | None = None  # [N] bool: the inverse is not the identity
    colour: Tensor | None = None  # [N, C, C + 1]
    tone: Tensor | None = None  # [N, C, C + 1]
    bands: Tensor | None = None  # [N, 4]
    noise: Tensor | None = None  # [N, C, S, S]
    cutout: tuple[Tensor, Tensor] | None = None  # centre [N, 2], active [N]

    def rows(self, chosen: Tensor) -> Draws:
        """The draws of some images of the batch."""
        picked: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                picked[field.name] = tuple(part[chosen] for part in value)
            elif value is not None:
                picked[field.name] = value[chosen]
        return replace(self, **picked)


def draw_augmentations(
    n: int,  # images
    p: Tensor | float,  # probability of each transform, [] on the generator's device
    rng: torch.Generator,
    *,
    size: int,  # px
    channels: int,  # image channels that have a colour; masks and the like come behind them
    kinds: tuple[str, ...] = DEFAULT_KINDS,
    mirror: bool = False,
) -> Draws:
    """Draw what `augment` will do to n images.  Nothing waits for the device.

    Raises ValueError for an unknown kind.  2020b, appendix B.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"no augmentations called {', '.join(unknown)}")
    dice = Dice(n, p, rng)
    inverse, warped = _draw_inverse(dice, size) if "geometry" in kinds else (None, None)
    return Draws(
        _draw_blit(dice, size, mirror) if "blit" in kinds else None,
        inverse,
        warped,
        _draw_colour(dice, channels) if "colour" in kinds else None,
        _draw_tone(dice, channels) if "tone" in kinds else None,
        colour.band_gains(2 ** (LOG2_BAND_STD * dice.normal(colour.BANDS)))
        if "filter" in kinds
        else None,
        _draw_noise(dice, channels, size) if "noise" in kinds else None,
        (dice.uniform(2), dice.happens()) if "cutout" in kinds else None,
    )


def augment(images: Tensor, draws: Draws, colour_channels: int | None = None) -> Tensor:
    """Apply the draws to images [N, C, S, S].

    Geometry and cutout concern all channels, so that masks stay where their image is; colour,
    filters and noise the first `colour_channels` alone (all by default).  2020b, appendix B.
    """
    if draws.blit is not None:
        images = blit(images, *draws.blit)
    if draws.inverse is not None and draws.warped is not None:
        moved = warp(images, draws.inverse)
        images = torch.where(draws.warped[:, None, None, None], moved, images)
    count = images.shape[1] if colour_channels is None else colour_channels
    images = _on_first(images, count, lambda part: _change_values(part, draws))
    return images if draws.cutout is None else colour.cut_out(images, *draws.cutout)


def _change_values(images: Tensor, draws: Draws) -> Tensor:
    """Colour, frequency bands, noise, in this order."""
    if draws.colour is not None:
        images = colour.recolour(images, draws.colour)
    if draws.tone is not None:
        images = colour.recolour(images, draws.tone)
    if draws.bands is not None:
        images = colour.filter_bands(images, draws.bands)
    if draws.noise is not None:
        images = images + draws.noise.to(images.dtype)
    return images


def _on_first(images: Tensor, count: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change the first channels and leave the others."""
    if count == images.shape[1]:
        return change(images)
    return torch.cat([change(images[:, :count]), images[:, count:]], dim=1)


class Dice:
    """Random numbers for n images, each transform happening with probability p."""

    def __init__(self, n: int, p: Tensor | float, rng: torch.Generator) -> None:
        self.n, self.p, self.rng = n, p, rng

    def uniform(self, *shape: int) -> Tensor:
        """[n, ..] from 0..1."""
        return torch.rand((self.n, *shape), generator=self.rng, device=self.rng.device)

    def happens(self, p: Tensor | float | None = None) -> Tensor:
        """[n] bool, true with probability p."""
        return self.uniform() < (self.p if p is None else p)

    def normal(self, *shape: int) -> Tensor:
        """[n, ..] from N(0, 1), each number 0 where the transform does not happen."""
        drawn = torch.randn((self.n, *shape), generator=self.rng, device=self.rng.device)
        return torch.where(self.uniform(*shape) < self.p, drawn, 0.0)


def _draw_blit(dice: Dice, size: int, mirror: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Each is drawn from all its values, the neutral one among them, so that p < 1 cannot leak."""
    none = torch.zeros(dice.n, dtype=torch.bool, device=dice.rng.device)
    mirrored = (dice.happens() & (dice.uniform() < 0.5)) if mirror else none
    turns = torch.where(dice.happens(), (dice.uniform() * 4).long(), 0)
    shift = ((dice.uniform(2) * 2 - 1) * MAX_SHIFT * size).round().long()
    return mirrored, turns, torch.where(dice.happens()[:, None], shift, 0)


def _draw_inverse(dice: Dice, size: int) -> tuple[Tensor, Tensor]:
    """Scale, turn, stretch, turn again, move: the inverse of their product.

    Either turn happens with 1 - sqrt(1 - p), so that one of them does with p.
    """
    p_turn = 1 - math.sqrt(1 - dice.p) if isinstance(dice.p, float) else 1 - (1 - dice.p).sqrt()
    scale = 2 ** (LOG2_SCALE_STD * dice.normal())
    first, second = (
        torch.where(dice.happens(p_turn), (dice.uniform() * 2 - 1) * math.pi, 0.0) for _ in range(2)
    )
    stretch = 2 ** (LOG2_SCALE_STD * dice.normal())
    moved = dice.happens()[:, None]
    normal = torch.randn((dice.n, 2), generator=dice.rng, device=dice.rng.device)
    shift = torch.where(moved, TRANSLATION_STD * size * normal, 0.0)
    inverse = scaling(1 / scale, 1 / scale) @ rotation(-first) @ scaling(1 / stretch, stretch)
    inverse = inverse @ rotation(-second) @ translation(-shift[:, 0], -shift[:, 1])
    warped = (scale != 1) | (first != 0) | (second != 0) | (stretch != 1) | moved[:, 0]
    return inverse, warped


def _draw_colour(dice: Dice, channels: int) -> Tensor:
    """The five colour transforms as one matrix for each image."""
    return colour.colour_matrix(
        channels,
        brightness=BRIGHTNESS_STD * dice.normal(),
        contrast=2 ** (LOG2_CONTRAST_STD * dice.normal()),
        invert_luma=dice.happens() & (dice.uniform() < 0.5),
        hue=torch.where(dice.happens(), (dice.uniform() * 2 - 1) * math.pi, 0.0),
        saturation=2 ** (LOG2_SATURATION_STD * dice.normal()),
    )


def _draw_tone(dice: Dice, channels: int) -> Tensor:
    """Brightness and contrast alone, the contrast about black."""
    factor = 2 ** (TONE_LOG2_CONTRAST_STD * dice.normal())
    offset = factor - 1 + TONE_BRIGHTNESS_STD * dice.normal()  # -1 is black and stays black
    eye = torch.eye(channels, device=factor.device)
    columns = offset[:, None, None].expand(-1, channels, 1)
    return torch.cat([eye * factor[:, None, None], columns], dim=2)


def _draw_noise(dice: Dice, channels: int, size: int) -> Tensor:
    """White noise, its strength drawn for each image."""
    strength = (NOISE_STD * dice.normal()).abs()
    shape = (dice.n, channels, size, size)
    white = torch.randn(shape, generator=dice.rng, device=dice.rng.device)
    return white * strength[:, None, None, None]
