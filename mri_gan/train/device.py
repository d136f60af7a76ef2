"""How a device is set up before a run, and how batches come to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mri_gan import heap
from mri_gan.config import TrainConfig
from mri_gan.nets.convolution import lay_innermost


def prepare_device(precision: str, device: str) -> None:
    """Choose float32 arithmetic and let cuDNN pick its algorithms by trying them.

    With `fp32` a GPU computes in float32 and not in TF32, whose 10 bits of mantissa would make
    the name a lie. With `bf16` the float32 that is left (mapping, penalties, losses) may be TF32.
    On a CPU memory once taken is kept.
    """
    if not device.startswith("cuda"):
        heap.keep_all()
        return
    reduced = precision == "bf16"
    torch.backends.cudnn.allow_tf32 = reduced
    torch.backends.cuda.matmul.allow_tf32 = reduced
    torch.backends.cudnn.benchmark = True


def lay_out(net: nn.Module, config: TrainConfig, device: torch.device) -> None:
    """Move a network to its device, in the order of axes that is quick there.

    The order of the weights decides that of everything after them.
    """
    net.to(device)
    if channels_innermost(config, device):
        lay_innermost(net)


def channels_innermost(config: TrainConfig, device: torch.device) -> bool:
    """Whether channels should lie next to each other in memory.

    Tensor cores of a GPU work on bfloat16 so; in the other order cuDNN turns every tensor around
    and back. On a CPU convolutions are quicker so, and normalisations of each channel slower.
    """
    if device.type == "cuda":
        return config.precision == "bf16"
    return config.arch == "stylegan2"


def to_device(array: Any, device: str) -> torch.Tensor:
    """A NumPy array as a tensor where the networks are; the host does not wait for the copy."""
    tensor = torch.from_numpy(array)
    if not device.startswith("cuda"):
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
