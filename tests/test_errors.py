"""Errors are one line with a hint, have an exit code, and survive leaving a process."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from mri_gan.errors import DataError, LabelMapError, MriganError, Stopped, UsageError


def test_text_is_message_and_hint() -> None:
    assert (
        str(DataError("scan.nii: damaged", "copy it again")) == "scan.nii: damaged: copy it again"
    )


def test_text_without_hint_is_the_message_alone() -> None:
    assert str(DataError("scan.nii: damaged")) == "scan.nii: damaged"


@pytest.mark.parametrize(("kind", "code"), [(DataError, 1), (LabelMapError, 1), (UsageError, 2)])
def test_exit_codes(kind: type[MriganError], code: int) -> None:
    assert kind("x").exit_code == code


def test_a_stop_exits_as_the_shell_expects_of_its_signal() -> None:
    assert Stopped("stopped", "again", signum=15).exit_code == 143


@pytest.mark.parametrize("kind", [MriganError, DataError, LabelMapError, UsageError, Stopped])
def test_message_and_hint_survive_pickling(kind: Any) -> None:
    back = pickle.loads(pickle.dumps(kind("message", "hint")))
    assert (type(back), back.message, back.hint) == (kind, "message", "hint")


def test_the_signal_of_a_stop_survives_pickling() -> None:
    stopped = Stopped("stopped", "again", signum=15)
    assert pickle.loads(pickle.dumps(stopped)).exit_code == 143
