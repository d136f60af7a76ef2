"""The comparison of a GPU with the processor, on the processor alone: it sees what differs."""

import pytest
import torch
from agreement import (
    BF16_LIMIT,
    LIMITS,
    STYLEGAN_LIMITS,
    Found,
    build_cases,
    compare_case,
    same_random_numbers,
)

from mri_gan.config import ARCHS, CRITICS, LOSS_NAMES
from mri_gan.train import state, step


def test_every_architecture_and_loss_and_critic_is_among_the_cases() -> None:
    cases = build_cases(8)
    assert {f"{arch}, {loss}" for arch in ARCHS for loss in LOSS_NAMES} <= set(cases)
    assert {config.critic for config, _, _ in cases.values()} == set(CRITICS)


@pytest.mark.parametrize(
    "name",
    ["stylegan, 16 bits, three channels", "stylegan2, path length, ada", "fastgan, critic both"],
)
def test_a_device_agrees_with_itself_and_bfloat16_within_its_limit(name: str) -> None:
    found = compare_case(name, *build_cases(8)[name], "cpu")
    assert found.good
    assert set(found.errors.values()) == {0.0}
    assert 0 < found.bf16_error < BF16_LIMIT


@pytest.mark.parametrize("name", ["stylegan, wgan-gp", "stylegan2, r1", "dcgan, logistic"])
def test_another_order_of_sums_stays_within_the_limits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned, calls = state.channels_innermost, []

    def other_on_the_second_device(*args: object) -> bool:
        calls.append(1)  # for each network: two of the processor, then two of the other
        return turned(*args) ^ ((len(calls) - 1) % 4 >= 2)  # type: ignore[arg-type]

    cases = build_cases(16)
    config, alpha, depth = cases[name]
    monkeypatch.setattr(state, "channels_innermost", other_on_the_second_device)
    found = compare_case(name, config, alpha, depth, "cpu")
    assert found.errors[1] > 0
    assert found.good


def test_a_step_that_differs_on_the_device_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, calls = step.step_generator, []

    def wrong(*args: object) -> step.Stats:
        stats = clean(*args)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 2:  # the one step of the second device
            next(args[0].g.parameters()).data.add_(0.01)  # type: ignore[attr-defined]
        return stats

    monkeypatch.setattr(step, "step_generator", wrong)
    found = compare_case("x", *build_cases(8)["stylegan, hinge"], "cpu")
    assert found.errors[1] > STYLEGAN_LIMITS[1]
    assert not found.good


@pytest.mark.parametrize(
    ("errors", "bf16_error", "trouble", "good"),
    [
        ({1: 0.001, 3: 0.009}, 0.5, "", True),
        ({1: 0.003, 3: 0.009}, 0.5, "", False),
        ({1: 0.001, 3: 0.011}, 0.5, "", False),
        ({1: 0.001, 3: 0.009}, 0.7, "", False),
        ({1: 0.001, 3: 0.009}, float("nan"), "", False),
        ({1: 0.0, 3: 0.0}, 0.0, "no such operator", False),
    ],
)
def test_a_comparison_is_good_only_within_every_limit(
    errors: dict[int, float], bf16_error: float, trouble: str, good: bool
) -> None:
    assert Found("x", errors, bf16_error, LIMITS, 1.0, trouble).good is good


def test_random_numbers_are_those_of_the_seed_in_the_order_of_the_draws() -> None:
    with same_random_numbers():
        rng = torch.Generator().manual_seed(5)
        drawn = [torch.rand(2, generator=rng), torch.randn(3, generator=rng)]
    plain = torch.Generator().manual_seed(5)
    assert torch.equal(drawn[0], torch.rand(2, generator=plain))
    assert torch.equal(drawn[1], torch.randn(3, generator=plain))
