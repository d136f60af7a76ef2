"""How good the audit is: copies seen by kind, false alarms, neighbours, DeepSSIM's protocol.

    python tools/bench/bench_audit.py STORE     # a prepared store of 8 people or more
    python tools/bench/bench_audit.py           # 26 made-up heads

People are compared with each other once; then false alarms are counted over random splits into
training people and new ones, as an audit would count them. Copies of training slices are planted
one kind after another; each is judged as if it were alone among 1,000 samples; kinds `unseen` are
others than the audit was built on. Neighbours: every
fourth slice is trained on, and those between are the copies; `--others` are people held out.
DeepSSIM's protocol (Scardace et al. 2026, section 4): pairs of slices are duplicates (one is
mirrored, turned up to 10 degrees and of gamma 0.5 to 1.5), similar (one person, other slices) or
different (two people, the most alike slices); the classes are told apart by the likeness in each
view, by a logistic regression fitted on half of the people.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from mri_gan.evaluate.audit import (
    BLOCK,
    OTHERS,
    RELATIVE,
    VIEW_ALARMS,
    Detector,
    as_set,
    plant_copies,
)
from mri_gan.evaluate.copies.bands import to_working_size
from mri_gan.evaluate.copies.limits import gumbel_limit, person_maxima
from mri_gan.evaluate.copies.planting import KINDS, Change, gamma, mirror, move
from mri_gan.evaluate.copies.search import NOBODY
from mri_gan.evaluate.copies.tiles import VIEWS
from mri_gan.evaluate.images import ImageSet, reals_of
from mri_gan.pictures import Pixels
from mri_gan.store.reader import StoreReader

sys.path.insert(0, str(Path(__file__).parents[1]))
from phantoms.heads import SLICES, as_people, draw_heads
from unseen_copies import UNSEEN

SPLITS = ("train", "validate", "test")
SAMPLES = 1000
STEPS = 4  # between the training slices of one person, for neighbours
Values = NDArray[np.float64]


@click.command()
@click.argument("store", type=click.Path(path_type=Path), required=False)
@click.option("--size", default=64, show_default=True, help="Pixels.")
@click.option("--slices", default=12, show_default=True, help="Slices of each person compared.")
@click.option("--copies", default=40, show_default=True, help="Planted copies of each kind.")
@click.option("--splits", default=200, show_default=True, help="Random splits of the people.")
@click.option(
    "--part",
    type=click.Choice(("alarms", "recall", "unseen", "neighbours", "deepssim")),
    default=None,
)
@click.option("--others", type=click.Path(path_type=Path), help="Store of people held out.")
@click.option("--threads", default=0, help="CPU threads  [default: all].")
def main(
    store: Path | None,
    size: int,
    slices: int,
    copies: int,
    splits: int,
    part: str | None,
    others: Path | None,
    threads: int,
) -> None:
    """Measure the audit on the people of STORE, or on made-up heads."""
    if threads:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    everything, places = read_everybody(store, size) if store else draw_everybody()
    people = fewer_slices(everything, slices)
    apart = fewer_slices(read_everybody(others, size)[0], slices) if others else None
    parts: dict[str, Callable[[], Any]] = {
        "alarms": lambda: count_alarms(compare_people(people), people.groups, splits),
        "recall": lambda: measure_recall(people, copies, KINDS),
        "unseen": lambda: measure_recall(people, copies, UNSEEN),
        "neighbours": lambda: measure_neighbours(everything, places, apart, copies),
        "deepssim": lambda: judge_pairs(people),
    }
    found: dict[str, Any] = {
        name: measure() for name, measure in parts.items() if part in (None, name)
    }
    found["seconds"] = round(time.perf_counter() - started, 1)
    click.echo(json.dumps(found, indent=2))


def read_everybody(store: Path, size: int) -> tuple[ImageSet, NDArray[np.int64]]:
    """All slices of a store in memory, and the place of each in its stack [N]."""
    with StoreReader(store) as opened:
        present = tuple(name for name in SPLITS if len(opened.indices(name)))
        found = reals_of(opened, present, size, 1 << 40)
        assert found.indices is not None
        places = np.array([opened.records[int(i)].position or 0 for i in found.indices])
        pixels = found.read(0, len(found))
    return ImageSet(size, found.groups, lambda a, b: pixels[a:b]), places


def draw_everybody() -> tuple[ImageSet, NDArray[np.int64]]:
    """Made-up heads and the place of each slice."""
    heads = as_people(draw_heads(26, seed=0))
    return heads, np.arange(len(heads)) % SLICES


def fewer_slices(images: ImageSet, count: int) -> ImageSet:
    """At most so many slices of each person; the order is random already."""
    seen: dict[int, int] = {}
    chosen = np.zeros(len(images), bool)
    for row, group in enumerate(images.groups.tolist()):
        seen[group] = seen.get(group, 0) + 1
        chosen[row] = seen[group] <= count
    return images.select_images(chosen)


def compare_people(people: ImageSet) -> Values:
    """The likeness of each slice to each person but its own (-inf) [V, N, P]."""
    numbers = np.unique(people.groups, return_inverse=True)[1]
    detector = Detector(people, people=int(numbers.max()) + 1)
    found = np.full((len(VIEWS), len(people), numbers.max() + 1), -np.inf)
    for start, pixels in people.batches():
        for first in range(0, len(pixels), BLOCK):
            part = np.arange(start + first, min(start + first + BLOCK, start + len(pixels)))
            pictures = to_working_size(torch.from_numpy(pixels[first : first + BLOCK]))
            own = torch.from_numpy(people.groups[part])
            rows, likeness = (x.numpy() for x in detector.compare_each(pictures, own))
            for view, values in enumerate(likeness):
                np.maximum.at(found[view], (part[:, None], numbers[rows]), values)
    return found


def count_alarms(pairs: Values, groups: NDArray[np.int64], splits: int) -> list[dict[str, Any]]:
    """The share of splits whose new people fail, for some numbers of training people."""
    numbers = np.unique(groups, return_inverse=True)[1]
    rng, total, found = np.random.default_rng(0), pairs.shape[2], []
    for train in (4, 8, 13, 22):
        new = min(4, total - train)
        if new < 1:
            continue
        failed = 0
        for _ in range(splits):
            order = rng.permutation(total)
            known, fresh = order[:train], order[train : train + new]
            own, theirs = (judge_people(pairs, numbers, some, known) for some in (known, fresh))
            limits = [gumbel_limit(row, new, VIEW_ALARMS) for row in own]
            failed += bool((theirs.max(1) > limits).any())
        found.append({"training people": train, "new": new, "splits": splits, "failed": failed})
    return found


def judge_people(
    pairs: Values, numbers: NDArray[np.int64], some: NDArray[np.int64], known: NDArray[np.int64]
) -> Values:
    """What an audit takes of each of some people beside the known ones [V, people]."""
    rows = np.flatnonzero(np.isin(numbers, some))
    ranked = -np.sort(-pairs[:, rows][:, :, known], axis=2)
    values, others = ranked[:, :, 0], min(OTHERS, len(known) - 2)
    values[VIEWS.index(RELATIVE)] -= ranked[VIEWS.index(RELATIVE), :, 1 : 1 + others].mean(1)
    return np.stack([person_maxima(row, numbers[rows]) for row in values])


def measure_recall(people: ImageSet, copies: int, kinds: Mapping[str, Change]) -> dict[str, Any]:
    """The share of each kind of copies above the limits of an audit of 1,000 samples."""
    names = np.unique(people.groups)
    held = np.isin(people.groups, names[: max(1, len(names) // 4)])
    train, others = people.select_images(~held), people.select_images(held)
    detector = Detector(train)
    known = np.concatenate([know_people(detector, train, True), know_people(detector, others)], 1)
    limits = limits_of(known, len(people) / len(names))
    planted = plant_copies(train, tuple(kinds), copies, 0, kinds)
    return {
        "training people": len(np.unique(train.groups)),
        "people": known.shape[1],
        "limits": limits.round(3).tolist(),
        "people most alike": known.max(1).round(3).tolist(),
        "seen": {kind: share_seen(detector, made, limits) for kind, made in planted.items()},
    }


def know_people(detector: Detector, images: ImageSet, trained: bool = False) -> Values:
    """The highest likeness of each person to others [V, P]."""
    found = detector.compare(images, images.groups if trained else None).values
    return np.stack([person_maxima(row, images.groups) for row in found])


def limits_of(known: Values, slices: float) -> Values:
    """The limits for 1,000 samples, where a person has so many slices [V]."""
    new = SAMPLES / slices
    return np.array([gumbel_limit(row, new, VIEW_ALARMS) for row in known])


def share_seen(detector: Detector, copies: Pixels, limits: Values) -> float:
    """The share of copies above a limit."""
    return float((detector.compare(as_set(copies)).values > limits[:, None]).any(0).mean())


def measure_neighbours(
    images: ImageSet, places: NDArray[np.int64], others: ImageSet | None, copies: int
) -> dict[str, Any]:
    """The share of slices one and two places from a training slice that are above the limits.

    A place is a step between slices of the store: 1 mm for volumes of such voxels.
    """
    detector = Detector(train := images.select_images(places % STEPS == 0))
    known = know_people(detector, train, True)
    if others is not None:
        known = np.concatenate([known, know_people(detector, others)], 1)
    limits = limits_of(known, len(train) / len(np.unique(train.groups)))
    found: dict[str, Any] = {"training people": len(np.unique(train.groups))}
    found |= {"people": known.shape[1], "most alike": known.max(1).round(3).tolist()}
    for step in (1, 2):
        made = images.select_images(places % STEPS == step)
        found[f"{step} from a training slice"] = share_seen(detector, made.read(0, copies), limits)
    return found


def judge_pairs(people: ImageSet) -> dict[str, float]:
    """F1 of duplicate, similar, different on half of the people, fitted on the other half."""
    names = np.unique(people.groups)
    sides = []
    for half, some in enumerate((names[::2], names[1::2])):
        kinds = score_pairs(
            people.select_images(np.isin(people.groups, some)), np.random.default_rng(half)
        )
        labels = np.repeat(np.arange(len(kinds)), [len(scores) for scores in kinds])
        sides.append((np.concatenate(kinds), labels))
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(*sides[0])
    each = f1_score(sides[1][1], model.predict(sides[1][0]), average=None)
    found_by = dict(zip(("different", "similar", "duplicate"), each.round(3).tolist(), strict=True))
    return {**found_by, "mean": round(float(each.mean()), 3)}


def score_pairs(images: ImageSet, rng: np.random.Generator) -> list[Values]:
    """Likeness [n, V] of slices to other people, to their own person's others, of duplicates."""
    pixels, nobody = images.read(0, len(images)), np.full(len(images), NOBODY)
    detector = Detector(images)
    different = raw_likeness(detector, pixels, images.groups)
    similar = [
        raw_likeness(Detector(images.select_images(others)), pixels[row : row + 1], nobody[:1])
        for row in range(len(images))
        if (others := (images.groups == images.groups[row]) & (np.arange(len(images)) != row)).any()
    ]
    copies = np.concatenate([change_copy(pixels[i : i + 1], rng) for i in range(len(pixels))])
    return [different, np.concatenate(similar), raw_likeness(detector, copies, nobody)]


def raw_likeness(detector: Detector, pictures: Pixels, own: NDArray[np.int64]) -> Values:
    """The highest likeness of pictures in each view, not beside that to other people [n, V]."""
    found = []
    for start in range(0, len(pictures), BLOCK):
        part = slice(start, start + BLOCK)
        some = to_working_size(torch.from_numpy(pictures[part]))
        found.append(detector.compare_each(some, torch.from_numpy(own[part]))[1].amax(2).T.numpy())
    return np.concatenate(found)


def change_copy(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirrored with probability .33 along each axis, turned, and of another gamma."""
    axes = tuple(axis for axis in (1, 2) if rng.random() < 0.33)
    made = mirror(image, image, rng, axes=axes) if axes else image
    made = move(made, made, rng, turn=rng.uniform(-10, 10))
    return gamma(made, made, rng, power=rng.uniform(0.5, 1.5))


if __name__ == "__main__":
    main()
