"""Resampling by [1 3 3 1], against scipy's definition and as linear maps of each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from mri_gan.nets.convolution import Double, Halve, Smooth, double, fir_kernel, halve, smooth

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8
KERNEL = fir_kernel(dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=made, dtype=torch.float64)


def by_scipy(x: Tensor, up: int, down: int, before: int, after: int, gain: float = 1.0) -> Tensor:
    """Insert zeros, pad, filter, drop, along both axes: scipy does all but the padding."""
    out = x.numpy()
    for axis in (2, 3):
        out = np.moveaxis(out, axis, -1)
        zeros = np.zeros((*out.shape[:-1], out.shape[-1] * up))
        zeros[..., ::up] = out
        padded = np.pad(zeros, [(0, 0)] * 3 + [(before, after)])
        filtered = scipy.signal.upfirdn(gain * TAPS, padded)[..., 3:-3]  # whole overlaps only
        out = np.moveaxis(filtered[..., ::down], -1, axis)
    return torch.from_numpy(np.ascontiguousarray(out))


MAPS: list[tuple[Callable[[Tensor], Tensor], tuple[int, int, int, int, float]]] = [
    (lambda x: double(x, KERNEL), (2, 1, 2, 1, 2.0)),
    (lambda x: halve(x, KERNEL), (1, 2, 1, 1, 1.0)),
    (lambda x: smooth(x, KERNEL, 1), (1, 1, 1, 1, 1.0)),
    (lambda x: smooth(x, KERNEL, 2), (1, 1, 2, 2, 1.0)),
]


@pytest.mark.parametrize(("ours", "definition"), MAPS, ids=["double", "halve", "up", "down"])
def test_equals_scipy(
    ours: Callable[[Tensor], Tensor], definition: tuple[int, int, int, int, float]
) -> None:
    x = normal(2, 3, 8, 6)
    torch.testing.assert_close(ours(x), by_scipy(x, *definition), atol=1e-13, rtol=0)


@pytest.mark.parametrize("ours", [m for m, _ in MAPS], ids=["double", "halve", "up", "down"])
def test_may_be_differentiated_twice(ours: Callable[[Tensor], Tensor]) -> None:
    x = normal(1, 2, 6, 4).requires_grad_()

    def squared(x: Tensor) -> Tensor:
        return ours(x).square()

    assert torch.autograd.gradcheck(squared, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, x, fast_mode=True)


def test_a_constant_keeps_its_value_inside() -> None:
    x = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for out in (double(x, KERNEL), halve(x, KERNEL), smooth(x, KERNEL, 1)):
        inside = out[..., 2:-2, 2:-2]
        torch.testing.assert_close(inside, torch.ones_like(inside))


def test_layers_keep_the_kernel_out_of_checkpoints_and_apply_the_gain() -> None:
    x = normal(1, 2, 6, 6).float()
    assert not Smooth(padding=1).state_dict()
    torch.testing.assert_close(Smooth(padding=1, gain=4.0)(x), 4 * smooth(x, fir_kernel(), 1))
    torch.testing.assert_close(Double()(x), double(x, fir_kernel()))
    torch.testing.assert_close(Halve()(x), halve(x, fir_kernel()))
