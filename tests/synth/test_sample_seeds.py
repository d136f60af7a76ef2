"""Seeds as written by a person."""

import pytest

from mri_gan.errors import UsageError
from mri_gan.synth.sample import describe_seeds, parse_seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("7", [7]), ("0-3", [0, 1, 2, 3]), ("5, 1 - 2", [5, 1, 2]), ("1,1-2,2", [1, 2])],
)
def test_numbers_and_ranges_in_the_order_written_each_once(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing is not a seed"),
        ("a", "a is not a seed"),
        ("-1", "-1 is not a seed"),
        ("1-2-3", "1-2-3 is not a seed"),
        ("1.5", "1.5 is not a seed"),
        ("9-1", "runs backwards"),
        ("0-99999999", "more than 10,000,000"),
        ("9999999999999999999", "too large"),
    ],
)
def test_a_mistake_is_told(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["7", "0-9", "0-3,7,9-10"])
def test_what_is_described_can_be_parsed(text: str) -> None:
    assert describe_seeds(parse_seeds(text)) == text


def test_a_range_of_one_seed_is_that_seed() -> None:
    assert parse_seeds("5-5") == [5]


def test_seeds_are_too_many_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mri_gan.synth.sample.MOST", 10)
    assert len(parse_seeds("0-5,20-23")) == 10
    with pytest.raises(UsageError, match="more than 10 seeds"):
        parse_seeds("0-5,20-24")
