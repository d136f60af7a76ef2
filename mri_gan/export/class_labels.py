"""The classes of slices as StyleGAN's `dataset.json` has them, names kept beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mri_gan.store.labels import slice_labels
from mri_gan.store.reader import StoreReader

COLUMNS = ("class", "group", "diagnosis", "sex")  # what may be a class, the first that fits


@dataclass(frozen=True)
class ClassLabels:
    """One class for each exported slice, and what the classes are called."""

    column: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]  # in the order of the slices

    def describe(self) -> str:
        """In a line: `group (0 AD, 1 CN)`."""
        return f"{self.column} ({', '.join(f'{i} {name}' for i, name in enumerate(self.names))})"


def find_classes(store: StoreReader, indices: Sequence[int]) -> ClassLabels | None:
    """The first label that names two classes or more and that every slice has; None for none."""
    labels = slice_labels(store.records)
    for column in COLUMNS:
        values = [labels[index].get(column) for index in indices]
        if all(isinstance(value, str) for value in values) and len(set(values)) > 1:
            names = tuple(sorted({str(value) for value in values}))
            return ClassLabels(column, names, tuple(names.index(str(v)) for v in values))
    return None


def dataset_json(files: Sequence[str], classes: ClassLabels | None) -> str:
    """`dataset.json` of the files in their order.

    StyleGAN reads `labels`, pairs of file and class number; what classes are called stands beside.
    """
    if classes is None:
        return json.dumps({"labels": None})
    pairs = [list(pair) for pair in zip(files, classes.numbers, strict=True)]
    names = {"class_column": classes.column, "class_names": list(classes.names)}
    return json.dumps({"labels": pairs, **names})
