"""What files beside the scans say of them: BIDS tables of people, and `dataset.json`.

A `dataset.json` holds classes of a StyleGAN data set, or the channels of nnU-Net and MSD. Nothing
says whose the pictures of a StyleGAN data set are.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mri_gan.errors import DataError
from mri_gan.files import one_line, parse_json
from mri_gan.ingest.plan.words import contrast_of
from mri_gan.ingest.read.archives import list_members, read_member
from mri_gan.ingest.source import (
    DATASET_JSON,
    TABLE_NAMES,
    Labels,
    Member,
    Source,
    is_table,
    nearest_folder,
    suffix_of,
)
from mri_gan.store.labels import NO_VALUE, SUBJECTS, find_column, read_cell, read_rows

# Age, sex and diagnosis from the `participants` table of a BIDS tree

LABEL_COLUMNS = ("age", "sex", "group", "diagnosis")
FOLDERS_ABOVE = 3  # a subject's session folder is three below the table

Table = dict[str, Labels]


def label_sources(sources: Sequence[Source], members: Iterable[Member], path: Path) -> list[Source]:
    """The sources with what the nearest table beside or above them says of their subject.

    Tables are looked for among `members` and, where those have none, above `path` on disk if the
    names are of BIDS. Elsewhere than in BIDS a table may be of other things, and counts for the
    people whom it names. Raises DataError for a table of BIDS that cannot be read.
    """
    sources = [
        replace(s, labels={"class": s.naming.label}) if s.naming.label else s for s in sources
    ]
    members = [member for member in members if is_table(member.name)]
    sources = apply_dataset_json(sources, members)
    found = _tables_of_people(members)
    is_bids = any(source.naming.layout == "bids" for source in sources)
    tables = {}
    for folder, member in found.items():
        with contextlib.nullcontext() if is_bids else contextlib.suppress(DataError):
            tables[folder] = read_table(member)
    if is_bids and not tables:
        tables = {"": _table_above(path)}
    return [_label(source, tables) for source in sources] if tables else sources


def _tables_of_people(members: Iterable[Member]) -> dict[str, Member]:
    """{folder: table of participants}."""
    return {
        member.name.rpartition("/")[0]: member
        for member in members
        if is_table(member.name) and not is_dataset_json(member.name)
    }


def _label(source: Source, tables: Mapping[str, Table]) -> Source:
    folder = nearest_folder(source.member.name, tables)
    said = None if folder is None else tables[folder].get(_id_of(source))
    if source.naming.layout == "bids":
        return replace(source, labels=said or None)
    return replace(source, labels={**said, **(source.labels or {})}) if said else source


def _id_of(source: Source) -> str:
    """The person as a table calls them: without the folders above, and without `sub-`."""
    return source.naming.subject.rpartition("/")[2].removeprefix("sub-")


def say_unused(sources: Sequence[Source], members: Sequence[Member]) -> list[str]:
    """A line for each table of participants that names none of the people beside it."""
    tables = _tables_of_people(members)
    beside: dict[str, set[str]] = defaultdict(set)
    for source in sources if tables else ():
        beside[nearest_folder(source.member.name, tables) or ""].add(_id_of(source))
    found = []
    for folder, member in tables.items():
        named = set(_names_in(member))
        if folder in beside and beside[folder].isdisjoint(named):
            has = f"it has {min(named)}, and " if named else ""
            found.append(
                f"{member.public_label}: names none of the people here, so no labels were read: "
                f"{has}they are called {min(beside[folder])} and the like; "
                "mrigan train --labels TABLE reads another table"
            )
    return found


def _names_in(member: Member) -> Iterable[str]:
    with contextlib.suppress(DataError):
        return read_table(member)
    return ()


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
        rows = [row for _, row in read_rows(text)]
    except csv.Error as error:
        raise DataError(f"{member.label}: is not a table ({one_line(error)})") from error
    columns = [name.lower() for name in rows[0]] if rows else []
    subject = find_column(columns)
    if subject is None:
        raise DataError(
            f"{member.label}: has no column of subjects",
            f"name one {SUBJECTS[0]}, or move the table away",
        )
    rows = [row for row in rows[1:] if len(row) > subject]
    return {row[subject].removeprefix("sub-"): _person_labels(columns, row) for row in rows}


def _person_labels(columns: Sequence[str], row: Sequence[str]) -> Labels:
    return {
        name: read_cell(value)
        for name, value in zip(columns, row, strict=False)
        if name in LABEL_COLUMNS and value.lower() not in NO_VALUE
    }


# Classes and channels from a `dataset.json`

LAYOUT = "stylegan"
OF_NNUNET = {"channel_names", "modality", "numTraining", "training", "file_ending"}
NUMBERED = re.compile(r"(?:^|/)\d{5}/img\d{8}\.[a-z]+$")  # as StyleGAN's tool names files


def say_nameless(sources: Sequence[Source]) -> str:
    """That pictures of StyleGAN's data sets count as people of their own, where there are some."""
    count = sum(source.naming.layout == LAYOUT for source in sources)
    if not count:
        return ""
    beside = "" if count == len(sources) else " or is among the other files, too"
    leave = " or leave them out" if beside else ""
    return (
        f"{count:,} of the files {'is' if count == 1 else 'are'} from a StyleGAN data set, which "
        "does not say whose they are: each counts as a different person, also where one person "
        f"has several{beside}; assign people with --people TABLE{leave}"
    )


