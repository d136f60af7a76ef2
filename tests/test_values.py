"""Kinds of values: what is of an annotated type, and what is said where something is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from mri_gan.errors import UsageError
from mri_gan.values import (
    as_path,
    find_near,
    in_words,
    is_of,
    require_of,
    say_count,
    say_number,
    say_some,
    suggest,
)

Word = Literal["pad", "crop"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (np.float32(0.5), float),
        (None, int | None),
        ("a", str | Path),
        (Path("a"), str | Path),
        ("pad", Word),
        ((1, 2), tuple[int, ...]),
        (["a"], Sequence[str]),
        (range(3), Iterable[int]),
        (len, Callable[[Any], int]),
        (object(), Any),
    ],
)
def test_what_is_of_a_type(value: object, kind: Any) -> None:
    assert is_of(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int),
        (True, float),
        (1, bool),
        (3.0, int),
        ("3", int),
        (float("nan"), float),
        (float("inf"), float | None),
        (None, str),
        ("tile", Word),
        ((1, "2"), tuple[int, ...]),
        ([1], Sequence[str]),
        (3, Iterable[int]),
        ("len", Callable[[Any], int]),
    ],
)
def test_what_is_not(value: object, kind: Any) -> None:
    assert not is_of(value, kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (int | None, "a whole number or None"),
        (bool, "True or False"),
        (Word, "one of pad, crop"),
        (str | Path, "text or a path"),
        (Sequence[float], "a list, such as [0.5, 2]"),
        (Callable[[int], None] | None, "a function or None"),
    ],
)
def test_a_type_in_words(kind: Any, said: str) -> None:
    assert in_words(kind) == said


def test_a_name_that_there_is_not_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="slice: no such setting: did you mean slices\\?"):
        require_of({"slice": "0:1"}, {"slices": str, "every": int})
    assert suggest("zebra", ["slices"], "see --help") == "see --help"
    assert find_near("penalty-evry", ["eval-every", "penalty-every"]) == "penalty-every"
    assert find_near("maxsize", ["max-size"]) == "max-size"
    assert find_near("save-every", ["eval-every"]) == ""


def test_a_value_of_another_kind_is_shown_with_what_to_give() -> None:
    with pytest.raises(UsageError, match=r"every is '2': give a whole number$"):
        require_of({"every": "2"}, {"every": int})
    with pytest.raises(UsageError) as told:
        require_of({"every": "x" * 1000}, {"every": int})
    assert len(str(told.value)) < 100


def test_a_path_begins_at_home_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/mine")
    monkeypatch.setenv("USERPROFILE", "/home/of/mine")
    assert as_path("~/scans") == Path("/home/of/mine/scans")
    assert as_path(Path("~/scans")) == Path("/home/of/mine/scans")
    assert as_path("a/~") == Path("a/~")
    assert as_path("~nobody-here/x") == Path("~nobody-here/x")
    with pytest.raises(UsageError, match="empty"):
        as_path("")


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("slice",), "0 slices"),
        (1, ("slice",), "1 slice"),
        (2000, ("slice",), "2,000 slices"),
        (1, ("person", "people"), "1 person"),
        (3, ("person", "people"), "3 people"),
    ],
)
def test_a_number_has_its_noun(number: int, words: tuple[str, ...], said: str) -> None:
    assert say_count(number, *words) == said


@pytest.mark.parametrize(
    ("names", "said"), [([], ""), (["a", "b"], "a, b"), (["a", "b", "c"], "a, b and 1 more")]
)
def test_a_long_list_is_cut_and_counted(names: list[str], said: str) -> None:
    assert say_some(names, 2) == said


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (11690.0, 3, "11,700"),
        (999.6, 3, "1,000"),
        (-12345.6, 4, "-12,350"),
        (999.4, 3, "999"),
        (0.01236, 3, "0.0124"),
        (1e20, 3, "1e+20"),
        (float("nan"), 3, "nan"),
        (float("inf"), 3, "inf"),
    ],
)
def test_large_numbers_are_written_out(value: float, digits: int, said: str) -> None:
    assert say_number(value, digits) == said
