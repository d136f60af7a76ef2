"""The process among those that `torchrun` started: joining them, and noticing that it is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mri_gan.config import require
from mri_gan.errors import DataError

if TYPE_CHECKING:
    from mri_gan.train.parallel import World


LOOK_S = 0.5  # between two looks at who the parent is
REFUSED_S = 5.0  # so long the launcher's port may refuse before it counts as gone
GONE = "the launcher of this process is gone", "start all of them with torchrun again"


def join_torchrun(timeout_s: float) -> World:
    """This process among those that `torchrun` started, as the environment says.

    Raises UsageError for half an environment, DataError where the others cannot be joined. Ends
    the process where the launcher ends while they are being joined, since nobody else would.
    """
    from mri_gan.train.parallel import SOLO, join

    told = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK")}
    if told["WORLD_SIZE"] in ("", "1"):
        return SOLO
    require(
        all(text.isdecimal() for text in told.values()),
        f"the environment has WORLD_SIZE={told['WORLD_SIZE']} but RANK={told['RANK']}",
        "start with torchrun, or unset WORLD_SIZE for a single process",
    )
    with ended_with_parent(os.getppid()):
        find_launcher()
        return join(int(told["RANK"]), int(told["WORLD_SIZE"]), timeout_s=timeout_s)


def find_launcher() -> None:
    """Raise DataError unless torchrun answers, where it is the one who brings processes together.

    It listens before it starts any process. One that died before this process looked for its
    parent is found out here.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    address = (os.environ.get("MASTER_ADDR", ""), int(os.environ.get("MASTER_PORT", "0")))
    end = time.monotonic() + REFUSED_S
    while True:
        try:
            socket.create_connection(address, timeout=REFUSED_S).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise DataError(*GONE) from None
            time.sleep(LOOK_S)
        except OSError:
            return  # torch knows more ways to reach it, and says why it cannot


@contextlib.contextmanager
def ended_with_parent(parent: int, end: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Within, this process says so and ends when its parent is no longer that one.

    Joining waits inside torch, where no signal and no exception comes through.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_S):
            if os.getppid() != parent:
                print(f"mrigan: {GONE[0]}: {GONE[1]}", file=sys.stderr, flush=True)
                end(1)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
