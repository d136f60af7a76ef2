"""How much alike are a picture and a training slice that are aligned? By tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.evaluate.copies.bands import blur, equal_contrast, take_band

TILE_PX, STRIDE_PX = 16, 8
TILES = 7  # a side, of 64 px
STRUCTURED = 0.25  # of the energy of the strongest tile
HALF_STRUCTURED, FEWEST_TILES = 0.1, 5  # for one half of a picture, which has fewer
SOFT_PX, SOFTEST_PX = 1.0, 2.0  # blur of the slices that blurred copies are compared with
FINE, AROUND_PX = (0.35, 1.6), 3.0  # px: both Gaussians of a band; where contrast is made equal
MIDDLE, COARSE = (0.5, 1.6), (0.8, 3.0)
SLACK_PX, FINE_SLACK_PX = 1, 2  # that each tile may move for itself, each way
VIEWS = ("halves", "whole", "soft")


def compare_tiles(pictures: Tensor, slices: Tensor) -> dict[str, Tensor]:
    """The likeness [M] of pictures and slices [M, 64, 64] that are aligned, in each view.

    All are Fisher's z, atanh(r), of a mean correlation r of tiles in which the slice has structure.
    `halves`: of the most alike of the four halves, in fine detail, that of the slice with the same
    contrast everywhere, so that all of a tile counts and not only its strongest edge; that of the
    picture, too, or as it is, since equal contrast would strengthen noise. `whole`: of all tiles,
    on the slice blurred, which blurred and compressed copies are like. `soft`: as `halves`, in
    coarse detail, on the slice blurred more, for copies blurred as much.
    Brightness is taken as it is, and with the picture's histogram made that of the slice (which
    undoes any gamma); the better one counts.
    """
    even = partial(equal_contrast, scales=FINE, around=AROUND_PX)
    sharp = _Likeness(slices, [even, partial(take_band, scales=FINE)], FINE_SLACK_PX)
    soft = _Likeness(blur(slices, SOFT_PX), [partial(take_band, scales=MIDDLE)])
    softest = _Likeness(blur(slices, SOFTEST_PX), [partial(take_band, scales=COARSE)])
    return {
        "halves": _best_of(sharp, [pictures], mean_half),
        "whole": _best_of(soft, [pictures, blur(pictures, SOFT_PX)], mean_whole),
        "soft": _best_of(softest, [pictures], mean_half),
    }


class _Likeness:
    """Slices made ready for many comparisons, by the first of the bands of pictures."""

    def __init__(
        self, slices: Tensor, bands: Sequence[Callable[[Tensor], Tensor]], slack: int = SLACK_PX
    ) -> None:
        self.bands, self._slack = bands, slack
        self.values = slices.flatten(1).sort(1).values
        self.band = bands[0](slices)
        self.mean = pool_tiles(self.band)
        self.energy = (pool_tiles(self.band**2) - self.mean**2).clamp(min=0)

    def compare(self, band: Tensor) -> Tensor:
        """The correlation of each tile of a band at its best small shift [M, T, T]."""
        size = band.shape[-1]
        padded = F.pad(band[:, None], [self._slack] * 4, mode="replicate")[:, 0]
        best = torch.full_like(self.mean, -1.0)
        for y in range(2 * self._slack + 1):
            for x in range(2 * self._slack + 1):
                moved = padded[:, y : y + size, x : x + size]
                mean = pool_tiles(moved)
                energy = (pool_tiles(moved**2) - mean**2).clamp(min=0)
                joint = pool_tiles(moved * self.band) - mean * self.mean
                best = torch.maximum(best, joint / (energy * self.energy + 1e-5).sqrt())
        return best


def _best_of(
    base: _Likeness, forms: list[Tensor], mean: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The best mean of pictures in several forms, each as it is and with the slice's histogram."""
    both = [form for plain in forms for form in (plain, match_histogram(plain, base.values))]
    seen = [band(form) for form in both for band in base.bands]
    return torch.stack([mean(base.compare(band), base.energy) for band in seen]).amax(0)


def pool_tiles(images: Tensor) -> Tensor:
    """The mean of each tile of pictures [M, 64, 64] -> [M, 7, 7]."""
    blocks = F.avg_pool2d(images[:, None], STRIDE_PX)
    return F.avg_pool2d(blocks, TILE_PX // STRIDE_PX, 1)[:, 0]


def match_histogram(pictures: Tensor, values: Tensor) -> Tensor:
    """Pictures [M, S, S] whose pixels, in order, take the sorted values [M, S * S]."""
    order = pictures.flatten(1).argsort(1)
    return torch.empty_like(values).scatter_(1, order, values).view_as(pictures)


def mean_whole(tiles: Tensor, energy: Tensor) -> Tensor:
    """Fisher's z of the mean over structured tiles [M]."""
    weight = (energy > STRUCTURED * energy.amax((1, 2), keepdim=True)).float()
    return fisher_z((weight * tiles).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1))


def mean_half(tiles: Tensor, energy: Tensor) -> Tensor:
    """Fisher's z of the mean over structured tiles within the best of four halves [M]."""
    weight = (energy > HALF_STRUCTURED * energy.amax((1, 2), keepdim=True)).float()
    most = TILES // 2
    sides = []
    for axis, first in ((1, 0), (1, TILES - most), (2, 0), (2, TILES - most)):
        count = weight.narrow(axis, first, most).sum((1, 2))
        total = (weight * tiles).narrow(axis, first, most).sum((1, 2))
        sides.append(torch.where(count >= FEWEST_TILES, total / count.clamp(min=1), -0.9))
    return fisher_z(torch.stack(sides).amax(0))


def fisher_z(correlations: Tensor) -> Tensor:
    """atanh, which makes the spread of correlations alike everywhere (Fisher 1921)."""
    return torch.atanh(correlations.clamp(-0.999, 0.9999))


def stand_out(likeness: Tensor, persons: Tensor, others: int) -> Tensor:
    """The highest likeness of each row [n, m], less the mean of the next `others` people's.

    What makes a picture like everybody (smoothness) or like nobody (noise) drops out, as in Carlini
    et al. 2023, section 4.2, where a distance is divided by those to other images. `persons` [n, m]
    are numbers; each counts once, with its highest.
    """
    best = torch.full((len(likeness), int(persons.max()) + 1), -torch.inf)
    ranked = best.scatter_reduce(1, persons, likeness, "amax").sort(1, descending=True).values
    rest = ranked[:, 1 : 1 + others]
    known = rest.isfinite()
    return ranked[:, 0] - rest.where(known, 0.0).sum(1) / known.sum(1).clamp(min=1)
