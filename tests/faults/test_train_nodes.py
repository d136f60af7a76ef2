"""A rehearsal of two nodes on one machine: two launchers that find each other by a rendezvous."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from faults import training

from mri_gan.checkpoint import list_checkpoints, load_checkpoint

pytestmark = pytest.mark.slow

DEADLINE_S = 300


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def launch_node(port: int, store: Path, out: Path) -> subprocess.Popen[bytes]:
    """What `srun` runs on one node, with one process there."""
    launcher = (
        *("-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"),
        *("--rdzv-id", "rehearsal", "--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"),
    )
    train = ("-m", "mri_gan", "train", str(store), *map(str, training.SMALL), "--out", str(out))
    words = (*train, "--threads", "1", "--device", "cpu", "--quiet")
    return subprocess.Popen([sys.executable, *launcher, *words], env={**os.environ})


def test_two_nodes_train_one_network(store: Path, tmp_path: Path) -> None:
    """They end well, and with the weights of a single process but for rounding."""
    port = free_port()
    nodes = [launch_node(port, store, tmp_path / "two") for _ in range(2)]
    assert [node.wait(DEADLINE_S) for node in nodes] == [0, 0]
    words = ["train", str(store), *map(str, training.SMALL), "--out", str(tmp_path / "one")]
    subprocess.run(
        [sys.executable, "-m", "mri_gan", *words, "--quiet", "--threads", "1"], check=True
    )
    one, two = (load_checkpoint(list_checkpoints(tmp_path / name)[0]) for name in ("one", "two"))
    assert one.nimg == two.nimg
    for name, weights in one.state["g_ema"].items():
        torch.testing.assert_close(two.state["g_ema"][name], weights, rtol=0.05, atol=0.02)
