"""What lies around the scans says of them: tables of people, `dataset.json`, class folders.

A `dataset.json` holds classes of a StyleGAN data set, or the channels of nnU-Net and MSD. Nothing
says whose the pictures of a StyleGAN data set are.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line, parse_json
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.paths import gather, has_digit, split_word
from mri_gan.ingest.plan.words import SPLIT_FOLDERS, contrast_of, plain_text
from mri_gan.ingest.read.archives import list_source, read_member
from mri_gan.ingest.source import (
    ARCHIVE_SUFFIXES,
    DATASET_JSON,
    TABLE_NAMES,
    VISITS_ENDING,
    Labels,
    Member,
    Source,
    is_table,
    name_of,
    nearest_folder,
    suffix_of,
)
from mri_gan.store.labels import (
    NO_VALUE,
    SUBJECTS,
    find_column,
    find_telling,
    read_cell,
    read_rows,
    read_table_text,
    say_commas,
)
from mri_gan.values import say_count, say_some

# Classes from folders

MOST_NAMED = 4  # classes in a sentence
LEAST_NAME = 3  # letters, for one to be found in a class
NO_CLASS = {"images", "image", "png", "jpg"}
CLASS_NAME = re.compile(
    r"dement|tumou?r|glioma|mening|pituit|normal|healthy|positive|negative|benign|malignant|"
    r"^(?:ad|cn|[el]?mci|yes|no|hc|hgg|lgg|controls?|patients?)$",
    re.IGNORECASE,
)
WORDS_ONLY = re.compile(r"[^\W\d_]{2,}(?:[ ,_.-]+[^\W\d_]{2,})+")  # as first and last names are


def classes_of_folders(names: Sequence[str]) -> list[str]:
    """The class that the folders of each path say; raises UsageError where a file is in none."""
    return [label for label, _ in place_classes([plain_text(name) for name in names])]


def place_classes(names: Sequence[str]) -> list[tuple[str, str]]:
    """The class that the folders of each path say, and the person, who is empty if they say none.

    Raises UsageError where a file is in no such folder.
    """
    places = [_class_folders(name) for name in names]
    depth = _depth_of_people(places)
    return [(place[depth - 1], place[depth] if depth else "") for place in places]


def _class_folders(name: str) -> list[str]:
    no_class = SPLIT_FOLDERS.keys() | NO_CLASS
    folders = [folder for folder in name.split("/")[:-1] if folder.lower() not in no_class]
    if not folders:
        raise UsageError(
            f"{name}: is not in a class folder", "put it into one, or leave --classes out"
        )
    return [folder for folder in folders if not contrast_of(folder)] or folders


def _depth_of_people(places: Sequence[Sequence[str]]) -> int:
    """Which of the folders are people, those right above them being classes; 0 for none.

    They are where most hold a number or are called as people are, each is in one class only, and
    there are more of them.
    """
    for depth in range(1, min(map(len, places), default=0)):
        pairs = {tuple(place[depth - 1 : depth + 1]) for place in places}
        classes, people = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
        numbered = sum(map(has_digit, people))
        named = sum(map(is_called_as_people_are, people))
        if 1 < len(classes) < len(people) == len(pairs) < 2 * max(numbered, named):
            return depth
    return 0


def is_class(name: str) -> bool:
    """Whether it is called as a class or a split is."""
    return bool(CLASS_NAME.search(name)) or bool(split_word(name))


def is_called_as_people_are(name: str) -> bool:
    """Whether it is several words, such as a first and a last name, and none of a class."""
    return bool(WORDS_ONLY.fullmatch(name)) and not is_class(name)


def say_called(subjects: Iterable[str], keeps: str) -> str:
    """That people are called as with names, which `keeps` that, up to what an option changes."""
    found = sorted(set(map(name_of, subjects)))
    named = next((n for n in found if is_called_as_people_are(n)), "")
    said = f"people are called {named} and the like, and {keeps} that: if these are names, add"
    return said if named else ""


def say_classes(sources: Sequence[Source]) -> str:
    """Which folders are the classes, to go on with a sentence; empty where there are none."""
    labelled = [s for s in sources if s.naming.label and s.naming.layout == "images"]
    if not labelled:
        return ""
    above = sum(s.member.name.split("/")[-2] == s.naming.subject for s in labelled)
    which = "the folders above those of people" if 2 * above > len(labelled) else "the folders"
    labels = sorted({s.naming.label for s in labelled})
    more = ", ..." if len(labels) > MOST_NAMED else ""
    return f"; classes by {which}: {', '.join(labels[:MOST_NAMED])}{more}"


def require_nameless_classes(sources: Sequence[Source]) -> None:
    """Raise UsageError where a class would tell who somebody under a pseudonym is.

    `sources` have their own names yet.
    """
    said = [source.naming for source in sources]
    people = gather((one.label, name_of(one.subject).casefold()) for one in said if one.label)
    lone = sum(len(who) == 1 for who in people.values())
    nested = bool(people) and _are_nested(sources)
    telling = [
        label
        for label, who in people.items()
        if is_called_as_people_are(label)
        or any(len(one) >= LEAST_NAME and one in label.casefold() for one in who)
        or (nested and not label.isdecimal() and not is_class(label))
        or (len(who) == 1 and len(people) > 2 and 2 * lone > len(people) and not is_class(label))
    ]
    if telling:
        raise UsageError(
            f"--ids pseudonym: the class {min(telling)} may tell who somebody is",
            "rename such folders to what the people in them have in common, leave --classes out, "
            "or keep the names with --ids keep",
        )


def require_nameless_labels(sources: Sequence[Source]) -> None:
    """Raise UsageError where a label would tell who somebody under a pseudonym is."""
    found = find_telling((s.naming.subject, s.labels) for s in sources if s.labels)
    if found:
        said = ", ".join(f"{name} ({why})" for name, why in found.items())
        raise UsageError(
            f"ids are pseudonyms, but labels may tell who somebody is: {said}",
            "take these columns out of the table, or keep the names with --ids keep",
        )


def require_classes(sources: Sequence[Source], config: PrepareConfig) -> None:
    """Raise UsageError where all images are of one class."""
    if config.classes and len({s.naming.label for s in sources}) == 1:
        raise UsageError(
            f"--classes: all images are in folders named {sources[0].naming.label}",
            "give the folder above, or leave --classes out",
        )


def check_trained_classes(
    sources: Sequence[Source], config: PrepareConfig, only_look: bool
) -> list[str]:
    """That a class has no image in the training split, in a line; none where all have.

    Raises UsageError for it unless one only looks at the sources.
    """
    every = {source.naming.label for source in sources} if config.classes else set()
    missing = sorted(every - {s.naming.label for s in sources if s.naming.split == "train"})
    if not missing:
        return []
    folders = (f for s in sources if s.naming.label in missing for f in s.member.name.split("/"))
    said = next((folder for folder in folders if split_word(folder)), "")
    rename = (
        f"the folder {said} decides that: give the folder that training images are in, too, "
        f"rename {said}, or say the splits with --people TABLE"
    )
    change = "assign people with --people TABLE, or change --split or --seed"
    trouble = f"--classes: no image of {', '.join(missing)} is in the training split"
    remedy = rename if said else change
    if not only_look:
        raise UsageError(trouble, remedy)
    return [f"{trouble}: {remedy}"]


def _are_nested(sources: Sequence[Source]) -> bool:
    """Whether classes lie within fewer folders as people do in those of groups, each in one."""
    folders = (source.member.name.split("/")[-3:-1] for source in sources)
    pairs = {(place[0], place[-1]) for place in folders if place}
    labels, groups = {pair[-1] for pair in pairs}, {pair[0] for pair in pairs}
    are_labels = labels == {source.naming.label for source in sources}
    return are_labels and len(groups) > 1 and 2 * len(groups) <= len(labels) == len(pairs)


# Age, sex and diagnosis from the `participants` table of a BIDS tree

LABEL_COLUMNS = ("age", "sex", "group", "diagnosis")
VISITS = ("session_id",)  # columns that name a visit
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
    beside = _places_of({folder: found[folder] for folder in tables if folder in found})
    sources = [_label(source, tables, beside) for source in sources] if tables else sources
    return _label_visits(sources, members) if is_bids else sources


def _label_visits(sources: Sequence[Source], members: Iterable[Member]) -> list[Source]:
    """The sources of BIDS with what a table of their person's visits says, which wins."""
    visits = [member for member in members if member.name.lower().endswith(VISITS_ENDING)]
    tables = {member.name: read_table(member, VISITS, "ses-") for member in visits}
    folders = {name.rpartition("/")[0] for name in tables}

    def label(source: Source) -> Source:
        folder = nearest_folder(source.member.name, folders)
        file = f"sub-{_id_of(source)}{VISITS_ENDING}"
        said = tables.get(f"{folder}/{file}" if folder else file, {}).get(source.naming.session)
        return replace(source, labels={**(source.labels or {}), **said}) if said else source

    return [label(source) for source in sources] if tables else list(sources)


