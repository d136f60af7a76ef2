"""Private parts of CPython and torch that the package uses, with the versions they were seen in.

Where one of these fails, look at the place that is named before raising the version.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from mri_gan.nets.build import pick_precision

SEEN_CPYTHON = ((3, 11), (3, 14))
SEEN_TORCH = (2, 15)


def test_pools_have_the_parts_that_end_their_workers() -> None:
    """`ingest.run.workers` ends a pool whose worker may have died while it sent a result."""
    assert SEEN_CPYTHON[0] <= sys.version_info[:2] <= SEEN_CPYTHON[1]
    with ProcessPoolExecutor(1) as pool:
        assert pool._processes == {}
        assert pool._executor_manager_thread is None
        assert callable(pool._result_queue._writer.close)


def test_torch_says_which_gradients_a_backward_pass_uses() -> None:
    """`nets.convolution` leaves out the gradient by the kernel where only images need one."""
    assert tuple(map(int, torch.__version__.split(".")[:2])) <= SEEN_TORCH
    asked: list[bool] = []

    class Seen(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x * y

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> object:
            nodes = [node for node, _ in ctx.next_functions]  # type: ignore[attr-defined]
            asked.extend(map(torch._C._will_engine_execute_node, nodes))
            return gradient, gradient

    x, y = (torch.ones(1, requires_grad=True) * 1 for _ in range(2))
    torch.autograd.grad(Seen.apply(x, y), x)  # type: ignore[no-untyped-call]
    assert asked == [True, False]


def test_torch_says_whether_a_processor_is_quick_with_bfloat16() -> None:
    """`nets.build.pick_precision`; without these names `auto` is float32 on a CPU."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        asked = getattr(torch.cpu, name, None)
        assert asked() in (True, False) if asked else torch.__version__ < "2.6"


@pytest.mark.parametrize(("quick", "auto"), [(True, "bf16"), (False, "fp32")])
def test_only_auto_takes_bfloat16_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, quick: bool, auto: str
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: quick, raising=False)
    found = [pick_precision(name, "cpu") for name in (None, "auto", "fp32", "bf16")]
    assert found == ["fp32", auto, "fp32", "bf16"]
