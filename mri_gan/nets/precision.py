"""Half precision where it pays: in the blocks of the largest resolutions, under autocast.

Karras et al. 2020b, "Training Generative Adversarial Networks with Limited Data", appendix D.1.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

LOW_PRECISION_BLOCKS = 4  # the largest resolutions
LOW_PRECISION_CLAMP = 256.0  # of activations there


def autocasting(device_type: str) -> bool:
    """Whether the caller asked for half precision."""
    available = torch.amp.is_autocast_available(device_type)
    return available and torch.is_autocast_enabled(device_type)


def block_precision(x: Tensor, *, low: bool) -> AbstractContextManager[object]:
    """Autocast as the caller set it in low-precision blocks, float32 in the others."""
    casting = autocasting(x.device.type)
    return torch.autocast(x.device.type, enabled=False) if casting and not low else nullcontext()


def enter(x: Tensor, *, low: bool) -> Tensor:
    """Features in the precision of the block that they enter; x is unchanged outside autocast."""
    if low:
        return x.to(torch.get_autocast_dtype(x.device.type))
    return x.to(torch.promote_types(x.dtype, torch.float32))
