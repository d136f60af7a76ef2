"""How many different images a set holds, and how like their mirrored selves they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from mri_gan.evaluate.distances import (
    effective_number,
    self_likeness,
    symmetry_family,
    vendi_family,
)
from mri_gan.evaluate.families import Source

VENDI = vendi_family(Source("f", lambda pixels, first: {}))


def test_equal_images_are_one_and_unlike_ones_are_all() -> None:
    far = 100.0 * np.eye(8, dtype=np.float32)
    assert effective_number(np.ones((8, 3), np.float32), 1.0) == pytest.approx(1)
    assert effective_number(far, 1.0) == pytest.approx(8)
    assert effective_number(np.repeat(far[:4], 2, 0), 1.0) == pytest.approx(4)


def test_two_images_have_the_entropy_of_their_likeness() -> None:
    likeness = np.exp(-0.5)  # at a distance of one width; eigenvalues are (1 +- likeness) / 2
    p, q = (1 + likeness) / 2, (1 - likeness) / 2
    expected = np.exp(-p * np.log(p) - q * np.log(q))
    assert effective_number(np.array([[0.0], [2.0]], np.float32), 2.0) == pytest.approx(expected)


def test_fakes_of_few_people_hold_fewer_images() -> None:
    rng = np.random.default_rng(0)
    reals = {"features": rng.normal(size=(60, 20)).astype(np.float32)}
    few = {"features": np.repeat(rng.normal(size=(6, 20)), 10, 0).astype(np.float32)}
    alike = {"features": rng.normal(size=(60, 20)).astype(np.float32)}
    assert VENDI.compare(reals, few)["vendi[f]"] < -60
    assert abs(VENDI.compare(reals, alike)["vendi[f]"]) < 25


def test_a_symmetric_picture_is_like_its_mirror_image_wherever_its_middle_is() -> None:
    rng = np.random.default_rng(0)
    half = rng.random((1, 64, 32)).astype(np.float32)
    even = np.concatenate([half, half[:, :, ::-1]], 2)
    assert self_likeness(even)[0] == pytest.approx(1, abs=1e-5)
    assert self_likeness(np.roll(even, 3, 2))[0] > 0.85
    assert self_likeness(np.roll(even, -3, 2))[0] > 0.85
    assert self_likeness(even.transpose(0, 2, 1).copy())[0] == pytest.approx(1, abs=1e-5)
    assert self_likeness(rng.random((1, 64, 64)).astype(np.float32))[0] < 0.2


def test_symmetry_is_the_distance_that_scipy_gives() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(50) ** 2
    found = symmetry_family().compare({"likeness": a}, {"likeness": b})
    assert found["symmetry"] == pytest.approx(100 * wasserstein_distance(a, b))
