"""The family of precision, recall, density and coverage.

Kynkäänniemi et al. 2019, "Improved precision and recall metric", section 2; Naeem et al. 2020,
"Reliable fidelity and diversity metrics", section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mri_gan.evaluate.distances import Vectors, centred, distance_blocks, nearest
from mri_gan.evaluate.families import Family, Rows, Source, Table, Values

NEIGHBOURS = 5
FEWEST = 50
NAMES = ("precision", "recall", "density", "coverage")


def judge_neighbours(
    reals: Vectors, fakes: Vectors, k: int = NEIGHBOURS
) -> dict[str, NDArray[np.float64]]:
    """What each image adds to the four figures, whose means they are.

    precision: a fake lies within the k-th neighbour distance of some real [fakes]; density: of
    how many, over k [fakes]; recall: a real lies within that of some fake [reals]; coverage: the
    nearest fake of a real lies within its own [reals].
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


def neighbour_family(source: Source) -> Family:
    """Precision, recall, density and coverage on one kind of features."""

    def named(values: dict[str, NDArray[np.float64]]) -> Values:
        return {f"{name}[{source.name}]": float(values[name].mean()) for name in NAMES}

    def compare(reals: Table, fakes: Table) -> Values:
        return named(judge_neighbours(reals["features"], fakes["features"]))

    def redraw(
        reals: Table, fakes: Table, real_rows: Sequence[Rows], fake_rows: Sequence[Rows]
    ) -> list[Values]:
        # Vectors drawn twice would be their own neighbours, so the balls stay as they are.
        shares = judge_neighbours(reals["features"], fakes["features"])
        return [
            named({n: v[b if n in ("precision", "density") else a] for n, v in shares.items()})
            for a, b in zip(real_rows, fake_rows, strict=True)
        ]

    return Family(f"prdc[{source.name}]", FEWEST, source, compare, redraw, better="higher")
