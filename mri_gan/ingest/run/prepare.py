"""Plan -> workers -> one writer: `prepare` as a function."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from mri_gan import __version__
from mri_gan.config import LEVELS
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal, one_line
from mri_gan.ingest.outcome import Learned, Outcome
from mri_gan.ingest.plan.people import public_reason
from mri_gan.ingest.plan.plan import Plan
from mri_gan.ingest.run import task
from mri_gan.ingest.run.first_pass import count_teachers, learn
from mri_gan.ingest.run.ordered_pool import PRELOAD, Engine, OrderedPool, Workers, open_engine
from mri_gan.ingest.source import Source, members_of
from mri_gan.preparation import PrepareConfig
from mri_gan.store import schema
from mri_gan.store.environment import has_begun, open_environment
from mri_gan.store.reader import count_slices, tell_learned
from mri_gan.store.schema import SliceRecord
from mri_gan.store.writer import StoreWriter


@dataclass(frozen=True)
class Tick:
    """Progress after one more source."""

    sources_done: int
    slices_done: int
    learned_from: int = 0  # sources that were read beforehand


def write_store(
    plan: Plan,
    config: PrepareConfig,
    folder: Path,
    workers: Workers,
    stop: StopSignal,
    on_progress: Callable[[Tick], None] = lambda _: None,
) -> dict[str, Any]:
    """Write, or go on writing, the store of a plan; the folder must be locked by the caller.

    Returns what the store holds.

    Raises Stopped after a signal (what was done is kept), DataError when the disk refuses or
    when no source gave a slice.
    """
    start = time.perf_counter()
    learned = known_before(folder, plan.digest)
    teachers = plan.learn_from or plan.sources
    if learned is None:
        learned = learn(teachers, config, workers, stop, lambda n: on_progress(Tick(0, 0, n)))
    learned_from = count_teachers(teachers, config)
    header = build_header(plan, config, learned)
    with open_engine(workers, PRELOAD) as engine:
        with StoreWriter(folder, header) as writer:
            todo = itertools.islice(plan.sources, writer.sources_done, None)
            for source, outcome in _outcomes(todo, config, learned, engine):
                _add(writer, source, outcome)
                on_progress(Tick(writer.sources_done, writer.slices_done, learned_from))
                if stop:
                    writer.flush()
                    raise Stopped(
                        f"stopped at {writer.sources_done} of {len(plan.sources)} sources",
                        "run the same command again to continue",
                        stop.signum or 2,
                    )
            writer.flush()
            if not writer.slices_done:
                raise DataError(_nothing(plan, writer), "mrigan inspect lists the reason for each")
            writer.finish(summarise(writer, plan, learned, time.perf_counter() - start))
        # A cluster may not see this folder.
        return complete(folder, engine if isinstance(workers, int) else None)


def complete(folder: Path, engine: Engine | None) -> dict[str, Any]:
    """Write the companions of a store, by workers where there are some; returns what it holds.

    Workers have loaded numpy and Pillow, which this process can do without.
    """
    if engine is None:
        return task.write_companions([(folder, schema.COMPANIONS)])[0]
    picture, *tables = schema.COMPANIONS
    parts = [(folder, (picture,)), (folder, tables)]
    pool = OrderedPool(task.write_companions, lambda _: complete(folder, None), engine)
    return [facts for _, facts in pool.map([part] for part in parts)][-1]


def is_complete(folder: Path, plan_digest: str) -> bool:
    """Whether the folder holds the finished store of this plan.

    Raises UsageError when it holds a finished store of another one.
    """
    header, summary = _read_meta(folder)
    if summary is None or header is None:
        return False
    if header["plan"] != plan_digest:
        raise UsageError(
            f"{folder}: already holds a store of other sources or options",
            "give another --out, or --overwrite to replace it",
        )
    return True


def known_before(folder: Path, plan_digest: str) -> Learned | None:
    """What an unfinished store of this plan has learned already; None where there is none."""
    header, _ = _read_meta(folder)
    if header is None or header["plan"] != plan_digest:
        return None
    return Learned.from_dict(header.get("learned", {}))


def _read_meta(folder: Path) -> tuple[Any, Any]:
    """The "format" and "summary" entries of a folder, None where it has none."""
    if not has_begun(folder):
        return None, None
    with open_environment(folder, readonly=True) as env:
        try:
            meta = env.open_db(b"meta", create=False)
        except lmdb.Error:
            return None, None
        with env.begin(db=meta) as txn:
            found = (txn.get(b"format"), txn.get(b"summary"))
    try:
        header, summary = (None if data is None else schema.load(data) for data in found)
    except ValueError as error:
        raise DataError(
            f"{folder}: damaged store ({one_line(error)})", "delete the folder and prepare it again"
        ) from error
    return header, summary


def _outcomes(
    sources: Iterable[Source], config: PrepareConfig, learned: Learned, engine: Engine | None
) -> Iterator[tuple[Source, Outcome]]:
    function = functools.partial(task.process_chunk, config=config, learned=learned)
    pool = OrderedPool(function, task.crashed_outcome, engine, task.weigh)
    return pool.map(chunked(sources))


def chunked(sources: Iterable[Source]) -> Iterator[Sequence[Source]]:
    """Cut a list of sources into tasks: runs of image files, volumes one by one."""
    chunk: list[Source] = []
    for source in sources:
        is_volume = source.is_volume
        if chunk and (is_volume or len(chunk) == task.CHUNK):
            yield chunk
            chunk = []
        if is_volume:
            yield [source]
        else:
            chunk.append(source)
    if chunk:
        yield chunk


def _add(writer: StoreWriter, source: Source, outcome: Outcome) -> None:
    if outcome.slices:
        writer.add_source(outcome.slices, outcome.empty, outcome.deselected)
    else:
        reason = public_reason(outcome.reason, source)
        label, kind = source.public_label, outcome.kind
        writer.skip_source(label, kind, reason, outcome.empty, outcome.deselected)


def _nothing(plan: Plan, writer: StoreWriter) -> str:
    first = next(writer.skipped(), None)
    why = f" ({first['source']}: {first['reason']})" if first else ""
    return f"none of {len(plan.sources)} sources gave a slice{why}"


def build_header(plan: Plan, config: PrepareConfig, learned: Learned) -> dict[str, Any]:
    """The "format" entry of a store."""
    names = (schema.IMAGE, schema.MASK) if config.masks else config.channels or (schema.IMAGE,)
    return {
        "format": schema.FORMAT,
        "version": schema.VERSION,
        "channels": len(names),
        "channel_names": names,
        "depth": config.depth,
        "levels": list(LEVELS),
        "plan": plan.digest,
        **({"shard": plan.part} if plan.part else {}),
        "options": config.to_dict(),
        "learned": learned.to_dict(),
        "software": {"mrigan": __version__},
    }


def summarise(writer: StoreWriter, plan: Plan, learned: Learned, seconds: float) -> dict[str, Any]:
    """Counts, from what is in the store and not from memory.

    So the summary of an interrupted and continued `prepare` equals that of a single run.
    """
    kinds = Counter(entry["kind"] for entry in writer.skipped())
    kinds += Counter(plan.left_out)  # an addition drops a count of 0
    return {
        **count_slices(map(SliceRecord.from_json, writer.records())),
        **tell_learned(learned.to_dict()),
        "layouts": list(plan.layouts),
        "masks": plan.masks + kinds["mask"],
        "empty_slices": writer.dropped,
        "deselected_slices": writer.deselected + plan.deselected,
        "skipped": {k: n for k, n in sorted(kinds.items()) if k != "mask"},
        "ignored_files": plan.ignored,
        "ignored_kinds": dict(plan.ignored_kinds),
        "files": count_files(plan, [entry["source"] for entry in writer.skipped()]),
        "unlisted": [list(pair) for pair in plan.bad],
        "seconds": round(seconds, 2),
    }


def count_files(plan: Plan, skipped: Iterable[str]) -> dict[str, int]:
    """Files of the sources: listed = stored + left out + ignored.

    `skipped` are the public labels of sources that gave no slices.
    """
    lost = Counter(skipped)
    parts: tuple[list[Source], list[Source]] = [], []  # that gave slices, and that gave none
    for source in plan.sources:
        is_lost = lost[source.public_label] > 0
        lost[source.public_label] -= is_lost
        parts[is_lost].append(source)
    stored, left_out = map(members_of, parts)
    return {
        "listed": plan.listed,
        "stored": len(stored),
        "left_out": len(left_out - stored) + plan.set_aside,
        "ignored": plan.ignored,
    }
