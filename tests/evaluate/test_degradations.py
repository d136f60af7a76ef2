"""Planted faults move the figure that is there to see them, and in the right direction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mri_gan.charts import FEW_PEOPLE, WITHIN
from mri_gan.errors import DataError
from mri_gan.evaluate.distances import kernel_family, upright_family
from mri_gan.evaluate.evaluation import (
    Evaluation,
    Figure,
    build_families,
    build_features,
    choose,
    evaluate,
    read_figure,
    say_reading,
)
from mri_gan.evaluate.families import Family, Source
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.neighbours import alpha_family, neighbour_family
from mri_gan.evaluate.patches import ssim_families

Images = NDArray[np.float32]
SIZE, SLICES = 32, 8


def draw_people(count: int, seed: int) -> NDArray[np.float32]:
    """Slices [count * SLICES, 32, 32] of people, person after person, 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    images = []
    for _ in range(count):
        width, height, shade = rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.8)
        for k in range(SLICES):
            scale = 1 - 0.05 * k
            inside = (x / (width * scale)) ** 2 + (y / (height * scale)) ** 2 < 1
            folds = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 1.2)
            images.append(inside * (shade + 0.35 * folds / folds.std() * 0.5))
    grey = np.clip(np.stack(images) + 0.01 * rng.normal(size=(len(images), SIZE, SIZE)), 0, 1)
    return np.asarray(np.round(grey * 255) / 255, np.float32)


def as_set(images: Images) -> ImageSet:
    """Pictures in memory as fakes."""
    return ImageSet(SIZE, np.arange(len(images)), lambda a, b: images[a:b])


