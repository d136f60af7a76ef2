"""The families `swd` and `ms-ssim`: local detail, and how much images of one set are alike."""

from __future__ import annotations

import numpy as np

from mri_gan.evaluate import ssim, swd
from mri_gan.evaluate.families import Family, Source, Table, Values, redraw_with
from mri_gan.evaluate.images import Pixels

QUICK_DIRECTIONS = 32
QUICK_DESCRIPTORS = 1 << 13


def swd_family(size: int, count: int, seed: int = 0) -> Family:
    """Sliced Wasserstein distance, times 1000, per level and on average.

    `count` is the number of images of the larger set.
    """
    patches = swd.patches_per_image(count)
    directions = swd.draw_directions(swd.DIRECTIONS, seed)

    def describe(pixels: Pixels, first: int) -> Table:
        found = swd.describe_patches(pixels, patches, first, seed)
        return {str(level): rows for level, rows in found.items()}

    def compare(reals: Table, fakes: Table) -> Values:
        return _by_level(
            {k: swd.sliced_distance(reals[k], fakes[k], directions) for k in levels_in(reals)}
        )

    def quick(reals: Table, fakes: Table) -> Values:
        few = directions[:QUICK_DIRECTIONS]
        return _by_level(
            {
                k: swd.sliced_distance(_fewer(reals[k]), _fewer(fakes[k]), few)
                for k in levels_in(reals)
            }
        )

    return Family("swd", 16, Source("swd", describe), compare, redraw_with(quick))


def levels_in(table: Table) -> list[str]:
    """The names of a table that are levels."""
    return [name for name in table if name.isdigit()]


def _by_level(values: Values) -> Values:
    named = {f"swd[{level}px]": value for level, value in values.items()}
    return {**named, "swd[mean]": float(np.mean(list(values.values())))}


def _fewer(descriptors: swd.Descriptors) -> swd.Descriptors:
    """As many patches of every image as keep the whole small."""
    return descriptors[:, : max(1, QUICK_DESCRIPTORS // len(descriptors))]


def ssim_families() -> list[Family]:
    """Mean MS-SSIM of pairs of fakes, of pairs of reals of different people, and the difference.

    A difference above 0 says that the fakes are more alike than people are: the sign of a mode that
    was dropped.
    """

    def compare(reals: Table, fakes: Table) -> Values:
        return {"ms-ssim[fake-real]": _mean_pair(fakes) - _mean_pair(reals)}

    def tell(reals: Table, fakes: Table) -> Values:
        return {"ms-ssim[fake]": _mean_pair(fakes), "ms-ssim[real]": _mean_pair(reals)}

    source = Source("ms-ssim", _describe_pairs)
    difference = Family("ms-ssim", 16, source, compare, redraw_with(compare), "zero", least=-1.0)
    return [Family("ms-ssim", 16, source, tell, redraw_with(tell), "told", least=-1.0), difference]


def _describe_pairs(pixels: Pixels, first: int) -> Table:
    """Each image's similarity to the next one of its batch, and the numbers of the two."""
    partner = np.roll(np.arange(len(pixels)), -1)
    own = np.arange(first, first + len(pixels))
    values = ssim.ms_ssim(pixels, pixels[partner])
    return {"pairs": np.stack([values, own, own[partner]], 1).astype(np.float32)}


def _mean_pair(table: Table) -> float:
    """Mean similarity of the pairs whose two images are in the set, but not of one person."""
    pairs, groups = table["pairs"], table["group"]
    order = np.argsort(pairs[:, 1], kind="stable")
    place = np.searchsorted(pairs[order, 1], pairs[:, 2]).clip(max=len(pairs) - 1)
    partner = order[place]
    valid = (pairs[partner, 1] == pairs[:, 2]) & (groups[partner] != groups)
    return float(pairs[valid, 0].mean()) if valid.any() else float("nan")
