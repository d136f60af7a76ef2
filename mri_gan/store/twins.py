"""Slices with the same pixels, whose people may be one person, in different splits above all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mri_gan.pictures import to_unit
from mri_gan.store.reader import StoreReader
from mri_gan.values import say_count

FLAT = 1.0  # an image whose grey levels (0..255) spread less than this shows nothing
PROOF_PX = 64  # the checksum of the native pixels and the pixels at this level prove equality
CHUNK = 1024  # slices read at a time
SAME = "same pixels"
ALIKE = {
    SAME: "slices with the same pixels",
    "near duplicates": "slices that look alike",
    "rescans": "people who look like one person",
}


def count_across(slices: Iterable[tuple[Hashable, str]]) -> int:
    """How many slices equal an earlier one of another split; given (pixels, split) of each."""
    seen: dict[Hashable, set[str]] = defaultdict(set)
    count = 0
    for pixels, split in slices:
        count += bool(seen[pixels] - {split})
        seen[pixels].add(split)
    return count


def count_twins(store: StoreReader) -> int:
    """`count_across` of a store; pictures that show nothing do not count.

    Only slices whose checksums are equal are read, so that it takes next to no time.
    """
    splits = [record.split for record in store.records]
    return count_across((pixels, splits[row]) for pixels, row in _proofs(store, splits))


def find_same_people(store: StoreReader) -> Counter[tuple[str, str]]:
    """{two people of one split: slices that they share}, but those that show nothing."""
    people = [(record.split, record.subject) for record in store.records]
    seen: dict[Hashable, dict[str, str]] = defaultdict(dict)  # pixels -> split -> first person
    found: Counter[tuple[str, str]] = Counter()
    for pixels, row in _proofs(store, people):
        split, who = people[row]
        first = seen[pixels].setdefault(split, who)
        if first != who:
            found[first, who] += 1
    return found


def _proofs(store: StoreReader, groups: Sequence[Hashable]) -> Iterator[tuple[Hashable, int]]:
    """(pixels, row) of slices that show something and may equal one of another group."""
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, record in enumerate(store.records):
        places[record.native, record.checksum].append(index)
    alike = (rows for rows in places.values() if len({groups[row] for row in rows}) > 1)
    rows = [row for same in alike for row in same]
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        for row, image in zip(some, store.read(PROOF_PX, some), strict=True):
            record = store.records[row]
            if 255 * np.std(to_unit(image[0])) >= FLAT:
                yield (record.native, record.checksum, image.tobytes()), row


def say_twins(facts: Mapping[str, Any]) -> list[str]:
    """Warnings of equal slices in two splits or of two people, from what a store says of itself."""
    across, people = facts["same_across_splits"], facts["same_across_people"]
    texts = [say_across(SAME, across)] if across else []
    return texts + ([say_same_people(people, facts["same_people"])] if people else [])


def say_same_people(slices: int, people: Sequence[str]) -> str:
    """A warning of people of one split with the same pictures."""
    count = say_count(slices, "slice has", "slices have")
    two = " and ".join(people)
    return (
        f"{count} the same pixels as another person's, such as those of {two}: leave one out, or "
        "make them one person with --people TABLE"
    )


def say_across(what: str, count: int) -> str:
    """A warning of pairs that are in different splits."""
    pairs = f"{say_count(count, 'pair')} of {ALIKE[what]}"
    return f"{pairs}, in different splits; --people TABLE makes them one person"