def apply_dataset_json(sources: Sequence[Source], members: Sequence[Member]) -> list[Source]:
    """The sources with the labels of the `dataset.json` in their folder or above it.

    Numbered pictures of such a data set become people of their own. A file that is none of
    StyleGAN's changes nothing. Raises DataError for one that cannot be read.
    """
    found = {m.name.rpartition("/")[0]: m for m in members if is_dataset_json(m.name)}
    contents = {folder: _load(member) for folder, member in found.items()}
    channels = {folder: read_channels(content) for folder, content in contents.items()}
    sources = [_name_channel(source, channels) for source in sources]
    tables = {folder: read_classes(content, found[folder]) for folder, content in contents.items()}
    known = {folder: table for folder, table in tables.items() if table is not None}
    return [_apply(source, known) for source in sources] if known else sources


def read_channels(content: Any) -> dict[str, str]:
    """{number of four digits: contrast} of a data set of nnU-Net's or the MSD's, else nothing."""
    if not isinstance(content, dict):
        return {}
    named = content.get("channel_names") or content.get("modality")
    if not isinstance(named, dict):
        return {}
    return {
        str(number).zfill(4): contrast_of(str(word)) or str(word).lower()
        for number, word in named.items()
    }


def _name_channel(source: Source, channels: Mapping[str, Mapping[str, str]]) -> Source:
    """The source with the name of its contrast, where that was a channel's number."""
    folder = nearest_folder(source.member.name, channels)
    contrast = None if folder is None else channels[folder].get(source.naming.contrast)
    return replace(source, naming=replace(source.naming, contrast=contrast)) if contrast else source


def is_dataset_json(name: str) -> bool:
    """Whether a file is called as StyleGAN calls its labels."""
    return name.rpartition("/")[2] == DATASET_JSON


def _apply(source: Source, tables: Mapping[str, Mapping[str, Labels]]) -> Source:
    name = source.member.name
    folder = nearest_folder(name, tables)
    if folder is None:
        return source
    labels = tables[folder].get(name.removeprefix(f"{folder}/") if folder else name)
    naming = source.naming
    if NUMBERED.search(name):
        subject = source.name.removesuffix(suffix_of(name))
        naming = replace(naming, layout=LAYOUT, subject=subject, position=-1, label="")
    return replace(source, naming=naming, labels=labels or source.labels)


def _load(member: Member) -> Any:
    try:
        return parse_json(read_member(member))
    except ValueError as error:
        raise DataError(f"{member.label}: is not JSON", "fix it or move it away") from error


def read_classes(content: Any, member: Member) -> dict[str, Labels] | None:
    """{file: labels}; None for what another program wrote, such as nnU-Net.

    A whole number is a class, by its name where the file has names; a list is one number a column.
    """
    if not isinstance(content, dict) or "labels" not in content or OF_NNUNET & content.keys():
        return None
    names, column = content.get("class_names"), str(content.get("class_column", "class"))
    pairs = content["labels"] or []
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    try:
        return {
            str(file).replace("\\", "/"): _class_labels(value, column, names or [])
            for file, value in pairs
        }
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{member.label}: its labels are not pairs of file and class", "fix it or move it away"
        ) from error


def _class_labels(value: Any, column: str, names: Sequence[str]) -> Labels:
    if isinstance(value, list):
        return {f"{column}_{i}": float(number) for i, number in enumerate(value)}
    if not isinstance(value, int):
        raise ValueError("no class")
    return {column: str(names[value]) if 0 <= value < len(names) else str(value)}
