"""One evaluation: every figure beside its noise floor, what the two mean, and a picture of both."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.charts import (
    ABOVE,
    FAKES,
    FEW_PEOPLE,
    NEAR,
    PRINTED,
    REALS,
    TOO_FEW,
    VERDICTS,
    WITHIN,
    save_figure,
)
from mri_gan.config import EFFICIENTNETS
from mri_gan.errors import DataError
from mri_gan.evaluate.distances import (
    SEAM_PX,
    Vectors,
    frechet_family,
    histogram_family,
    kernel_family,
    main_axes,
    seam_family,
    spectrum_family,
    upright_family,
    vendi_family,
)
from mri_gan.evaluate.families import (
    Described,
    Family,
    Rows,
    Values,
    bootstrap_pairs,
    describe_set,
    half_interval,
    halves,
    interval,
    order_groups,
    share_interval,
    take_rows,
)
from mri_gan.evaluate.features import FIT_IMAGES, FITS, Features, load_efficientnet
from mri_gan.evaluate.images import ImageSet, reals_of
from mri_gan.evaluate.neighbours import alpha_family, neighbour_family
from mri_gan.evaluate.patches import scales_at, ssim_families, swd_family
from mri_gan.store.reader import StoreReader
from mri_gan.tables import html_table
from mri_gan.values import say_count, say_number

FEWEST_PEOPLE = 4  # two in each half
FEWEST_APART = 2  # people to fit features on


def build_features(
    names: Sequence[str], apart: ImageSet, device: str, more: Sequence[Features] = ()
) -> list[Features]:
    """The named features, fitted where that is needed, and those of the user.

    `apart` are real slices of people who are not compared: fitted on the reals of a comparison,
    features would fit those better than anybody else's, and new people would seem to be fakes.
    """
    fit = apart.read(0, min(len(apart), FIT_IMAGES))  # the first ones: their order is random
    built = [
        load_efficientnet(device, name) if name in EFFICIENTNETS else FITS[name](fit)
        for name in names
    ]
    return [*built, *more]


def read_people(
    store: StoreReader, split: str, size: int, count: int, seed: int = 0
) -> tuple[ImageSet, ImageSet]:
    """The slices of a split to compare, at most `count`, and other people's to fit features on."""
    others = [name for name in ("train", "validate", "test") if name != split]
    present = tuple(name for name in others if len(store.indices(name)))
    apart = reals_of(store, present, size, count, seed) if present else None
    return set_apart(reals_of(store, (split,), size, count, seed), apart, seed)


