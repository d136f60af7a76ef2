"""What a store holds, counted over its slice records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mri_gan.config import SPLITS
from mri_gan.store.schema import ACQUIRED, COLOUR, DROPPED, FACE, SYNTHETIC, TURNED, SliceRecord
from mri_gan.values import say_count, say_some

PLANE, RESIZED = "plane:", "resized:"  # marks of what follows from other fields of a record
MOSTLY, VERY = 0.8, 2.0  # share of grey images that are alike, and how much larger others are
NAMED = 3
WORTH_TELLING = ("image_window", "darkness")


def count_slices(records: Iterable[SliceRecord]) -> dict[str, Any]:
    """Slices and people by split, native levels, and notes, counted over slice records.

    Sessions where somebody has several, and slices by contrast where the store says them.
    """
    records = list(records)
    people: set[tuple[str, str]] = set()
    sessions: set[tuple[str, str]] = set()
    contrasts: Counter[str] = Counter()
    slices: Counter[str] = Counter()
    natives: Counter[int] = Counter()
    notes: Counter[str] = Counter()
    for record in records:
        people.add((record.split, record.subject))
        sessions.add((record.subject, record.session))
        contrasts[record.contrast] += 1
        slices[record.split] += 1
        natives[record.native] += 1
        notes.update(all_notes(record))
    subjects = len({subject for _, subject in people})
    split_people = Counter(split for split, _ in people)
    return {
        "slices": slices.total(),
        "subjects": subjects,
        **({"sessions": len(sessions)} if len(sessions) > subjects else {}),
        **({"contrasts": dict(sorted(contrasts.items()))} if any(contrasts) else {}),
        "split_slices": dict(sorted(slices.items())),
        "split_subjects": {split: split_people[split] for split in SPLITS if split_people[split]},
        "native": {str(level): n for level, n in sorted(natives.items())},
        "max_native": max(natives, default=0),
        **count_notes(notes),
        **tell_images(records),
        **({"labels": labels} if (labels := count_labels(records)) else {}),
    }


def tell_images(records: Sequence[SliceRecord]) -> dict[str, Any]:
    """How many images hold a scanner's values, and which do not look like the others."""
    found = {"windowed": sum(map(_is_windowed, records)), "strangers": _find_strangers(records)}
    return {name: value for name, value in found.items() if value}


def _find_strangers(records: Sequence[SliceRecord]) -> list[str]:
    """Images in colour of a very different size than nearly all grey ones, which are most."""
    flat = [record for record in records if not record.is_cut]
    in_colour = [record for record in flat if COLOUR in (record.notes or ())]
    grey = Counter(record.shape for record in flat if COLOUR not in (record.notes or ()))
    if not grey or MOSTLY * len(flat) > grey.total():
        return []
    usual, count = grey.most_common(1)[0]
    if MOSTLY * grey.total() > count or 0 in usual:
        return []
    return [record.source for record in in_colour if _differs(record.shape, usual)]


def _is_windowed(record: SliceRecord) -> bool:
    return not record.is_cut and record.window is not None


