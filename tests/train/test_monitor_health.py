"""Problems are told by name, with a remedy, and only when they are there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mri_gan.config import METRICS, read_metrics
from mri_gan.train.monitor import (
    Health,
    best_nimg,
    describe_problems,
    diversity,
    find_divergence,
    find_problems,
    record_event,
    spectrum_distance,
)

FINE = {"nimg": 2000, "real_score": 1.0, "fake_score": -1.0, "data_wait": 0.001, "seconds": 10.0}


def test_a_healthy_run_has_none() -> None:
    assert find_problems(FINE, 0.8) == {}


@pytest.mark.parametrize(
    ("change", "fakes", "problem", "remedy"),
    [
        ({}, 0.1, "collapse", "--lr"),
        ({"real_score": 90.0}, 0.5, "saturation", "--gp-weight"),
        ({"data_wait": 0.2}, 0.5, "starvation", "--ahead"),
        ({}, 1.3, "noise", "--lr"),
    ],
)
def test_each_problem_names_a_remedy(
    change: dict[str, float], fakes: float, problem: str, remedy: str
) -> None:
    found = find_problems({**FINE, **change}, fakes / 0.6)
    assert list(found) == [problem]
    assert remedy in found[problem]


@pytest.mark.parametrize(
    ("loss", "d_loss", "won"),
    [
        ("relativistic", 0.002, True),
        ("hinge", 0.0, True),
        ("logistic", 0.03, False),
        ("r1", None, False),
        ("wgan-gp", 0.002, False),
        ("wgan-clip", -3.0, False),
    ],
)
def test_a_critic_that_is_never_wrong_has_won_where_its_loss_says_so(
    loss: str, d_loss: float | None, won: bool
) -> None:
    health = Health.of([], loss)
    problems = health.judge({**FINE, "d_loss": d_loss, "nimg": 1}, 0.8, 0.5)
    assert list(problems) == (["saturation"] if won else [])


def test_noise_is_no_problem_of_a_young_run_and_makes_later_slices_no_collapse() -> None:
    health = Health()
    assert look(health, 4.0, done=0.1, nimg=9000) == []
    assert look(health, 4.0, done=0.3, nimg=1999) == []
    assert look(health, 0.45, done=0.1, nimg=9000) == []
    assert "4.0 times as much" in look(health, 4.0, done=0.3, nimg=2000)[0]


def test_a_short_wait_at_the_start_is_no_starvation() -> None:
    assert find_problems({**FINE, "data_wait": 0.9, "seconds": 0.1}, 0.8) == {}


def test_scores_that_are_not_finite_are_no_saturation() -> None:
    assert find_problems({**FINE, "real_score": None}, 0.8) == {}


def test_equal_pictures_have_no_diversity_and_opposite_ones_have_most() -> None:
    assert diversity(torch.ones(4, 1, 8, 8)) == 0
    assert diversity(torch.tensor([-1.0, 1.0, -1.0]).reshape(3, 1, 1, 1)) == 2


def look(health: Health, share: float, done: float, nimg: int = 1) -> list[str]:
    return health.pick_new(health.judge({**FINE, "nimg": nimg}, share, done))


def test_a_young_generator_whose_samples_are_all_alike_has_not_collapsed() -> None:
    health = Health()
    assert look(health, 0.1, done=0.0, nimg=9000) == look(health, 0.3, done=0.1, nimg=9000) == []
    assert look(health, 0.3, done=0.9, nimg=1999) == []  # a trial of a few steps
    assert "collapse" in look(health, 0.3, done=0.3, nimg=2000)[0]


def test_falling_diversity_is_reported_at_any_age_once_and_again_when_it_comes_back() -> None:
    health = Health()
    reported = [len(look(health, share, 0.01)) for share in (0.8, 0.1, 0.1, 0.8, 0.1)]
    assert reported == [0, 1, 0, 0, 1]


def test_fakes_scored_far_above_reals_are_divergence_and_never_a_critic_that_won() -> None:
    found = find_problems({**FINE, "real_score": -35000.0, "fake_score": 773.0}, 0.8)
    assert list(found) == ["divergence"]
    assert "won" not in found["divergence"]
    assert "--lr" in found["divergence"]


@pytest.mark.parametrize("name", ["d_loss", "g_loss"])
@pytest.mark.parametrize("value", [3e14, -3e14])
def test_a_loss_beyond_all_reason_is_divergence(name: str, value: float) -> None:
    assert name[0] in find_divergence({**FINE, name: value})
    assert find_divergence({**FINE, name: value / 1e12}) == ""


def test_samples_all_alike_in_three_snapshots_are_lost_but_not_before_ten_thousand_images() -> None:
    young, old, saved = Health(), Health(), Health()
    for _ in range(4):
        look(young, 0.02, 0.5, nimg=9_999)
    for share in (0.02, 0.02, 0.3, 0.02, 0.02):
        look(old, share, 0.5, nimg=10_000)
    assert (young.collapsed, old.collapsed, saved.collapsed) == (False, False, False)
    look(old, 0.02, 0.5, nimg=10_000)
    assert old.collapsed


def test_a_resumed_run_goes_on_with_what_its_metrics_say() -> None:
    line = {"nimg": 20_000, "diversity": 0.05, "problems": {"collapse": "all alike"}}
    before = {"nimg": 10_000, "diversity": 0.7}
    health = Health.of([before, line, {"nimg": 25_000}, line], "wgan-gp")
    assert (health.best, health.lost, health.known) == (0.7, 2, {"collapse"})
    assert look(health, 0.05, 0.9, nimg=30_000) == []  # known already
    assert health.collapsed


def test_problems_in_the_metrics_are_listed_with_where_they_began_and_ended() -> None:
    lines: list[dict[str, Any]] = [
        {"nimg": 1000},
        {"nimg": 2000, "problems": {"collapse": "alike"}, "events": ["went back"]},
        {"nimg": 3000, "events": ["went back again"]},
        {"nimg": 4000, "problems": {"collapse": "still alike"}},
    ]
    assert describe_problems(lines) == [
        "rollback 1 (2 kimg): went back",
        "collapse (2 to 4 kimg): still alike",
        "rollback 2 (3 kimg): went back again",
    ]


def test_what_happened_is_recorded_once_where_the_run_went_back_to(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"nimg": 8}\n{"nimg": 16}\n{"nimg": 24}\n')
    for text in ("first", "first", "second"):
        record_event(tmp_path, 20, text)
    lines = read_metrics(tmp_path / METRICS)
    assert lines == [{"nimg": 8}, {"nimg": 16, "events": ["first", "second"]}]


def test_twice_the_amplitude_is_six_decibels_at_every_radius() -> None:
    images = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert spectrum_distance(images, images) == 0
    assert spectrum_distance(2 * images, images) == pytest.approx(20 * np.log10(2))


def test_the_best_snapshot_is_of_the_last_size_at_full_weight_and_without_problems() -> None:
    def line(nimg: int, size: int, alpha: float, decibels: float, **more: Any) -> dict[str, Any]:
        found = {"nimg": nimg, "resolution": size, "alpha": alpha, "spectrum_db": decibels}
        return found | more

    lines = [
        line(1, 8, 1.0, 0.1),
        line(2, 16, 0.5, 0.2),
        line(3, 16, 1.0, 0.4),
        line(4, 16, 1.0, 0.3, problems={"collapse": ""}),
        {"nimg": 5, "resolution": 16, "alpha": 1.0},
    ]
    assert best_nimg(lines) == 3
    assert best_nimg(lines[:2]) == 2
    assert best_nimg([]) is None
