"""Plan -> what must be known of all sources -> workers -> one writer: `prepare` as a function."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from mri_gan import __version__
from mri_gan.config import LEVELS, SPLITS
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal, one_line
from mri_gan.ingest.options import GIVEN_FILE, PrepareConfig
from mri_gan.ingest.outcome import CRASHED, Glance, Learned, Outcome, find_file
from mri_gan.ingest.plan.people import public_reason
from mri_gan.ingest.plan.plan import Plan
from mri_gan.ingest.plan.splits import say_nobody
from mri_gan.ingest.run.workers import (
    Engine,
    OrderedPool,
    Workers,
    find_labels,
    find_landmarks,
    look_at_images,
    open_engine,
    process_sources,
    write_companions,
)
from mri_gan.ingest.source import Source, members_of
from mri_gan.store import schema
from mri_gan.store.counts import count_slices, tell_learned
from mri_gan.store.schema import SliceRecord
from mri_gan.store.writer import StoreWriter, has_begun, say_other

PARTNER = "left out with its partner"  # a file of a set of contrasts, and its damaged one
CHUNK = 16  # image files per task: enough to hide the cost of sending one
VOLUME_WEIGHT = 64  # a volume's slices fill the window of tasks as this many images do


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
    teachers = plan.learn_from or plan.sources
    learned_from = count_teachers(teachers, config)
    with open_engine(workers) as engine:
        learned = known_before(folder, plan.digest)
        if learned is None:
            learned = learn(teachers, config, engine, stop, lambda n: on_progress(Tick(0, 0, n)))
        with StoreWriter(folder, build_header(plan, config, learned)) as writer:
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
        return _complete(folder, engine if isinstance(workers, int) else None)


def _complete(folder: Path, engine: Engine | None) -> dict[str, Any]:
    """Write the companions of a store; returns what it holds. A cluster may not see the folder."""

    def here(folder: Path) -> dict[str, Any]:
        return write_companions([folder])[0]

    return next(OrderedPool(write_companions, here, engine).map([[folder]]))[1]


def require_apart(sources: Iterable[Path], out: Path) -> None:
    """Raise UsageError where the store would lie among the scans that it is made from."""
    for source in sources:
        if source.is_dir() and source.resolve() == out.resolve():
            raise UsageError(f"{out}: holds the scans", "give --out a folder of its own")


def is_complete(folder: Path, plan_digest: str, config: PrepareConfig) -> bool:
    """Whether the folder holds the finished store of this plan.

    Raises UsageError when it holds a finished store of another one, and says what differs.
    """
    header, summary = _read_meta(folder)
    if summary is None or header is None:
        return False
    if header["plan"] != plan_digest:
        raise UsageError(
            f"{folder}: already holds a store of "
            f"{say_other(header, {'options': config.to_dict()})}",
            "give another --out, or --overwrite to replace it",
        )
    return True


def remove_store(folder: Path) -> None:
    """Delete the files of a store and nothing else that may be in its folder."""
    for name in ("data.mdb", "lock.mdb", "preview.png", "manifest.tsv", "splits.tsv", GIVEN_FILE):
        (folder / name).unlink(missing_ok=True)


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
    # Needs numpy; a new store does not. This program may be reading the store, too.
    from mri_gan.store.environment import close_shared, open_shared

    env = open_shared(folder)
    try:
        meta = env.open_db(b"meta", create=False)
        with env.begin(db=meta) as txn:
            found = (txn.get(b"format"), txn.get(b"summary"))
    except lmdb.Error:
        return None, None
    finally:
        close_shared(env)
    try:
        header, summary = (None if data is None else schema.load_json(data) for data in found)
    except ValueError as error:
        raise DataError(
            f"{folder}: damaged store ({one_line(error)})", "delete the folder and prepare it again"
        ) from error
    return header, summary


def _outcomes(
    sources: Iterable[Source], config: PrepareConfig, learned: Learned, engine: Engine | None
) -> Iterator[tuple[Source, Outcome]]:
    function = functools.partial(process_sources, config=config, learned=learned)
    pool = OrderedPool(function, lambda _: Outcome(*CRASHED), engine, weigh)
    return pool.map(chunked(sources))


def weigh(chunk: Sequence[Source]) -> int:
    """How much a task fills the window of tasks in flight, in image files."""
    return sum(VOLUME_WEIGHT if source.is_volume else 1 for source in chunk)


def chunked(sources: Iterable[Source]) -> Iterator[Sequence[Source]]:
    """Cut a list of sources into tasks: runs of image files, volumes one by one."""
    for is_volume, run in itertools.groupby(sources, lambda source: source.is_volume):
        while chunk := list(itertools.islice(run, 1 if is_volume else CHUNK)):
            yield chunk


def say_lost(plan: Plan, facts: Mapping[str, Any]) -> list[str]:
    """That a split has lost everybody whom the plan had put there."""
    planned = {source.naming.split for source in plan.sources}
    lost = [split for split in SPLITS if split in planned - facts["split_subjects"].keys()]
    if not lost or plan.part:
        return []
    return [f"{say_nobody(lost)}; the scans of those who were to be there gave no slices"]


def _add(writer: StoreWriter, source: Source, outcome: Outcome) -> None:
    if outcome.slices:
        writer.add_source(outcome.slices, outcome.empty, outcome.deselected)
    else:
        guilty, reason = source.blame(outcome.reason)
        reason = public_reason(reason, source)
        label, kind = guilty.public_label, outcome.kind
        writer.skip_source(label, kind, reason, outcome.empty, outcome.deselected)


def _nothing(plan: Plan, writer: StoreWriter) -> str:
    why, first = "", next(writer.skipped(), None)
    if first is not None:  # all of them were skipped
        labels = [member.label for member in plan.sources[0].members]
        why = " ({}: {})".format(*find_file(first["reason"], labels))
    if len(plan.sources) == 1:
        return f"the only source gave no slice{why}"
    return f"none of {len(plan.sources):,} sources gave a slice{why}"


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
    skipped = set(writer.skipped_numbers())
    kinds += Counter(plan.left_out) + count_partners(plan, skipped)
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
        "files": count_files(plan, skipped),
        "unlisted": [list(pair) for pair in plan.bad],
        **({"unpaired": [list(entry) for entry in plan.unpaired]} if plan.unpaired else {}),
        "seconds": round(seconds, 2),
    }


def count_partners(plan: Plan, skipped: Container[int]) -> Counter[str]:
    """The files that are left out with a partner, if there are any."""
    lost = [s for number, s in enumerate(plan.sources) if number in skipped]
    return +Counter({PARTNER: sum(len(source.channels) for source in lost)})


def without_masks(plan: Plan) -> Plan:
    """The plan as it is where the masks that were paired are not kept."""
    sources = [replace(source, mask=None) for source in plan.sources]
    lost = len(members_of(plan.sources)) - len(members_of(sources))
    return replace(plan, sources=sources, set_aside=plan.set_aside + lost)


def count_files(plan: Plan, skipped: Container[int]) -> dict[str, int]:
    """Files of the sources: listed = stored + left out + ignored.

    `skipped` are the numbers of sources that gave no slices; two may be called the same.
    """
    parts: tuple[list[Source], list[Source]] = [], []  # that gave slices, and that gave none
    for number, source in enumerate(plan.sources):
        parts[number in skipped].append(source)
    stored, left_out = map(members_of, parts)
    return {
        "listed": plan.listed,
        "stored": len(stored),
        "left_out": len(left_out - stored) + plan.set_aside,
        "ignored": plan.ignored,
    }


# What must be known of all sources before the first one can be written: learned once, kept in the
# store's header, and taken from there when work goes on

LOOK_AT, LEARN_FROM = 16, 400  # image files, evenly spread

Result = TypeVar("Result")


def learn(
    sources: Sequence[Source],
    config: PrepareConfig,
    engine: Engine | None,
    stop: StopSignal,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Learned:
    """Read what must be known beforehand; raises UsageError where it makes no sense."""
    masks, volumes = _masks(sources, config), _training_volumes(sources, config)
    if config.masks and not masks:
        raise UsageError(
            "--masks: no source has a mask",
            "see docs/data.md for their names, or leave --masks out",
        )
    done = itertools.count(1)
    crew = engine, stop, lambda: on_progress(next(done))
    window, darkness = _look_at_images(sources, config, engine)
    labels = _together(_over(find_labels, masks, *crew), config.depth) if config.masks else ()
    landmarks = config.landmarks
    if config.intensity == "nyul" and not landmarks:
        function = functools.partial(find_landmarks, config=config)
        landmarks = _standard(_over(function, volumes, *crew))
    return Learned(labels, landmarks, window, darkness)


def _over(
    function: Callable[[Sequence[Source]], list[tuple[Result, ...]]],
    items: Sequence[Source],
    engine: Engine | None,
    stop: StopSignal,
    tell: Callable[[], object],
) -> list[tuple[Result, ...]]:
    """The function's results, by the engine's workers; nothing of an item that kills them."""
    results = []
    pool = OrderedPool(function, lambda _: (), engine)
    for _, result in pool.map(chunked(items)):
        results.append(result)
        tell()
        if stop:
            raise Stopped(
                "stopped before anything was written",
                "run the same command again",
                stop.signum or 2,
            )
    return results


def count_teachers(sources: Sequence[Source], config: PrepareConfig) -> int:
    """How many masks and volumes `learn` reads."""
    return len(_masks(sources, config)) + len(_training_volumes(sources, config))


def _masks(sources: Sequence[Source], config: PrepareConfig) -> list[Source]:
    return [s.mask for s in sources if s.mask is not None] if config.masks else []


def _together(found: Sequence[tuple[int, ...]], depth: int) -> tuple[int, ...]:
    labels = tuple(sorted({label for some in found for label in some} | {0}))
    if len(labels) > 1 << depth:
        raise UsageError(
            f"--masks: the masks hold {len(labels)} labels, more than {depth} bits can hold",
            "use --depth 16, or check that these are masks",
        )
    return labels


# The standard scale of `nyul`


def _training_volumes(sources: Sequence[Source], config: PrepareConfig) -> list[Source]:
    """What `nyul` learns from, unless it is given landmarks."""
    if config.intensity != "nyul" or config.landmarks:
        return []
    return [s for s in sources if s.is_volume and s.naming.split == "train"]


def _standard(marks: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The standard scale of the volumes that could be read."""
    if not any(marks):
        raise UsageError(
            "--intensity nyul: no volume in the training split to learn from",
            "use another --split or --intensity, or take --landmarks of another store",
        )
    from mri_gan.ingest.cut.intensity import standard_scale  # with numpy, which few runs need here

    return standard_scale([found for found in marks if found])


# Image files of 16 bits that hold an MR scanner's values: one window for all of a set


def _look_at_images(
    sources: Sequence[Source], config: PrepareConfig, engine: Engine | None
) -> Glance:
    flat = [source for source in sources if not source.is_volume]
    if not flat:
        return (), ()
    teachers = [source for source in flat if source.naming.split == "train"] or flat
    work = _spread(flat, LOOK_AT), _spread(teachers, LEARN_FROM)
    function = functools.partial(look_at_images, config=config)
    pool = OrderedPool(function, lambda _: ((), ()), engine)
    return next(pool.map([[work]]))[1]


def _spread(sources: Sequence[Source], count: int) -> Sequence[Source]:
    return sources[:: max(1, len(sources) // count)]
