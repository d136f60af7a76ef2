"""Who is in which split: as shipped, as a table of the user's says, or shared out."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mri_gan.config import SPLITS
from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.outcome import explain
from mri_gan.ingest.plan.folders import is_called_person
from mri_gan.ingest.plan.paths import split_word
from mri_gan.ingest.plan.words import SPLIT_FOLDERS, plain_text
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import NIFTI_SUFFIXES, Labels, Member, Naming, Parts, Source, name_of
from mri_gan.store.labels import (
    NO_VALUE,
    SUBJECTS,
    find_column,
    read_cell,
    read_rows,
    read_table_text,
)
from mri_gan.values import say_count

PSEUDONYM = r"p[0-9a-f]{12}"
SPLIT_COLUMN = "split"
STACK_TABLE, STACK, SMALLER = "labels.csv", "pacgan", "smaller copy"
MAX_TABLE_BYTES = 8 << 20
PATH_COLUMNS = ("file", "folder", "path", "name", "filename")
PERSON_COLUMNS = ("person", *SUBJECTS, "patient", "patient_id")


def read_splits(path: Path) -> dict[str, str]:
    """{subject: split} of a table; the first row may name its columns.

    Raises UsageError naming the line, or the subject that is in two splits.
    """
    splits: dict[str, str] = {}
    for number, row in _rows(path):
        if len(row) < 2 or row[1].lower() not in SPLIT_FOLDERS:
            raise UsageError(
                f"{path}:{number}: is not a subject and a split",
                f"write subject, tab, and one of {', '.join(SPLIT_FOLDERS)}",
            )
        subject, split = plain_subject(row[0]), SPLIT_FOLDERS[row[1].lower()]
        if splits.setdefault(subject, split) != split:
            raise UsageError(
                f"{path}: subject {row[0]} is in two splits ({splits[subject]} and {split})",
                "put each person into one",
            )
    return splits


def plain_subject(subject: str) -> str:
    """A subject without what some tables write before it."""
    return subject.removeprefix("sub-").removeprefix("OAI")


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and (subject, split, ...) cells."""
    numbered = _read_table(path)
    columns = [name.lower() for name in numbered[0][1]] if numbered else []
    subject = find_column(columns)
    if subject is None or SPLIT_COLUMN not in columns:
        return numbered
    split = columns.index(SPLIT_COLUMN)
    wide = max(subject, split)
    return [(n, [row[subject], row[split]] if len(row) > wide else []) for n, row in numbered[1:]]