@pytest.fixture(scope="module")
def reals() -> ImageSet:
    """48 people with 8 slices each, in random order."""
    images, order = draw_people(48, seed=1), np.random.default_rng(0).permutation(48 * SLICES)
    shuffled = images[order]
    return ImageSet(SIZE, order // SLICES, lambda a, b: shuffled[a:b])


@pytest.fixture(scope="module")
def others() -> NDArray[np.float32]:
    """As many slices of as many other people: what a perfect generator would draw."""
    return draw_people(48, seed=2)[np.random.default_rng(3).permutation(48 * SLICES)]


def blur(images: Images) -> Images:
    return np.asarray(gaussian_filter(images, (0, 1, 1)))


def noise(images: Images) -> Images:
    grain = np.random.default_rng(0).normal(0, 0.1, images.shape)
    return np.asarray(np.clip(images + grain, 0, 1), np.float32)


def contrast(images: Images) -> Images:
    return np.asarray(images * 0.7, np.float32)


def drop_modes(images: Images) -> Images:
    """A generator that has learned four images, with a little grain on each copy."""
    rng = np.random.default_rng(0)
    copies = images[rng.integers(0, 4, len(images))] + rng.normal(0, 0.01, images.shape)
    return np.asarray(np.clip(copies, 0, 1), np.float32)


FAULTS: dict[str, Callable[[Images], Images]] = {
    "none": lambda images: images,
    "blur": blur,
    "noise": noise,
    "contrast": contrast,
    "mode dropping": drop_modes,
}
# fault, figure, whether it must rise (+) or fall (-), at least by what factor
TABLE = [
    ("blur", "swd[32px]", "+", 2.0),
    ("blur", "spectrum", "+", 5.0),
    ("blur", "ms-ssim[fake-real]", "+", 2.0),
    ("blur", "fd[random-cnn]", "+", 5.0),
    ("blur", "kd[texture]", "+", 5.0),
    ("blur", "precision[texture]", "-", 2.0),
    ("noise", "swd[32px]", "+", 2.0),
    ("noise", "spectrum", "+", 5.0),
    ("noise", "fd[texture]", "+", 5.0),
    ("noise", "precision[texture]", "-", 2.0),
    ("noise", "density[random-cnn]", "-", 2.0),
    ("contrast", "histogram", "+", 5.0),
    ("contrast", "fd[pca]", "+", 2.0),
    ("contrast", "spectrum", "+", 2.0),
    ("contrast", "fd[texture]", "+", 5.0),
    ("mode dropping", "ms-ssim[fake-real]", "+", 2.0),
    ("mode dropping", "recall[random-cnn]", "-", 2.0),
    ("mode dropping", "coverage[random-cnn]", "-", 2.0),
    ("mode dropping", "coverage[texture]", "-", 2.0),
    ("mode dropping", "kd[random-cnn]", "+", 1.5),
]


@pytest.fixture(scope="module")
def families(reals: ImageSet) -> list[Family]:
    features = build_features(
        ("pca", "random-cnn", "texture"), as_set(draw_people(8, seed=7)), "cpu"
    )
    return build_families(32, 16_384, features)  # few patches: quick


@pytest.fixture(scope="module")
def evaluations(reals: ImageSet, others: Images, families: list[Family]) -> dict[str, Evaluation]:
    found = {}
    for name, fault in FAULTS.items():
        images = fault(others)
        fakes = as_set(images)
        found[name] = evaluate(reals, fakes, families, resamples=20)
    return found


@pytest.mark.parametrize(("fault", "figure", "direction", "factor"), TABLE)
def test_a_fault_moves_its_figure(
    evaluations: dict[str, Evaluation], fault: str, figure: str, direction: str, factor: float
) -> None:
    before, after = (
        abs(next(f.value for f in evaluations[name].figures if f.name == figure))
        for name in ("none", fault)
    )
    assert after > factor * before if direction == "+" else after < before / factor


def test_new_people_score_like_the_noise_floor(evaluations: dict[str, Evaluation]) -> None:
    """What a perfect generator would score: what half of the people score against half."""
    told = [f for f in evaluations["none"].figures if f.better != "told"]
    within = [f for f in told if f.reading.startswith("within")]
    outside = [f for f in within if not f.apart_low <= 0 <= f.apart_high]
    widths = [(f.apart_high - f.apart_low) / 2 for f in outside]
    assert all(  # nothing is better than 0, on whichever side of it
        f.better == "zero" and abs(f.at_floor) <= f.floor + width
        for f, width in zip(outside, widths, strict=True)
    ), outside
    assert len(within) >= 0.85 * len(told), [f for f in told if f not in within]


def test_faults_are_said_to_be_far_outside(evaluations: dict[str, Evaluation]) -> None:
    readings = {f.name: f.reading for f in evaluations["blur"].figures}
    assert readings["spectrum"].startswith("far outside: ")
    assert readings["fd[random-cnn]"].startswith("far outside: ")


def test_copies_of_the_reals_are_nearer_than_people_are(
    reals: ImageSet, families: list[Family]
) -> None:
    copies = ImageSet(SIZE, np.arange(len(reals)), reals.read)
    result = evaluate(reals, copies, families, resamples=20)
    nearer = {f.name for f in result.figures if f.reading.startswith("nearer than people are")}
    assert {"swd[mean]", "spectrum", "histogram"} & nearer


def test_more_alike_fakes_keep_the_sign_of_their_difference() -> None:
    assert say_reading("zero", -0.3, 0.05, 0.1).startswith("outside: -0.3 against 0.05")
    assert say_reading("zero", 0.04, 0.05, 0.1).startswith("within")
    assert say_reading("zero", 0.01, 20.0, 0.1).startswith("within")
    assert say_reading("lower", 0.1, 1.0, 0.2).startswith("nearer than people")
    assert say_reading("higher", 0.1, 1.0, 0.2).startswith("far outside")


@pytest.mark.parametrize("better", ["higher", "far"])
def test_what_even_the_worst_would_pass_is_not_known(better: str) -> None:
    """Between 0.25 and 0.97 are 0.72, and between 0 and 0.97 no more than the interval."""
    assert say_reading(better, 0.246, 0.9656, 1.0528) == FEW_PEOPLE
    assert say_reading(better, 0.246, 0.9656, 0.94) == WITHIN
    assert say_reading(better, 0.99, 0.9656, 1.0528) == WITHIN
    assert Figure("f", 0, 0, 0, 1, 0, 0, 0, FEW_PEOPLE, better, "").verdict == "not known"


def test_fakes_that_are_farther_than_people_are_not_called_near() -> None:
    """Authenticity is low for copies, and 1 for what is like nobody."""
    family = alpha_family(Source("x", lambda *_: {}))
    people = np.array([0.90, 0.92, 0.91, 0.93])
    for fakes, word in ((people + 0.08, "far outside"), (people - 0.5, "too near")):
        fakes[0] += 0.001
        figure = read_figure(family, "authenticity[x]", float(fakes.mean()), fakes, people, fakes)
        assert figure.verdict == word


@pytest.mark.parametrize(
    ("family", "name", "most"),
    [
        (upright_family(), "upright[rows]", 100),
        (alpha_family(Source("x", lambda *_: {})), "alpha-precision[x]", 1),
        (neighbour_family(Source("x", lambda *_: {})), "precision[x]", 1),
        (neighbour_family(Source("x", lambda *_: {})), "density[x]", np.inf),
    ],
)
def test_the_interval_of_a_share_ends_at_the_whole(family: Family, name: str, most: float) -> None:
    draws = np.linspace(-1, 1, 101) + 90
    value = most if np.isfinite(most) else 1.0
    figure = read_figure(family, name, value, draws, draws[:8], draws[:8])
    assert figure.high == (most if np.isfinite(most) else pytest.approx(1.95))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("precision[x]", 0.0, 0.161), ("density[x]", 0.0, 0.0), ("alpha-precision[x]", 0.0, 0.0)],
)
def test_a_share_of_none_is_not_certain(name: str, low: float, high: float) -> None:
    family, none = neighbour_family(Source("x", lambda *_: {})), np.zeros(50)
    figure = read_figure(family, name, 0.0, none, none[:8], none[:8], count=20)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-3)


