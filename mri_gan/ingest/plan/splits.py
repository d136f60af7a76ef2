"""Splits and people from tables of the user's: subject and split, or file and person."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mri_gan.errors import UsageError
from mri_gan.files import explain_os_error, one_line, write_text
from mri_gan.ingest.plan.words import SPLIT_FOLDERS, plain_text
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import VOLUME_SUFFIXES, Labels, Member, Source
from mri_gan.store.labels import NO_VALUE, SUBJECTS, find_column, one_cell, plain_cell, read_cell

if TYPE_CHECKING:
    from mri_gan.store.reader import StoreReader


PSEUDONYM = r"p[0-9a-f]{12}"
SPLIT_COLUMN = "split"
STACK_TABLE = "labels.csv"
MAX_TABLE_BYTES = 8 << 20
PATH_COLUMNS = ("file", "folder", "path", "name", "filename")
PERSON_COLUMNS = ("person", *SUBJECTS, "patient", "patient_id")


def read_splits(path: Path) -> dict[str, str]:
    """{subject: split} of a table with tabs or commas; the first row may name its columns.

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
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ",")
        rows = [[plain_cell(cell.strip()) for cell in row] for row in reader]
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (ValueError, csv.Error) as error:
        problem = f"{path}: is not a table ({one_line(error)})"
        raise UsageError(problem, "save it as .tsv") from error
    return [(number, row) for number, row in enumerate(rows, 1) if any(row)]


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


@dataclass(frozen=True)
class Person:
    """What a row of a table of people says of a file or folder."""

    subject: str
    session: str
    split: str
    labels: Labels


def read_people(path: Path) -> dict[str, Person]:
    """{file or folder: person} of a table with tabs or commas and names of columns.

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


def set_stacks_aside(
    parts: Sequence[tuple[Member, ...]], members: Iterable[Member]
) -> tuple[list[tuple[Member, ...]], list[tuple[str, str]]]:
    """The sources without stacks of slices of many people, and (label, reason) of those.

    A `labels.csv` with a subject for each slice is beside them, as PACGAN has it.
    """
    tables = [m for m in members if m.name.rpartition("/")[2].lower() == STACK_TABLE]
    rows = {m.name.rpartition("/")[0]: _count_slices(m) for m in tables}
    kept, bad = [], []
    for part in parts:
        count = rows.get(part[0].name.rpartition("/")[0], 0)
        if count and part[0].suffix in VOLUME_SUFFIXES:
            reason = (
                f"is a stack of slices, of which {STACK_TABLE} beside it names the people of "
                f"{count}: write each slice to a file of its own, and use --people"
            )
            bad.append((part[0].label, reason))
        else:
            kept.append(part)
    return kept, bad


def _count_slices(table: Member) -> int:
    """How many slices a table says the person of; 0 for another program's table."""
    if table.size > MAX_TABLE_BYTES:
        return 0
    lines = read_member(table).decode("utf-8-sig", errors="replace").splitlines()
    columns = {column.strip().lower() for column in lines[0].split(",")} if lines else set()
    return len(list(filter(str.strip, lines[1:]))) if {"id", "subject_id"} <= columns else 0


def write_splits(store: StoreReader, path: Path) -> None:
    """The table of a store's subjects and splits, as `--split-file` takes it."""
    rows: Iterable[tuple[str, str]] = sorted({(r.subject, r.split) for r in store.records})
    lines = ["subject\tsplit", *("\t".join(map(one_cell, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")
