"""Convolutions and their derivatives of any order are torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import convolution
from mri_gan.nets.convolution import convolve, innermost
from mri_gan.train.state import lay_innermost

SHAPES = [  # stride, padding, transposed, kernel, height, width
    (1, 1, False, 3, 5, 6),
    (1, 0, False, 1, 3, 4),
    (2, 0, False, 3, 7, 9),
    (2, 1, False, 4, 6, 8),
    (2, 1, False, 3, 8, 5),
    (2, 0, True, 3, 4, 3),
    (2, 1, True, 4, 4, 3),
]
TALL = [(1, 1, False, 3, 48, 3), (2, 0, False, 3, 97, 5), (2, 0, True, 3, 48, 3)]


@pytest.fixture(autouse=True)
def small_kernels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks leave theirs to torch."""
    monkeypatch.setattr(convolution, "PAYS_FROM", 0)


def make(
    order: torch.memory_format, transposed: bool, size: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    shape = (3, 4) if transposed else (4, 3)
    x = torch.randn(2, 3, height, width, generator=rng, dtype=torch.float64)
    kernel = torch.randn(*shape, size, size, generator=rng, dtype=torch.float64)
    x, kernel = x.contiguous(memory_format=order), kernel.contiguous(memory_format=order)
    return x.requires_grad_(), kernel.requires_grad_()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES + TALL, ids=str)
def test_values_and_gradients_are_torchs(
    shape: tuple[int, int, bool, int, int, int], order: torch.memory_format
) -> None:
    stride, padding, transposed, size, height, width = shape
    x, kernel = make(order, transposed, size, height, width)
    bias = torch.arange(4.0, dtype=torch.float64).requires_grad_()
    plain = F.conv_transpose2d if transposed else F.conv2d
    expected = plain(x, kernel, bias, stride=stride, padding=padding)
    found = convolve(x, kernel, bias, stride=stride, padding=padding, transposed=transposed)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).double()
    weights = weights.contiguous(memory_format=order)
    inputs = (x, kernel, bias)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    ours = torch.autograd.grad((found * weights).sum(), inputs)
    torch.testing.assert_close(ours, theirs)
    assert [g.stride() for g in ours[:2]] == [v.stride() for v in inputs[:2]]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_may_be_differentiated_twice(
    shape: tuple[int, int, bool, int, int, int], order: torch.memory_format
) -> None:
    stride, padding, transposed, size, height, width = shape
    inputs = make(order, transposed, size, height, width)

    def led(x: Tensor, kernel: Tensor) -> Tensor:
        return convolve(x, kernel, stride=stride, padding=padding, transposed=transposed)

    assert torch.autograd.gradcheck(led, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(led, inputs, fast_mode=True)


def test_a_penalty_on_images_computes_no_kernel_gradient_until_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    own = convolution._KernelGradient.forward

    def counted(*arguments: object) -> Tensor:
        calls.append(1)
        return own(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(convolution._KernelGradient, "forward", staticmethod(counted))
    x, kernel = make(torch.contiguous_format, False, 3, 5, 5)
    score = convolve(x, kernel, padding=1).square().sum()
    (slope,) = torch.autograd.grad(score, x, create_graph=True)
    assert not calls
    slope.square().sum().backward()  # type: ignore[no-untyped-call]
    assert len(calls) == 2  # by the kernel of the forward pass, and of the way back
    assert kernel.grad is not None


def test_autocast_casts_all() -> None:
    x, kernel = (v.detach().float() for v in make(torch.contiguous_format, False, 3, 5, 5))
    with torch.autocast("cpu", torch.bfloat16):
        out = convolve(x, kernel, torch.zeros(4), padding=1)
        expected = F.conv2d(x, kernel, padding=1)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected)


def test_kernels_are_turned_so_that_the_channels_they_read_are_neighbours() -> None:
    class Up(nn.Conv2d):
        up = True

    net = nn.Sequential(nn.Conv2d(3, 5, 3), Up(3, 5, 3), nn.Linear(3, 2))
    before = [p.detach().clone() for p in net.parameters()]
    lay_innermost(net)
    kernels = [p for p in net.parameters() if p.dim() == 4]
    assert innermost(kernels[0])
    assert innermost(kernels[1].transpose(0, 1))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
