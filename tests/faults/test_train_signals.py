"""A signal: the step is finished and saved, the exit code tells, the same command continues."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from faults.training import SMALL, SMALL_END, Fault, run, signal_at, signal_in_save

from mri_gan.checkpoint import checkpoint_path, digest, list_checkpoints, load_checkpoint

SIGNALS = {"TERM": 143, "INT": 130, "USR1": 138, "HUP": 129}


def in_step(nimg: int) -> Callable[[int], Fault]:
    """The signal arrives in the step that follows so many images."""
    return lambda signum: partial(signal_at, nimg, signum)


# Where each comes, and the images after which its checkpoint is expected: in the first step, in
# the last of the first level, in the fade of the second, after it, in the second save.
MOMENTS: dict[str, tuple[Callable[[int], Fault], int]] = {
    "first step": (in_step(0), 8),
    "last step of a level": (in_step(40), 48),
    "fade": (in_step(64), 72),
    "after the fade": (in_step(104), 112),
    "second save": (lambda signum: partial(signal_in_save, 2, signum), 56),
}


def weights(folder: Path, nimg: int) -> str:
    return digest(load_checkpoint(checkpoint_path(folder, nimg)).state)


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(("train", store, *SMALL, "--out", folder / "run"), folder / "log") == 0
    return weights(folder / "run", SMALL_END)


def problems_after(store: Path, folder: Path, name: str, moment: str, expected: str) -> list[str]:
    """What was not as it should be with one signal at one moment."""
    folder.mkdir()
    out, log = folder / "run", folder / "log"
    words = ("train", store, *SMALL, "--out", out)
    plant, saved = MOMENTS[moment]
    code = run(words, log, plant(getattr(signal, f"SIG{name}")))
    said = log.read_text().splitlines()
    checks = {
        f"exit code {code}": code == SIGNALS[name],
        f"said {said}": len(said) == 1 and "run the same command again" in said[0],
        "saved elsewhere": list_checkpoints(out)[0] == checkpoint_path(out, saved),
        "did not continue": run(words, log) == 0,
        "other bits at the end": weights(out, SMALL_END) == expected,
    }
    return [f"{name} at {moment}: {problem}" for problem, fine in checks.items() if not fine]


@pytest.mark.slow
def test_twenty_signals(store: Path, tmp_path: Path, undisturbed: str) -> None:
    cases = [(name, moment) for name in SIGNALS for moment in MOMENTS]
    assert len(cases) == 20

    def case(name: str, moment: str) -> list[str]:
        return problems_after(store, tmp_path / f"{name} {moment}", name, moment, undisturbed)

    with ThreadPoolExecutor(2) as pool:
        found = pool.map(case, *zip(*cases, strict=True))
        assert [problem for problems in found for problem in problems] == []