def _tables_of_people(members: Iterable[Member]) -> dict[str, Member]:
    """{folder: table of participants}."""
    return {
        member.name.rpartition("/")[0]: member
        for member in members
        if name_of(member.name).lower() in TABLE_NAMES
    }


def _places_of(tables: Mapping[str, Member]) -> dict[Path, str]:
    """{folder on disk: its name here} of the tables that are in no archive."""
    return {m.container.parent: name for name, m in tables.items() if m.number is None}


def _find_table(source: Source, tables: Container[str], beside: Mapping[Path, str]) -> str | None:
    """The folder of the nearest table: around a file, else around the archive that it is in."""
    member = source.member
    folder = nearest_folder(member.name, tables)
    if folder is not None or member.number is None:
        return folder
    return next((beside[place] for place in member.container.parents if place in beside), None)


def _label(source: Source, tables: Mapping[str, Table], beside: Mapping[Path, str]) -> Source:
    folder = _find_table(source, tables, beside)
    said = None if folder is None else tables[folder].get(_id_of(source))
    if source.naming.layout == "bids":
        return replace(source, labels=said or None)
    return replace(source, labels={**said, **(source.labels or {})}) if said else source


def _id_of(source: Source) -> str:
    """The person as a table calls them: without the folders above, and without `sub-`."""
    return name_of(source.naming.subject).removeprefix("sub-")