def _differs(shape: Sequence[int], usual: Sequence[int]) -> bool:
    ratios = [one / other for one, other in zip(shape, usual, strict=True)]
    return max(ratios) > VERY or min(ratios) < 1 / VERY


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

    Header fields that were left out, faces, synthetic slices, colour, planes, orientations,
    resampled sizes.
    """
    found: dict[str, Any] = {"dropped_fields": _marked(notes, DROPPED), "faces": notes[FACE]}
    kinds = {"acquired_otherwise": ACQUIRED, "turned": TURNED, "planes": PLANE, "resized": RESIZED}
    marked: dict[str, Any] = {name: _marked(notes, mark) for name, mark in kinds.items()}
    marked |= {"synthetic": notes[SYNTHETIC], "colour": notes[COLOUR]}
    return found | {name: counts for name, counts in marked.items() if counts}


def count_labels(records: Sequence[SliceRecord]) -> dict[str, dict[str, Any]]:
    """What tables and class folders said of people: how many have each label, and who has not.

    Numbers have a range, classes their people each; somebody who is in two counts in both.
    """
    said: dict[str, dict[str, set[str | float]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        for name, value in (record.labels or {}).items():
            said[name][record.subject].add(value)
    everyone = dict.fromkeys(record.subject for record in records)
    return {
        name: {
            "people": len(known),
            "missing": [who for who in everyone if who not in known],
            **_describe_values([value for values in known.values() for value in values]),
        }
        for name, known in sorted(said.items())
    }


def _describe_values(values: Sequence[str | float]) -> dict[str, Any]:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values):
        return {"least": min(numbers), "most": max(numbers)}
    return {"classes": dict(sorted(Counter(map(str, values)).items()))}


def _marked(notes: Counter[str], mark: str) -> dict[str, int]:
    return dict(sorted((n.removeprefix(mark), c) for n, c in notes.items() if n.startswith(mark)))


def tell_learned(learned: Mapping[str, Any]) -> dict[str, Any]:
    """What all images together showed: the window of 16-bit ones, the greys of dark ones."""
    return {name: list(learned[name]) for name in WORTH_TELLING if learned.get(name)}


def say_oddities(facts: Mapping[str, Any], *, stored: bool = True) -> Iterator[str]:
    """What about the slices themselves should be known before they are used."""
    planes = facts.get("planes", {})
    if len(planes) > 1:
        counts = ", ".join(f"{n:,} {plane}" for plane, n in sorted(planes.items()))
        yield f"slices of several planes are in one store ({counts}); --plane chooses one for all"
    for plane, count in facts.get("acquired_otherwise", {}).items():
        many = f"{count:,} volumes were" if count > 1 else "1 volume was"
        yield f"{many} acquired in {plane} slices: --plane {plane} takes them as they are"
    for axes, count in facts.get("turned", {}).items():
        found = f"{count:,} brains look" if count > 1 else "1 brain looks"
        yield (
            f"{found} like {axes} although the header says RAS (left and right "
            "look alike); if --reorient did not turn them, it can"
        )
    for what, count in facts.get("resized", {}).items():
        many = f"{count:,} images were" if count > 1 else "1 image was"
        yield f"{many} resampled from {what} px; --fit keep pads instead"
    yield from _say_images(facts)
    if facts.get("faces"):
        count, first = facts["faces"], facts["first_face"]
        again = "and prepare with --overwrite " if stored else ""
        found = f"{first} seems" if count == 1 else f"{count:,} volumes ({first}) seem"
        yield (
            f"{found} to show a face, which can identify people: remove faces (pydeface, "
            f"mri_deface) {again}before you share anything made from them"
        )
    if "darkness" in facts:
        level = facts["darkness"][0]
        yield f"the images are nearly black: 99 % of their pixels are at grey level {level} or less"


def _say_lgg(facts: Mapping[str, Any]) -> str:
    """That the colours of that collection are contrasts; see Buda et al. 2019."""
    mixed = ", and so three contrasts (T1, FLAIR, T1 after an agent) of LGG become one"
    return mixed if "lgg" in facts.get("layouts", ()) else ""


def _say_images(facts: Mapping[str, Any]) -> Iterator[str]:
    """What about image files and the marks in files should be known."""
    if "image_window" in facts:
        black, white = facts["image_window"]
        many = facts.get("windowed")  # which older stores do not say
        count = f" ({say_count(many, 'image')})" if many else ""
        yield (
            f"16-bit images hold a scanner's values{count}: {black:g} becomes black and "
            f"{white:g} white; --intensity keep leaves them as they are"
        )
    if facts.get("synthetic"):
        count = facts["synthetic"]
        many = f"{count:,} files are" if count > 1 else "1 file is"
        yield f"{many} marked as drawn by a generative network, and not scans of people"
    if facts.get("colour"):
        count = facts["colour"]
        many = f"{count:,} images are" if count > 1 else "1 image is"
        taken = "grey levels of the same brightness take its place"
        yield f"{many} in colour: {taken}{_say_lgg(facts)}"
    if facts.get("strangers"):
        names = facts["strangers"]
        yield (
            f"{say_count(len(names), 'image')} in colour among grey ones of another size "
            f"({say_some(names, NAMED)}): if that is no scan, such as a screenshot, leave it out "
            "with --exclude"
        )
