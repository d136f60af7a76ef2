"""A trainer killed anywhere and started again ends with the bits of one that was left alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from faults.training import (
    AROUND,
    SMALL,
    SMALL_END,
    Fault,
    kill_after,
    kill_around_save,
    kill_in_save,
    problems_after,
    run,
    states,
)

from mri_gan.config import LOSS_NAMES

SHARES = (0.0, 0.01, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)  # of the writes inside one save


@pytest.fixture(scope="module")
def undisturbed(
    store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, str]]:
    """The states of a run with this loss that nothing happened to, made once."""
    made: dict[str, dict[str, str]] = {}

    def get(loss: str) -> dict[str, str]:
        if loss not in made:
            folder = tmp_path_factory.mktemp(loss)
            words = ("train", store, *SMALL, "--loss", loss, "--out", folder / "run")
            assert run(words, folder / "log") == 0, (folder / "log").read_text()
            made[loss] = states(folder / "run")
            assert len(made[loss]) == 6
        return made[loss]

    return get


def survive(
    store: Path, folder: Path, loss: str, expected: dict[str, str], faults: list[Fault]
) -> list[str]:
    """The problems of all faults, each in a run of its own, two at a time."""
    words = ("train", store, *SMALL, "--loss", loss)
    with ThreadPoolExecutor(2) as pool:
        cases = [
            pool.submit(problems_after, words, folder / str(number), expected, fault)
            for number, fault in enumerate(faults)
        ]
        return [problem for case in cases for problem in case.result()]


def random_kills(seed: int) -> list[Fault]:
    """Twenty moments: two while it starts, and one at a random time after each of the 18 steps.

    Among them are the last step of the first level, the first of the next, and its whole fade.
    """
    delays_s = np.random.default_rng(seed).uniform(0, 0.12, 20)
    steps = [-1, -1, *range(0, SMALL_END, 8)]
    return [partial(kill_after, *case) for case in zip(steps, delays_s, strict=True)]


def kills_in_save(seed: int) -> list[Fault]:
    """Ten of the writes inside a save, and the five moments around them; which save is random."""
    saves = np.random.default_rng(seed).integers(1, 7, 15).tolist()
    inside = [
        partial(kill_in_save, save, share) for save, share in zip(saves, SHARES, strict=False)
    ]
    around = [partial(kill_around_save, *c) for c in zip(saves[10:], AROUND, strict=True)]
    return [*inside, *around]


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_killed_at_twenty_random_moments(
    store: Path, tmp_path: Path, undisturbed: Callable[[str], dict[str, str]], loss: str
) -> None:
    faults = random_kills(LOSS_NAMES.index(loss))
    assert len(faults) == 20
    assert survive(store, tmp_path, loss, undisturbed(loss), faults) == []


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_killed_at_fifteen_moments_inside_a_save(
    store: Path, tmp_path: Path, undisturbed: Callable[[str], dict[str, str]], loss: str
) -> None:
    faults = kills_in_save(LOSS_NAMES.index(loss))
    assert len(faults) == 15
    assert survive(store, tmp_path, loss, undisturbed(loss), faults) == []


def test_killed_once_in_a_fade_and_once_inside_a_save(
    store: Path, tmp_path: Path, undisturbed: Callable[[str], dict[str, str]]
) -> None:
    """The fast sample of the above; the second save comes after the change of resolution."""
    faults: list[Fault] = [partial(kill_after, 64, 0.01), partial(kill_in_save, 3, 0.5)]
    assert survive(store, tmp_path, "wgan-gp", undisturbed("wgan-gp"), faults) == []
