"""What the figures of `evaluate` say of strangers, who are as good as fakes can be, and of faults.

    python tools/bench/bench_figures.py STORE     # a prepared store of 16 people or more
    python tools/bench/bench_figures.py           # 40 made-up heads

Strangers: the people of STORE are shared out at random; features are fitted on a fifth of them
(another one each time, of five), half of the others are the reals and the rest the fakes. For each
figure the means of `at half` and `real halves` over the splits, and the share of splits whose
reading is "within what people differ among themselves". Faults are planted into strangers: how many
figures then read `outside` and which first (by the distance from the floor in half intervals), over
a few splits. A picture is described once and its description kept, and `swd` takes 32 patches of
each picture instead of 128, so that all of it takes minutes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mri_gan.evaluate.evaluation import Figure, build_families, build_features, evaluate
from mri_gan.evaluate.families import Family, Source, Table
from mri_gan.evaluate.images import ImageSet, reals_of
from mri_gan.pictures import Pixels
from mri_gan.store.reader import StoreReader

sys.path.insert(0, str(Path(__file__).parents[1]))
from phantoms.heads import SLICES, draw_heads

SPLITS = ("train", "validate", "test")
RESAMPLES = 2  # readings do without the interval of the value
FEATURES = ("pca", "random-cnn", "texture")
FITS = 5  # sets of people to fit features on
FEWER_PATCHES = 4096  # as if there were so many pictures: 32 patches of each
Groups = NDArray[np.int64]
Fault = Callable[[Pixels, Groups, np.random.Generator], Pixels]


def fewer_people(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """Slices of half of the people, as many pictures in all, each twice with a little noise."""
    names = rng.permutation(np.unique(groups))
    rows = np.flatnonzero(np.isin(groups, names[: max(1, len(names) // 2)]))
    chosen = images[np.resize(rows, len(images))]
    return np.asarray(np.clip(chosen + rng.normal(0, 0.01, chosen.shape), 0, 1), np.float32)


def most_alike(images: Pixels, groups: Groups) -> Pixels:
    """For each picture the most alike one of another person."""
    small = images.reshape(len(images), -1).astype(np.float64)
    norms = (small**2).sum(1)
    distances = norms[:, None] + norms - 2 * small @ small.T
    distances[groups[:, None] == groups] = np.inf
    return np.asarray(images[distances.argmin(1)])


def upper_and_lower(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """The upper half of each picture, and the lower half of the most alike of another person."""
    made, middle = images.copy(), images.shape[-1] // 2
    made[:, middle:] = most_alike(images, groups)[:, middle:]
    return made


def left_and_right(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """The left half of each picture, and the right half of the most alike of another person."""
    made, middle = images.copy(), images.shape[-1] // 2
    made[:, :, middle:] = most_alike(images, groups)[:, :, middle:]
    return made


def means(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """The mean of each picture and the most alike one of another person."""
    return np.asarray((images + most_alike(images, groups)) / 2, np.float32)


def noise(deviation: float) -> Fault:
    """Noise of a deviation of so many of 255 grey levels."""

    def add(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
        noisy = images + rng.normal(0, deviation / 255, images.shape)
        return np.asarray(np.round(np.clip(noisy, 0, 1) * 255) / 255, np.float32)

    return add


FAULTS: dict[str, Fault] = {
    "blur of 1 px": lambda images, groups, rng: np.asarray(gaussian_filter(images, (0, 1, 1))),
    "noise of 2.5 grey levels": noise(2.5),
    "noise of 12 grey levels": noise(12),
    "contrast 0.8": lambda images, groups, rng: np.asarray(images * np.float32(0.8)),
    "upper half of one, lower of another": upper_and_lower,
    "left half of one, right of another": left_and_right,
    "means of two people": means,
    "mirrored in rows": lambda images, groups, rng: np.ascontiguousarray(images[:, ::-1]),
    "mirrored in columns": lambda images, groups, rng: np.ascontiguousarray(images[:, :, ::-1]),
    "half of the people": fewer_people,
}


class Descriptions:
    """What families say of pictures, each of which is described once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, bytes], Table] = {}

    def remember(self, family: Family, fit: int) -> Family:
        """The same family, whose source looks pictures up; pairs of pictures are no such thing."""
        if family.source.name == "ms-ssim":
            return family
        fitted = fit if family.source.name in FEATURES else 0

        def describe(pixels: Pixels, first: int) -> Table:
            keys = [(family.source.name, fitted, digest(image)) for image in pixels]
            new = [i for i, key in enumerate(keys) if key not in self._known]
            if new:
                found = family.source.describe(pixels[new], first)
                for row, i in enumerate(new):
                    self._known[keys[i]] = {name: rows[row] for name, rows in found.items()}
            tables = [self._known[key] for key in keys]
            return {name: np.stack([table[name] for table in tables]) for name in tables[0]}

        return replace(family, source=Source(family.source.name, describe))


