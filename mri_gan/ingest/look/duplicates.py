"""Slices that occur twice, look like another one, or are far from all others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.store.schema import SliceRecord
from mri_gan.store.twins import FLAT, count_across

NEAR_BITS = 2  # of 64 that may differ between near duplicates
# Aligned brains share their outline, and so most of the 64 bits; their shades must agree, too.
ALIKE = 0.995
ODD_SIGMA = 4.0
RESCAN_PX = 32
RESCAN_SLICES = 24  # of each person, evenly spread
FEWEST_SLICES = RESCAN_SLICES // 3
# Correlation of two people's fine detail, less what all have in common, from which on they are one:
# two scans of one brain reached 0.47, of two brains 0.25 at most.
ONE_BRAIN = 0.35
ENOUGH_PEOPLE = 8
TOO_FEW = f"fewer than {ENOUGH_PEOPLE} people with {FEWEST_SLICES} slices or more"
ROWS = 1024  # slices compared with all others at a time


@dataclass(frozen=True)
class Glance:
    """What one slice looks like: enough to compare it with all others."""

    record: SliceRecord
    digest: bytes  # equal pixels, equal digest
    bits: bytes  # 64 bits of the average hash
    shades: NDArray[np.float32]  # [SHADE_PX ** 2], mean 0 and length 1
    mean: float
    contrast: float
    small: bytes = b""  # uint8 [RESCAN_PX ** 2]


def name_of(record: SliceRecord) -> str:
    """One slice, named for people."""
    return f"{record.source}#{record.position}" if record.is_cut else record.source


def find_equal(glances: Sequence[Glance]) -> list[list[str]]:
    """Groups of slices with the same pixels; pictures that show nothing do not count."""
    groups: dict[bytes, list[str]] = defaultdict(list)
    for glance in glances:
        if glance.contrast >= FLAT:
            groups[glance.digest].append(name_of(glance.record))
    return [names for names in groups.values() if len(names) > 1]


def count_equal_across(glances: Sequence[Glance]) -> int:
    """How many slices equal an earlier one of another split; those that show nothing do not."""
    return count_across((g.digest, g.record.split) for g in glances if g.contrast >= FLAT)


def find_near(glances: Sequence[Glance]) -> list[tuple[str, str]]:
    """Each slice that looks like an earlier one of another subject, with that one."""
    seen = [glance for glance in glances if glance.contrast >= FLAT]
    if not seen:
        return []
    subjects = np.unique([g.record.subject for g in seen], return_inverse=True)[1]
    digests = np.unique([g.digest.hex() for g in seen], return_inverse=True)[1]
    bits = np.unpackbits(np.frombuffer(b"".join(g.bits for g in seen), np.uint8)).reshape(-1, 64)
    signs = bits.astype(np.float32) * 2 - 1
    shades = np.stack([glance.shades for glance in seen])
    return [
        (name_of(seen[late].record), name_of(seen[early].record))
        for late, early in _near_pairs(signs, shades, subjects, digests)
    ]


def _near_pairs(
    signs: NDArray[np.float32],
    shades: NDArray[np.float32],
    subjects: NDArray[Any],
    digests: NDArray[Any],
) -> Iterator[tuple[int, int]]:
    """(later, earlier) of every slice that has an earlier one like it."""
    for start in range(0, len(signs), ROWS):
        stop = min(start + ROWS, len(signs))
        # The product of two rows of signs is 64 less twice the bits that differ.
        close = signs[start:stop] @ signs[:stop].T >= 64 - 2 * NEAR_BITS - 0.5
        close &= shades[start:stop] @ shades[:stop].T >= ALIKE
        close &= subjects[start:stop, None] != subjects[None, :stop]
        close &= digests[start:stop, None] != digests[None, :stop]
        close &= np.arange(stop)[None, :] < np.arange(start, stop)[:, None]
        for row in np.flatnonzero(close.any(axis=1)).tolist():
            yield start + row, int(close[row].argmax())


def find_rescans(glances: Sequence[Glance]) -> list[tuple[str, str]] | None:
    """People who look like one person under two names, as each other's nearest of all.

    None where there are TOO_FEW to judge that.
    """
    people: dict[str, list[Glance]] = defaultdict(list)
    for glance in glances:
        people[glance.record.subject].append(glance)
    names = sorted(name for name, seen in people.items() if len(seen) >= FEWEST_SLICES)
    if len(names) < ENOUGH_PEOPLE:
        return None
    detail = np.stack([_detail(people[name]) for name in names])
    detail -= detail.mean(axis=0)
    detail /= np.maximum(np.linalg.norm(detail, axis=1, keepdims=True), 1e-9)
    likeness = detail @ detail.T
    np.fill_diagonal(likeness, -1)
    nearest = likeness.argmax(axis=1)
    return [
        (names[one], names[other])
        for one, other in enumerate(nearest.tolist())
        if one < other and nearest[other] == one and likeness[one, other] >= ONE_BRAIN
    ]


def _detail(seen: Sequence[Glance]) -> NDArray[np.float32]:
    """A person's slices less their surroundings' mean, so that outlines do not count."""
    ordered = sorted(seen, key=lambda glance: (glance.record.session, glance.record.position))
    picks = np.linspace(0, len(ordered) - 1, RESCAN_SLICES).round().astype(int)
    stack = np.frombuffer(b"".join(ordered[i].small for i in picks), np.uint8)
    pixels = stack.reshape(-1, RESCAN_PX, RESCAN_PX).astype(np.float32)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    around = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    found = (pixels - around).ravel()
    return np.asarray(found - found.mean(), np.float32)


def across_splits(pairs: Sequence[tuple[str, str]], splits: Mapping[str, str]) -> int:
    """How many of the pairs are in two different splits."""
    return sum(splits[one] != splits[other] for one, other in pairs)


def find_odd(glances: Sequence[Glance]) -> list[dict[str, Any]]:
    """Slices whose brightness or contrast is far from that of all others."""
    found: list[dict[str, Any]] = []
    for name in ("mean", "contrast"):
        values = np.array([getattr(glance, name) for glance in glances])
        if not len(values) or not values.std() > 0:
            continue
        scores = (values - values.mean()) / values.std()
        for i in np.flatnonzero(np.abs(scores) > ODD_SIGMA).tolist():
            score = round(float(scores[i]), 1)
            found.append({"slice": name_of(glances[i].record), "what": name, "sigma": score})
    return found
