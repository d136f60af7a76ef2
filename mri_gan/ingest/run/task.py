"""What goes to the workers and comes back: light, so that the parent process stays small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mri_gan.ingest.outcome import Learned, Outcome
from mri_gan.ingest.source import Source
from mri_gan.preparation import PrepareConfig

CHUNK = 16  # image files per task: enough to hide the cost of sending one
VOLUME_WEIGHT = 64  # a volume's slices fill the window of tasks as this many images do


def process_chunk(
    sources: Sequence[Source], config: PrepareConfig, learned: Learned
) -> list[Outcome]:
    """One task: the outcomes of some sources in order."""
    from mri_gan.ingest.cut.one_source import process_all  # numpy and Pillow

    return process_all(sources, config, learned)


def write_companions(parts: Sequence[tuple[Path, Sequence[str]]]) -> list[dict[str, Any]]:
    """One task: some of the files beside a store, and what it holds."""
    from mri_gan.ingest.run import companions

    return [companions.write_companions(folder, names) for folder, names in parts]


def crashed_outcome(_source: Source) -> Outcome:
    """The outcome of a source that killed its worker even alone."""
    return Outcome(kind="damaged", reason="its decoder crashed or ran out of memory")


def weigh(chunk: Sequence[Source]) -> int:
    """How much a task fills the window of tasks in flight, in image files."""
    return sum(VOLUME_WEIGHT if source.is_volume else 1 for source in chunk)
