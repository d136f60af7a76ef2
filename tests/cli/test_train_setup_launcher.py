"""A process of torchrun notices that its launcher is gone, whenever that happens."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from mri_gan.cli.training import train_setup
from mri_gan.cli.training.train_setup import ended_with_parent, find_launcher, join_torchrun
from mri_gan.errors import DataError, UsageError
from mri_gan.train.parallel import SOLO

Patch = pytest.MonkeyPatch


def test_without_torchrun_a_process_is_alone(monkeypatch: Patch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_torchrun(5) == SOLO


def test_half_an_environment_is_refused(monkeypatch: Patch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="RANK"):
        join_torchrun(5)


def test_a_parent_that_changes_ends_the_process(
    monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(train_setup, "LOOK_S", 0.01)
    with ended_with_parent(os.getppid() + 1, end):
        assert ended.wait(30)
    assert codes == [1]
    assert "the launcher of this process is gone" in capsys.readouterr().err


def test_a_parent_that_stays_ends_nothing(monkeypatch: Patch) -> None:
    looked = threading.Event()
    getppid = os.getppid

    def look() -> int:
        looked.set()
        return getppid()

    monkeypatch.setattr(train_setup, "LOOK_S", 0.01)
    monkeypatch.setattr(os, "getppid", look)
    ended: list[int] = []
    with ended_with_parent(getppid(), ended.append):
        assert looked.wait(30)
    assert ended == []


class TestFindLauncher:
    def test_one_that_listens_is_found(self, monkeypatch: Patch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.point_to(monkeypatch, server.getsockname()[1])
            find_launcher()

    def test_a_closed_port_is_a_dead_launcher(self, monkeypatch: Patch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.point_to(monkeypatch, port)
        with pytest.raises(DataError, match="launcher of this process is gone"):
            find_launcher()

    def test_other_ways_of_meeting_are_left_alone(self, monkeypatch: Patch) -> None:
        self.point_to(monkeypatch, 1)
        monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE")
        find_launcher()

    def point_to(self, monkeypatch: Patch, port: int) -> None:
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        monkeypatch.setattr(train_setup, "REFUSED_S", 0.01)
        monkeypatch.setattr(train_setup, "LOOK_S", 0.01)
