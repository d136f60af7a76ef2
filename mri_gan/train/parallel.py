"""Data-parallel training without a wrapper: own rows of the batch, one all-reduce per update.

Every rank draws the random numbers of the whole batch and keeps its own rows, so the result
depends on the global batch and not on how many processes share it (but for rounding). Random
numbers are a pure function of (seed, purpose, nimg).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from mri_gan.config import TrainConfig, require
from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line
from mri_gan.nets.dcgan import BatchNorm
from mri_gan.schedule import Phase, stages

# Random numbers as a pure function of (seed, purpose, nimg): a stop leaves no trace in them


def key(*parts: object) -> int:
    """63 well-mixed bits from any description of what the numbers are for."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded by `parts`, on the device that will use the numbers."""
    return torch.Generator(device).manual_seed(key(*parts))


def permutation(n: int, *parts: object) -> NDArray[np.int64]:
    """A shuffle of 0..n-1; Philox is counter-based and the same on every machine."""
    return np.random.Generator(np.random.Philox(key(*parts))).permutation(n)


# Data-parallel training without a wrapper: own rows of the batch, one all-reduce per update

GROUP = 4  # images that minibatch_stddev compares with each other
TIMEOUT_S = 120.0  # after which a process that does not answer is given up
PATIENCE = timedelta(minutes=30)  # for the first process, which saves, draws and may evaluate


def _all() -> Any:
    """The group of all processes, by torch's name for it."""
    return None


@dataclass(frozen=True)
class World:
    """This process's number and how many there are.

    Nothing here keeps a group alive: its threads end with it, and one that lets go of a tensor
    while Python ends aborts the process.
    """

    rank: int = 0
    size: int = 1
    patient: Callable[[], Any] = field(default=_all, compare=False)  # the group that waits for long

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


SOLO = World()


def join(rank: int, size: int, address: str | None = None, timeout_s: float = TIMEOUT_S) -> World:
    """Join the processes that `torchrun` started: gloo for the CPU, NCCL for GPUs.

    `address` replaces the rendezvous that torchrun's environment names.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    timeout = timedelta(seconds=timeout_s)
    try:
        dist.init_process_group(
            backend, rank=rank, world_size=size, init_method=address, timeout=timeout
        )
        patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"process {rank} of {size} cannot join the others ({one_line(error)})",
            "start all of them with torchrun",
        ) from error
    return World(rank, size, weakref.ref(patient))


# Joining the processes that `torchrun` started, and noticing that it is gone

CHECK_S = 0.5  # between two checks of who the parent is
REFUSED_S = 5.0  # how long the launcher's port may refuse before it counts as gone
GONE = "the launcher of this process is gone", "start all of them with torchrun again"


def join_torchrun(
    environment: Mapping[str, str], timeout_s: float, end: Callable[[str], object]
) -> World:
    """This process among those that `torchrun` started, as the environment says.

    Raises UsageError for half an environment, DataError where the others cannot be joined. Calls
    `end` with a message where the launcher ends meanwhile: nobody else would end this process.
    """
    given = {name: environment.get(name, "") for name in ("WORLD_SIZE", "RANK")}
    if given["WORLD_SIZE"] in ("", "1"):
        return SOLO
    require(
        all(text.isdecimal() for text in given.values()),
        f"the environment has WORLD_SIZE={given['WORLD_SIZE']} but RANK={given['RANK']}",
        "start with torchrun, or unset WORLD_SIZE for a single process",
    )
    with ended_with_parent(os.getppid(), end):
        find_launcher(environment)
        return join(int(given["RANK"]), int(given["WORLD_SIZE"]), timeout_s=timeout_s)


def find_launcher(environment: Mapping[str, str]) -> None:
    """Raise DataError unless torchrun answers, where it is what brings the processes together.

    It listens before it starts any process. One that ended before this process noted its parent
    is found out here.
    """
    if environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    address = (environment.get("MASTER_ADDR", ""), int(environment.get("MASTER_PORT", "0")))
    stop_at = time.monotonic() + REFUSED_S
    while True:
        try:
            socket.create_connection(address, timeout=REFUSED_S).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > stop_at:
                raise DataError(*GONE) from None
            time.sleep(CHECK_S)
        except OSError:
            return  # torch knows more ways to reach it, and says why it cannot


@contextmanager
def ended_with_parent(parent: int, end: Callable[[str], object]) -> Iterator[None]:
    """Within, `end` is called with a message when the parent is no longer that one.

    Joining waits inside torch, where no signal and no exception comes through.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(CHECK_S):
            if os.getppid() != parent:
                end(": ".join(GONE))
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def leave(world: World) -> None:
    """End the connection to the other processes, and the threads that kept it."""
    if world.size > 1:
        dist.destroy_process_group()


