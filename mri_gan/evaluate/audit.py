"""Do samples copy people of the training set? Likeness, limits from people, planted copies."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.evaluate.copies.bands import WORKING_PX, from_bytes, to_working_size
from mri_gan.evaluate.copies.limits import gumbel_limit, most_by_chance, person_maxima
from mri_gan.evaluate.copies.planting import KINDS, USUAL, Change, plant
from mri_gan.evaluate.copies.search import NOBODY, PEOPLE, Search, warp
from mri_gan.evaluate.copies.tiles import VIEWS, compare_tiles, stand_out
from mri_gan.evaluate.images import ImageSet
from mri_gan.pictures import Pixels
from mri_gan.tables import html_table
from mri_gan.values import say_count

Groups = NDArray[np.int64]

FALSE_ALARMS = 0.01  # of audits of pictures that copy nobody: this sets the threshold
CROWD_ALARMS = 0.001  # of them, by many samples at once
VIEW_ALARMS = (FALSE_ALARMS - CROWD_ALARMS) / len(VIEWS)  # by one sample, in each view
FEWEST_PEOPLE = 4  # whose likeness to each other gives the limit
FEWEST_SAMPLES = 50
MOST_QUERIES = 1024  # slices of training people that stand for people never seen, and of others
PLANTED = 32  # copies of each kind
TRUSTED_RECALL = 0.9  # of each kind in TRUSTED, for a pass to mean something
ENOUGH = (8, 12, 16, 24, 32, 48, 64, 100)  # numbers of people to try
TRUSTED = ("exact", "gamma 0.5", "JPEG 75")
# In this view the mean likeness to the next `OTHERS` people is subtracted.
VIEWS_MEAN = {"halves": "halves", "whole": "whole slices", "soft": "blurred halves"}
RELATIVE, OTHERS = "halves", 5
BLOCK = 32  # pictures compared at a time; about 50 MB with a store of 10,000 slices


@dataclass(frozen=True)
class Likeness:
    """For each of n pictures, how like it is to the most alike training slice in each view.

    `values` [V, n] are Fisher's z (in `halves` less that to other people), `rows` [V, n] the
    numbers of those slices.
    """

    values: NDArray[np.float32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.values.shape[1])


class Detector:
    """Compares pictures with all slices of a training set."""

    def __init__(self, train: ImageSet, people: int = PEOPLE) -> None:
        """`people` are those to compare each picture with, at least."""
        self.groups = train.groups
        self._base = shrink_all(train)  # in 8 bits, as most stores have them
        self._search = Search(self._base, torch.from_numpy(train.groups), people)
        # The same number for people of the training set, who have one person less to be like.
        self._others = min(OTHERS, max(0, len(np.unique(train.groups)) - 2))

    def compare(
        self,
        images: ImageSet,
        own: Groups | None = None,
        tell: Callable[[int], None] = lambda _: None,
    ) -> Likeness:
        """The likeness of each image to training slices of people other than its own [N].

        Without `own`, of all people.
        """
        groups = np.full(len(images), NOBODY) if own is None else own
        found = []
        for start, pixels in images.batches():
            pictures = to_working_size(torch.from_numpy(pixels))
            theirs = torch.from_numpy(groups[start : start + len(pixels)])
            pairs = zip(torch.split(pictures, BLOCK), torch.split(theirs, BLOCK), strict=True)
            found += [self._compare(some, whose) for some, whose in pairs]
            tell(len(pixels))
        values, rows = (torch.cat(parts, 1).numpy() for parts in zip(*found, strict=True))
        return Likeness(values, rows)

    @torch.no_grad()
    def _compare(
        self, pictures: torch.Tensor, own: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, likeness = self.compare_each(pictures, own)
        best = likeness.max(2)
        values, persons = best.values, self._search.persons[rows]
        relative = VIEWS.index(RELATIVE)
        values[relative] = stand_out(likeness[relative], persons, self._others)
        return values, rows.expand(len(VIEWS), -1, -1).gather(2, best.indices[:, :, None])[:, :, 0]

    @torch.no_grad()
    def compare_each(
        self, pictures: torch.Tensor, own: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Training slices that each picture [n, 64, 64] could copy [n, k], and likeness [V, n, k].

        Those of a picture's own person have none (-inf).
        """
        candidates = self._search.find(pictures, own)
        count, tries = candidates.rows.shape
        laid = warp(pictures.repeat_interleave(tries, 0), candidates.poses.flatten(0, 1))
        found = compare_tiles(laid, from_bytes(self._base[candidates.rows.flatten()]))
        likeness = torch.stack([found[view].view(count, tries) for view in VIEWS])
        theirs = torch.from_numpy(self.groups)[candidates.rows]
        return candidates.rows, likeness.masked_fill(theirs == own[:, None], -torch.inf)


