"""Where `mrigan` starts."""

from __future__ import annotations

import pytest

from mri_gan.cli.entry import say_again


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train", "run the same command again to continue"),
        ("audit", "the same command begins anew"),
    ],
)
def test_a_stop_says_what_the_same_command_does(command: str, said: str) -> None:
    assert say_again(["mrigan", command, "RUN"]) == said