def digest(image: Pixels) -> bytes:
    """What a picture is known by."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


@click.command()
@click.argument("store", type=click.Path(path_type=Path), required=False)
@click.option("--size", default=64, show_default=True, help="Pixels.")
@click.option("--splits", default=20, show_default=True, help="Random splits of the people.")
@click.option("--fault-splits", default=3, show_default=True, help="Splits for each fault.")
@click.option("--slices", default=32, show_default=True, help="Slices of each person at most.")
@click.option("--part", type=click.Choice(("strangers", "faults")), default=None)
@click.option("--threads", default=0, help="CPU threads  [default: all].")
def main(
    store: Path,
    size: int,
    splits: int,
    fault_splits: int,
    slices: int,
    part: str | None,
    threads: int,
) -> None:
    """Measure the figures on the people of STORE, or on made-up heads."""
    if threads:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    pixels, groups = read_everybody(store, size) if store else draw_everybody()
    kept = np.concatenate([np.flatnonzero(groups == g)[:slices] for g in np.unique(groups)])
    kept.sort()  # the order is random already
    pixels, groups = pixels[kept], groups[kept]
    found: dict[str, Any] = {"people": len(np.unique(groups))}
    known = Descriptions()
    if part in (None, "strangers"):
        found["strangers"] = list_figures(
            [judge_fault(pixels, groups, None, seed, known) for seed in range(splits)]
        )
    for name, fault in FAULTS.items() if part in (None, "faults") else ():
        found[name] = list_outside(
            [judge_fault(pixels, groups, fault, seed, known) for seed in range(fault_splits)]
        )
    found["seconds"] = round(time.perf_counter() - started, 1)
    click.echo(json.dumps(found, indent=1))


def read_everybody(store: Path, size: int) -> tuple[Pixels, Groups]:
    """All slices of a store and whose they are, in random order."""
    with StoreReader(store) as opened:
        present = tuple(name for name in SPLITS if len(opened.indices(name)))
        everything = reals_of(opened, present, size, 1 << 40)
        return everything.read(0, len(everything)), everything.groups


def draw_everybody() -> tuple[Pixels, Groups]:
    """Made-up heads, in random order."""
    heads = draw_heads(40, seed=0)
    order = np.random.default_rng(0).permutation(len(heads))
    return heads[order], order // SLICES


def judge_fault(
    pixels: Pixels, groups: Groups, fault: Fault | None, seed: int, known: Descriptions
) -> list[Figure]:
    """All figures of strangers with a fault against reals, for one split of the people."""
    fit, rng = seed % FITS, np.random.default_rng(seed)
    names = np.random.default_rng(0).permutation(np.unique(groups))
    fitted = names[fit::FITS]
    others = rng.permutation(np.setdiff1d(names, fitted))
    apart, reals, fakes = (
        np.isin(groups, some)
        for some in (fitted, others[: len(others) // 2], others[len(others) // 2 :])
    )
    made = pixels[fakes] if fault is None else fault(pixels[fakes], groups[fakes], rng)
    features = build_features(FEATURES, in_memory(pixels[apart], groups[apart]), "cpu")
    families = [
        known.remember(family, fit)
        for family in build_families(pixels.shape[-1], FEWER_PATCHES, features)
    ]
    real = in_memory(pixels[reals], groups[reals])
    return evaluate(real, in_memory(made, groups[fakes]), families, RESAMPLES, seed).figures


def in_memory(pixels: Pixels, groups: Groups) -> ImageSet:
    """Pictures of people as a set."""
    return ImageSet(pixels.shape[-1], groups, lambda a, b: pixels[a:b])


def list_figures(splits: list[list[Figure]]) -> dict[str, Any]:
    """For each figure the means at half and of real halves, and the share of readings within."""
    rows: dict[str, list[Figure]] = defaultdict(list)
    for figures in splits:
        for figure in figures:
            rows[figure.name].append(figure)
    return {
        name: {
            "at half": round(float(np.mean([f.at_floor for f in some])), 4),
            "real halves": round(float(np.mean([f.floor for f in some])), 4),
            "within": round(float(np.mean([f.reading.startswith("within") for f in some])), 2),
        }
        for name, some in rows.items()
        if some[0].better != "told"
    }


def list_outside(splits: list[list[Figure]]) -> dict[str, Any]:
    """How many figures read `outside` in all splits, and those farthest from their floor."""
    counts: Counter[str] = Counter()
    apart: dict[str, list[float]] = defaultdict(list)
    for figures in splits:
        for figure in figures:
            half = max((figure.apart_high - figure.apart_low) / 2, 1e-9)
            middle = abs(figure.apart_high + figure.apart_low) / 2
            apart[figure.name].append(middle / half)
            counts[figure.name] += "outside" in figure.reading
    always = sorted(
        (name for name, count in counts.items() if count == len(splits)),
        key=lambda name: -np.median(apart[name]),
    )
    return {
        "figures": len(apart),
        "outside in every split": len(always),
        "farthest": {name: round(float(np.median(apart[name])), 1) for name in always[:8]},
    }


if __name__ == "__main__":
    main()
