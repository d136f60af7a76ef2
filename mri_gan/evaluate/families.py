"""What is measured: each family describes images one by one, then compares two sets of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.evaluate.images import ImageSet, Pixels
from mri_gan.evaluate.resample import Rows

Table = Mapping[str, NDArray[Any]]  # what describes each image, by name: [N, ...]
Values = dict[str, float]  # figures by name
Describe = Callable[[Pixels, int], Table]  # pixels, number of the first image
Compare = Callable[[Table, Table], Values]  # reals, fakes


@dataclass(frozen=True)
class Family:
    """Figures that share what they know of each image.

    `needs` is the fewest images of each set that give a sensible figure; `quick` is a cheaper
    comparison whose spread stands for that of `compare` when people are drawn again and again.
    """

    name: str
    needs: int
    describe: Describe
    compare: Compare
    quick: Compare
    better: str = "lower"  # or "higher"; "zero" where both directions are bad


@dataclass(frozen=True)
class Described:
    """All rows of a set of images, and whose each is."""

    groups: NDArray[np.int64]
    tables: Mapping[str, Table]  # by family

    def __len__(self) -> int:
        return len(self.groups)

    def pick(self, family: str, rows: Rows | slice) -> Table:
        """One family's rows of some images, with the number of each one's group as `group`."""
        picked = {name: values[rows] for name, values in self.tables[family].items()}
        return {**picked, "group": self.groups[rows]}


def describe_set(
    images: ImageSet, families: Sequence[Family], tell: Callable[[int], None] = lambda _: None
) -> Described:
    """One pass over a set: pixels are read in batches and only their description is kept."""
    tables: dict[str, dict[str, NDArray[np.float32]]] = {family.name: {} for family in families}
    for start, pixels in images.batches():
        for family in families:
            for name, rows in family.describe(pixels, start).items():
                kept = tables[family.name].get(name)
                if kept is None:
                    kept = np.empty((len(images), *rows.shape[1:]), np.float32)
                    tables[family.name][name] = kept
                kept[start : start + len(rows)] = rows
        tell(len(pixels))
    return Described(images.groups, tables)