def shrink_all(images: ImageSet) -> torch.Tensor:
    """All pictures of a set at the working size, in 8 bits [N, 64, 64]."""
    made = torch.empty((len(images), WORKING_PX, WORKING_PX), dtype=torch.uint8)
    for start, pixels in images.batches():
        small = to_working_size(torch.from_numpy(pixels))
        made[start : start + len(pixels)] = (small.clamp(0, 1) * 255).round().byte()
    return made


@dataclass(repr=False, eq=False)
class Audit:
    """What was measured, and the verdict.

    `people` [V, P] are the highest likeness of each person to other people, `limits` [V] what
    pictures that copy nobody stay below; `planted` holds copies of training slices by kind.
    If more than a share `crowd` of the samples exceed the highest person in the view `RELATIVE`, it
    is not by chance: the limit of that view then drops to this person's value.
    """

    samples: Likeness
    people: NDArray[np.float64]
    limits: NDArray[np.float64]
    planted: dict[str, Likeness]
    groups: Groups  # of the training slices
    held_out: int
    held_out_people: int
    right_store: bool | None = None  # whether the model was trained on this store, where known
    seconds: float = 0.0
    crowd: float = 1.0
    new_people: float = 1.0  # as how many the samples count
    views: tuple[str, ...] = field(default=VIEWS)
    facts: dict[str, Any] = field(default_factory=dict)  # of what was audited, and of the critic

    @functools.cached_property
    def samples_limits(self) -> NDArray[np.float64]:
        """What these samples stay below if they copy nobody [V]: for a crowd, every person."""
        limits, highest = self.limits.copy(), self.people.max(1)
        shares = (self.samples.values > highest[:, None]).mean(1)
        for view, name in enumerate(self.views):
            if name == RELATIVE and shares[view] > self.crowd:
                limits[view] = min(limits[view], highest[view])
        return limits

    @property
    def is_copy(self) -> NDArray[np.bool_]:
        """Which samples are more like a training slice than their limit, in any view [N]."""
        return np.asarray((self.samples.values > self.samples_limits[:, None]).any(0))

    @property
    def copies(self) -> int:
        """How many samples are copies."""
        return int(self.is_copy.sum())

    @property
    def people_copied(self) -> int:
        """How many people of the training set the copies are of."""
        excess = self.samples.values - self.samples_limits[:, None]
        rows = np.take_along_axis(self.samples.rows, excess.argmax(0)[None], 0)[0]
        return len(np.unique(self.groups[rows[self.is_copy]]))

    @property
    def recall(self) -> dict[str, float]:
        """The share of each kind of planted copies that is above a limit."""
        limits = self.limits[:, None]
        return {k: float((v.values > limits).any(0).mean()) for k, v in self.planted.items()}

    @property
    def is_trusted(self) -> bool:
        """Whether it would have seen the plainest copies."""
        recall = self.recall
        return all(recall.get(kind, 0) >= TRUSTED_RECALL for kind in TRUSTED)

    @property
    def near(self) -> float:
        """The share of samples more like a training slice than any person is to other people."""
        return float((self.samples.values > self.people.max(1)[:, None]).any(0).mean())

    @property
    def near_limit(self) -> float:
        """What that share stays below by chance.

        A new person is the one most like others with probability 1 / (P + 1) in each view; at worst
        all slices of that person exceed the rest. Two deviations of a count are added.
        """
        share = min(len(self.views) / (self.people.shape[1] + 1), 1.0)
        return float(share + 2 * np.sqrt(share * (1 - share) / len(self.samples)))

    @property
    def reason(self) -> str:
        """The verdict in one sentence, and what to do where there is none."""
        return say_verdict(self)

    @property
    def verdict(self) -> Literal["pass", "fail", "undecided"]:
        """Whether samples copy training slices, or why nothing can be said: see `reason`."""
        if self.right_store is False:
            return "undecided"
        if self.copies:
            return "fail"
        return "pass" if self.is_trusted and self.near <= self.near_limit else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `audit.json` has them."""
        drawn = f"psi {self.facts['psi']:g}" if "psi" in self.facts else ""
        return {
            **self.facts,
            "verdict": self.verdict,
            "sentence": self.reason,
            "limits": say_limits(self, drawn),
            "false_alarms": FALSE_ALARMS,
            "trusted_kinds": list(TRUSTED),
            "trusted": self.is_trusted,
            "counts": {
                "samples": len(self.samples),
                "train": len(self.groups),
                "train_people": len(np.unique(self.groups)),
                "held_out": self.held_out,
                "held_out_people": self.held_out_people,
                "people": self.people.shape[1],
            },
            "copies": self.copies,
            "people_copied": self.people_copied,
            "near_share": significant(self.near),
            "near_limit": significant(self.near_limit),
            "recall": {kind: significant(share) for kind, share in self.recall.items()},
            "views": [self._view_to_dict(number) for number in range(len(self.views))],
            "seconds": round(self.seconds, 3),
            "images_per_s": round(
                (len(self.samples) + len(self.groups)) / max(self.seconds, 1e-9), 1
            ),
        }

    def _view_to_dict(self, number: int) -> dict[str, Any]:
        samples, limit = self.samples.values[number], self.samples_limits[number]
        planted = {kind: spread_of(found.values[number]) for kind, found in self.planted.items()}
        return {
            "name": self.views[number],
            "limit": significant(limit),
            "copies": int((samples > limit).sum()),
            "share": significant((samples > limit).mean()),
            "likeness": {  # Fisher's z
                "samples": spread_of(samples),
                "people": spread_of(self.people[number]),
                "planted": planted,
            },
        }

    def __repr__(self) -> str:
        return f"Audit({self.reason})"

    def _repr_html_(self) -> str:
        """The verdict and what it rests on, for notebooks."""
        rows: list[tuple[object, ...]] = [
            ("verdict", self.reason),
            ("limits", say_limits(self)),
            ("samples that copy a training slice", self.copies),
            ("people copied", self.people_copied),
            *((f"planted copies detected: {kind}", f"{s:.0%}") for kind, s in self.recall.items()),
        ]
        return html_table(f"audit of {len(self.samples):,} samples", rows)


def spread_of(values: NDArray[Any]) -> dict[str, float]:
    """5th, 50th and 95th percentile and the largest."""
    found = np.percentile(values, [5, 50, 95, 100])
    return {k: significant(v) for k, v in zip(("p5", "p50", "p95", "max"), found, strict=True)}


def significant(value: float) -> float:
    """A number as a result says it, to five significant digits."""
    return float(f"{value:.5g}")


def say_verdict(result: Audit) -> str:
    """The verdict in one sentence, and what to do where there is none."""
    if result.right_store is False:
        return (
            "undecided: the model was trained on other data than this store, so nothing is known "
            "about the people it was trained on"
        )
    if result.verdict == "fail":
        return (
            f"fail: {result.copies:,} of {len(result.samples):,} samples "
            f"{'is' if result.copies == 1 else 'are'} more like a training "
            "slice than new people may be; people of the training set who are copied: "
            f"{result.people_copied}"
        )
    if result.verdict == "pass":
        return (
            "pass: no sample is more like a training slice than new people may be; "
            "copies changed in ways that are not listed as detected may be among them"
        )
    if not result.is_trusted:
        return f"undecided: {_say_untrusted(result)}"
    return (
        f"undecided: no sample is above the limit, but {result.near:.1%} are more like a training "
        f"slice than any person is to other people; {result.near_limit:.1%} may be by chance"
    )


def _say_untrusted(result: Audit) -> str:
    missed = f"fewer than {TRUSTED_RECALL:.0%} of plain planted copies were detected"
    people, enough = result.people.shape[1], find_enough(result)
    if enough:
        return (
            f"{missed}, because {people} people are too few for a limit; about {enough} would do "
            "if they are like these: prepare more"
        )
    return (
        f"{missed}: these {people} people are as like each other as copies are, so more of their "
        "kind would not help; look whether one has two names, or take scans with more detail"
    )


def find_enough(result: Audit) -> int:
    """About how many people, alike as these are, would make a verdict possible; 0 for no number."""
    for people in ENOUGH:
        limits = [
            gumbel_limit(row, result.new_people, VIEW_ALARMS, people) for row in result.people
        ]
        more = dataclasses.replace(result, limits=np.array(limits))
        if more.is_trusted:  # never fewer than there are: the limit falls as people come
            return people
    return 0


def say_limits(result: Audit, drawn: str = "") -> str:
    """How many samples are above each limit, where limits come from, how samples were drawn."""
    limits = result.samples_limits
    above = (result.samples.values > limits[:, None]).sum(1)
    views = zip(result.views, above, limits, strict=True)
    counts = ", ".join(f"{n} by {VIEWS_MEAN[v]} (limit {limit:.3g})" for v, n, limit in views)
    known = say_count(result.people.shape[1], "person", "people")
    crowd = (
        f"; more than {result.crowd:.0%} of samples more alike than every person are a false alarm "
        f"in {CROWD_ALARMS:.1%} of audits"
    )
    return (
        f"of {len(result.samples):,} samples{drawn and f' drawn with {drawn}'}, above the limit of "
        f"likeness: {counts}; the limits come from {known} compared with "
        f"others, and give a false alarm in {FALSE_ALARMS:.0%} of audits"
        + crowd
        * bool((limits < result.limits).any())
    )


def audit(
    samples: ImageSet,
    train: ImageSet,
    held_out: ImageSet | None,
    right_store: bool | None = None,
    kinds: tuple[str, ...] = USUAL,
    planted: int | None = None,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Audit:
    """Compare every sample with the training slices, and real people with them, too.

    `planted` slices are copied in each of the `kinds`. Groups of `train` and `held_out` are
    numbered together, from 0. People never seen are the held-out ones, and every training person
    against all others of the training set. Raises DataError when there are too few people or
    samples.
    """
    started = time.perf_counter()
    check_counts(samples, train, held_out)
    detector = Detector(train)
    known = first_rows(train, MOST_QUERIES)
    people = [person_values(detector.compare(known, known.groups, tell), known.groups)]
    queries = len(known)
    if held_out is not None:
        held_out = first_rows(held_out, MOST_QUERIES)
        people.append(person_values(detector.compare(held_out, tell=tell), held_out.groups))
        queries += len(held_out)
    maxima = np.concatenate(people, 1)
    new = max(1.0, len(samples) * maxima.shape[1] / queries)
    limits = [gumbel_limit(row, new, VIEW_ALARMS) for row in maxima]
    crowd = most_by_chance(maxima.shape[1], round(new), CROWD_ALARMS) / round(new)
    copies = {
        kind: detector.compare(as_set(images), tell=tell)
        for kind, images in plant_copies(train, kinds, planted or PLANTED, seed).items()
    }
    return Audit(
        detector.compare(samples, tell=tell),
        maxima,
        np.array(limits),
        copies,
        train.groups,
        len(held_out) if held_out else 0,
        len(np.unique(held_out.groups)) if held_out else 0,
        right_store,
        time.perf_counter() - started,
        crowd,
        new,
    )


def count_queries(
    samples: ImageSet, train: ImageSet, held_out: ImageSet | None, kinds: Sequence[str]
) -> int:
    """How many images an audit compares with the training slices: those and planted copies too."""
    real = sum(min(len(one), MOST_QUERIES) for one in (train, held_out or ()))
    return len(samples) + real + len(kinds) * min(PLANTED, len(train))


def person_values(found: Likeness, groups: Groups) -> NDArray[np.float64]:
    """The highest likeness of each person in each view [V, P]."""
    return np.stack([person_maxima(row, groups) for row in found.values])


def plant_copies(
    train: ImageSet,
    kinds: tuple[str, ...],
    count: int,
    seed: int,
    changes: Mapping[str, Change] = KINDS,
) -> dict[str, Pixels]:
    """Copies of the first training slices, mixed with the next slice of another person."""
    images = train.read(0, min(count, len(train)))
    others = []
    for i, group in enumerate(train.groups[: len(images)]):
        later = np.roll(train.groups, -i) != group
        others.append((i + int(np.argmax(later))) % len(train))
    theirs = np.concatenate([train.read(j, j + 1) for j in others])
    return plant(images, theirs, kinds, seed, changes)


def first_rows(images: ImageSet, count: int) -> ImageSet:
    """The first images of a set."""
    return ImageSet(images.size, images.groups[:count], images.read)


def as_set(images: Pixels) -> ImageSet:
    """Pictures in memory that belong to nobody."""
    nobody = np.full(len(images), NOBODY)
    return ImageSet(images.shape[-1], nobody, lambda a, b: images[a:b])


def check_counts(samples: ImageSet, train: ImageSet, held_out: ImageSet | None) -> None:
    """Raise DataError where there are too few people or samples for a verdict."""
    trained = len(np.unique(train.groups))
    others = len(np.unique(held_out.groups)) if held_out else 0
    if trained + others < FEWEST_PEOPLE or trained < 2:
        raise DataError(
            f"an audit needs {FEWEST_PEOPLE} people, two of them to train on; "
            f"there are {trained + others}, {trained} of them to train on",
            "use a store with more people",
        )
    if len(samples) < FEWEST_SAMPLES:
        few = f"{len(samples)} samples: an audit needs {FEWEST_SAMPLES}"
        raise DataError(few, "put more images into the folder")
