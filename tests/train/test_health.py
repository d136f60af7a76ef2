"""Problems are told by name, with a remedy, and only when they are there."""

from typing import Any

import numpy as np
import pytest
import torch

from mri_gan.train.health import diversity, find_problems, real_diversity

FINE = {"real_score": 1.0, "fake_score": -1.0, "data_wait": 0.001, "seconds": 10.0}


def test_a_healthy_run_has_none() -> None:
    assert find_problems(FINE, fakes=0.5, reals=0.6) == {}


@pytest.mark.parametrize(
    ("change", "fakes", "problem", "remedy"),
    [
        ({}, 0.1, "collapse", "--lr"),
        ({"real_score": 90.0}, 0.5, "saturation", "--gp-weight"),
        ({"fake_score": 90.0}, 0.5, "saturation", "--gp-weight"),
        ({"data_wait": 0.2}, 0.5, "starvation", "--ahead"),
    ],
)
def test_each_problem_names_a_remedy(
    change: dict[str, float], fakes: float, problem: str, remedy: str
) -> None:
    found = find_problems({**FINE, **change}, fakes, reals=0.6)
    assert list(found) == [problem]
    assert remedy in found[problem]


def test_a_short_wait_at_the_start_is_no_starvation() -> None:
    assert find_problems({**FINE, "data_wait": 0.9, "seconds": 0.1}, 0.5, 0.6) == {}


def test_scores_that_are_not_finite_are_no_saturation() -> None:
    assert find_problems({**FINE, "real_score": None}, 0.5, 0.6) == {}


def test_equal_pictures_have_no_diversity_and_opposite_ones_have_most() -> None:
    assert diversity(torch.ones(4, 1, 8, 8)) == 0
    assert diversity(torch.tensor([-1.0, 1.0, -1.0]).reshape(3, 1, 1, 1)) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stored_slices_are_measured_on_the_same_scale(dtype: type) -> None:
    images: Any = np.array([0, np.iinfo(dtype).max], dtype).reshape(2, 1, 1, 1)
    assert real_diversity(images) == pytest.approx(2)
