"""Functions with derivatives of their own, and programs that are traced for others."""

from __future__ import annotations

import torch
from torch import Tensor


def run(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    """The function of these arguments, its derivatives with it.

    A traced program has no gradients, and cannot hold functions of ours: it gets what they do.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        out: Tensor = function.forward(*arguments)
    else:
        out = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return out
