"""Planning in a process of its own, so that this one stays small however many slices there are.

Listing a zip and naming its members takes 3 KB for each. What comes back is packed: a tenth of a
kilobyte for each, unpacked block by block as the work goes along.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import pickle
import signal
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, overload

from mri_gan.errors import MriganError
from mri_gan.ingest.plan.plan import Plan
from mri_gan.ingest.source import Source

BLOCK = 64  # sources that are unpacked at once


class PackedSources(Sequence[Source]):
    """Sources that take little memory, to be gone through in order."""

    def __init__(self, sources: Iterable[Source]) -> None:
        remaining = iter(sources)
        self._blocks: list[bytes] = []
        self._count = 0
        while block := list(itertools.islice(remaining, BLOCK)):
            self._blocks.append(zlib.compress(pickle.dumps(block, pickle.HIGHEST_PROTOCOL), 1))
            self._count += len(block)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Source]:
        for block in self._blocks:
            yield from pickle.loads(zlib.decompress(block))

    @overload
    def __getitem__(self, index: int) -> Source: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Source]: ...

    def __getitem__(self, index: int | slice) -> Source | Sequence[Source]:
        return list(self)[index]


class PackedLabels(Mapping[str, str]):
    """A dictionary that takes little memory and is seldom asked."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._packed, self._count = pickle.dumps(dict(labels)), len(labels)

    def __getitem__(self, name: str) -> str:
        return str(pickle.loads(self._packed)[name])

    def __iter__(self) -> Iterator[str]:
        return iter(pickle.loads(self._packed))

    def __len__(self) -> int:
        return self._count


def pack_plan(plan: Plan) -> Plan:
    """The same plan in little memory."""
    return replace(
        plan,
        sources=PackedSources(plan.sources),
        learn_from=PackedSources(plan.learn_from),
        true_labels=PackedLabels(plan.true_labels),
    )


def plan_apart(make: Callable[[], Plan], meanwhile: Callable[[], object] = bool) -> Plan:
    """The plan that `make` makes, made by a child of this process and packed.

    This process does `meanwhile` as long as the child is at it. Raises what `make` raises. The plan
    is made here where there is no fork, or where it would be unsafe.
    """
    if not hasattr(os, "fork") or threading.active_count() > 1:
        return pack_plan(make())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(make, writer)
    os.close(writer)
    try:
        with open(reader, "rb") as stream:  # noqa: PTH123 - a descriptor
            meanwhile()
            answer = stream.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    plan = _read_answer(answer)
    if isinstance(plan, MriganError):
        raise plan
    # A child that died or failed tells nothing: then the fault shows here.
    return plan if isinstance(plan, Plan) else pack_plan(make())


def _answer(make: Callable[[], Plan], writer: int) -> NoReturn:
    """Make the plan, write it, and end without what this copy of the parent would do at its end."""
    try:
        gc.disable()  # nothing is thrown away here, and all of it soon
        try:
            answer: object = pack_plan(make())
        except MriganError as error:
            answer = error
        with open(writer, "wb") as stream:
            stream.write(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
    finally:
        os._exit(0)


def _read_answer(answer: bytes) -> Any:
    try:
        return pickle.loads(answer)
    except (EOFError, pickle.UnpicklingError):
        return None