def _read_table(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of the rows that are not empty."""
    try:
        return read_rows(read_table_text(path))
    except csv.Error as error:
        problem = f"{path}: is not a table ({one_line(error)})"
        raise UsageError(problem, "save it as .tsv") from error


def apply_splits(
    sources: Sequence[Source],
    splits: dict[str, str],
    path: Path,
    pseudonym_of: Callable[[str], str],
) -> list[Source]:
    """The sources in the splits of a file, which may name subjects by their pseudonyms.

    What the file says wins over what the source ships. Raises UsageError for people whom the
    file does not name.
    """

    by_pseudonym = any(re.fullmatch(PSEUDONYM, subject) for subject in splits)

    def find(subject: str) -> str | None:
        split = splits.get(plain_subject(subject))
        return splits.get(pseudonym_of(subject)) if split is None and by_pseudonym else split

    found = {subject: find(subject) for subject in {s.naming.subject for s in sources}}
    missing = sorted(subject for subject, split in found.items() if split is None)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"{path}: has no split for subject {missing[0]}{more}", "add a line for each"
        )
    return [
        replace(s, naming=replace(s.naming, split=found[s.naming.subject] or "")) for s in sources
    ]


def assign_splits(sources: Iterable[Source], config: PrepareConfig) -> list[Source]:
    """Give every source a split; shipped splits are kept, other subjects are shared out.

    All sources of a subject get the same split: slices of one person in two splits would make
    every later figure look better than it is.
    """
    sources = list(sources)
    shipped = require_one_split(sources)
    # With --masks, people who have none give no slices: they must not use up a split.
    people = {s.naming.subject for s in sources if s.mask is not None or not config.masks}
    splits = shipped | share_out(sorted(people - set(shipped)), config.split, config.seed)

    def assign(source: Source) -> Source:
        split = splits.get(source.naming.subject, "")
        if source.naming.split == split:
            return source
        return replace(source, naming=replace(source.naming, split=split))

    return [assign(source) for source in sources]


def require_one_split(sources: Iterable[Source]) -> dict[str, str]:
    """The shipped split of each subject; raises UsageError where somebody is in two."""
    first: dict[str, Source] = {}
    for source in sources:
        subject, split = source.naming.subject, source.naming.split
        if split and first.setdefault(subject, source).naming.split != split:
            places = " and ".join(
                f"{one.naming.split}: {one.public_label}" for one in (first[subject], source)
            )
            raise UsageError(
                f"subject {subject} is in two splits ({places})",
                "move all files of a person into one split, or name two people with --people TABLE",
            )
    return {subject: source.naming.split for subject, source in first.items()}


def say_empty_splits(sources: Iterable[Source], config: PrepareConfig) -> str:
    """That nobody is in a split that has a share; empty where somebody is in each."""
    filled = {source.naming.split for source in sources}
    shares = zip(SPLITS, config.split, strict=True)
    return say_nobody([split for split, share in shares if share and split not in filled])


def say_nobody(splits: Sequence[str]) -> str:
    """That nobody is in some splits; empty for none."""
    names = " and ".join(filter(None, (", ".join(splits[:-1]), *splits[-1:])))
    said = f"nobody is in {names}: a model cannot be judged on new people without them"
    return said if splits else ""


def share_out(subjects: Sequence[str], per_cent: Sequence[int], seed: int) -> dict[str, str]:
    """Shuffle subjects by keyed hash and cut the list by largest remainders.

    A hash and not a random generator: the order is the same on every machine and version.
    """

    def shuffled(subject: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{subject}".encode(errors="surrogatepass")).digest()

    exact = [len(subjects) * share / 100 for share in per_cent]
    counts = [int(count) for count in exact]
    by_remainder = sorted(range(3), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: len(subjects) - sum(counts)]:
        counts[i] += 1
    names = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return dict(zip(sorted(subjects, key=shuffled), names, strict=True))


# People from a table


@dataclass(frozen=True)
class Person:
    """What a row of a table of people says of a file or folder."""

    subject: str
    session: str
    split: str
    labels: Labels


def read_people(path: Path) -> dict[str, Person]:
    """{file or folder: person} of a table and names of columns.

    One column names files or folders, one the person; `session` and `split` are optional, and
    every other column is a label. Raises UsageError naming the line that cannot be used.
    """
    rows = _read_table(path)
    columns = [name.lower() for name in rows[0][1]] if rows else []
    where, who = find_column(columns, PATH_COLUMNS), find_column(columns, PERSON_COLUMNS)
    if where is None or who is None:
        raise UsageError(
            f"{path}: its first row does not name a file and a person column",
            "begin with: file, tab, person; then session, split and labels as you like",
        )
    people: dict[str, Person] = {}
    for number, row in rows[1:]:
        if len(row) <= max(where, who) or not (row[where] and row[who]):
            raise UsageError(f"{path}:{number}: file or person is missing", "fill in both")
        cells = dict(zip(columns, row, strict=False))
        key = plain_text(row[where]).strip("/").casefold()
        person = _person(cells, columns[where], columns[who], f"{path}:{number}")
        if people.setdefault(key, person) != person:
            raise UsageError(f"{path}:{number}: {row[where]} is listed twice", "keep one of them")
    return people


def _person(cells: dict[str, str], where: str, who: str, place: str) -> Person:
    split = cells.get(SPLIT_COLUMN, "").lower()
    if split and split not in SPLIT_FOLDERS:
        raise UsageError(
            f"{place}: {split} is not a split", f"use one of {', '.join(SPLIT_FOLDERS)}"
        )
    labels = {
        name: read_cell(value)
        for name, value in cells.items()
        if name not in {where, who, SPLIT_COLUMN, "session", ""} and value.lower() not in NO_VALUE
    }
    return Person(
        cells[who], cells.get("session", ""), SPLIT_FOLDERS[split] if split else "", labels
    )


def apply_people(sources: Sequence[Source], people: dict[str, Person], path: Path) -> list[Source]:
    """The sources, each with the person that the table has for its file or the nearest folder.

    Raises UsageError for files that the table does not name.
    """
    found = [_look_up(people, source) for source in sources]
    missing = [s.member.label for s, one in zip(sources, found, strict=True) if one is None]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"{path}: has no row for {missing[0]}{more}",
            "name each file or the folder that holds it",
        )
    return [_as(one, source) for one, source in zip(found, sources, strict=True) if one]


def _as(person: Person, source: Source) -> Source:
    said = source.naming
    return replace(
        source,
        naming=replace(
            said,
            layout=said.layout if said.layout == "dicom" else "people",
            subject=person.subject,
            session=person.session or said.session,
            split=person.split or said.split,
            found_in="table",
        ),
        labels={**(source.labels or {}), **person.labels} or None,
    )


def _look_up(people: dict[str, Person], source: Source) -> Person | None:
    """The row of the file itself, else that of the nearest folder above it; in full or in part."""
    container = source.member.container.name if source.member.number is not None else ""
    parts = f"{container}/{plain_text(source.member.name)}".strip("/").casefold().split("/")
    for end in range(len(parts), 0, -1):
        for start in range(end):
            key = "/".join(parts[start:end])
            if key in people:
                return people[key]
    return None


Rows = list[dict[str, str]]


def say_one_name(namings: Sequence[Naming], places: Sequence[str]) -> list[str]:
    """That people of one name are in two sources of one name, which may be two people; or not."""
    found = {
        (naming.subject, place)
        for naming, place in zip(namings, places, strict=True)
        if "/" in place and (naming.is_inferred or naming.layout == "bids")
    }
    counts = Counter(who for who, place in found if not is_called_person(name_of(place)))
    twice = sum(count > 1 for count in counts.values())
    people = say_count(twice, "person is", "people are")
    same = f"{people} in two sources of one name, and in the store once each"
    how = "rename one of the sources, and assign people with --people TABLE"
    return [f"{same}; if that is wrong, {how}"] if twice else []


def open_stacks(
    parts: Sequence[Parts], members: Iterable[Member]
) -> tuple[list[Parts], list[Source], list[tuple[str, str]]]:
    """The sources without NIfTI stacks of slices of many people, and those slices.

    A `labels.csv` with ID, Label and Subject_ID of each slice is beside such stacks, as PACGAN has
    them. Of several in a folder the largest is taken; the others are copies of fewer pixels. Gives
    also (label, reason) of stacks that cannot be read, or that do not agree with their table.
    """
    tables = {_place(m): rows for m in members if (rows := _read_stack_table(m))}
    kept: list[Parts] = []
    left: list[Member] = []
    for part in parts:
        if part[0].suffix in NIFTI_SUFFIXES and _place(part[0]) in tables:
            left.append(part[0])
        else:
            kept.append(part)
    bad: list[tuple[str, str]] = []
    sources: list[Source] = []
    for place, rows in tables.items():
        stacks = [member for member in left if _place(member) == place]
        sizes = {member: _size_stack(member, rows, bad) for member in stacks}
        good = sorted((m for m in stacks if sizes[m]), key=lambda m: (-sizes[m], m.name))
        sources += _slices_of(good[0], rows) if good else []
        sources += [Source(m, m.name, Naming(STACK, "", kind=SMALLER)) for m in good[1:]]
    return kept, sources, bad


def _place(member: Member) -> tuple[str, str]:
    container = str(member.container) if member.number is not None else ""
    return container, member.name.rpartition("/")[0]


def _read_stack_table(table: Member) -> Rows:
    """What a table says of each slice of a stack; nothing for another table."""
    if name_of(table.name).lower() != STACK_TABLE or table.size > MAX_TABLE_BYTES:
        return []
    text = read_member(table).decode("utf-8-sig", errors="replace")
    try:
        lines = [row for _, row in read_rows(text)]
    except csv.Error:
        return []
    columns = [cell.lower() for cell in lines[0]] if lines else []
    if not {"id", "subject_id"} <= set(columns):
        return []
    rows = [dict(zip(columns, cells, strict=False)) for cells in lines[1:]]
    by_index = {row["id"]: row for row in rows}
    in_order = [by_index.get(str(index), {}) for index in range(len(rows))]
    return in_order if all(in_order) else rows  # ID is the place in the stack, where it can be


def _size_stack(member: Member, rows: Rows, bad: list[tuple[str, str]]) -> int:
    """Pixels of a slice of a stack that agrees with its table; else 0, and why in `bad`."""
    from mri_gan.ingest.read.volume import read_stack_shape  # it needs nibabel, and a plan does not

    try:
        width, height, count = read_stack_shape(member)
    except (DataError, OSError) as error:
        bad.append((member.label, explain(error, member.label)[1]))
        return 0
    nameless = sum(not row.get("subject_id") for row in rows)
    if count != len(rows) or nameless:
        say = f"{len(rows)} of them" if count != len(rows) else f"no Subject_ID for {nameless}"
        reason = f"holds {count} slices, and {STACK_TABLE} beside it has {say}: complete the table"
        bad.append((member.label, reason))
        return 0
    return width * height


def _slices_of(member: Member, rows: Rows) -> list[Source]:
    split = next(filter(None, map(split_word, reversed(member.name.split("/")[:-1]))), "")
    return [
        Source(
            member,
            f"{member.name}#{number}",
            Naming(STACK, row["subject_id"], split=split, label=row.get("label", "")),
            slice_number=number,
        )
        for number, row in enumerate(rows)
    ]
