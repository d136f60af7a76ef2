"""How many different images a set holds, how they lie, and whether they have a seam."""

from __future__ import annotations

import numpy as np
import pytest

from mri_gan.evaluate.distances import (
    effective_number,
    measure_seams,
    seam_family,
    upright_family,
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


def test_a_step_across_the_middle_is_a_seam_and_a_smooth_picture_has_none() -> None:
    place = np.linspace(-1, 1, 64, dtype=np.float32)
    smooth = np.broadcast_to(0.5 + 0.3 * place**3 - 0.2 * place, (1, 64, 64))
    assert measure_seams(smooth, 2)[0] == pytest.approx(0, abs=1e-3)
    stepped = smooth + 0.2 * (np.arange(64) >= 32).astype(np.float32)
    # The fifth difference of a step is (10 - 5 + 1) / 32 of it; none is seen 3 px beside it.
    expected = np.log(0.2 * 6 / 32 / 0.005 + 1)
    assert measure_seams(stepped, 2)[0] == pytest.approx(expected, rel=1e-3)
    assert measure_seams(stepped.transpose(0, 2, 1), 1)[0] == pytest.approx(expected, rel=1e-3)
    assert measure_seams(stepped, 1)[0] == pytest.approx(0, abs=1e-3)


def test_a_seam_is_a_difference_from_reals_in_per_cent() -> None:
    reals, fakes = ({k: np.full(9, v) for k in ("rows", "columns")} for v in (0.1, 0.4))
    found = seam_family().compare(reals, fakes)
    assert found["seam[rows]"] == pytest.approx(100 * (np.exp(0.3) - 1))


def test_mirrored_images_do_not_lie_as_reals_do() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((40, 64, 64)).astype(np.float32)
    images[:, 8:16, 40:48] += 1  # in the upper right
    reals, others = images[:20], images[20:]
    family = upright_family()

    def share(fakes: np.ndarray, axis: str) -> float:
        found = family.compare(family.source.describe(reals, 0), family.source.describe(fakes, 0))
        return found[f"upright[{axis}]"]

    assert share(others, "rows") == share(others, "columns") == pytest.approx(100)
    assert share(others[:, ::-1], "rows") == share(others[:, :, ::-1], "columns") == 0
