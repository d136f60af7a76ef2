"""One person under two names is found by looking, and only that one."""

from __future__ import annotations

from itertools import chain

import numpy as np

from mri_gan.ingest.look.duplicates import (
    ENOUGH_PEOPLE,
    RESCAN_PX,
    Glance,
    across_splits,
    find_rescans,
)
from mri_gan.store.schema import SliceRecord


def scan(name: str, anatomy: int, noise: int) -> list[Glance]:
    """Twelve slices: an outline that all people share, fine detail of one, and noise."""
    y, x = np.mgrid[-1 : 1 : RESCAN_PX * 1j, -1 : 1 : RESCAN_PX * 1j]
    outline = 100.0 * (x**2 + y**2 < 0.8)
    detail, grain = (np.random.default_rng(seed) for seed in (anatomy, 1000 + noise))
    glances = []
    for position in range(12):
        own = detail.normal(0, 20, outline.shape) * (outline > 0)
        pixels = np.clip(outline + own + grain.normal(0, 8, outline.shape), 0, 255)
        record = SliceRecord(name, name, "train", RESCAN_PX, position=position)
        small = pixels.astype(np.uint8).tobytes()
        glances.append(Glance(record, b"", b"", np.zeros(1, np.float32), 0, 0, small))
    return glances


def test_a_rescan_under_another_name_is_found() -> None:
    people = [scan(f"p{k:02}", anatomy=k, noise=k) for k in range(ENOUGH_PEOPLE)]
    assert find_rescans(list(chain(*people))) == []
    people.append(scan("q", anatomy=3, noise=99))
    assert find_rescans(list(chain(*people))) == [("p03", "q")]


def test_too_few_people_are_not_judged() -> None:
    people = [scan("a", 1, 1), scan("b", 1, 2), scan("c", 2, 3)]
    assert find_rescans(list(chain(*people))) is None


def test_pairs_in_two_splits_are_counted() -> None:
    splits = {"a": "train", "b": "train", "c": "test"}
    assert across_splits([("a", "b"), ("a", "c"), ("c", "b")], splits) == 2
