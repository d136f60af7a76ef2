"""What all options share: numbers as people write them."""

from __future__ import annotations

import click
import pytest

from mri_gan.cli import options
from mri_gan.cli.training.train import parse_capacity

COMMAND = click.Command("train")
CAPACITY = click.Option(["--capacity"])


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (options.AnyNumber(), "1/5", 0.2),
        (options.AnyNumber(), "1 / 64", 1 / 64),
        (options.AnyNumber(), "-0.5", -0.5),
        (options.AnyNumber(), 0.1, 0.1),
        (options.ABOVE_0, "1/500", 0.002),
        (options.ABOVE_0, "2.5e-3", 0.0025),
    ],
)
def test_a_number_may_be_a_fraction(
    kind: click.ParamType[float], text: object, number: float
) -> None:
    assert kind.convert(text, None, None) == number


@pytest.mark.parametrize("text", ["1/0", "1/x", "1/2/3", "/2", "x", "inf"])
def test_what_is_no_number_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a (valid float|finite number)"):
        options.ABOVE_0.convert(text, None, None)


def test_every_option_that_takes_a_number_takes_a_fraction() -> None:
    @options.setting("--share", float, 0.5, "A share.")
    def command() -> None:
        """Do nothing."""

    [share] = command.__click_params__
    assert share.type.convert("1/4", None, None) == 0.25


def test_the_capacity_is_a_name_a_number_or_a_fraction() -> None:
    context = click.Context(COMMAND)
    for text in ("1/64", "1 / 64", "0.015625"):
        assert parse_capacity(context, CAPACITY, text) == 1 / 64
    assert parse_capacity(context, CAPACITY, "tiny") == 1 / 16
    with pytest.raises(click.BadParameter, match="or a number such as 1/64"):
        parse_capacity(context, CAPACITY, "wide")
