"""How good the audit is: copies seen by kind, false alarms, DeepSSIM's protocol.

    python tools/bench/bench_audit.py STORE     # a prepared store of 8 people or more

People are compared with each other once; then false alarms are counted over random splits into
training people and new ones, as an audit would count them. Copies of training slices are planted
one kind after another; each is judged as if it were alone among 1,000 samples. DeepSSIM's protocol
(Scardace et al. 2026, section 4): pairs of slices are duplicates (one is mirrored, turned up to 10
degrees and of gamma 0.5 to 1.5), similar (one person, neighbouring slices) or different (two
people); here the middle class is separated from the others by likeness alone.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from mri_gan.evaluate.audit import FALSE_ALARMS, Detector, as_set, first_rows, plant_copies
from mri_gan.evaluate.copies.limits import gumbel_limit, person_maxima
from mri_gan.evaluate.copies.planting import KINDS, gamma, mirror, move
from mri_gan.evaluate.copies.tiles import VIEWS
from mri_gan.evaluate.images import ImageSet, reals_of
from mri_gan.greys import Pixels
from mri_gan.store.reader import StoreReader

SPLITS = ("train", "validate", "test")
SAMPLES = 1000
Values = NDArray[np.float64]


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--size", default=64, show_default=True, help="Pixels.")
@click.option("--slices", default=12, show_default=True, help="Slices of each person compared.")
@click.option("--copies", default=40, show_default=True, help="Planted copies of each kind.")
@click.option("--splits", default=200, show_default=True, help="Random splits of the people.")
@click.option("--part", type=click.Choice(("alarms", "recall", "deepssim")), default=None)
@click.option("--threads", default=0, help="CPU threads  [default: all].")
def main(
    store: Path, size: int, slices: int, copies: int, splits: int, part: str | None, threads: int
) -> None:
    """Measure the audit on the people of STORE."""
    if threads:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    found: dict[str, Any] = {}
    with StoreReader(store) as opened:
        present = tuple(name for name in SPLITS if len(opened.indices(name)))
        people = fewer_slices(reals_of(opened, present, size, 1 << 40), slices)
        if part in (None, "alarms"):
            found["false alarms"] = count_alarms(compare_people(people), splits)
        if part in (None, "recall"):
            found["recall"] = measure_recall(people, copies)
        if part in (None, "deepssim"):
            found["deepssim"] = judge_pairs(people)
    found["seconds"] = round(time.perf_counter() - started, 1)
    click.echo(json.dumps(found, indent=2))


def fewer_slices(images: ImageSet, count: int) -> ImageSet:
    """At most so many slices of each person; the order is random already."""
    seen: dict[int, int] = {}
    chosen = np.zeros(len(images), bool)
    for row, group in enumerate(images.groups.tolist()):
        seen[group] = seen.get(group, 0) + 1
        chosen[row] = seen[group] <= count
    return images.select_images(chosen)


def compare_people(people: ImageSet) -> Values:
    """The highest likeness of each person to each other one [V, P, P]."""
    names = np.unique(people.groups)
    found = np.full((len(VIEWS), len(names), len(names)), -np.inf)
    for j, name in enumerate(names):
        rest = people.groups != name
        likeness = Detector(people.select_images(~rest)).compare(people.select_images(rest))
        for view, values in enumerate(likeness.values):
            found[view, np.arange(len(names)) != j, j] = person_maxima(values, people.groups[rest])
    return found


def count_alarms(pairs: Values, splits: int) -> list[dict[str, Any]]:
    """The share of splits whose new people fail, for some numbers of training people."""
    rng, total, rows = np.random.default_rng(0), pairs.shape[1], []
    for train in (4, 8, 13, 22):
        new = min(4, total - train)
        if new < 1:
            continue
        failed = 0
        for _ in range(splits):
            order = rng.permutation(total)
            known, fresh = order[:train], order[train : train + new]
            own = pairs[:, known][:, :, known].max(2)
            theirs = pairs[:, fresh][:, :, known].max(2)
            limits = [gumbel_limit(row, new, FALSE_ALARMS / len(VIEWS)) for row in own]
            failed += bool((theirs.max(1) > limits).any())
        rows.append({"training people": train, "new": new, "splits": splits, "failed": failed})
    return rows


def measure_recall(people: ImageSet, copies: int) -> dict[str, Any]:
    """The share of each kind of copies above the limits of an audit of 1,000 samples."""
    names = np.unique(people.groups)
    held = np.isin(people.groups, names[: max(1, len(names) // 4)])
    train, others = people.select_images(~held), people.select_images(held)
    detector = Detector(train)
    known = np.concatenate(
        [
            [person_maxima(row, part.groups) for row in detector.compare(part, own).values]
            for part, own in ((train, train.groups), (others, None))
        ],
        1,
    )
    new = SAMPLES / (len(people) / len(names))
    limits = np.array([gumbel_limit(row, new, FALSE_ALARMS / len(VIEWS)) for row in known])
    planted = plant_copies(first_rows(train, len(train)), tuple(KINDS), copies, 0)
    recall = {
        kind: float((detector.compare(as_set(made)).values > limits[:, None]).any(0).mean())
        for kind, made in planted.items()
    }
    return {
        "training people": len(np.unique(train.groups)),
        "people": known.shape[1],
        "limits": limits.round(3).tolist(),
        "people most alike": known.max(1).round(3).tolist(),
        "seen": recall,
    }


def judge_pairs(people: ImageSet) -> dict[str, float]:
    """F1 of duplicate, similar, different on half of the people; limits from the other half."""
    names = np.unique(people.groups)
    scores, labels, sides = [], [], []
    for half, some in enumerate((names[::2], names[1::2])):
        images = people.select_images(np.isin(people.groups, some))
        for kind, values in enumerate(score_pairs(images, np.random.default_rng(half))):
            scores += values.tolist()
            labels += [kind] * len(values)
            sides += [half] * len(values)
    score, label, side = np.array(scores), np.array(labels), np.array(sides)
    low, high = best_limits(score[side == 0], label[side == 0])
    test = side == 1
    guess = np.where(score[test] > high, 2, np.where(score[test] > low, 1, 0))
    each = f1_score(label[test], guess, average=None)
    found_by = dict(zip(("different", "similar", "duplicate"), each.round(3).tolist(), strict=True))
    return {**found_by, "mean": round(float(each.mean()), 3)}


def score_pairs(images: ImageSet, rng: np.random.Generator) -> list[Values]:
    """Likeness of slices to other people, to their own person's other slices, and of duplicates."""
    pixels = images.read(0, len(images))
    detector = Detector(images)
    different = detector.compare(images, images.groups).values[0]
    similar = [
        Detector(images.select_images(others)).compare(as_set(pixels[row : row + 1])).values[0, 0]
        for row in range(len(images))
        if (others := (images.groups == images.groups[row]) & (np.arange(len(images)) != row)).any()
    ]
    duplicates = np.concatenate([change_copy(pixels[i : i + 1], rng) for i in range(len(pixels))])
    return [different, np.array(similar), detector.compare(as_set(duplicates)).values[0]]


def change_copy(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirrored with probability .33 along each axis, turned, and of another gamma."""
    axes = tuple(axis for axis in (1, 2) if rng.random() < 0.33)
    made = mirror(image, image, rng, axes=axes) if axes else image
    made = move(made, made, rng, turn=rng.uniform(-10, 10))
    return gamma(made, made, rng, power=rng.uniform(0.5, 1.5))


def best_limits(scores: Values, labels: NDArray[np.int64]) -> tuple[float, float]:
    """The two limits with the best macro F1 on these pairs."""
    steps = np.quantile(scores, np.linspace(0.02, 0.98, 49))
    pairs = [(low, high) for low in steps for high in steps if low < high]

    def judge(pair: tuple[float, float]) -> float:
        guess = np.where(scores > pair[1], 2, np.where(scores > pair[0], 1, 0))
        return float(f1_score(labels, guess, average="macro"))

    return max(pairs, key=judge)


if __name__ == "__main__":
    main()
