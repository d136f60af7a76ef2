"""A process of torchrun notices that its launcher is gone, whenever that happens."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.train import parallel
from mri_gan.train.parallel import SOLO, ended_with_parent, find_launcher, join_torchrun

Patch = pytest.MonkeyPatch


def test_without_torchrun_a_process_is_alone() -> None:
    assert join_torchrun({}, 5, print) == SOLO


def test_half_an_environment_is_refused() -> None:
    with pytest.raises(UsageError, match="RANK"):
        join_torchrun({"WORLD_SIZE": "2"}, 5, print)


def test_a_parent_that_changes_ends_the_process(monkeypatch: Patch) -> None:
    ended = threading.Event()
    messages: list[str] = []

    def end(message: str) -> None:
        messages.append(message)
        ended.set()

    monkeypatch.setattr(parallel, "CHECK_S", 0.01)
    with ended_with_parent(os.getppid() + 1, end):
        assert ended.wait(30)
    assert len(messages) == 1
    assert "the launcher of this process is gone" in messages[0]


def test_a_parent_that_stays_ends_nothing(monkeypatch: Patch) -> None:
    checked = threading.Event()
    getppid = os.getppid

    def check() -> int:
        checked.set()
        return getppid()

    monkeypatch.setattr(parallel, "CHECK_S", 0.01)
    monkeypatch.setattr(os, "getppid", check)
    ended: list[str] = []
    with ended_with_parent(getppid(), ended.append):
        assert checked.wait(30)
    assert ended == []


class TestFindLauncher:
    def test_one_that_listens_is_found(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            find_launcher(meeting_at(server.getsockname()[1]))

    def test_a_closed_port_is_a_dead_launcher(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(parallel, "REFUSED_S", 0.01)
        monkeypatch.setattr(parallel, "CHECK_S", 0.01)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with pytest.raises(DataError, match="launcher of this process is gone"):
            find_launcher(meeting_at(port))

    def test_other_ways_of_meeting_are_left_alone(self) -> None:
        find_launcher({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"})


def meeting_at(port: int) -> dict[str, str]:
    """The environment that torchrun gives a process, in part."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {"TORCHELASTIC_USE_AGENT_STORE": "True", **where}
