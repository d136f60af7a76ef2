"""Planted copies are changed as their kind says."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms.heads import draw_heads
from scipy.ndimage import gaussian_filter, rotate

from mri_gan.evaluate.copies.planting import KINDS, USUAL, plant

HEADS, OTHERS = draw_heads(2, seed=1), draw_heads(2, seed=2)
PLANTED = plant(HEADS, OTHERS, tuple(KINDS))


def test_there_are_at_least_forty_kinds_and_the_usual_are_among_them() -> None:
    assert len(KINDS) >= 40
    assert set(USUAL) <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_pictures_and_the_same_every_time(kind: str) -> None:
    copies = PLANTED[kind]
    assert copies.shape == HEADS.shape
    assert copies.dtype == np.float32
    assert -1e-6 <= copies.min() <= copies.max() <= 1 + 1e-6
    assert np.array_equal(copies, plant(HEADS, OTHERS, (kind,))[kind])
    assert (kind == "exact") == bool(np.abs(copies - HEADS).max() < 1e-4)


def test_a_turn_is_that_of_scipy() -> None:
    expected = rotate(HEADS[0], -10, reshape=False, order=1)
    found = min(
        np.abs(PLANTED["rotation 10"][0] - expected).max(),
        np.abs(PLANTED["rotation 10"][0] - rotate(HEADS[0], 10, reshape=False, order=1)).max(),
    )
    assert found < 0.02


def test_a_blur_is_that_of_scipy() -> None:
    expected = gaussian_filter(HEADS[0], 2, mode="constant", truncate=3)
    assert np.abs(PLANTED["blur 2 px"][0] - expected).max() < 1e-3


def test_closed_forms() -> None:
    assert np.allclose(PLANTED["gamma 2"], HEADS**2)
    assert np.allclose(PLANTED["blend 70/30"], 0.7 * HEADS + 0.3 * OTHERS)
    assert np.array_equal(PLANTED["mirrored in columns"], HEADS[:, :, ::-1])
    assert np.array_equal(PLANTED["left half"][:, :, :32], HEADS[:, :, :32])
    assert np.array_equal(PLANTED["left half"][:, :, 32:], OTHERS[:, :, 32:])
    assert np.array_equal(PLANTED["lower half"][:, 32:], HEADS[:, 32:])
    noise = PLANTED["noise 0.1"] - HEADS
    assert np.std(noise[(HEADS > 0.4) & (HEADS < 0.6)]) == pytest.approx(0.1, abs=0.01)
