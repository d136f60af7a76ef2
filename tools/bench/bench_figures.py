"""What the figures of `evaluate` say of strangers, who are as good as fakes can be, and of faults.

    python tools/bench/bench_figures.py STORE     # a prepared store of 16 people or more
    python tools/bench/bench_figures.py           # 40 made-up heads

Strangers: the people of STORE are shared out at random; features are fitted on a fifth of them,
half of the others are the reals and the rest the fakes. For each figure the means of `at half` and
`real halves` over the splits, and the share of splits whose reading is "within what people differ
among themselves". Faults are planted into strangers: how many figures then read `outside` and which
first (by the distance from the floor in half intervals), over a few splits.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mri_gan.evaluate.evaluation import Figure, build_families, build_features, evaluate
from mri_gan.evaluate.images import ImageSet, reals_of
from mri_gan.pictures import Pixels
from mri_gan.store.reader import StoreReader

sys.path.insert(0, str(Path(__file__).parents[1]))
from phantoms.heads import SLICES, draw_heads

SPLITS = ("train", "validate", "test")
RESAMPLES = 2  # readings do without the interval of the value
FEATURES = ("pca", "random-cnn", "texture")
Groups = NDArray[np.int64]
Fault = Callable[[Pixels, Groups, np.random.Generator], Pixels]


def fewer_people(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """Slices of half of the people, as many pictures in all, each twice with a little noise."""
    names = rng.permutation(np.unique(groups))
    rows = np.flatnonzero(np.isin(groups, names[: max(1, len(names) // 2)]))
    chosen = images[np.resize(rows, len(images))]
    return np.asarray(np.clip(chosen + rng.normal(0, 0.01, chosen.shape), 0, 1), np.float32)


def chimeras(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """The upper half of each picture, and the lower half of the most alike of another person."""
    small = images.reshape(len(images), -1)
    distances = ((small[:, None] - small[None]) ** 2).mean(2)
    distances[groups[:, None] == groups] = np.inf
    made, middle = images.copy(), images.shape[-1] // 2
    made[:, middle:] = images[distances.argmin(1)][:, middle:]
    return made


def means(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
    """The mean of each picture and the most alike one of another person."""
    small = images.reshape(len(images), -1)
    distances = ((small[:, None] - small[None]) ** 2).mean(2)
    distances[groups[:, None] == groups] = np.inf
    return np.asarray((images + images[distances.argmin(1)]) / 2, np.float32)


def noise(deviation: float) -> Fault:
    """Noise of a deviation of so many of 255 grey levels."""

    def add(images: Pixels, groups: Groups, rng: np.random.Generator) -> Pixels:
        noisy = images + rng.normal(0, deviation / 255, images.shape)
        return np.asarray(np.round(np.clip(noisy, 0, 1) * 255) / 255, np.float32)

    return add


FAULTS: dict[str, Fault] = {
    "none": lambda images, groups, rng: images,
    "blur of 1 px": lambda images, groups, rng: np.asarray(gaussian_filter(images, (0, 1, 1))),
    "noise of 2.5 grey levels": noise(2.5),
    "noise of 12 grey levels": noise(12),
    "contrast 0.8": lambda images, groups, rng: np.asarray(images * np.float32(0.8)),
    "chimeras of two people": chimeras,
    "means of two people": means,
    "mirrored in rows": lambda images, groups, rng: np.ascontiguousarray(images[:, ::-1]),
    "mirrored in columns": lambda images, groups, rng: np.ascontiguousarray(images[:, :, ::-1]),
    "half of the people": fewer_people,
}


@click.command()
@click.argument("store", type=click.Path(path_type=Path), required=False)
@click.option("--size", default=64, show_default=True, help="Pixels.")
@click.option("--splits", default=20, show_default=True, help="Random splits of the people.")
@click.option("--fault-splits", default=3, show_default=True, help="Splits for each fault.")
@click.option("--slices", default=32, show_default=True, help="Slices of each person at most.")
@click.option("--threads", default=0, help="CPU threads  [default: all].")
def main(store: Path, size: int, splits: int, fault_splits: int, slices: int, threads: int) -> None:
    """Measure the figures on the people of STORE, or on made-up heads."""
    if threads:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    pixels, groups = read_everybody(store, size) if store else draw_everybody()
    kept = np.concatenate([np.flatnonzero(groups == g)[:slices] for g in np.unique(groups)])
    kept.sort()  # the order is random already
    pixels, groups = pixels[kept], groups[kept]
    found: dict[str, Any] = {"people": len(np.unique(groups))}
    for name, fault in FAULTS.items():
        count = splits if name == "none" else fault_splits
        figures = [judge_fault(pixels, groups, fault, seed) for seed in range(count)]
        found["strangers" if name == "none" else name] = (
            list_figures(figures) if name == "none" else list_outside(figures)
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


def judge_fault(pixels: Pixels, groups: Groups, fault: Fault, seed: int) -> list[Figure]:
    """All figures of strangers with a fault against reals, for one split of the people."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(groups))
    fifth = len(names) // 5
    middle = fifth + (len(names) - fifth) // 2
    apart, reals, others = (
        np.isin(groups, some) for some in (names[:fifth], names[fifth:middle], names[middle:])
    )
    made = fault(pixels[others], groups[others], rng)
    features = build_features(FEATURES, in_memory(pixels[apart], groups[apart]), "cpu")
    families = build_families(pixels.shape[-1], len(pixels), features, seed)
    real = in_memory(pixels[reals], groups[reals])
    return evaluate(real, in_memory(made, groups[others]), families, RESAMPLES, seed).figures


def in_memory(pixels: Pixels, groups: Groups) -> ImageSet:
    """Pictures of people as a set."""
    return ImageSet("people", pixels.shape[-1], groups, lambda a, b: pixels[a:b])


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