def rows(world: World, batch: int) -> list[int]:
    """The rows of the global batch that this process works on.

    Whole groups of `minibatch_stddev` (rows n / 4 apart) stay together where the batch allows,
    so the critic compares the same images whatever the number of processes.
    """
    if world.size == 1:
        return list(range(batch))
    groups = batch // GROUP
    if batch % GROUP == 0 and groups % world.size == 0:
        share = groups // world.size
        first = world.rank * share
        return [g * groups + i for g in range(GROUP) for i in range(first, first + share)]
    share = batch // world.size
    return list(range(world.rank * share, (world.rank + 1) * share))


@functools.lru_cache(maxsize=64)
def row_index(world: World, batch: int, device: torch.device) -> Tensor:
    """The same rows as a tensor on the device; a list would be copied there in every step."""
    return torch.tensor(rows(world, batch), device=device)


@dataclass(frozen=True)
class Step:
    """What one training step works under: the same for every part of it."""

    config: TrainConfig
    phase: Phase
    nimg: int  # before it
    world: World = SOLO

    def rng(self, *purpose: str, device: torch.device) -> torch.Generator:
        """The random numbers of this step for one purpose, of the whole batch."""
        return generator(self.config.seed, *purpose, self.nimg, device=device)

    def own_rows(self, device: torch.device) -> Tensor:
        """This process's rows of the batch."""
        return row_index(self.world, self.phase.batch, device)

    def keep_own(self, drawn: Tensor) -> Tensor:
        """This process's rows of what was drawn for the whole batch [N, ..]."""
        return drawn if self.world.size == 1 else drawn[self.own_rows(drawn.device)]

    def in_precision(self, device: torch.device) -> AbstractContextManager[object]:
        """The networks' arithmetic; losses, penalties and weights stay float32."""
        enabled = self.config.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def check_world(config: TrainConfig, world: World) -> None:
    """Raise UsageError unless the batch of every level can be dealt evenly to the processes."""
    for stage in stages(config):
        if stage.batch % world.size:
            raise UsageError(
                f"--batch {stage.batch} at {stage.size} px: {world.size} processes cannot share it",
                f"give a multiple of {world.size}, best of {GROUP * world.size}",
            )


def average(world: World, tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one flattened all-reduce."""
    if world.size == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1).float() for t in tensors])
    _all_reduce(flat)
    flat /= world.size
    parts = torch.split(flat, [t.numel() for t in tensors])
    torch._foreach_copy_(list(tensors), [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])


def gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients that a backward pass left; the same ones on every rank."""
    return [p.grad for p in parameters if p.grad is not None]


def share_norms(world: World, *nets: nn.Module) -> None:
    """Let batch normalisation see the images of all processes, as one process would.

    One small all-reduce for each such layer and pass; only DCGAN has any.
    """
    if world.size == 1:
        return
    for module in itertools.chain.from_iterable(net.modules() for net in nets):
        if isinstance(module, BatchNorm):
            module.sum_over_processes = sum_over_processes


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of each process's tensor; a gradient flows back to all of them."""
    total: Tensor = _SumOverProcesses.apply(tensor)  # type: ignore[no-untyped-call]
    return total


class _SumOverProcesses(torch.autograd.Function):
    """Its derivative is itself: what one process gives reaches the losses of all."""

    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.contiguous().clone()
        _all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return sum_over_processes(gradients[0])


def any_rank(world: World, flag: bool) -> bool:
    """Whether the flag is set in any process: all stop at the same step, or none does.

    Goes over the CPU, so that no GPU is waited for.
    """
    if world.size == 1:
        return flag
    value = torch.tensor([float(flag)])
    _all_reduce(value)
    return bool(value.item())


def agree(world: World, value: int) -> bool:
    """Whether all processes hold the same number, of at most 62 bits; waits as `wait_for_all`."""
    if world.size == 1:
        return True
    extremes = torch.tensor([value, -value])
    _all_reduce(extremes, dist.ReduceOp.MAX, world.patient)
    return int(extremes.sum()) == 0


def wait_for_all(world: World) -> None:
    """Continue only when every process is here, however long the first one is at the disk."""
    if world.size > 1:
        _all_reduce(torch.zeros(1), group=world.patient)


def _all_reduce(
    tensor: Tensor,
    operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM,
    group: Callable[[], Any] = _all,
) -> None:
    """Sum over all processes in place; raises DataError when one of them is gone."""
    try:
        dist.all_reduce(tensor, operation, group())
    except RuntimeError as error:
        late = "timed out" in str(error).lower()
        reason = "no answer within --timeout" if late else "it has ended"
        raise DataError(
            f"lost contact with another process of this run ({reason})",
            "see its output; the same command continues from the last checkpoint",
        ) from error.with_traceback(None)  # whose frames hold the group
