"""Splits from a file of the user's, and into one: a table of subject and split."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mri_gan.errors import UsageError
from mri_gan.files import explain_os_error, one_line, write_text
from mri_gan.ingest.plan.filenames import SPLIT_FOLDERS
from mri_gan.ingest.source import Source
from mri_gan.store.tables import find_column

if TYPE_CHECKING:
    from mri_gan.store.reader import StoreReader


PSEUDONYM = r"p[0-9a-f]{12}"
SPLIT_COLUMN = "split"


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
        subject, split = plain(row[0]), SPLIT_FOLDERS[row[1].lower()]
        if splits.setdefault(subject, split) != split:
            raise UsageError(
                f"{path}: subject {row[0]} is in two splits ({splits[subject]} and {split})",
                "put each person into one",
            )
    return splits


def plain(subject: str) -> str:
    """A subject without what some tables write before it."""
    return subject.removeprefix("sub-").removeprefix("OAI")


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and (subject, split, ...) cells."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ",")
        rows = [[cell.strip() for cell in row] for row in reader]
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (ValueError, csv.Error) as error:
        problem = f"{path}: is not a table ({one_line(error)})"
        raise UsageError(problem, "save it as .tsv") from error
    numbered = [(number, row) for number, row in enumerate(rows, 1) if any(row)]
    columns = [name.lower() for name in numbered[0][1]] if numbered else []
    subject = find_column(columns)
    if subject is None or SPLIT_COLUMN not in columns:
        return numbered
    split = columns.index(SPLIT_COLUMN)
    wide = max(subject, split)
    return [(n, [row[subject], row[split]] if len(row) > wide else []) for n, row in numbered[1:]]


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
        split = splits.get(plain(subject))
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


def write_splits(store: StoreReader, path: Path) -> None:
    """The table of a store's subjects and splits, as `--split-file` takes it."""
    rows: Iterable[tuple[str, str]] = sorted({(r.subject, r.split) for r in store.records})
    lines = ["subject\tsplit", *("\t".join(map(one_cell, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def one_cell(text: str) -> str:
    """A file name may hold tabs and line breaks; a table cell may not."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
