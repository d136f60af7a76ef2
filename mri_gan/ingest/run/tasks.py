"""What workers do: functions that load numpy, Pillow and nibabel there, and not where work is
shared out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mri_gan.ingest.outcome import Glance, Learned, Outcome
from mri_gan.ingest.source import Source
from mri_gan.preparation import PrepareConfig


def process_sources(
    sources: Sequence[Source], config: PrepareConfig, learned: Learned
) -> list[Outcome]:
    """The slices of each source."""
    from mri_gan.ingest.cut.one_source import process_all

    return process_all(sources, config, learned)


def find_labels(masks: Sequence[Source]) -> list[tuple[int, ...]]:
    """The values of each mask."""
    from mri_gan.ingest.cut.learning import find_labels

    return [find_labels(mask) for mask in masks]


def find_landmarks(volumes: Sequence[Source], config: PrepareConfig) -> list[tuple[float, ...]]:
    """The landmarks of each volume, for `nyul`."""
    from mri_gan.ingest.cut.learning import find_own_landmarks

    return [find_own_landmarks(volume, config) for volume in volumes]


def look_at_images(
    works: Sequence[tuple[Sequence[Source], Sequence[Source]]], config: PrepareConfig
) -> list[Glance]:
    """What some images show of all, and those that may be learned from."""
    from mri_gan.ingest.cut.learning import look_at_images

    return [look_at_images(some, teachers, config) for some, teachers in works]


def write_companions(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The files beside each store; gives what it holds."""
    from mri_gan.store.companions import write_companions

    return [write_companions(folder) for folder in folders]
