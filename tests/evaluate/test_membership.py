"""Membership inference by the critic: areas, intervals over people, the rate at few errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_curve
from torch import Tensor

from mri_gan.config import ModelConfig
from mri_gan.evaluate.membership import area_under_curve, infer_membership, rate_above, score_images
from mri_gan.evaluate.verdict import warn_membership
from mri_gan.nets.build import build_critic


def test_the_area_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 50).astype(float), rng.integers(0, 7, 70).astype(float)
    expected = mannwhitneyu(a, b).statistic / (50 * 70)
    assert area_under_curve(a, b) == pytest.approx(expected)


def test_intervals_of_the_area_are_wider_for_people_than_for_slices() -> None:
    rng = np.random.default_rng(0)
    people = rng.normal(size=20).repeat(30)
    a, b = (people[:300] + 0.1 * rng.normal(size=300)), people[300:]
    groups = np.arange(300) // 30
    by_person = infer_membership(a, b, groups, groups)
    by_slice = infer_membership(a, b, np.arange(300), np.arange(300))
    assert by_person.low < by_person.auc < by_person.high
    assert by_person.high - by_person.low > 2 * (by_slice.high - by_slice.low)
    assert (by_person.members, by_person.others) == (10, 10)


def test_a_score_does_not_depend_on_its_companions() -> None:
    torch.manual_seed(0)
    critic = build_critic(ModelConfig(max_size=16, capacity=1 / 32)).eval()
    images = torch.rand(6, 1, 16, 16) * 2 - 1

    def scores(rows: Tensor) -> NDArray[np.float64]:
        return score_images(critic, iter([(rows, None)]), 1.0)

    assert scores(images)[2] == pytest.approx(scores(images[2:3])[0], rel=1e-4)


@pytest.mark.parametrize("digits", [1, 16])  # with equal scores and without
def test_the_rate_is_that_of_the_roc_curve_at_one_per_cent(digits: int) -> None:
    rng = np.random.default_rng(0)
    members, others = (rng.normal(x, 1, n).round(digits) for x, n in ((1, 500), (0, 400)))
    truth = np.concatenate([np.ones(500), np.zeros(400)])
    false, true, _ = roc_curve(truth, np.concatenate([members, others]), drop_intermediate=False)
    assert rate_above(members, others) == pytest.approx(true[false <= 0.01].max())


def test_a_critic_that_knows_its_people_is_warned_about() -> None:
    groups = np.arange(300) // 30
    found = infer_membership(np.linspace(5, 6, 300), np.linspace(0, 1, 300), groups, groups)
    assert (found.auc, found.rate) == (1.0, 1.0)
    assert "100% of them at 1% false positives" in (warn_membership(found) or "")
    assert warn_membership(None) is None
