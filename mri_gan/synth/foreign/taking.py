"""Taking tensors out of a foreign state dict by name, and telling what is missing or left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mri_gan.conditions import Conditions
from mri_gan.config import ModelConfig
from mri_gan.errors import DataError

Weights = dict[str, Tensor]
ONLY = "only the architectures that `mrigan import --help` names can be imported"

AVERAGES = ("ema", "running", "average", "smooth")  # words in the names of a running average
DEEPEST = 3  # of dictionaries inside dictionaries


@dataclass(frozen=True)
class Imported:
    """Networks in our names: the shape, the weights, and what a person should know."""

    model: ModelConfig
    g_ema: Weights
    g: Weights | None = None
    d: Weights | None = None
    conditions: Conditions = field(default_factory=Conditions)
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class Taker:
    """A state dict from which each tensor is taken once."""

    weights: Mapping[str, Tensor]
    what: str  # the file and the part, for messages

    def __post_init__(self) -> None:
        self.taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    def take_tensor(self, name: str, *shape: int) -> Tensor:
        """One tensor as float32; raises DataError unless it is there, in that shape if given."""
        if name not in self.weights:
            raise DataError(f"{self.what}: has no tensor {name[:80]}", ONLY)
        tensor = self.weights[name].float()
        if shape and tuple(tensor.shape) != shape:
            raise DataError(f"{self.what}: {name[:80]} is {tuple(tensor.shape)}, not {shape}", ONLY)
        if not tensor.isfinite().all():
            raise DataError(f"{self.what}: {name[:80]} is not finite", "give another checkpoint")
        self.taken.add(name)
        return tensor

    def copy_tensors(self, out: Weights, theirs: str, ours: str, *names: str) -> None:
        """Tensors of one layer under our name of it; weight and bias unless others are named."""
        for name in names or ("weight", "bias"):
            out[f"{ours}.{name}"] = self.take_tensor(f"{theirs}.{name}")

    def numbers(self, pattern: str) -> list[int]:
        """The numbers that one group of the pattern matches among the names, in order."""
        found = (re.fullmatch(pattern, name) for name in self.weights)
        return sorted({int(match[1]) for match in found if match})

    def finish(self, unused: Iterable[str] = ()) -> None:
        """Raise DataError when tensors are left over other than those that `unused` matches."""
        left = [
            name
            for name in self.weights
            if name not in self.taken and not any(re.search(p, name) for p in unused)
        ]
        if left:
            raise DataError(
                f"{self.what}: {len(left)} tensors have no place here, such as {left[0][:80]}", ONLY
            )


def is_average(name: str) -> bool:
    """Whether a part's name says that it is the running average of the generator."""
    return any(word in name.lower() for word in AVERAGES)


def with_tensors(value: Any, depth: int = 0) -> Any:
    """The same with tensors for numpy's arrays of numbers, and lists as dictionaries by number."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
    if isinstance(value, list | tuple):
        value = {str(number): part for number, part in enumerate(value)}
    if not isinstance(value, dict) or depth > DEEPEST:
        return value
    return {name: with_tensors(part, depth + 1) for name, part in value.items()}


def find_networks(
    value: Any, mark: str, path: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every network that has a tensor named `mark`, without the names of what it is wrapped in."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    for name in tensors:
        prefix = name.removesuffix(mark)
        if name.endswith(mark) and (not prefix or prefix.endswith(".")):
            inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            yield ".".join(filter(None, (path, prefix.rstrip(".")))), inside
    for name, part in value.items():
        yield from find_networks(part, mark, f"{path}.{name}" if path else str(name), depth + 1)


def find_network(value: Any, mark: str) -> tuple[str, dict[str, Tensor]] | None:
    """The name and the state dict of the network with that tensor; running averages first."""
    found = list(find_networks(value, mark))
    return min(found, key=lambda part: not is_average(part[0]), default=None)


def take_part(read: Callable[[], Weights], name: str, notes: list[str]) -> Weights | None:
    """What `read` returns; where it raises DataError, None and a note that says why."""
    try:
        return read()
    except DataError as error:
        notes.append(f"{name} is left out: {error.message}")
        return None


def stylegan2_shape(
    what: str,
    widths: Mapping[int, int],  # of the layers at each resolution
    channels: int,
    latent_dim: int,
    mapping_depth: int,
    condition_dim: int = 0,
    clamp: float = 0.0,
) -> ModelConfig:
    """The configuration with these widths; raises DataError where there is none."""
    if not mapping_depth:
        raise DataError(f"{what}: has no layers between z and w", ONLY)
    return ModelConfig(
        arch="stylegan2",
        max_size=max(widths),
        channels=channels,
        latent_dim=latent_dim,
        mapping_depth=mapping_depth,
        condition_dim=condition_dim,
        channel_base=find_base(what, widths),
        channel_max=max(widths.values()),
        clamp=clamp,
    )


def find_base(what: str, widths: Mapping[int, int]) -> int:
    """The least base with min(base // r, maximum) at every r, the maximum being the largest width.

    Below the maximum a width w at r says that the base is in w r to w r + r - 1; at it, that it
    is w r or more. Raises DataError where no base is in all of these.
    """
    maximum = max(widths.values())
    least = max(w * r for r, w in widths.items())
    if any(w < maximum and least > w * r + r - 1 for r, w in widths.items()):
        raise DataError(f"{what}: its widths {dict(widths)} follow no known rule", ONLY)
    return least


def is_size(resolutions: list[int]) -> bool:
    """Whether these are 4, 8, .. up to a size from 8 to 1024."""
    return resolutions == [1 << e for e in range(2, 2 + len(resolutions))] and (
        8 <= resolutions[-1] <= 1024
    )


def is_binomial(kernel: Tensor) -> bool:
    """Whether a kernel [4, 4] or [4] is [1 3 3 1] in each direction, whatever its gain."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    wanted = taps if kernel.ndim == 1 else torch.outer(taps, taps)
    kernel = kernel.float()
    return kernel.shape == wanted.shape and torch.allclose(
        kernel * (wanted.sum() / kernel.sum()), wanted, atol=1e-3
    )
