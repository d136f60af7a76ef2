"""What goes to the workers and comes back: light, so that the parent process stays small."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, SupportsIndex

from mri_gan.config import PrepareConfig
from mri_gan.ingest.sources import Source
from mri_gan.store.schema import EncodedSlice

if TYPE_CHECKING:
    from mri_gan.ingest.learning import Learned

LARGE = 1 << 10  # bytes, from which on copying costs more than keeping account
CHUNK = 16  # image files per task: enough to hide the cost of sending one
VOLUME_WEIGHT = 64  # a volume's slices fill the window of tasks as so many images do


@dataclass
class Outcome:
    """What one source gave: encoded slices, or the reason why there are none."""

    slices: list[EncodedSlice] = field(default_factory=list)
    empty: int = 0  # slices of a volume that were dropped as empty
    deselected: int = 0  # slices that --slices and --every leave out
    kind: str = ""  # "damaged", "mask", "empty" or "unmasked" when there are no slices
    reason: str = ""

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickled with its large images as buffers, which need not be copied (PEP 574)."""
        slices = self.slices
        if operator.index(protocol) >= 5:
            slices = [(record, _as_buffers(images)) for record, images in slices]
        return Outcome, (slices, self.empty, self.deselected, self.kind, self.reason)


def _as_buffers(images: dict[int, bytes]) -> dict[int, Any]:
    return {
        level: PickleBuffer(image) if len(image) >= LARGE else image
        for level, image in images.items()
    }


def process_chunk(
    sources: Sequence[Source], config: PrepareConfig, learned: Learned
) -> list[Outcome]:
    """One task: the outcomes of some sources in order."""
    from mri_gan.ingest.worker import process_all  # numpy and Pillow

    return process_all(sources, config, learned)


def write_companions(parts: Sequence[tuple[Path, Sequence[str]]]) -> list[dict[str, Any]]:
    """One task: some of the files beside a store, and what it holds."""
    from mri_gan.ingest import preview

    return [preview.write_companions(folder, names) for folder, names in parts]


def died(_source: Source) -> Outcome:
    """The outcome of a source that killed its worker even alone."""
    return Outcome(kind="damaged", reason="its decoder crashed or ran out of memory")


def weigh(chunk: Sequence[Source]) -> int:
    """How much a task fills the window of tasks in flight, in image files."""
    return sum(VOLUME_WEIGHT if source.is_volume else 1 for source in chunk)
