"""What is known about each slice, for training with conditions: by record and by table."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mri_gan.errors import UsageError, printable
from mri_gan.files import explain_os_error
from mri_gan.store.schema import SliceRecord

SUBJECTS = ("participant_id", "subject_id", "subject", "oasisid")  # columns that name a person
FORMULA = ("=", "+", "-", "@")  # what spreadsheets compute begins with one of these
NO_VALUE = {"", "n/a", "na", "nan"}
SOURCE = "source"  # the column that names a file
UNKNOWN = {*NO_VALUE, "none"}
COMMA_NUMBER = re.compile(r"[-+]?\d+(?:,\d+)?")
THOUSANDS = 3  # digits
# Headers that name what may tell who somebody is, as `_plain_header` spells them
_PERSON = r"(?:pat|patients?|patienten|subjects?|participants?|persons?)"
TELLING_HEADER = re.compile(
    rf"{_PERSON}?(?:full|first|last|given|family|middle|maiden|birth|sur)?names?(?:vorname)?"
    r"|(?:vor|nach|familien|geburts|ruf)namen?|initial(?:s|en)|nom|prenom|nombres?|apellidos?"
    r"|nome|cognome|nazwisko|imie"
    rf"|dob|dateofbirth|{_PERSON}?(?:birth|geb|geburts)(?:date|day|datum|dat|tag)|geb"
    r"|datedenaissance|fechadenacimiento"
    r"|(?:home|postal|street|e?mail)?address|adresse|anschrift|wohnort|street|strasse"
    r"|plz|postleitzahl|zip(?:code)?|post(?:al)?code"
    r"|(?:tele|mobile|cell|home)?(?:phone|fon)(?:number|nummer|no|nr)?|tel|handy|mobil|fax"
    r"|e?mails?|mrn|ssn|kvnr|pid|nhs(?:number|no)?|medicalrecord(?:number|no)?|accession\w*"
    rf"|(?:{_PERSON}|case|fall|aufnahme|hospital|versicherten|socialsecurity|insurance)"
    r"(?:id|no|nr|number|nummer|kennung)"
)
_MONTHS = "(?:jan|feb|mar|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]{0,6}[ .,-]*"
DATE = re.compile(  # 1980-05-05, 05.05.1980, 5 May 1980, May 5, 1980 and 19800505; no year alone
    r"(?<!\d)(?:(?:19|20)\d\d([./-])\d\d?\1\d\d?|\d\d?([./-])\d\d?\2(?:\d\d){1,2}"
    rf"|\d\d?[ .-]*{_MONTHS}(?:\d\d){{1,2}}|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    rf"(?!\d)|\b{_MONTHS}\d\d?,? +(?:19|20)\d\d(?!\d)",
    re.IGNORECASE,
)
SHARED_LABELS = ("age", "sex", "group", "diagnosis", "class")  # of which many have the same
ENOUGH_PEOPLE = 5  # for values that nobody else has to be more than chance
LONG_NUMBER = 100_000  # whole numbers from here on may be those of files and patients
EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # what .xlsx and .xls begin with

Labels = dict[str, str | float]
Table = Mapping[str, Labels]  # by subject, or by source and its file name


def slice_labels(records: Sequence[SliceRecord], table: Table | None = None) -> list[Labels]:
    """The labels of every slice: its record's, its place in the scan, and a table's, which win.

    `side`, `plane` and `session` are there where they are known, `contrast` in a store of several,
    `position` is 0 for the first slice of a scan in the store and 1 for the last.
    """
    rows = []
    for record, position in zip(records, relative_positions(records), strict=True):
        own: dict[str, str | float | None] = {
            "side": record.side or None,
            "plane": record.plane or None,
            "session": record.session or None,
            "contrast": record.contrast or None,
            "position": position,
            **(record.labels or {}),
        }
        row = {name: value for name, value in own.items() if value is not None}
        for name in names_of(record):
            row |= (table or {}).get(name, {})
        rows.append(row)
    return rows


def names_of(record: SliceRecord) -> tuple[str, str, str]:
    """What a table may call a slice: its subject, its source, or the name of that file."""
    return record.subject, record.source, PurePosixPath(record.source).name


def relative_positions(records: Sequence[SliceRecord]) -> list[float | None]:
    """Where each slice is within its scan, 0..1; None where its scan has no order.

    By first and last slice kept, not by millimetres: heads differ in size, and slices without
    tissue are not in the store.
    """
    scans: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for record in records:
        if record.position >= 0:
            scans[scan_of(record)].append(record.position)
    spans = {scan: (min(places), max(places)) for scan, places in scans.items()}
    found: list[float | None] = []
    for record in records:
        first, last = spans.get(scan_of(record), (0, 0))
        known = record.position >= 0 and first != last
        found.append((record.position - first) / (last - first) if known else None)
    return found


def scan_of(record: SliceRecord) -> tuple[str, ...]:
    """What the slices of one scan have in common.

    Those of a volume share a source; image files are a source each.
    """
    volume = record.source if record.is_cut else ""
    return (record.subject, record.session, record.side, record.plane, record.contrast, volume)


def find_telling(people: Iterable[tuple[str, Labels]]) -> dict[str, str]:
    """The labels that may tell who somebody is, each with the reason; given (person, labels).

    By their headers, by dates, and by texts and long numbers that most people share with nobody.
    """
    columns: dict[str, dict[str, set[str]]] = {}
    for person, labels in people:
        for name, value in labels.items():
            text = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else value
            columns.setdefault(name, defaultdict(set))[str(text)].add(person)
    reasons = {name: _why_telling(name, values) for name, values in columns.items()}
    return {name: why for name, why in reasons.items() if why}


def _why_telling(name: str, values: Mapping[str, set[str]]) -> str:
    if TELLING_HEADER.fullmatch(_plain_header(name)):
        return "by its header"
    if any(map(DATE.search, values)):
        return "by dates"
    may_tell = {v: who for v, who in values.items() if not _is_measured(v)}
    people = set[str]().union(*may_tell.values())
    alone = set[str]().union(*(who for who in may_tell.values() if len(who) == 1))
    is_own = len(people) >= ENOUGH_PEOPLE and 2 * len(alone) > len(people)
    return "by a value for each person" if is_own and name not in SHARED_LABELS else ""


def _plain_header(name: str) -> str:
    """A header in small letters without accents, spaces and marks: `Pat.-ID` is `patid`."""
    bare = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in bare if letter.isalnum())


def _is_measured(text: str) -> bool:
    """Whether it is a number, and not one as long as those of files and patients."""
    value = read_cell(text)
    return isinstance(value, float) and not (value.is_integer() and abs(value) >= LONG_NUMBER)


def find_column(header: Sequence[str], names: Sequence[str] = SUBJECTS) -> int | None:
    """The column with the first of these names that there is, in capitals or not."""
    lowered = [name.strip().lower() for name in header]
    return next((lowered.index(name) for name in names if name in lowered), None)


def one_cell(text: str) -> str:
    """A text as one cell of a table: no tabs or breaks, and nothing that a spreadsheet computes.

    A cell that begins with = + - or @ is a formula to some programs unless it is a number; an
    apostrophe in front makes it text. `plain_cell` takes it off again.
    """
    text = printable(text)
    is_formula = text.startswith(FORMULA) and isinstance(read_cell(text), str)
    return f"'{text}" if is_formula else text


def plain_cell(text: str) -> str:
    """What `one_cell` was given, as far as a cell can hold it."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text


