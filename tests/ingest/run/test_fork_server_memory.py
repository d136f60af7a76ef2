"""Keeping freed memory: asked of glibc, and of nothing else."""

import ctypes
import sys

import pytest

from mri_gan.ingest.run import fork_server


def calls(monkeypatch: pytest.MonkeyPatch, platform: str) -> list[tuple[int, int]]:
    """What the C library is asked on a platform."""
    asked: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return 1

    def load(_name: None) -> Library:
        return Library()

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", load)
    fork_server.keep_some(64, 16)
    fork_server.share()
    return asked


def test_glibc_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls(monkeypatch, "linux") == [
        (fork_server.MMAP_THRESHOLD, 16),
        (fork_server.TRIM_THRESHOLD, 64),
        (fork_server.ARENA_MAX, 1),
    ]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_no_other_system_is(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    assert calls(monkeypatch, platform) == []


def test_a_library_without_the_call_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    fork_server.share()
