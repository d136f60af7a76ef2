"""Labels become vectors by a specification that is made once and kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mri_gan.conditions import (
    Column,
    Conditions,
    build_conditions,
    columns_of,
    describe_condition,
    encode_labels,
    parse_labels,
)
from mri_gan.errors import UsageError

LABELS: list[dict[str, Any]] = [
    {"group": "CN", "age": 60.0, "site": 1.0},
    {"group": "AD", "age": 80.0, "site": 2.0},
    {"group": "CN", "age": 70.0, "site": 1.0, "score": 3.0},
]
SPEC = build_conditions(["group", "age"], LABELS)


def test_a_class_is_one_entry_per_value_and_a_number_is_standardised() -> None:
    assert SPEC.dim == 3
    vectors = np.stack([encode_labels(SPEC, row) for row in LABELS])
    assert vectors.dtype == np.float32
    assert vectors[:, :2].tolist() == [[0, 1], [1, 0], [0, 1]]  # AD, CN
    assert vectors[:, 2].mean() == pytest.approx(0)
    assert vectors[:, 2].std() == pytest.approx(1)


def test_strata_are_kept_with_the_columns_and_decide_about_no_network() -> None:
    spec = build_conditions(["group", "age", "score"], LABELS)
    read = Conditions.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert read.strata == spec.strata
    assert [(s.classes, s.slices, s.known) for s in spec.strata] == [
        (("CN",), 2, (1.0, 0.5)),
        (("AD",), 1, (1.0, 0.0)),
    ]
    earlier = {"columns": spec.to_dict()["columns"]}
    assert Conditions.from_dict(earlier) == spec
    assert Conditions.from_dict(earlier).strata == ()
    assert columns_of(earlier) == columns_of(spec.to_dict())
    assert columns_of("by hand") == "by hand"


def test_what_labels_were_found_is_said_in_a_line() -> None:
    spec = build_conditions(["group", "age", "score"], LABELS)
    said = [column.describe() for column in spec.columns]
    assert said[:2] == ["group: classes AD, CN", "age: numbers 60 to 80"]
    assert said[2] == "score: numbers 3 to 3, some unknown"
    many = Column("site", tuple("abcdefghijk")).describe()
    assert many == "site: classes a, b, c, d, e, f, g, h, ..."


@pytest.mark.parametrize(
    ("values", "odd"),
    [
        (["61", "72", "88 years"], "88 years"),
        (["F", "M", "2"], None),
        (["F", "M"], None),
        (["1", "2"], None),  # made classes by name
    ],
)
def test_one_word_among_numbers_is_odd(values: list[str], odd: str | None) -> None:
    said = [] if odd is None else [f"age counts as classes, since {odd!r} is no number"]
    assert list(Column("age", tuple(values)).doubts()) == said


def test_one_number_for_all_that_have_it_is_doubted() -> None:
    """As 15 was the score of the one person of a table whom the store knew."""
    spec = build_conditions(["score"], [{"score": 15.0}, {}, {"score": 15.0}])
    said = "score is 15 wherever it is known, so it tells nothing else"
    assert list(spec.columns[0].doubts()) == [said]
    spec = build_conditions(["score"], [{"score": 15.0}, {}, {"score": 16.0}])
    assert list(spec.columns[0].doubts()) == []


def test_the_empty_specification_has_no_entries_and_is_false() -> None:
    assert encode_labels(Conditions(), {"age": 3}).shape == (0,)
    assert parse_labels(Conditions(), "") == {}
    assert not Conditions()
    assert SPEC


def test_a_number_becomes_a_class_when_asked() -> None:
    assert build_conditions(["site"], LABELS).columns[0].is_class is False
    spec = build_conditions(["site:class"], LABELS)
    assert spec.columns[0].values == ("1", "2")
    assert encode_labels(spec, {"site": 2}).tolist() == [0, 1]


@pytest.mark.parametrize("names", [["group", "age", "score"], ["site:class"], []])
def test_a_specification_survives_json(names: list[str]) -> None:
    spec = build_conditions(names, LABELS)
    assert Conditions.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_missing_number_is_told_apart_from_the_mean() -> None:
    spec = build_conditions(["score"], [*LABELS, {"score": 5.0}])
    assert spec.dim == 2
    assert encode_labels(spec, {}).tolist() == [0, 0]
    assert encode_labels(spec, {"score": 4.0}).tolist() == [0, 1]
    assert parse_labels(spec, "score=unknown") == {"score": None}


def test_a_missing_class_is_none_of_the_values() -> None:
    spec = build_conditions(["group"], [*LABELS, {}])
    assert encode_labels(spec, {}).tolist() == [0, 0]
    assert parse_labels(spec, "group=unknown") == {"group": None}


@pytest.mark.parametrize(
    ("value", "known"), [("CN", [1]), (3.0, [0, 1])]
)  # one value; a number is its own mean
def test_a_column_with_gaps_tells_who_has_it(value: Any, known: list[float]) -> None:
    spec = build_conditions(["a"], [{"a": value}, {}])
    assert encode_labels(spec, {"a": value}).tolist() == known
    assert encode_labels(spec, {}).tolist() == [0] * len(known)


def test_a_class_may_be_called_unknown() -> None:
    spec = build_conditions(["sex"], [{"sex": "unknown"}, {"sex": "F"}, {}])
    assert encode_labels(spec, parse_labels(spec, "sex=unknown")).tolist() == [0, 1]


def test_a_class_has_at_most_a_thousand_values() -> None:
    names = [{"a": f"n{i}"} for i in range(1001)]
    assert build_conditions(["a"], names[:1000]).dim == 1000
    with pytest.raises(UsageError, match="a has 1001 values: the limit is 1000"):
        build_conditions(["a"], names)


def test_a_label_that_training_always_had_may_not_be_missing() -> None:
    with pytest.raises(UsageError, match="group is missing"):
        encode_labels(SPEC, {"age": 70})


def test_what_a_person_writes_means_what_the_table_says() -> None:
    asked = parse_labels(SPEC, " group = AD , age=80")
    assert (
        encode_labels(SPEC, asked).tolist()
        == encode_labels(SPEC, {"group": "AD", "age": 80.0}).tolist()
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("group=MCI", "group=MCI was not in training: group=AD or CN"),
        ("group=CN,age=old", "age=old is not a number"),
        ("group=CN,age=7", "age=7 is outside the training data: give age=60 to 80"),
        ("group=CN,age=nan", "age=nan is not a number"),
        ("group=unknown", "was not in training"),
        ("sex=F", "not trained with sex"),
        ("age=60,group=CN,age=70", "condition age=60, age=70: given twice: give one"),
        ("group", "write NAME=VALUE"),
    ],
)
def test_what_cannot_be_asked_for_is_told_with_what_can(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_labels(SPEC, text)


def test_networks_without_conditions_say_so() -> None:
    with pytest.raises(UsageError, match="take no conditions"):
        parse_labels(Conditions(), "age=3")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["sex"], "known labels: age, group, score, site"),
        (["age,sex"], "name each by a --condition of its own: age and sex"),
        (["age", "age"], "named twice"),
        (["age:number"], "write age or age:class"),
    ],
)
def test_columns_that_cannot_be_are_refused(names: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build_conditions(names, LABELS)


@pytest.mark.parametrize("value", ["CN", 3.0])
def test_a_column_that_never_changes_tells_nothing(value: Any) -> None:
    with pytest.raises(UsageError, match="every training slice has a="):
        build_conditions(["a"], [{"a": value}] * 3)


def test_vectors_are_described_as_a_person_would_write_them() -> None:
    assert [describe_condition(SPEC, encode_labels(SPEC, row).tolist()) for row in LABELS] == [
        "group CN, age 60",
        "group AD, age 80",
        "group CN, age 70",
    ]
    spec = build_conditions(["score"], LABELS[1:])
    assert describe_condition(spec, encode_labels(spec, {}).tolist()) == "score unknown"
    assert describe_condition(Conditions((Column("a", ("x", "y")),)), [0.2, 0.7]) == "a y"


def test_a_zero_is_described_as_zero_in_spite_of_rounding() -> None:
    spec = build_conditions(["position"], [{"position": i / 31} for i in range(32)])
    assert describe_condition(spec, encode_labels(spec, {"position": 0.0}).tolist()) == "position 0"
