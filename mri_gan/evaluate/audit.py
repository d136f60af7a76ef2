"""The nearest slice in pixels, whatever its brightness, contrast, small shift or mirroring.
Copies of training slices, planted to see whether a detector finds them.
Do samples copy people of the training set? Distances, planted copies, and a verdict.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mri_gan.errors import DataError
from mri_gan.evaluate.distances import nearest
from mri_gan.evaluate.families import Described, Source, Table, describe_set
from mri_gan.evaluate.features import Features, shrink
from mri_gan.evaluate.images import ImageSet, Pixels

# The nearest slice in pixels, whatever its brightness, contrast, small shift or mirroring

FINE_PX = 64  # shifts are made at this size or less ...
WORKING_PX = 32  # ... and compared at this
SHIFT = 16  # parts of the width that a shift may have, each way: 4 px of 64
ROWS, COLUMNS = 128, 512  # of one block: 42 MB with 162 variants
NOBODY = -1  # the group of images that belong to no person


@dataclass(frozen=True)
class Nearest:
    """For each query, the distance to the nearest base image [N] and which one that is [N]."""

    distance: NDArray[np.float32]
    row: NDArray[np.int64]


def align_nearest(
    queries: Pixels,
    base: Pixels,
    query_groups: NDArray[np.int64],
    base_groups: NDArray[np.int64],
) -> Nearest:
    """The nearest base image of another group for each query, over shifts and mirroring.

    Distance is sqrt(1 - r) of the correlation r of the common window at 32 px or less: 0 for a
    copy, 1 for unrelated pictures. Images must be shrunk by `shrink_all` before. Shifts are steps
    of 1/64 of the width: half a pixel more would hide a copy of a sharp picture. A query whose
    group has all of the base gets an infinite distance.
    """
    shift = queries.shape[-1] // SHIFT
    middle = torch.from_numpy(window_rows(base, shift, shift, shift))
    best = torch.full((len(queries),), -torch.inf)
    found = torch.zeros(len(queries), dtype=torch.int64)
    for i in range(0, len(queries), ROWS):
        part = slice(i, i + ROWS)
        shifted = shifted_rows(queries[part], shift)
        variants = torch.from_numpy(np.concatenate(shifted))  # [V * n, W * W]: one large product
        own = torch.from_numpy(query_groups[part])
        for j in range(0, len(base), COLUMNS):
            columns = middle[j : j + COLUMNS].T
            block = (variants @ columns).view(len(shifted), len(own), -1).amax(0)
            others = torch.from_numpy(base_groups[j : j + COLUMNS])
            same = (own[:, None] == others) & (own[:, None] != NOBODY)
            values, places = block.masked_fill_(same, -torch.inf).max(1)
            better = values > best[part]
            best[part] = torch.where(better, values, best[part])
            found[part] = torch.where(better, places + j, found[part])
    distance = torch.sqrt((1 - best).clamp(min=0))
    return Nearest(distance.numpy(), found.numpy())


def shrink_all(images: Pixels) -> Pixels:
    """Means of blocks: at most 64 px a side."""
    return shrink(images, FINE_PX)


def shifted_rows(images: Pixels, shift: int) -> list[NDArray[np.float32]]:
    """The windows of images and of their mirror images at every shift, as unit rows."""
    starts = range(2 * shift + 1)
    return [
        window_rows(pictures, y, x, shift)
        for pictures in (images, images[:, :, ::-1])
        for y in starts
        for x in starts
    ]


def window_rows(images: Pixels, y: int, x: int, shift: int) -> NDArray[np.float32]:
    """The window from (y, x) that leaves room for shifts, at the working size, as unit rows."""
    size = images.shape[-1]
    width = size - 2 * shift
    window = images[:, y : y + width, x : x + width]
    return unit_rows(window if size <= WORKING_PX else shrink_twofold(window))


def shrink_twofold(images: Pixels) -> Pixels:
    """Means of 2x2 pixels."""
    rows = images[:, 0::2] + images[:, 1::2]
    return np.asarray((rows[:, :, 0::2] + rows[:, :, 1::2]) / 4)


def unit_rows(images: Pixels) -> NDArray[np.float32]:
    """Each image as a row of mean 0 and length 1: brightness and contrast are gone [N, S * S]."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-6), np.float32)


# Copies of training slices, planted to see whether a detector finds them

JPEG_QUALITY = 75
LARGEST_SHIFT = 0.05  # of the width

Change = Callable[[Pixels, np.random.Generator], Pixels]


def keep(images: Pixels, _rng: np.random.Generator) -> Pixels:
    """The images as they are."""
    return images


def shift(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Moved by one pixel or more and at most 5 % of the width, black where nothing was."""
    most = max(1, int(LARGEST_SHIFT * images.shape[-1]))
    moved = np.zeros_like(images)
    for source, target in zip(images, moved, strict=True):
        y, x = rng.integers(1, most + 1, 2) * rng.choice([-1, 1], 2)
        target[:] = np.roll(source, (y, x), (0, 1))
        target[(slice(None, y) if y > 0 else slice(y, None)), :] = 0
        target[:, (slice(None, x) if x > 0 else slice(x, None))] = 0
    return moved


def change_intensity(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Other gain (0.7 to 1.3) and gamma (0.7 to 1.4), as another window would give."""
    gain, gamma = rng.uniform([[0.7], [0.7]], [[1.3], [1.4]], (2, len(images)))[..., None, None]
    return np.asarray(np.clip(gain * images**gamma, 0, 1), np.float32)


def compress(images: Pixels, _rng: np.random.Generator) -> Pixels:
    """Through an 8-bit JPEG of quality 75."""
    return np.stack([_through_jpeg(image) for image in images])


def _through_jpeg(image: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(image * 255 + 0.5, np.uint8)).save(
        stream, "JPEG", quality=JPEG_QUALITY
    )
    with Image.open(stream, formats=("JPEG",)) as read:
        return np.asarray(np.asarray(read) / 255, np.float32)


def mirror(images: Pixels, _rng: np.random.Generator) -> Pixels:
    """Left and right swapped."""
    return np.ascontiguousarray(images[..., ::-1])


def everything(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Shifted, of other intensity, and compressed."""
    return compress(change_intensity(shift(images, rng), rng), rng)


KINDS: dict[str, Change] = {
    "exact": keep,
    "shifted": shift,
    "intensity": change_intensity,
    "jpeg": compress,
    "mirrored": mirror,
    "shifted + intensity + jpeg": everything,
}


def plant(images: Pixels, seed: int = 0) -> dict[str, Pixels]:
    """Each kind of copy of the images."""
    return {
        kind: change(images, np.random.default_rng((seed, i)))
        for i, (kind, change) in enumerate(KINDS.items())
    }


# Do samples copy people of the training set? Distances, planted copies, and a verdict

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
