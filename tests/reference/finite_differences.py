"""The slope of a scalar along a direction through parameters: by autograd, and by two values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def slopes_along(
    value: Callable[[], Tensor], parameters: list[Tensor], direction: list[Tensor]
) -> tuple[float, float]:
    """The derivative of `value` along the direction, and its central difference of step 1e-6."""

    def moved(step: float) -> float:
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=step)
        found = value().item()
        with torch.no_grad():
            torch._foreach_sub_(parameters, direction, alpha=step)
        return found

    gradients = torch.autograd.grad(value(), parameters, materialize_grads=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True))
    return slope, (moved(1e-6) - moved(-1e-6)) / 2e-6
