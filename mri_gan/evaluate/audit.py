"""Do samples copy people of the training set? Distances, planted copies, and a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.evaluate.alignment import NOBODY, Nearest, align_nearest, shrink_all
from mri_gan.evaluate.families import Described, Source, Table, describe_set
from mri_gan.evaluate.features import Features
from mri_gan.evaluate.images import ImageSet, Pixels
from mri_gan.evaluate.nearest import nearest
from mri_gan.evaluate.planting import plant

Rows = NDArray[Any]  # what describes each image
Groups = NDArray[np.int64]

FEWEST_PEOPLE = 4  # whose distances give the threshold
FEWEST_SAMPLES = 50
MOST_QUERIES = 1024  # training slices that stand for people never seen
PLANTED = 128  # copies of each kind
TRUSTED_RECALL = 0.9  # of planted copies, for a view whose word counts
MOST_NEAR = 0.01  # share of samples that may be nearer than any person, whatever people do
COPY_PERCENTILE = 95  # of the distances of planted copies


@dataclass(frozen=True)
class View:
    """One way to measure how near a sample is to the training set.

    `people` are real slices against the training slices of other people: what a new person's
    slices score. `threshold` is the nearest of those.
    """

    name: str
    samples: Nearest
    people: NDArray[np.float32]  # distances
    people_groups: NDArray[np.int64]
    planted: dict[str, NDArray[np.float32]]  # distances by kind

    @property
    def threshold(self) -> float:
        """No real person's slice comes nearer to other people's than this."""
        return float(self.people.min())

    @property
    def recall(self) -> dict[str, float]:
        """The share of each kind of planted copies that lies below the threshold."""
        return {k: float((d < self.threshold).mean()) for k, d in self.planted.items()}

    @property
    def kinds_found(self) -> list[str]:
        """The kinds of copies that it finds nine times out of ten."""
        return [kind for kind, share in self.recall.items() if share >= TRUSTED_RECALL]

    @property
    def is_trusted(self) -> bool:
        """Whether its word counts: it finds exact, brighter and compressed copies."""
        return {"exact", "intensity", "jpeg"} <= set(self.kinds_found)

    @property
    def near(self) -> float:
        """The share of samples below the threshold."""
        return float((self.samples.distance < self.threshold).mean())

    @property
    def copy_distance(self) -> float:
        """What 95 % of the planted copies that it can find lie within, at most the threshold."""
        distances = np.concatenate([self.planted[kind] for kind in self.kinds_found or ["exact"]])
        return min(float(np.percentile(distances, COPY_PERCENTILE)), self.threshold)

    @property
    def copies(self) -> int:
        """Samples as near to a training slice as planted copies are."""
        return int((self.samples.distance < self.copy_distance).sum())

    @property
    def false_positives(self) -> NDArray[np.float64]:
        """For each person the share of slices below the threshold that the others give [P].

        Ties count: of two people who are each other's nearest, both come equally near.
        """
        groups = np.unique(self.people_groups)
        lowest = np.array([self.people[self.people_groups == g].min() for g in groups])
        return np.array(
            [
                (self.people[self.people_groups == group] <= np.delete(lowest, i).min()).mean()
                for i, group in enumerate(groups)
            ]
        )

    @property
    def near_limit(self) -> float:
        """The share of samples below the threshold that honest samples may reach by chance.

        The upper end of the people's own share, people drawn again, and two deviations of a
        binomial count above it; never below 1 %.
        """
        rates = self.false_positives
        rows = np.random.default_rng(0).integers(0, len(rates), (1000, len(rates)))
        upper = float(np.percentile(rates[rows].mean(1), 97.5))
        chance = 2 * np.sqrt(upper * (1 - upper) / len(self.samples.distance))
        return max(MOST_NEAR, upper + float(chance))

    @property
    def is_too_near(self) -> bool:
        """Whether this view finds copies, or more near samples than chance gives."""
        return self.copies > 0 or self.near > self.near_limit


@dataclass
class Audit:
    """Both views, the verdict, and the counts behind them."""

    samples: int
    train: int
    train_people: int
    held_out: int
    held_out_people: int
    views: list[View] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """`pass`, `fail` or `undecided`."""
        trusted = [view for view in self.views if view.is_trusted]
        if any(view.is_too_near for view in trusted):
            return "fail"
        return "pass" if trusted else "undecided"


def audit(
    samples: ImageSet,
    train: ImageSet,
    held_out: ImageSet | None,
    features: Features,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Audit:
    """Measure every sample against the training slices, and real people against them, too.

    Groups of `train` and `held_out` are numbered together, from 0. People never seen are the
    held-out ones, and every training person against all others of the training set. Raises
    DataError when there are too few people or samples.
    """
    started = time.perf_counter()
    others = held_out.groups if held_out else np.zeros(0, np.int64)
    result = Audit(
        len(samples), len(train), len(np.unique(train.groups)), len(others), len(np.unique(others))
    )
    check_counts(result)
    measures = (PixelMeasure(), FeatureMeasure(features))
    sources = [Source(measure.name, measure.describe) for measure in measures]
    base, queries = (describe_set(images, sources, tell) for images in (train, samples))
    first = train.read(0, min(PLANTED, len(train)))
    planted = {kind: as_set(copies) for kind, copies in plant(first, seed).items()}
    copies = {kind: describe_set(images, sources) for kind, images in planted.items()}
    rows = np.arange(min(len(train), MOST_QUERIES))
    held = describe_set(held_out, sources, tell) if held_out else None
    for measure in measures:
        result.views.append(compare(measure, base, queries, held, rows, copies))
    result.seconds = time.perf_counter() - started
    return result


def as_set(images: Pixels) -> ImageSet:
    """Pictures in memory that belong to nobody."""
    nobody = np.full(len(images), NOBODY)
    return ImageSet("planted", images.shape[-1], nobody, lambda a, b: images[a:b])


def check_counts(result: Audit) -> None:
    """Raise DataError where there are too few people or samples for a verdict."""
    people = result.train_people + result.held_out_people
    if people < FEWEST_PEOPLE or result.train_people < 2:
        raise DataError(
            f"{result.train_people} people to train on and {result.held_out_people} others: "
            f"an audit needs {FEWEST_PEOPLE}, two of them to train on",
            "use a store with more people",
        )
    if result.samples < FEWEST_SAMPLES:
        raise DataError(
            f"{result.samples} samples: an audit needs {FEWEST_SAMPLES}", "raise --count"
        )


class PixelMeasure:
    """Correlation of small pictures over shifts and mirroring."""

    name = "pixels"

    def describe(self, pixels: Pixels, _first: int) -> Table:
        """Small pictures."""
        return {"rows": shrink_all(pixels)}

    def find(self, queries: Rows, base: Rows, own: Groups, others: Groups) -> Nearest:
        """The nearest base picture of another person."""
        return align_nearest(queries, base, own, others)


class FeatureMeasure:
    """Euclidean distance of features of pictures whose brightness and contrast are equal."""

    def __init__(self, features: Features) -> None:
        self.name = features.name
        self._extract = features.extract

    def describe(self, pixels: Pixels, _first: int) -> Table:
        """Features of the pictures at equal mean and deviation."""
        return {"rows": self._extract(equalise(pixels))}

    def find(self, queries: Rows, base: Rows, own: Groups, others: Groups) -> Nearest:
        """The nearest base picture of another person."""
        distance, row = nearest(queries, base, groups=(own, others))
        return Nearest(distance[:, 0], row[:, 0])


def equalise(images: Pixels) -> Pixels:
    """Each picture with mean 0.5 and deviation 0.25."""
    mean = images.mean((1, 2), keepdims=True)
    spread = np.maximum(images.std((1, 2), keepdims=True), 1e-6)
    return np.asarray(0.5 + 0.25 * (images - mean) / spread, np.float32)


def compare(
    measure: PixelMeasure | FeatureMeasure,
    base: Described,
    queries: Described,
    held_out: Described | None,
    rows: NDArray[np.int64],
    copies: dict[str, Described],
) -> View:
    """One view: samples, people never seen, and planted copies against the training slices."""

    def rows_of(described: Described) -> Rows:
        return described.tables[measure.name]["rows"]

    def find(pictures: Rows, own: Groups) -> Nearest:
        return measure.find(pictures, rows_of(base), own, base.groups)

    def find_strange(described: Described) -> Nearest:
        return find(rows_of(described), np.full(len(described), NOBODY))

    people = [find(rows_of(base)[rows], base.groups[rows]).distance]
    groups = [base.groups[rows]]
    if held_out is not None:
        people.append(find(rows_of(held_out), held_out.groups).distance)
        groups.append(held_out.groups)
    planted = {kind: find_strange(described).distance for kind, described in copies.items()}
    return View(
        measure.name,
        find_strange(queries),
        np.concatenate(people),
        np.concatenate(groups),
        planted,
    )
