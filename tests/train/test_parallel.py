"""Several processes that share a batch arrive where one process arrives."""

import itertools
import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_gan.checkpoint import list_checkpoints, load_checkpoint
from mri_gan.config import METRICS, TrainConfig, read_metrics
from mri_gan.errors import DataError
from mri_gan.files import StopSignal
from mri_gan.train.loop import train
from mri_gan.train.parallel import (
    SOLO,
    World,
    average,
    join,
    leave,
    row_index,
    rows,
    wait_for_all,
)
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import build_state

CONFIG = TrainConfig(
    max_size=16, phase=32, batch=8, capacity=1 / 64, latent_dim=8, mixing=True, lr=1e-3, flip=True
)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("batch", [8, 12, 16, 20])
def test_every_row_belongs_to_one_process(size: int, batch: int) -> None:
    parts = [rows(World(rank, size), batch) for rank in range(size)]
    assert sorted(itertools.chain.from_iterable(parts)) == list(range(batch))
    assert len({len(part) for part in parts}) == 1


def test_groups_of_the_standard_deviation_stay_together() -> None:
    """Rows 0, 4, 8 and 12 of 16 are one group; a process holds it whole, in the same order."""
    for rank in range(2):
        own = rows(World(rank, 2), 16)
        groups = np.array(own).reshape(4, -1)
        assert all((np.diff(column) == 4).all() for column in groups.T)


def test_one_process_averages_nothing() -> None:
    tensor = torch.ones(3)
    average(SOLO, [tensor])
    assert tensor.tolist() == [1, 1, 1]


def work(rank: int, size: int, address: str, store: Path, folder: Path, stop_at: int) -> None:
    torch.set_num_threads(1)
    world = join(rank, size, address)
    stop = StopSignal()

    def on_step(progress: object) -> None:
        # Only one process hears the signal; all must stop at the same step.
        if rank == 1 and progress.nimg == stop_at:  # type: ignore[attr-defined]
            stop.signum = 15

    try:
        run = Run(store, folder, CONFIG, RunOptions(), world, stop, on_step)
        train(run)
    finally:
        leave(world)


def run_processes(store: Path, folder: Path, stop_at: int = 0) -> list[int | None]:
    folder.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    rendezvous = folder / f"rendezvous{stop_at}"
    arguments = (2, rendezvous.as_uri(), store, folder, stop_at)
    processes = [context.Process(target=work, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def leave_alone(rank: int, address: str, folder: Path) -> None:
    """The second process leaves while the first one still waits for it."""
    world = join(rank, 2, address)
    wait_for_all(world)
    row_index(world, 8, torch.device("cpu"))  # is kept in a cache, and its world
    lost = None
    if rank == 0:
        with pytest.raises(DataError) as lost:
            wait_for_all(world)
    leave(world)
    threads = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()]
    (folder / str(rank)).write_text("".join(threads) + f"lost: {lost is not None}")


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_of_a_group_outlives_it(tmp_path: Path) -> None:
    """One that lets go of its tensor while Python ends aborts the process."""
    context = multiprocessing.get_context("spawn")
    arguments = ((tmp_path / "rendezvous").as_uri(), tmp_path)
    processes = [context.Process(target=leave_alone, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    for rank, lost in ((0, True), (1, False)):
        found = (tmp_path / str(rank)).read_text()
        assert "gloo" not in found
        assert found.endswith(f"lost: {lost}")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(list_checkpoints(folder)[0]).state
    return {f"{net}.{k}": v for net in ("g", "d", "g_ema") for k, v in state[net].items()}


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(store: Path, tmp_path: Path) -> None:
    train(Run(store, tmp_path / "one", CONFIG))
    assert run_processes(store, tmp_path / "two") == [0, 0]
    start = build_state(CONFIG, torch.device("cpu"))
    begun = {
        f"{net}.{k}": v for net in ("g", "d") for k, v in getattr(start, net).state_dict().items()
    }
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    losses = [
        [line["d_loss"] for line in read_metrics(tmp_path / name / METRICS)[:3]]
        for name in ("one", "two")
    ]
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-5)
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    # Later, Adam turns the sign of a gradient that is zero but for rounding into a whole step, so
    # single weights differ; the way that all of them went together may not.
    apart = sum(float((two[name] - one[name]).square().sum()) for name in begun)
    moved = sum(float((one[name] - begun[name]).square().sum()) for name in begun)
    assert apart < 0.1 * moved


@pytest.mark.slow
def test_processes_stop_together_and_continue(store: Path, tmp_path: Path) -> None:
    assert run_processes(store, tmp_path / "two", stop_at=48) == [1, 1]
    assert list_checkpoints(tmp_path / "two")[0].name == "ckpt-000000056.pt"
    assert run_processes(store, tmp_path / "two") == [0, 0]
    straight = tmp_path / "straight"
    assert run_processes(store, straight) == [0, 0]
    ended, expected = weights(tmp_path / "two"), weights(straight)
    assert all(torch.equal(ended[name], expected[name]) for name in expected)
