"""What all sources together taught."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Learned:
    """What all sources together have told; empty where it was not asked for."""

    mask_labels: tuple[int, ...] = ()  # values of masks, in order: spread evenly over the greys
    landmarks: tuple[float, ...] = ()  # where the standard scale of `nyul` has them, 0..1

    def to_dict(self) -> dict[str, Any]:
        """The fields that hold something, as plain values."""
        return {name: list(value) for name, value in vars(self).items() if value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Learned:
        """What `to_dict` gave."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: tuple(value) for name, value in values.items() if name in known})
