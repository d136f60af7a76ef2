"""A trained generator that draws."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mri_gan.config import require
from mri_gan.errors import UsageError
from mri_gan.library.arguments import as_plain, public, require_least
from mri_gan.library.scans import Volume, voxels_of
from mri_gan.nets.build import DrawSettings, draw_seeds, pick_device
from mri_gan.pictures import html_row, to_stored
from mri_gan.synth.sample import (
    LARGEST,
    Trained,
    condition_rows,
    load_trained,
    only_styled,
    settings_to_draw,
)
from mri_gan.values import StrPath, as_path, is_of

POSITION = "position"
USUAL_PSI = 0.7
SHOWN = 8  # pictures of a model in a notebook

Label = str | float | Sequence[str] | Sequence[float]
Condition = str | Mapping[str, Label] | None


@dataclass(frozen=True, repr=False)
class Model:
    """A generator with its trained resolutions; `trained` has its settings and digest."""

    trained: Trained

    @property
    def size(self) -> int:
        """The largest resolution that has been trained, px."""
        return self.trained.size

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the labels that it was trained with."""
        return tuple(column.name for column in self.trained.conditions.columns)

    @public
    def draw(
        self,
        seeds: Iterable[int],
        *,
        size: int | None = None,
        psi: float = USUAL_PSI,
        noise: float = 1.0,
        condition: Condition = None,
    ) -> Tensor:
        """One image for each seed [N, C, size, size], about -1..1, on the CPU.

        Values are not cut off at -1 and 1. `condition` is `{"age": 70, "group": "CN"}`, a list for
        a value per seed, or as on the command line `"age=70,group=CN"`; left out, labels are drawn
        for each seed. Raises UsageError for a size or label that has not been trained.
        """
        numbers = as_seeds(seeds)
        look = self._look(size, psi, noise)
        rows = self._condition_rows(as_texts(condition, len(numbers)), numbers)
        return draw_seeds(self.trained.generator, numbers, look, rows)

    @public
    def draw_volume(
        self,
        seed: int,
        slices: int,
        *,
        spacing_mm: float | None = None,
        size: int | None = None,
        psi: float = USUAL_PSI,
        noise: float = 0.0,
        condition: Condition = None,
    ) -> Volume:
        """A synthetic stack of one seed, from the first position of a scan to the last.

        Needs a model trained with `--condition position`; nothing but the label holds the slices
        together. The affine has the pixels' size where it is known, and no place in a body.
        Slices are `spacing_mm` apart, by default such that the stack is as long as the usual scan
        of the training set, or 1 where that is not known.
        """
        require(
            POSITION in self.conditions,
            f"{self.trained.path}: was not trained with the position of a slice",
            "train with --condition position",
        )
        require_least(1, slices=slices)
        if spacing_mm is None:
            long = self.trained.config.scan_mm
            spacing_mm = long / (slices - 1) if long and slices > 1 else 1.0
        require(spacing_mm > 0, f"spacing_mm {spacing_mm}", "give millimetres, such as 1.5")
        seeds = as_seeds([seed]) * slices
        others = as_texts(condition, slices)
        positions = np.linspace(0.0, 1.0, slices)
        texts = [
            f"{POSITION}={at:.6f},{other or ''}"
            for at, other in zip(positions, others, strict=True)
        ]
        look = self._look(size, psi, noise)
        rows = self._condition_rows(texts, seeds)
        images = draw_seeds(self.trained.generator, seeds, look, rows)
        pixel = self.trained.pixel_mm_at(look.size) or self.size / look.size
        affine = np.diag([-pixel, -pixel, spacing_mm, 1.0])
        return Volume(
            voxels_of(to_stored(images.numpy(), 8).swapaxes(0, 1)),
            affine,
            "synthetic",
            source=str(seed),
            synthetic=True,
            channel_names=self.trained.channel_names,
        )

    def _look(self, size: int | None, psi: float, noise: float) -> DrawSettings:
        if psi not in (USUAL_PSI, 1.0) and not self.trained.generator.has_styles:
            why = only_styled("have styles", self.trained)
            warnings.warn(f"psi {psi:g} changes nothing: {why}", stacklevel=4)  # who draws
        return settings_to_draw(self.trained, size, psi, noise)

    def _condition_rows(self, texts: Sequence[str | None], seeds: Sequence[int]) -> Tensor | None:
        """The condition of each image [N, K], which texts say or, where None, seeds decide."""
        spec = self.trained.conditions
        rows = [condition_rows(spec, text, [seed]) for text, seed in zip(texts, seeds, strict=True)]
        known = [row for row in rows if row is not None]
        return torch.cat(known) if known else None

    def __repr__(self) -> str:
        return f"Model{repr(self.trained).removeprefix('Trained')}"

    def _repr_html_(self) -> str:
        """A row of pictures, for notebooks."""
        images = self.draw(range(SHOWN)).numpy()
        return html_row(images, f"{SHOWN} synthetic slices", self.trained.channel_names)


def as_texts(condition: Condition, count: int) -> list[str | None]:
    """The condition of each image as the command line takes it; a list has one value for each."""
    if not isinstance(condition, Mapping):
        return [condition] * count
    columns = [_spread(name, as_plain(value), count) for name, value in condition.items()]
    return [",".join(words) for words in zip(*columns, strict=True)] if columns else [""] * count


def _spread(name: str, value: Any, count: int) -> list[str]:
    several = isinstance(value, list | tuple | range)
    values = [as_plain(each) for each in value] if several else [value] * count
    odd = [each for each in values if not is_of(each, str | float | bool)]
    hint = "give a value, or a list with one for each image"
    require(not odd, f"condition {name} is {value!r:.60}", hint)
    require(len(values) == count, f"{name} has {len(values)} values for {count} images", hint)
    return [f"{name}={each}" for each in values]


def as_seeds(seeds: Iterable[int]) -> list[int]:
    """Seeds of any library as whole numbers; raises UsageError for others, and out of range."""
    numbers = []
    for seed in seeds:
        try:
            numbers.append(operator.index(seed))
        except TypeError as error:
            raise UsageError(f"the seed {seed!r:.40}", "give whole numbers") from error
    require(bool(numbers), "no seeds", "give at least one, such as [0]")
    for number in (min(numbers), max(numbers)):
        require(0 <= number <= LARGEST, f"the seed {number}", f"give 0 to {LARGEST}")
    return numbers


@public
def load_model(path: StrPath, device: str | torch.device = "auto") -> Model:
    """The generator of a checkpoint file, or of the newest one of a run folder.

    Raises DataError when there is none.
    """
    return Model(load_trained(as_path(path), pick_device(str(device))))
