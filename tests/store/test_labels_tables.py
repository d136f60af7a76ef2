"""Tables that people bring."""

import pytest

from mri_gan.errors import printable
from mri_gan.store.labels import (
    Labels,
    find_column,
    find_telling,
    one_cell,
    plain_cell,
    read_cell,
)


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


TELLING = """name; Nachname; Vorname; first_name; Last Name; given name; family-name; Name, Vorname
Prénom; Geburtsdatum; Geb.-Dat.; DOB; birth date; Date of Birth; birthday; Geburtstag
Address; Adresse; Straße; PLZ; Telefon; phone_number; E-Mail; fax; MRN; Patient ID; Pat-ID; Pat.-Nr.
PatientName; Patientenname; Fallnummer; case_id; subject_id; accession number; initials; nom"""
HARMLESS = """age; sex; Geschlecht; Alter; Diagnose; birth_weight; year of birth; handedness; etiv
scanner_name; site; field strength; edss; moca; apoe; tumour grade; name of coil; place"""


@pytest.mark.parametrize("header", TELLING.replace("\n", "; ").split("; "))
def test_a_header_that_names_what_identifies_people_is_telling(header: str) -> None:
    assert find_telling([("1", {header: "a"})]) == {header: "by its header"}


@pytest.mark.parametrize("header", HARMLESS.replace("\n", "; ").split("; "))
def test_headers_of_measurements_and_groups_are_not_telling(header: str) -> None:
    assert find_telling([("1", {header: "a"})]) == {}


@pytest.mark.parametrize(
    "date",
    [
        *("05.05.1980", "5/5/80", "1980-05-05", "1980-05-05T10:15", "seen on 2024.1.9"),
        *("5 May 1980", "05-MAI-80", "May 5, 1980", 19800505.0),
    ],
)
def test_one_date_makes_a_column_telling(date: str | float) -> None:
    assert find_telling([("1", {"seen": date}), ("2", {"seen": "no"})]) == {"seen": "by dates"}


@pytest.mark.parametrize(
    "value", [1980.0, 70.5, 44.0, "1980", "1.2.3", "3 of 12", "T2 2010", 19801305.0, "1/2", "60-69"]
)
def test_years_ages_and_scores_are_no_dates(value: str | float) -> None:
    assert find_telling([("1", {"seen": value})]) == {}


def values_of(column: str, *values: str | float) -> list[tuple[str, Labels]]:
    return [(str(person), {column: value}) for person, value in enumerate(values)]


def test_a_value_that_each_person_has_alone_is_telling() -> None:
    why = {"note": "by a value for each person"}
    assert find_telling(values_of("note", "Anna", "Hans", "Leyla", "Karl", "Piotr")) == why
    assert find_telling(values_of("note", *(4445556.0 + i for i in range(5)))) == why
    assert find_telling(values_of("note", "a", "b", "c", "d", "a", "b")) == {}
    assert find_telling(values_of("note", "Anna", "Hans", "Leyla", "Karl")) == {}  # may be chance
    assert find_telling(values_of("note", *(1450.25 + i for i in range(5)))) == {}  # measured
    assert find_telling(values_of("diagnosis", "AD", "MS", "CN", "ALS", "PD")) == {}


def test_several_values_of_one_person_count_once() -> None:
    rows = [("0", f"only {i}") for i in range(9)] + [(str(i), "shared") for i in range(1, 6)]
    assert find_telling([(who, {"quality": value}) for who, value in rows]) == {}
