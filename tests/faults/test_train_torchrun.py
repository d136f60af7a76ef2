"""Whole runs under torchrun: the same result for any number of processes, and none left hanging."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import faults
import pytest
import torch
from faults import training
from faults.launching import is_alive, once, rank_pids, torchrun

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.config import LOSS_NAMES, METRICS, TrainConfig, read_metrics
from mri_gan.train.state import build_state

# Ninety steps: long enough that a signal sent after ten comes before the end.
LONG = (*training.SMALL, "--phase", "240", "--snap", "0.24", "--threads", "1")
LONG_END = "ckpt-000000720.pt"
LINES = 10
EVERY_NET = ("g", "d", "g_ema")

pytestmark = pytest.mark.slow


def launch(store: Path, out: Path, *words: object) -> faults.Ended:
    """A whole run in two processes."""
    return faults.run(*torchrun(2, "train", store, *words, "--out", out), deadline_s=900)


def hurt(
    store: Path,
    out: Path,
    act: faults.launching.Hurt,
    options: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
) -> tuple[faults.Ended, float]:
    """How a run in two processes ended that something was done to, and how long after."""
    moments: list[float] = []

    def do(child: subprocess.Popen[bytes]) -> None:
        moments.append(time.monotonic())
        act(child)

    command = torchrun(2, "train", store, *LONG, *words, "--out", out, options=options)
    ended = faults.run(*command, deadline_s=900, hurt=once(out / METRICS, LINES, do))
    assert moments, ended.err
    return ended, ended.ended - moments[0]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(list_checkpoints(folder)[0]).state
    return {f"{net}.{name}": v for net in EVERY_NET for name, v in state[net].items()}


def first_tensors(config: TrainConfig) -> dict[str, torch.Tensor]:
    state = build_state(config, torch.device("cpu"))
    return {
        f"{net}.{name}": v
        for net in EVERY_NET
        for name, v in getattr(state, net).state_dict().items()
    }


def share_apart(one: Path, two: Path) -> float:
    """How far two runs ended from each other, as a share of the way that training took them."""
    a, b = tensors(one), tensors(two)
    begun = first_tensors(load_checkpoint(list_checkpoints(one)[0]).config)
    assert a.keys() == b.keys() == begun.keys()
    apart = sum(float((a[name] - b[name]).square().sum()) for name in a)
    moved = sum(float((a[name] - begun[name]).square().sum()) for name in a)
    return float((apart / moved) ** 0.5)


def states(folder: Path) -> dict[str, str]:
    return {path.name: digest(load_checkpoint(path).state) for path in list_checkpoints(folder)}


@pytest.fixture(scope="module")
def straight(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long run in two processes, undisturbed."""
    out = tmp_path_factory.mktemp("straight") / "run"
    ended = launch(store, out, *LONG)
    assert ended.code == 0, ended.err
    return out


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_two_processes_arrive_where_one_arrives(store: Path, tmp_path: Path, loss: str) -> None:
    """Two levels, a fade and mixing; the first losses agree to rounding.

    Later, Adam turns the sign of a gradient that is zero but for rounding into a whole step. So
    the weights at the end may differ as much as those of one process whose gradients are rounded
    otherwise, and no more. tests/train/test_parallel.py compares the gradients themselves.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    words = (*training.SMALL, "--loss", loss)
    assert training.run(("train", store, *words, "--out", one), tmp_path / "log") == 0
    ended = launch(store, two, *words)
    assert ended.code == 0, ended.err
    assert states(two).keys() == states(one).keys()
    lines = [read_metrics(folder / METRICS) for folder in (one, two)]
    assert [line["nimg"] for line in lines[0]] == [line["nimg"] for line in lines[1]]
    for name in lines[0][0].keys() & {"d_loss", "g_loss", "real_score", "fake_score"}:
        first, second = lines[0][0][name], lines[1][0][name]
        assert second == pytest.approx(first, rel=1e-5, abs=1e-7)
    rounded = [tmp_path / str(n) for n in range(3)]
    for n, folder in enumerate(rounded):
        fault = partial(training.perturb, 1e-7 * (n + 1))
        assert training.run(("train", store, *words, "--out", folder), tmp_path / "log", fault) == 0
    by_rounding = [share_apart(one, folder) for folder in rounded]
    by_processes = share_apart(one, two)
    print(f"{loss}: apart by processes {by_processes:.3f}, by rounding {by_rounding}")
    assert 0 < by_processes < 2 * max(by_rounding)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_job(store: Path, tmp_path: Path, rank: int) -> None:
    def kill(child: subprocess.Popen[bytes]) -> None:
        os.kill(rank_pids(child.pid)[rank], signal.SIGKILL)

    ended, seconds = hurt(store, tmp_path, kill)
    print(f"rank {rank} killed: the job ended after {seconds:.1f} s")
    assert ended.code not in (0, -signal.SIGKILL)
    assert len(ended.complaints) == 1
    assert "lost contact with another process of this run (it has ended)" in ended.complaints[0]


TO_LAUNCHER = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")


@pytest.mark.parametrize("name", TO_LAUNCHER)
def test_a_signal_to_torchrun_saves_once_and_the_run_continues(
    store: Path, tmp_path: Path, straight: Path, name: str
) -> None:
    signum = getattr(signal, name)
    options = ("--signals-to-handle", ",".join(TO_LAUNCHER))  # torchrun leaves USR1 out
    ended, _ = hurt(store, tmp_path, lambda child: child.send_signal(signum), options)
    check_saved_once(ended, tmp_path)
    assert launch(store, tmp_path, *LONG).code == 0
    assert states(tmp_path)[LONG_END] == states(straight)[LONG_END]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_every_process_as_a_batch_system_sends_it(
    store: Path, tmp_path: Path, straight: Path, name: str
) -> None:
    """The launcher passes it on, so that the processes get it twice. One goes on alone."""
    signum = getattr(signal, name)

    def send(child: subprocess.Popen[bytes]) -> None:
        for pid in (*rank_pids(child.pid).values(), child.pid):
            os.kill(pid, signum)

    options = ("--signals-to-handle", ",".join(TO_LAUNCHER))
    ended, _ = hurt(store, tmp_path, send, options)
    check_saved_once(ended, tmp_path)
    words = ("train", store, *LONG, "--out", tmp_path)
    assert training.run(words, tmp_path / "log") == 0, (tmp_path / "log").read_text()
    assert list_checkpoints(tmp_path)[0].name == LONG_END
    assert share_apart(straight, tmp_path) < 0.5


def check_saved_once(ended: faults.Ended, out: Path) -> None:
    """One checkpoint, made by the signal, and both processes said what to do."""
    assert ended.code != 0
    assert len(list_checkpoints(out)) == 1
    assert int(list_checkpoints(out)[0].stem[5:]) < 240  # before the first regular one
    assert len(ended.complaints) == 2
    assert all("run the same command again" in line for line in ended.complaints)


def test_processes_whose_launcher_was_killed_save_and_end(store: Path, tmp_path: Path) -> None:
    def kill(child: subprocess.Popen[bytes]) -> None:
        ranks = rank_pids(child.pid).values()
        assert len(ranks) == 2
        child.kill()
        end = time.monotonic() + 60
        while any(map(is_alive, ranks)) and time.monotonic() < end:
            time.sleep(0.05)
        left.extend(filter(is_alive, ranks))

    left: list[int] = []
    ended, _ = hurt(store, tmp_path, kill)
    assert ended.code == -signal.SIGKILL
    assert left == []
    assert len(list_checkpoints(tmp_path)) == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_processes_whose_launcher_is_killed_while_they_start_end(
    store: Path, tmp_path: Path, delay_s: float
) -> None:
    """From the moment that both exist: before Python runs, while they load, while they join."""

    def kill(child: subprocess.Popen[bytes]) -> None:
        while len(pids) < 2 and child.poll() is None:
            pids.update(rank_pids(child.pid))
        time.sleep(delay_s)
        child.kill()
        end = time.monotonic() + 90
        while any(map(is_alive, pids.values())) and time.monotonic() < end:
            time.sleep(0.05)
        left.extend(filter(is_alive, pids.values()))

    pids: dict[int, int] = {}
    left: list[int] = []
    words = torchrun(2, "train", store, *LONG, "--out", tmp_path)
    ended = faults.run(*words, deadline_s=120, hurt=kill)
    assert ended.code == -signal.SIGKILL
    assert len(pids) == 2
    assert left == []


def test_a_process_that_hangs_ends_the_job(store: Path, tmp_path: Path) -> None:
    """Stopped, not dead: the other gives up after `--timeout`, and torchrun 30 s later."""

    def stop(child: subprocess.Popen[bytes]) -> None:
        os.kill(rank_pids(child.pid)[1], signal.SIGSTOP)

    ended, seconds = hurt(store, tmp_path, stop, words=("--timeout", "5"))
    print(f"rank 1 stopped: the job ended after {seconds:.1f} s")
    assert ended.code not in (0, -signal.SIGKILL)
    assert len(ended.complaints) == 1
    assert "lost contact with another process of this run (no answer" in ended.complaints[0]


def test_a_batch_that_cannot_be_shared_is_refused(store: Path, tmp_path: Path) -> None:
    ended = launch(store, tmp_path, *training.SMALL, "--batch", "9")
    assert ended.code != 0
    assert ended.complaints
    assert all("2 processes cannot share it" in line for line in ended.complaints)
    assert list_checkpoints(tmp_path) == []
