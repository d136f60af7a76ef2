"""Problems are told by name, with a remedy, and only when they are there."""

from typing import Any

import numpy as np
import pytest
import torch

from mri_gan.train.monitor import Health, diversity, find_problems, real_diversity

FINE = {"real_score": 1.0, "fake_score": -1.0, "data_wait": 0.001, "seconds": 10.0}


def test_a_healthy_run_has_none() -> None:
    assert find_problems(FINE, 0.8) == {}


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
    found = find_problems({**FINE, **change}, fakes / 0.6)
    assert list(found) == [problem]
    assert remedy in found[problem]


def test_a_short_wait_at_the_start_is_no_starvation() -> None:
    assert find_problems({**FINE, "data_wait": 0.9, "seconds": 0.1}, 0.8) == {}


def test_scores_that_are_not_finite_are_no_saturation() -> None:
    assert find_problems({**FINE, "real_score": None}, 0.8) == {}


def test_equal_pictures_have_no_diversity_and_opposite_ones_have_most() -> None:
    assert diversity(torch.ones(4, 1, 8, 8)) == 0
    assert diversity(torch.tensor([-1.0, 1.0, -1.0]).reshape(3, 1, 1, 1)) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stored_slices_are_measured_on_the_same_scale(dtype: type) -> None:
    images: Any = np.array([0, np.iinfo(dtype).max], dtype).reshape(2, 1, 1, 1)
    assert real_diversity(images) == pytest.approx(2)


def test_a_young_generator_whose_samples_are_all_alike_has_not_collapsed() -> None:
    health = Health()
    told = [health.look(FINE, fakes, 0.6, done) for fakes, done in ((0.05, 0.0), (0.2, 0.1))]
    assert told == [[], []]
    assert "collapse" in health.look(FINE, 0.2, 0.6, done=0.3)[0]


def test_falling_diversity_is_told_at_any_age_once_and_again_when_it_comes_back() -> None:
    health = Health()
    shares = [0.5, 0.1, 0.1, 0.5, 0.1]
    told = [len(health.look(FINE, share, 0.6, 0.01)) for share in shares]
    assert told == [0, 1, 0, 0, 1]
