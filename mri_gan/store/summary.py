"""What a store holds, counted: for its own summary, and for the data sheet of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from mri_gan.config import SPLITS
from mri_gan.store.schema import ACQUIRED, DROPPED, FACE, TURNED, SliceRecord

if TYPE_CHECKING:
    from mri_gan.store.reader import StoreReader

AGE, SEX = ("age", "age_years", "years"), ("sex", "gender")  # names of labels, in any case
OPTIONS = ("intensity", "orientation", "planes", "depth", "deface", "padding")
PLANE, RESIZED = "plane:", "resized:"  # marks of what follows from other fields of a record
WORTH_TELLING = ("image_window", "darkness")
LEFT_OUT = ("masks", "empty_slices", "deselected_slices", "ignored_files")


def count_slices(records: Iterable[SliceRecord]) -> dict[str, Any]:
    """Slices and people by split, native levels, and notes, counted over slice records."""
    people: set[tuple[str, str]] = set()
    slices: Counter[str] = Counter()
    natives: Counter[int] = Counter()
    notes: Counter[str] = Counter()
    for record in records:
        people.add((record.split, record.subject))
        slices[record.split] += 1
        natives[record.native] += 1
        notes.update(all_notes(record))
    split_people = Counter(split for split, _ in people)
    return {
        "slices": slices.total(),
        "subjects": len({subject for _, subject in people}),
        "split_slices": dict(sorted(slices.items())),
        "split_subjects": {split: split_people[split] for split in SPLITS if split_people[split]},
        "native": {str(level): n for level, n in sorted(natives.items())},
        "max_native": max(natives, default=0),
        **count_notes(notes),
    }


def all_notes(record: SliceRecord) -> Iterator[str]:
    """The notes of a slice record, and what its geometry shows."""
    yield from record.notes or ()
    if record.affine is not None:
        yield f"{PLANE}{record.plane}"
    elif record.scale != (1.0, 1.0):
        size = [round(n * s) for n, s in zip(record.shape, record.scale, strict=True)]
        yield "{}{} x {} to {} x {}".format(RESIZED, *record.shape, *size)


def count_notes(notes: Counter[str]) -> dict[str, Any]:
    """How often sources and slices have something in common that is worth a word.

    Header fields that were left out, faces, planes, orientations and resampled sizes.
    """
    found: dict[str, Any] = {"dropped_fields": _marked(notes, DROPPED), "faces": notes[FACE]}
    kinds = {"acquired_otherwise": ACQUIRED, "turned": TURNED, "planes": PLANE, "resized": RESIZED}
    marked = {name: _marked(notes, mark) for name, mark in kinds.items()}
    return found | {name: counts for name, counts in marked.items() if counts}


def _marked(notes: Counter[str], mark: str) -> dict[str, int]:
    return dict(sorted((n.removeprefix(mark), c) for n, c in notes.items() if n.startswith(mark)))


def tell_learned(learned: Mapping[str, Any]) -> dict[str, Any]:
    """What all images together showed: the window of 16-bit ones, the greys of dark ones."""
    return {name: list(learned[name]) for name in WORTH_TELLING if learned.get(name)}


def describe_data_set(store: StoreReader) -> dict[str, Any]:
    """The data set in numbers, for a data sheet; no name of a person or file is among them."""
    counted, options = store.describe(), store.header["options"]
    records = store.records
    return {
        "people": counted["split_subjects"],
        "slices": counted["split_slices"],
        "slices_by_native_size": counted["native"],
        "bits_per_pixel": int(store.header["depth"]),
        "channels": list(store.channel_names),
        "planes": dict(Counter(record.plane for record in records if record.plane)),
        "sides": dict(Counter(record.side for record in records if record.side)),
        "pixel_mm": _range([record.pixel_mm for record in records if record.pixel_mm]),
        "ages": describe_ages(records),
        "sex": _count_people(records, SEX),
        "image_edges": find_edges(records),
        "preparation": {name: options[name] for name in OPTIONS if name in options},
        "left_out": counted["skipped"] | {n: counted[n] for n in LEFT_OUT if counted.get(n)},
        "header_fields_removed": sorted(counted.get("dropped_fields", {})),
        "volumes_with_a_face": counted.get("faces", 0),
    }


def describe_ages(records: Sequence[SliceRecord]) -> dict[str, float]:
    """Least, median and greatest age over people whose age is known, and how many they are."""
    known = [float(age) for age in _labels(records, AGE).values() if isinstance(age, int | float)]
    if not known:
        return {}
    return {"people": len(known), "least": min(known), "median": median(known), "most": max(known)}


def find_edges(records: Sequence[SliceRecord]) -> list[str]:
    """Which side of the body is at the left and right edge of every picture: ["R", "L"].

    Empty where slices differ, have no geometry, or show the body from a side.
    """
    found = {_edges(record) for record in records}
    edges = found.pop() if len(found) == 1 else None
    return list(edges or ())


def _edges(record: SliceRecord) -> tuple[str, str] | None:
    if record.affine is None:
        return None
    step = [row[0] for row in record.affine]  # millimetres in RAS+ from one column to the next
    if abs(step[0]) < max(map(abs, step)):
        return None
    return ("L", "R") if step[0] > 0 else ("R", "L")


def _range(values: Sequence[float]) -> list[float]:
    return [round(min(values), 4), round(max(values), 4)] if values else []


def _labels(records: Sequence[SliceRecord], names: Sequence[str]) -> dict[str, str | float]:
    """The first of some labels that each person has."""
    found: dict[str, str | float] = {}
    for record in records:
        for name, value in (record.labels or {}).items():
            if name.lower() in names:
                found.setdefault(record.subject, value)
    return found


def _count_people(records: Sequence[SliceRecord], names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(str(value) for value in _labels(records, names).values()))
