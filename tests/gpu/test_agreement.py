"""The comparison of a GPU with the processor, on the processor alone: it sees what differs."""

import pytest
import torch
from agreement import LIMIT, build_cases, change_error, is_finite_in_bf16, same_random_numbers

from mri_gan.config import ARCHS, LOSS_NAMES
from mri_gan.train import step


def test_every_architecture_and_loss_is_among_the_cases() -> None:
    assert {f"{arch}, {loss}" for arch in ARCHS for loss in LOSS_NAMES} <= set(build_cases(8))


@pytest.mark.parametrize(
    "name", ["stylegan, 16 bits, three channels", "stylegan2, path length, ada"]
)
def test_a_device_agrees_with_itself(name: str) -> None:
    assert change_error(*build_cases(8)[name], "cpu") == 0
    assert is_finite_in_bf16(*build_cases(8)[name], "cpu")


def test_a_step_that_differs_on_the_device_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, calls = step.step_generator, []

    def wrong(*args: object) -> step.Stats:
        stats = clean(*args)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) > 1:  # those of the second device
            args[0].g.w_avg.add_(0)  # type: ignore[attr-defined]
            next(args[0].g.parameters()).data.add_(0.01)  # type: ignore[attr-defined]
        return stats

    monkeypatch.setattr(step, "step_generator", wrong)
    assert change_error(*build_cases(8)["stylegan, hinge"], "cpu") > LIMIT


def test_random_numbers_are_those_of_the_seed_in_the_order_of_the_draws() -> None:
    with same_random_numbers():
        rng = torch.Generator().manual_seed(5)
        drawn = [torch.rand(2, generator=rng), torch.randn(3, generator=rng)]
    plain = torch.Generator().manual_seed(5)
    assert torch.equal(drawn[0], torch.rand(2, generator=plain))
    assert torch.equal(drawn[1], torch.randn(3, generator=plain))
