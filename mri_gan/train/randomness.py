"""Random numbers as a pure function of (seed, purpose, nimg): a stop leaves no trace in them."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray


def key(*parts: object) -> int:
    """63 well-mixed bits from any description of what the numbers are for."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded by `parts`, on the device that will use the numbers."""
    return torch.Generator(device).manual_seed(key(*parts))


def permutation(n: int, *parts: object) -> NDArray[np.int64]:
    """A shuffle of 0..n-1; Philox is counter-based and the same on every machine."""
    return np.random.Generator(np.random.Philox(key(*parts))).permutation(n)
