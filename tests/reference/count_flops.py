"""FLOP of whole training steps, by torch's own formulas, for tests and benchmarks.

The dispatch mode and the table of formulas are private in torch: seen with 2.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up torch's own formulas; its ready-made counter stops at a second derivative."""

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        if func is torch.ops.aten.convolution_backward.default:
            self.total -= overcounted(args, out)
        return out


def overcounted(args: tuple[Any, ...], out: tuple[Any, ...]) -> int:
    """What torch's formula counts too much: a grouped kernel's gradient as if of one group."""
    groups, wanted = args[9], args[10]
    if groups == 1 or not wanted[1]:
        return 0
    formula = flop_registry[torch.ops.aten.convolution_backward]
    whole = int(formula(*args[:10], (False, True, False), out_val=out))
    return whole - whole // int(groups)
