"""The estimate of the time left knows that later levels cost more."""

import pytest

from mri_gan.config import TrainConfig
from mri_gan.train.cost import cost_until, image_cost, seconds_left

CONFIG = TrainConfig(max_size=32, phase=1000)


def test_a_larger_image_costs_more_and_a_narrower_network_less() -> None:
    costs = [image_cost(CONFIG, size) for size in (8, 16, 32)]
    assert costs == sorted(costs)
    small = TrainConfig(max_size=32, capacity=0.5)
    assert image_cost(small, 32) == pytest.approx(image_cost(CONFIG, 32) / 4)


def test_the_cost_of_a_run_is_the_sum_over_its_levels() -> None:
    by_level = [image_cost(CONFIG, size) for size in (8, 16, 32)]
    assert cost_until(CONFIG, 5000) == pytest.approx(
        1000 * by_level[0] + 2000 * by_level[1] + 2000 * by_level[2]
    )
    assert cost_until(CONFIG, 500) == pytest.approx(500 * by_level[0])


def test_the_time_left_is_exact_for_a_machine_of_constant_speed() -> None:
    speed = 1e9
    for first, nimg in ((0, 500), (800, 2500), (3000, 4999)):
        seconds = (cost_until(CONFIG, nimg) - cost_until(CONFIG, first)) / speed
        left = (cost_until(CONFIG, 5000) - cost_until(CONFIG, nimg)) / speed
        assert seconds_left(CONFIG, first, nimg, seconds) == pytest.approx(left)


def test_nothing_is_left_at_the_end_and_nothing_is_known_at_the_start() -> None:
    assert seconds_left(CONFIG, 0, 5000, 10.0) == 0
    assert seconds_left(CONFIG, 700, 700, 0.0) == 0
