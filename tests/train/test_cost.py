"""What a run costs: counted passes are those that a step makes, and the time left follows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from count_flops import FlopCount

from mri_gan.config import TrainConfig, defaults_of
from mri_gan.train.cost import (
    forward_work,
    image_work,
    kinds_of_steps,
    levels_reached,
    seconds_left,
    seconds_of,
    work_between,
)
from mri_gan.train.state import build_state

CONFIG = TrainConfig(max_size=32, phase=1000)


def of(arch: str, **choices: Any) -> TrainConfig:
    """A small run with the paper's settings, whose last level the tests look at."""
    tiny = {"arch": arch, "batch": 8, "latent_dim": 16, "max_size": 32, "capacity": 1 / 8}
    paper: dict[str, Any] = defaults_of(arch, choices.get("loss"))
    return TrainConfig(**paper | tiny | {"phase": 64} | choices)


RUNS = {
    "dcgan": of("dcgan"),
    "dcgan, wgan-gp": of("dcgan", loss="wgan-gp"),
    "progan": of("progan"),
    "stylegan": of("stylegan", mixing=True),
    "stylegan, hinge": of("stylegan", loss="hinge"),
    "stylegan, lazy r1": of("stylegan", loss="r1", penalty_every=4),
    "stylegan, n_critic 3": of("stylegan", n_critic=3),
    # Wide, since torch miscounts the backward pass of the grouped convolutions of narrow layers.
    "stylegan2": of("stylegan2", penalty_every=4, path_every=2, capacity=1 / 2, max_size=8),
}


def test_a_larger_image_costs_more_and_a_narrower_network_less() -> None:
    costs = [image_work(CONFIG, size) for size in (8, 16, 32)]
    assert costs == sorted(costs)
    small = TrainConfig(max_size=32, capacity=0.5)
    assert image_work(small, 32) == pytest.approx(image_work(CONFIG, 32) / 4, rel=0.05)


def test_work_is_that_of_the_paper() -> None:
    """The stem of table 2 of Karras 2018: 512 channels up to 32 px."""
    generator, critic = forward_work(TrainConfig(arch="progan").model, 32)
    assert generator / 1e9 == pytest.approx(9.2, rel=0.05)
    assert critic / 1e9 == pytest.approx(9.2, rel=0.05)


@pytest.mark.parametrize("name", RUNS)
def test_a_step_makes_the_passes_that_are_counted(name: str) -> None:
    """The last level, in the mean over the kinds of steps."""
    config = RUNS[name]
    begin, _, phase = list(levels_reached(config))[-1]
    state = build_state(config, torch.device("cpu"))
    kinds = kinds_of_steps(config, phase, begin)
    steps, done = 0, 0.0
    for nimgs in kinds.values():
        with FlopCount() as counter:
            seconds_of(state, config, replace(phase, alpha=1.0), nimgs[0], phase.batch, "cpu")
        steps, done = steps + len(nimgs), done + len(nimgs) * counter.total
    work = image_work(config, phase.resolution)
    assert work == pytest.approx(done / steps / phase.batch, rel=0.1)


def test_the_kinds_of_steps_are_those_of_a_period() -> None:
    kinds = kinds_of_steps(RUNS["stylegan2"], next(levels_reached(RUNS["stylegan2"]))[2], 0)
    assert {kind: len(nimgs) for kind, nimgs in kinds.items()} == {
        (True, True, True): 1,
        (False, True, True): 1,
        (False, True, False): 2,
    }
    assert [
        len(n) for n in kinds_of_steps(CONFIG, next(levels_reached(CONFIG))[2], 0).values()
    ] == [4]


def test_the_cost_of_a_run_is_the_sum_over_its_levels() -> None:
    by_level = [image_work(CONFIG, size) + 2e9 / 16 for size in (8, 16, 32)]
    assert work_between(CONFIG, 0, 5000) == pytest.approx(
        1000 * by_level[0] + 2000 * by_level[1] + 2000 * by_level[2]
    )
    assert work_between(CONFIG, 500, 1200) == pytest.approx(500 * by_level[0] + 200 * by_level[1])
    short = replace(CONFIG, kimg=1.5)
    assert [(begin, end) for begin, end, _ in levels_reached(short)] == [(0, 1000), (1000, 1500)]


def test_the_time_left_is_exact_for_a_machine_of_constant_speed() -> None:
    speed = 1e9
    for first, nimg in ((0, 500), (800, 2500), (3000, 4999)):
        seconds = work_between(CONFIG, first, nimg) / speed
        left = work_between(CONFIG, nimg, 5000) / speed
        assert seconds_left(CONFIG, first, nimg, seconds) == pytest.approx(left)


def test_nothing_is_left_at_the_end_and_nothing_is_known_at_the_start() -> None:
    assert seconds_left(CONFIG, 0, 5000, 10.0) == 0
    assert seconds_left(CONFIG, 700, 700, 0.0) == 0


@pytest.mark.parametrize("groups", [1, 4])
def test_both_gradients_of_a_grouped_convolution_cost_its_forward_pass_each(groups: int) -> None:
    x = torch.randn(1, 8, 6, 6, requires_grad=True)
    kernel = torch.randn(8, 8 // groups, 3, 3, requires_grad=True)
    with FlopCount() as forward:
        out = torch.nn.functional.conv2d(x, kernel, padding=1, groups=groups)
    with FlopCount() as backward:
        out.sum().backward()  # type: ignore[no-untyped-call]
    assert forward.total == 2 * 8 * 8 // groups * 9 * 36
    assert backward.total == 2 * forward.total
