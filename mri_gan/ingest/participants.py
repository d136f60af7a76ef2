"""Age, sex and diagnosis from the `participants` table of a BIDS tree."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mri_gan.errors import DataError
from mri_gan.files import one_line
from mri_gan.ingest.archives import list_members, read_member
from mri_gan.ingest.members import TABLE_NAMES, Member, is_table
from mri_gan.ingest.sources import Labels, Source
from mri_gan.store.tables import NO_VALUE, SUBJECTS, find_column, read_cell

LABEL_COLUMNS = ("age", "sex", "group", "diagnosis")
FOLDERS_ABOVE = 3  # a subject's session folder is three below the table

Table = dict[str, Labels]


def label_sources(sources: Sequence[Source], members: Iterable[Member], path: Path) -> list[Source]:
    """The sources with what the nearest table beside or above them says of their subject.

    Tables are looked for among `members` and, where those have none, above `path` on disk.
    Raises DataError for a table that cannot be read.
    """
    sources = [
        replace(s, labels={"class": s.naming.label}) if s.naming.label else s for s in sources
    ]
    if not any(source.naming.layout == "bids" for source in sources):
        return sources
    tables = {_folder(m.name): read_table(m) for m in members if is_table(m.name)}
    if not tables:
        tables = {"": _table_above(path)}
    return [
        replace(s, labels=_labels_of(s, tables)) if s.naming.layout == "bids" else s
        for s in sources
    ]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _labels_of(source: Source, tables: Mapping[str, Table]) -> Labels | None:
    folder = _folder(source.member.name)
    while folder and folder not in tables:
        folder = _folder(folder)
    return tables.get(folder, {}).get(source.naming.subject) or None


def _table_above(path: Path) -> Table:
    top = path.resolve()
    for folder in list(top.parents)[:FOLDERS_ABOVE]:
        for name in TABLE_NAMES:
            if (folder / name).is_file():
                members, _ = list_members(folder / name)
                return read_table(members[0])
    return {}


def read_table(member: Member) -> Table:
    """{subject: labels} of a `participants.tsv` or `.csv`; numbers are numbers.

    Raises DataError when it has no column of subjects.
    """
    text = read_member(member).decode("utf-8-sig", errors="replace")
    try:
        reader = csv.reader(io.StringIO(text), delimiter="\t" if _is_tsv(member) else ",")
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{member.label}: is not a table ({one_line(error)})") from error
    columns = [name.strip().lower() for name in rows[0]] if rows else []
    subject = find_column(columns)
    if subject is None:
        raise DataError(
            f"{member.label}: has no column of subjects",
            f"name one {SUBJECTS[0]}, or move the table away",
        )
    rows = [row for row in rows[1:] if len(row) > subject]
    return {row[subject].strip().removeprefix("sub-"): _labels(columns, row) for row in rows}


def _is_tsv(member: Member) -> bool:
    return member.name.lower().endswith(".tsv")


def _labels(columns: Sequence[str], row: Sequence[str]) -> Labels:
    pairs = zip(columns, (value.strip() for value in row), strict=False)
    return {
        name: read_cell(value)
        for name, value in pairs
        if name in LABEL_COLUMNS and value.lower() not in NO_VALUE
    }
