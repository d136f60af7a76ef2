"""Tables that people bring."""

from mri_gan.store.labels import find_column, read_cell


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
