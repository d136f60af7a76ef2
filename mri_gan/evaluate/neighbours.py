"""Families of nearest neighbours: precision to coverage, alpha-precision to authenticity.

Kynkäänniemi et al. 2019, "Improved precision and recall metric", section 2; Naeem et al. 2020,
"Reliable fidelity and diversity metrics", section 3; Alaa et al. 2022, "How faithful is your
synthetic data?", sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from mri_gan.evaluate.distances import Vectors, centred, distance_blocks, nearest
from mri_gan.evaluate.families import Family, Pairs, Source, Table, Values

NEIGHBOURS = 5
FEWEST = 50
NAMES = ("precision", "recall", "density", "coverage")

Parts = dict[str, NDArray[np.float64]]  # what each image adds: [fakes], and of these [reals]
OF_REALS = ("recall", "coverage")


def judge_neighbours(reals: Vectors, fakes: Vectors, k: int = NEIGHBOURS) -> Parts:
    """What each image adds to the four figures, whose means they are.

    precision: a fake is within the k-th neighbour distance of some real [fakes]; density: of
    how many, over k [fakes]; recall: a real is within that of some fake [reals]; coverage: the
    nearest fake of a real is within its own [reals].
    """
    real_radius = torch.from_numpy(nearest(reals, reals, k, skip_self=True)[0][:, -1]) ** 2
    fake_radius = torch.from_numpy(nearest(fakes, fakes, k, skip_self=True)[0][:, -1]) ** 2
    density = torch.zeros(len(fakes))
    recalled = torch.zeros(len(reals), dtype=torch.bool)
    covered = torch.zeros(len(reals), dtype=torch.bool)
    for i, j, block in distance_blocks(*centred(fakes, reals)):
        fake, real = slice(i, i + block.shape[0]), slice(j, j + block.shape[1])
        within = block < real_radius[real]
        density[fake] += within.sum(1)
        covered[real] |= within.any(0)
        recalled[real] |= (block < fake_radius[fake, None]).any(0)
    return {
        "precision": (density > 0).double().numpy(),
        "recall": recalled.double().numpy(),
        "density": density.double().numpy() / k,
        "coverage": covered.double().numpy(),
    }


def by_parts(
    name: str,
    source: Source,
    judge: Callable[[Vectors, Vectors], Parts],
    sum_up: Callable[[Parts], Values],
) -> Family:
    """A family whose figures sum up what each image adds, which `judge` finds."""

    def find(reals: Table, fakes: Table) -> Parts:
        return judge(reals["features"], fakes["features"])

    def quick(reals: Table, fakes: Table, pairs: Pairs) -> list[Values]:
        # Vectors drawn twice would be their own neighbours, so the balls stay as they are.
        parts = find(reals, fakes)
        return [
            sum_up({n: v[a if n in OF_REALS else b] for n, v in parts.items()}) for a, b in pairs
        ]

    def compare(reals: Table, fakes: Table) -> Values:
        return sum_up(find(reals, fakes))

    named = f"{name}[{source.name}]"
    return Family(named, FEWEST, source, compare, "higher", most=1.0, quick=quick)


def neighbour_family(source: Source) -> Family:
    """Precision, recall, density and coverage on one kind of features."""

    def sum_up(parts: Parts) -> Values:
        return {f"{name}[{source.name}]": float(parts[name].mean()) for name in NAMES}

    return by_parts("prdc", source, judge_neighbours, sum_up)


LEVELS = 30  # of alpha and beta; as many as published implementations take


def judge_alpha(reals: Vectors, fakes: Vectors) -> Parts:
    """What each image adds to alpha-precision, beta-recall and authenticity.

    precision [fakes]: the share of reals nearer to the middle of the reals than the fake is; it
    is in the alpha-support of the reals for every alpha from there on. recall [reals]: the same
    of the nearest fake among fakes, or 2 where that is farther than the nearest other real.
    authentic [fakes]: whether the nearest real has another real nearer to it than the fake is.
    The middle is the mean: no one-class embedding is trained first.
    """
    middle_real, middle_fake = reals.mean(0), fakes.mean(0)
    real_radius = np.sort(np.linalg.norm(reals - middle_real, axis=1))
    fake_radius = np.linalg.norm(fakes - middle_fake, axis=1)
    to_real, real_row = nearest(fakes, reals)
    to_fake, fake_row = nearest(reals, fakes)
    own = nearest(reals, reals, skip_self=True)[0][:, 0]
    inside = np.searchsorted(real_radius, np.linalg.norm(fakes - middle_real, axis=1), "left")
    ranks = np.searchsorted(np.sort(fake_radius), fake_radius[fake_row[:, 0]], "left")
    return {
        "precision": inside / len(reals),
        "recall": np.where(to_fake[:, 0] <= own, ranks / len(fakes), 2.0),
        "authentic": (to_real[:, 0] > own[real_row[:, 0]]).astype(np.float64),
    }


def curve_score(shares: NDArray[np.float64]) -> float:
    """1 less the mean distance of a coverage curve from the diagonal, relative to the diagonal."""
    levels = np.linspace(0, 1, LEVELS)
    curve = (shares[:, None] <= levels).mean(0)
    return float(1 - np.abs(levels - curve).sum() / levels.sum())


def alpha_family(source: Source) -> Family:
    """Integrated alpha-precision and beta-recall, and authenticity, on one kind of features."""

    def sum_up(parts: Parts) -> Values:
        return {
            f"alpha-precision[{source.name}]": curve_score(parts["precision"]),
            f"beta-recall[{source.name}]": curve_score(parts["recall"]),
            f"authenticity[{source.name}]": float(parts["authentic"].mean()),
        }

    return by_parts("alpha", source, judge_alpha, sum_up)