def say_unused(sources: Sequence[Source], members: Sequence[Member]) -> list[str]:
    """A line for each table of participants that names none of the people beside it."""
    tables = _tables_of_people(members)
    if not tables:
        return []
    places = _places_of(tables)
    beside = gather((_find_table(s, tables, places) or "", _id_of(s)) for s in sources)
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


def say_packed(members: Iterable[Member], config: PrepareConfig) -> list[str]:
    """That archives in an archive are not read, as one line; none where there are none."""
    packed = [m.public_label for m in members if suffix_of(m.name) in ARCHIVE_SUFFIXES]
    if not packed:
        return []
    named = "" if config.ids == "pseudonym" else f" ({say_some(packed, MOST_NAMED)})"
    are, them = ("is", "it") if len(packed) == 1 else ("are", "them")
    many = say_count(len(packed), "archive")
    return [f"{many} in an archive {are} not read{named}: unpack {them} once"]


def say_commas_of(members: Iterable[Member], people_file: Path | None) -> str:
    """Whose decimal commas are read as points, to go on with a sentence; empty for nobody's."""
    texts = [] if people_file is None else [read_table_text(people_file)]
    for member in members:
        if member.name.lower().endswith((*TABLE_NAMES, VISITS_ENDING)):
            with contextlib.suppress(DataError):
                texts.append(read_member(member).decode("utf-8-sig", errors="replace"))
    columns = dict.fromkeys(column for text in texts for column in _commas(text))
    return f"; decimal commas of {', '.join(columns)} are read as points" if columns else ""


def _commas(text: str) -> Sequence[str]:
    with contextlib.suppress(csv.Error):
        return say_commas(text)
    return ()


def _names_in(member: Member) -> Iterable[str]:
    with contextlib.suppress(DataError):
        return read_table(member)
    return ()


def _table_above(path: Path) -> Table:
    top = path.resolve()
    for folder in list(top.parents)[:FOLDERS_ABOVE]:
        for name in TABLE_NAMES:
            if (folder / name).is_file():
                return read_table(list_source(folder / name).members[0])
    return {}


def read_table(member: Member, names: Sequence[str] = SUBJECTS, prefix: str = "sub-") -> Table:
    """{subject: labels} of a `participants.tsv` or `.csv`; numbers are numbers.

    Other `names` of a column stand for what else there is a row of.

    Raises DataError when it has no column of subjects.
    """
    text = read_member(member).decode("utf-8-sig", errors="replace")
    try:
        rows = [row for _, row in read_rows(text)]
    except csv.Error as error:
        raise DataError(f"{member.label}: is not a table ({one_line(error)})") from error
    columns = [name.lower() for name in rows[0]] if rows else []
    subject = find_column(columns, names)
    if subject is None:
        raise DataError(
            f"{member.label}: has no column of {'visits' if names == VISITS else 'subjects'}",
            f"name one {names[0]}, or move the table away",
        )
    rows = [row for row in rows[1:] if len(row) > subject]
    return {row[subject].removeprefix(prefix): _person_labels(columns, row) for row in rows}


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
    found = {m.name.rpartition("/")[0]: m for m in members if name_of(m.name) == DATASET_JSON}
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
