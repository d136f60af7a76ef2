"""Tables that people bring: which column names a person, and what a cell says."""

from __future__ import annotations

from collections.abc import Sequence

SUBJECTS = ("participant_id", "subject_id", "subject", "oasisid")  # columns that name a person
NO_VALUE = {"", "n/a", "na", "nan"}


def find_column(header: Sequence[str], names: Sequence[str] = SUBJECTS) -> int | None:
    """The column with the first of these names that there is, in capitals or not."""
    lowered = [name.strip().lower() for name in header]
    return next((lowered.index(name) for name in names if name in lowered), None)


def read_cell(text: str) -> str | float:
    """A number where the cell holds one, else its text."""
    try:
        return float(text)
    except ValueError:
        return text