def read_rows(text: str) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of the lines of a table that are not empty.

    Tabs, semicolons or commas stand between cells. Decimal commas become points where all of a
    column are numbers. Raises csv.Error where it is no table.
    """
    rows = _split_rows(text)
    columns = _comma_columns(rows)
    return [
        (number, [c.replace(",", ".") if at in columns else c for at, c in enumerate(row)])
        for number, row in rows
    ]


def _split_rows(text: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter_of(text))
    rows = ([plain_cell(cell.strip()) for cell in row] for row in reader)
    return [(number, row) for number, row in enumerate(rows, 1) if any(row)]


def _delimiter_of(text: str) -> str:
    """A tab where there is one, else what the first line has more of: spreadsheets vary."""
    first = text.lstrip().partition("\n")[0]
    return "\t" if "\t" in text else max(",;", key=first.count)


def _comma_columns(rows: Sequence[tuple[int, list[str]]]) -> set[int]:
    """The columns, below their names, of numbers of which some have a decimal comma.

    Three digits behind every comma may be thousands: such a column stays as it is.
    """
    columns: dict[int, list[str]] = defaultdict(list)
    for _, row in rows[1:]:
        for at, cell in enumerate(row):
            columns[at] += [cell] * (cell.lower() not in UNKNOWN)
    found = set()
    for at, cells in columns.items():
        decimals = [cell.partition(",")[2] for cell in cells if "," in cell]
        sure = any(len(digits) != THOUSANDS for digits in decimals)
        if sure and all(map(COMMA_NUMBER.fullmatch, cells)):
            found.add(at)
    return found


def say_commas(text: str) -> list[str]:
    """The names of a table's columns whose decimal commas are read as points."""
    rows = _split_rows(text)
    names = rows[0][1] if rows else []
    return [names[at] for at in sorted(_comma_columns(rows)) if at < len(names)]


def read_table_text(path: Path) -> str:
    """The text of a table that a user gives; raises UsageError where it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        told = explain_os_error(error, path)
        raise UsageError(told.message, told.hint) from error
    if data.startswith(EXCEL):
        raise UsageError(f"{path}: is an Excel file", "save it as CSV UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeError as error:
        hint = "save it as UTF-8 (Excel: CSV UTF-8)"
        raise UsageError(f"{path}: its letters are not UTF-8", hint) from error


def read_cell(text: str) -> str | float:
    """A number where the cell holds one, else its text."""
    try:
        return float(text)
    except ValueError:
        return text


def read_label_table(path: Path) -> dict[str, Labels]:
    """{subject or source: labels} of a table with tabs, commas or semicolons.

    One column is named `subject` (or participant_id) or `source`; every other is a label, as a
    number where it is one. Raises UsageError naming the file where it is not such a table or says
    two things of one name.
    """
    try:
        lines = [row for _, row in read_rows(read_table_text(path))]
    except csv.Error as error:
        raise UsageError(f"{path}: cannot be read", str(error)) from error
    if not lines:
        raise UsageError(f"{path}: is empty", "give a table with a line for each subject")
    header = lines[0]
    named = find_column(header, (SOURCE, *SUBJECTS))
    if named is None or len(header) < 2:
        raise UsageError(
            f"{path}: has no column subject (or participant_id) or source beside labels",
            "name the columns in the first line, with tabs, commas or semicolons between them",
        )
    table: dict[str, Labels] = {}
    for line in lines[1:]:
        name, row = _read_row(header, named, line)
        if table.setdefault(name, row) != row:
            raise UsageError(f"{path}: {name} has two different lines", "keep one")
    return table


def _read_row(header: Sequence[str], named: int, line: Sequence[str]) -> tuple[str, Labels]:
    cells = dict(zip(header, line, strict=False))
    name = cells.pop(header[named], "")
    if header[named].lower() != SOURCE:
        name = name.removeprefix("sub-")
    return name, {k: read_cell(v) for k, v in cells.items() if v.lower() not in UNKNOWN}
