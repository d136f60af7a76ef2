"""What one source gave, and what was learned from all sources together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mri_gan.store.schema import EncodedSlice


@dataclass
class Outcome:
    """What one source gave: encoded slices, or the reason why there are none."""

    slices: list[EncodedSlice] = field(default_factory=list)
    empty: int = 0  # slices of a volume that were dropped as empty
    deselected: int = 0  # slices that --slices and --every leave out
    kind: str = ""  # "damaged", "mask", "empty" or "unmasked" when there are no slices
    reason: str = ""


@dataclass(frozen=True)
class Learned:
    """What was learned from all sources together; empty where it was not needed."""

    mask_labels: tuple[int, ...] = ()  # values of masks, in order: spread evenly over the greys
    landmarks: tuple[float, ...] = ()  # where the standard scale of `nyul` has them, 0..1
    image_window: tuple[float, ...] = ()  # black and white of 16-bit images of a scanner's values
    darkness: tuple[int, ...] = ()  # the 99th percentile of images that are nearly black, of 255

    def to_dict(self) -> dict[str, Any]:
        """The fields that hold something, as plain values."""
        return {name: list(value) for name, value in vars(self).items() if value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Learned:
        """What `to_dict` gave."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: tuple(value) for name, value in values.items() if name in known})