def set_apart(reals: ImageSet, others: ImageSet | None, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """The people to compare, and those to fit features on.

    `others` where there are enough of them (people of other splits), else a quarter of the reals,
    who are then not compared. Too few people for that are fitted and compared alike.
    """
    if others is not None and len(np.unique(others.groups)) >= FEWEST_APART:
        return reals, others
    people = np.random.default_rng(seed).permutation(np.unique(reals.groups))
    count = max(FEWEST_APART, len(people) // 4)
    if len(people) - count < FEWEST_PEOPLE:
        return reals, reals
    chosen = np.isin(reals.groups, people[:count])
    return reals.select_images(~chosen), reals.select_images(chosen)


def build_families(
    size: int, count: int, features: Sequence[Features], seed: int = 0
) -> list[Family]:
    """Every family that images of this size have; `count` is that of the larger set."""
    families = [swd_family(size, count, seed), spectrum_family(), histogram_family()]
    families += [upright_family(), *([seam_family()] if size >= SEAM_PX else [])]
    if scales_at(size):
        families[1:1] = ssim_families()
    for one in features:
        source = one.source
        families += [
            frechet_family(source, one.dimensions),
            kernel_family(source),
            neighbour_family(source),
            alpha_family(source),
            vendi_family(source),
        ]
    return families


# One evaluation: every figure beside its noise floor and the interval that people give it

Column = NDArray[np.float64]  # one value for each halving or draw
HALVINGS = 8


@dataclass(frozen=True)
class Figure:
    """One number and what it takes to read it.

    `floor` is the same distance between two halves of the real people, `at_floor` that between
    fakes and one half at the same counts: compare these two with each other. Their difference
    is within `apart_low` .. `apart_high` (95 %) and `reading` says in words what that means.
    """

    name: str
    value: float
    low: float  # 95 % interval, over people and fakes drawn again
    high: float
    floor: float
    at_floor: float
    apart_low: float
    apart_high: float
    reading: str
    better: str
    unit: str

    @property
    def verdict(self) -> str:
        """The reading in a word or two, without its numbers."""
        if not np.isfinite(self.floor + self.at_floor):
            return TOO_FEW
        words = self.reading.partition(":")[0]
        return VERDICTS.get(words, words)


@dataclass(frozen=True)
class Left:
    """A family that was left out, and why."""

    family: str
    needs: int
    has: int


@dataclass(repr=False)
class Evaluation:
    """All figures of one evaluation, and the counts behind them."""

    reals: int
    fakes: int
    people: int
    half: tuple[int, int]  # images in the halves of the noise floor
    figures: list[Figure] = field(default_factory=list)
    left_out: list[Left] = field(default_factory=list)
    real_s: float = 0.0  # seconds for reading and describing
    fake_s: float = 0.0  # drawing too
    compare_s: float = 0.0
    points: dict[str, tuple[Vectors, Vectors]] = field(default_factory=dict)  # features: both sets
    facts: dict[str, Any] = field(default_factory=dict)  # of what was compared, and how

    def __repr__(self) -> str:
        counts = Counter(figure.verdict for figure in self.figures)
        said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if verdict)
        return f"Evaluation({self._counts}: {said})"

    @property
    def _counts(self) -> str:
        return f"{self.fakes:,} synthetic, {say_count(self.reals, 'real slice')}"

    def _repr_html_(self) -> str:
        """The figures beside their floors, for notebooks."""
        rows = [
            (f.name, *map(_or_too_few, (f.at_floor, f.floor)), f.unit, f.reading)
            for f in self.figures
        ]
        head = ["figure", "at half", "real halves", "unit", "verdict"]
        return html_table(self._counts, rows, head)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `evaluation.json` has them; see docs/evaluation.md."""
        return self.facts | {
            "counts": {
                "reals": self.reals,
                "fakes": self.fakes,
                "people": self.people,
                "floor_halves": list(self.half),
            },
            "figures": [_rounded(vars(figure)) for figure in self.figures],
            "left_out": [vars(left) for left in self.left_out],
            "seconds": {
                "reals": round(self.real_s, 3),
                "fakes": round(self.fake_s, 3),
                "compare": round(self.compare_s, 3),
            },
            "images_per_s": round(self.images_per_s, 1),
        }

    @property
    def images_per_s(self) -> float:
        """Images of both sets for each second of the whole."""
        seconds = self.real_s + self.fake_s + self.compare_s
        return (self.reals + self.fakes) / max(seconds, 1e-9)


def evaluate(
    reals: ImageSet,
    fakes: ImageSet,
    families: Sequence[Family],
    resamples: int = 100,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Describe both sets in one pass each, then compare them family by family.

    `tell` gets how many images more are described. Raises DataError when there are too few real
    people for a noise floor, or too few images for any family.
    """
    return compare_both(describe_both(reals, fakes, families, seed, tell), resamples, seed)


@dataclass
class Both:
    """Real and synthetic images as numbers, and what they are to be compared by."""

    real: Described
    fake: Described
    halvings: list[tuple[Rows, Rows]]  # of the real people
    families: list[Family]
    result: Evaluation  # without figures


def describe_both(
    reals: ImageSet,
    fakes: ImageSet,
    families: Sequence[Family],
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Both:
    """The first part of `evaluate`, which reads the images and raises what it does."""
    people = len(np.unique(reals.groups))
    if people < FEWEST_PEOPLE:
        raise DataError(
            f"a noise floor needs {FEWEST_PEOPLE} people, and the real images are of {people}",
            "choose a --split with more people, or more images of it",
        )
    split = [halves(reals.groups, seed + i) for i in range(HALVINGS)]
    chosen, left = choose(families, min(len(fakes), min(len(b) for _, b in split)))
    sources = list({family.source.name: family.source for family in chosen}.values())
    started = time.perf_counter()
    real = describe_set(reals, sources, tell)
    between = time.perf_counter()
    fake = describe_set(fakes, sources, tell)
    result = Evaluation(len(reals), len(fakes), people, (len(split[0][0]), len(split[0][1])))
    result.real_s, result.fake_s = between - started, time.perf_counter() - between
    result.left_out = left
    result.points = {
        source.name: (real.tables[source.name]["features"], fake.tables[source.name]["features"])
        for source in sources
        if "features" in real.tables[source.name]
    }
    return Both(real, fake, split, chosen, result)


def compare_both(
    both: Both, resamples: int, seed: int = 0, tell: Callable[[int], None] = lambda _: None
) -> Evaluation:
    """The second part of `evaluate`: all figures; `tell` gets how many families more are done."""
    started, result = time.perf_counter(), both.result
    for family in both.families:
        result.figures += compare(family, both.real, both.fake, both.halvings, resamples, seed)
        tell(1)
    result.compare_s = time.perf_counter() - started
    return result


def choose(families: Sequence[Family], count: int) -> tuple[list[Family], list[Left]]:
    """The families that `count` images of each set are enough for, and the others.

    Raises DataError when nothing remains.
    """
    chosen = [family for family in families if family.needs <= count]
    left = [Left(family.name, family.needs, count) for family in families if family.needs > count]
    if not chosen:
        fewest = min(families, key=lambda family: family.needs)
        raise DataError(
            f"too few images: {fewest.name} needs {fewest.needs} fakes and {fewest.needs} reals "
            f"in each half of the people, there are {count}",
            "use a larger split or store (or a larger --count, where one was given)",
        )
    return chosen, left


def compare(
    family: Family,
    real: Described,
    fake: Described,
    split: Sequence[tuple[Rows, Rows]],
    resamples: int,
    seed: int,
) -> list[Figure]:
    """The figures of one family."""
    reals, fakes = real.table(family.source), fake.table(family.source)
    values = family.compare(reals, fakes)
    floors, matched = [], []
    for i, (first, second) in enumerate(split):
        side = take_rows(reals, first)
        count = min(len(second), len(fake))
        rng = np.random.default_rng((seed, i))
        floors.append(family.compare(side, take_rows(reals, rng.permutation(second)[:count])))
        # Whole groups, as in the other half: as many slices of more people vary more.
        some = order_groups(fake.groups, rng)[:count]
        matched.append(family.compare(side, take_rows(fakes, some)))
    pairs = bootstrap_pairs(real.groups, fake.groups, resamples, seed)
    draws = family.redraw(reals, fakes, pairs)
    return [
        read_figure(
            family,
            name,
            value,
            _column(draws, name),
            _column(floors, name),
            _column(matched, name),
            min(len(np.unique(real.groups)), len(np.unique(fake.groups))),
        )
        for name, value in values.items()
    ]


def read_figure(
    family: Family,
    name: str,
    value: float,
    draws: Column,
    floors: Column,
    matched: Column,
    count: int = 0,  # of people or of groups of fakes, whichever are fewer
) -> Figure:
    """One figure, its intervals, and what they mean.

    `floors` [H] are people against people, `matched` [H] fakes against the same halves, so that
    their differences are paired. Halvings share people: the interval takes the spread of one, not
    of a mean of many, and Student's factor for how few they are.
    """
    if family.better == "zero":  # the sign between two halves of people is chance
        floors = np.abs(floors)
    apart = matched - floors
    half = half_interval(apart)
    low, high = float(apart.mean()) - half, float(apart.mean()) + half
    nearest = float(np.abs(apart).min())
    if np.isinf(family.most) and nearest > FAR * half_interval(floors) > 0:
        # Far away in every halving, by differences so unequal that an interval would hold 0.
        half, low, high = min(half, nearest), max(low, apart.min()), min(high, apart.max())
    at_floor, floor = float(matched.mean()), float(floors.mean())
    # High is far from everybody; low is near to somebody, as copies are.
    better = "far" if name.startswith("authenticity[") else family.better
    return Figure(
        name,
        value,
        *figure_interval(family, name, value, draws, count),
        floor,
        at_floor,
        float(low),
        float(high),
        say_reading(better, at_floor, floor, half, family.beyond or NEARER),
        better,
        family.unit,
    )


SHARES = ("upright", "precision", "recall", "coverage", "authenticity")  # of a count


def figure_interval(
    family: Family, name: str, value: float, draws: Column, count: int
) -> tuple[float, float]:
    """The 95 % interval of a figure; where no draw of a share differs, that of `count` things."""
    kind = name.partition("[")[0]
    if count and kind in SHARES and np.ptp(draws) == 0:
        low, high = share_interval(value / family.most, count)
        return low * family.most, high * family.most
    most = np.inf if kind == "density" else family.most  # the only one of its family without end
    return interval(value, draws, family.least, most)


FAR = 3.0  # half intervals
NEARER = f"{NEAR}: run audit"


def say_reading(
    better: str, at_floor: float, floor: float, half: float, beyond: str = NEARER
) -> str:
    """What the difference means, in words; `beyond` is said of fakes better than people are."""
    apart = (abs(at_floor) if better == "zero" else at_floor) - floor
    if better == "told" or not np.isfinite(apart + half):
        return ""
    if better in ("higher", "far") and apart <= 0 and half >= floor:  # 0, the worst, is within
        return FEW_PEOPLE
    if abs(apart) <= half or (better == "zero" and apart < 0):  # nothing is better than 0
        return WITHIN
    if (apart > 0) == (better == "higher"):
        return beyond
    how_far = "far outside" if abs(apart) > FAR * half else "outside"
    return f"{how_far}: {say_number(at_floor)} against {say_number(floor)}"


def _or_too_few(value: float) -> float | str:
    return value if np.isfinite(value) else TOO_FEW


def _column(rows: Sequence[Values], name: str) -> Column:
    return np.array([row[name] for row in rows])


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (None if not np.isfinite(v) else float(f"{v:.6g}")) if isinstance(v, float) else v
        for name, v in values.items()
    }


# Both sets in the space of features, as a picture

MOST_POINTS = 500  # of each set


def save_map(paths: Sequence[Path], points: Mapping[str, tuple[Vectors, Vectors]]) -> None:
    """Where both sets are in the space of each kind of features, in each of these files.

    One point for each image: above by the two principal components of both sets together, below by
    t-SNE (van der Maaten and Hinton 2008), where scikit-learn is installed.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    ways = [lay_flat, *([lay_by_tsne] if importlib.util.find_spec("sklearn") else [])]
    canvas = Canvas(figsize=(3.4 * len(points), 3.4 * len(ways)), layout="constrained")
    grid = canvas.subplots(len(ways), len(points), squeeze=False)
    for column, (name, (reals, fakes)) in enumerate(points.items()):
        few = [rows[:MOST_POINTS] for rows in (reals, fakes)]
        for row, lay in enumerate(ways):
            axes, (title, placed) = grid[row, column], lay(*few)
            first, rest = np.split(placed, [len(few[0])])
            axes.scatter(*first.T, s=6, marker="s", color=REALS, alpha=0.5, label="real")
            axes.scatter(*rest.T, s=6, color=FAKES, alpha=0.5, label="synthetic")
            one = title.removesuffix("s")
            axes.set(title=f"{name}, {title}", xlabel=f"{one} 1", ylabel=f"{one} 2")
            axes.set(xticks=[], yticks=[])
    canvas.legend(*grid[0, 0].get_legend_handles_labels(), **ABOVE)
    with matplotlib.rc_context(PRINTED):
        for path in paths:
            save_figure(path, canvas, "Real and synthetic images by their features")


def lay_flat(reals: Vectors, fakes: Vectors) -> tuple[str, Vectors]:
    """Coordinates [N + M, 2] on the principal components of both sets, and what they are called."""
    both = np.concatenate([reals, fakes])
    return "principal components", (both - both.mean(0)) @ main_axes(reals, fakes, 2)


def lay_by_tsne(reals: Vectors, fakes: Vectors) -> tuple[str, Vectors]:
    """Coordinates [N + M, 2] by t-SNE, the same in every run, and what they are called."""
    from sklearn.manifold import TSNE

    both = np.concatenate([reals, fakes])
    laid = TSNE(perplexity=min(30, (len(both) - 1) / 3), init="pca", random_state=0)
    return "t-SNE", np.asarray(laid.fit_transform(both), np.float32)