def test_a_share_in_per_cent_has_its_interval_in_per_cent() -> None:
    whole = np.full(50, 100.0)
    figure = read_figure(
        upright_family(), "upright[rows]", 100.0, whole, whole[:8], whole[:8], count=20
    )
    assert (figure.low, figure.high) == pytest.approx((83.9, 100), abs=0.1)


def test_a_whole_share_is_as_certain_as_there_are_people(
    reals: ImageSet, families: list[Family]
) -> None:
    copies = ImageSet(32, np.arange(len(reals)), reals.read)
    figures = {f.name: f for f in evaluate(reals, copies, families, resamples=20).figures}
    people = len(np.unique(reals.groups))
    assert figures["precision[pca]"].low == pytest.approx(people / (people + 1.96**2), rel=1e-3)
    assert figures["precision[pca]"].high == 1


def test_more_upright_than_people_is_no_sign_of_copies() -> None:
    people = np.array([58.0, 59, 60, 58])
    family = upright_family()
    figure = read_figure(family, "upright[rows]", 80, people, people, people + 20)
    assert figure.reading == "more upright than people are: no sign of copies"
    assert figure.verdict == "more upright"


def test_far_away_in_every_halving_is_far_whatever_the_spread() -> None:
    """A cubic kernel of blobs, as measured: Student's interval of these differences holds 0."""
    people = np.array([-1.1, -0.96, -0.88, -1.5, 1.7, -1.0, -1.3, -1.1])
    blobs = np.array([49668.0, 29441, 7688, 21559, 35820, 30280, 41937, 69149])
    family = kernel_family(Source("x", lambda *_: {}))
    draws = blobs.repeat(5)
    figure = read_figure(family, "kd[x]", 35000.0, draws, people, blobs)
    assert figure.verdict == "far outside"
    assert 7680 < figure.apart_low < 7700
    assert figure.apart_high <= 69151
    assert read_figure(family, "kd[x]", 0.1, draws, people, people[::-1]).verdict == "within"
    one_near = np.array([*blobs[:-1], people[-1]])
    assert read_figure(family, "kd[x]", 1.0, draws, people, one_near).verdict == "within"
    shares = neighbour_family(Source("x", lambda *_: {}))  # which end at 1, and pile up there
    most = np.array([1, 1, 1, 1, 0.999, 1, 1, 1])
    less = np.array([0.99, 0.95, 0.99, 0.98, 0.99, 0.99, 0.99, 0.94])
    assert read_figure(shares, "precision[x]", 0.9, draws, most, less).verdict == "within"


def test_without_halves_there_are_too_few_images() -> None:
    unknown = np.full(4, np.nan)
    told, _ = ssim_families()
    figure = read_figure(told, "ms-ssim[fake]", 0.3, np.full(4, 0.3), unknown, np.full(4, 0.3))
    assert figure.verdict == "too few images"
    assert "<td>too few images</td>" in Evaluation(8, 8, 4, (4, 4), [figure])._repr_html_()


def test_more_images_than_the_floor_has_lower_the_distance(
    evaluations: dict[str, Evaluation],
) -> None:
    """Why fakes are compared with the floor at the floor's own counts."""
    biased = [f for f in evaluations["none"].figures if f.name.startswith(("fd[pca]", "swd"))]
    assert len(biased) == 4
    assert all(figure.value < figure.at_floor for figure in biased)


def test_a_set_of_the_reals_themselves_is_at_distance_0(
    reals: ImageSet, families: list[Family]
) -> None:
    copies = ImageSet(32, np.arange(len(reals)), reals.read)
    result = evaluate(reals, copies, families, resamples=20)
    values = {figure.name: figure.value for figure in result.figures}
    for name in ("swd[mean]", "spectrum", "histogram"):
        assert values[name] == pytest.approx(0, abs=1e-6)
    assert values["fd[pca]"] == pytest.approx(0, abs=1e-2)
    for name in ("precision", "recall", "coverage"):
        assert values[f"{name}[pca]"] == 1


@pytest.mark.parametrize(
    ("at_floor", "word"),
    [(1.1, "within"), (1.4, "outside"), (3.0, "far outside"), (0.1, "too near")],
)
def test_the_verdict_is_the_reading_in_a_word(at_floor: float, word: str) -> None:
    reading = say_reading("lower", at_floor, 1.0, 0.2)
    figure = Figure("f", 0, 0, 0, 1, at_floor, 0, 0, reading, "lower", "")
    assert figure.verdict == word


def test_too_few_images_for_any_figure_come_with_what_helps() -> None:
    told, _ = ssim_families()
    said = "use a larger split or store .or a larger --count, where one was given"
    with pytest.raises(DataError, match=said):
        choose([told], told.needs - 1)
