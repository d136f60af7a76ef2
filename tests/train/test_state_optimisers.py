"""What optimisers remember follows the weights in memory."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mri_gan.config import TrainConfig
from mri_gan.train.state import build_optimiser, match_order, step_if_finite


def steps(turn: bool) -> torch.Tensor:
    """Two steps of Adam on a kernel with channels innermost, its moments loaded in between."""
    torch.manual_seed(0)
    net = nn.Conv2d(4, 3, 3)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first, second = (build_optimiser(net, TrainConfig()) for _ in range(2))
    update(net, first)
    saved = first.state_dict()
    if turn:
        for moments in saved["state"].values():
            moments["exp_avg_sq"] = moments["exp_avg_sq"].contiguous()
    second.load_state_dict(saved)
    match_order(second)
    update(net, second)
    return net.weight.detach()


def update(net: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """One step along random gradients."""
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    step_if_finite(optimiser)


def test_moments_loaded_in_another_order_of_axes_move_the_same_weights() -> None:
    assert torch.equal(steps(turn=True), steps(turn=False))


def test_rmsprop_is_that_of_torch_and_leaves_out_a_step_that_is_not_finite() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    twin = copy.deepcopy(net)
    ours = build_optimiser(net, TrainConfig(loss="wgan-clip", lr=5e-5))
    theirs = torch.optim.RMSprop(twin.parameters(), lr=1e-3, alpha=0.99, eps=1e-8)
    ours.param_groups[0]["lr"] = 1e-3
    for finite in (True, False, True):
        for one, other in zip(net.parameters(), twin.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        if finite:
            theirs.step()
        else:
            net.bias.grad[1] = float("nan")  # type: ignore[index]
        assert float(step_if_finite(ours)) == 1 - finite
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other)
