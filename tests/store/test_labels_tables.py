"""Tables that people bring."""

import pytest

from mri_gan.errors import printable
from mri_gan.store.labels import find_column, one_cell, plain_cell, read_cell


def test_the_column_of_people_is_found_in_capitals_or_not() -> None:
    assert find_column(["age", " Participant_ID "]) == 1
    assert find_column(["Subject", "age"]) == 0
    assert find_column(["age", "sex"]) is None
    assert find_column([]) is None


def test_the_first_name_that_is_asked_for_wins() -> None:
    assert find_column(["subject", "participant_id"]) == 1
    assert find_column(["subject", "source"], ("source", "subject")) == 1


def test_cells_are_numbers_where_they_hold_one() -> None:
    assert [read_cell(text) for text in ("70", "0.5", "CN", "")] == [70.0, 0.5, "CN", ""]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+2", "'=1+2"),
        ("@sum", "'@sum"),
        ("+1+cmd", "'+1+cmd"),
        ("-a", "'-a"),
        ("-1.5", "-1.5"),
        ("a\tb\nc", "a?b?c"),
        ("\x1b[31mred", "?[31mred"),
        ("'quoted", "'quoted"),
        ("p1", "p1"),
    ],
)
def test_a_cell_holds_one_line_and_no_formula(text: str, cell: str) -> None:
    assert one_cell(text) == cell
    assert plain_cell(cell) == printable(text)
