"""Several stores as one: payloads are checked and copied as they are, so nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mri_gan.config import LEVELS, differences
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal, make_folder, replacing
from mri_gan.store.counts import count_slices, tell_learned
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import BadRecordError, EncodedSlice, dump_json, index_key, unseal
from mri_gan.store.writer import StoreWriter


def merge_stores(
    folders: Sequence[Path],
    out: Path,
    stop: StopSignal,
    on_progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Write one store with the slices of all `folders` in the order given, or that of their shards.

    `out` appears when it is whole. Raises UsageError when the stores do not fit together: other
    options, a subject in two splits, the same slice twice, a shard missing.
    """
    require_free(out)
    with contextlib.ExitStack() as stack:
        stores = in_shard_order([stack.enter_context(StoreReader(folder)) for folder in folders])
        require_mergeable(stores)
        temporary = stack.enter_context(replacing(out))
        make_folder(temporary)
        with StoreWriter(temporary, merge_headers(stores)) as writer:
            for store in stores:
                for encoded in _encoded_slices(store):
                    writer.add_source([encoded])
                    on_progress(writer.slices_done)
                    if stop:
                        raise Stopped(f"{out}: stopped", "nothing was kept", stop.signum or 2)
            for store in stores:
                for entry in store.skipped():
                    writer.skip_source(entry["source"], entry["kind"], entry["reason"])
            writer.finish(merge_summaries(stores))
        if out.exists():
            out.rmdir()  # empty, or this fails


def require_free(out: Path) -> None:
    """Raise UsageError when something is at `out` already."""
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise UsageError(f"{out}: already exists", "give another --out")


def in_shard_order(stores: Sequence[StoreReader]) -> list[StoreReader]:
    """The stores as given, or by number where they are the shards of one plan.

    Raises UsageError unless all shards of that plan are there, once each.
    """
    parts = [store.header.get("shard") for store in stores]
    if not any(parts):
        return list(stores)
    first = stores[parts.index(next(filter(None, parts)))]
    count, plan = first.header["shard"]["count"], first.header["shard"]["plan"]
    by_number: dict[int, StoreReader] = {}
    for store, part in zip(stores, parts, strict=True):
        if part is None or (part["count"], part["plan"]) != (count, plan):
            raise UsageError(
                f"{store.folder}: is not a shard of the same sources and options as {first.folder}",
                "give the same SOURCES, options, --id-key and N to all parts",
            )
        if part["number"] in by_number:
            raise UsageError(f"{store.folder}: shard {part['number']}/{count} is given twice")
        by_number[part["number"]] = store
    missing = [f"{n}/{count}" for n in range(1, count + 1) if n not in by_number]
    if missing:
        raise UsageError(f"shards are missing: {', '.join(missing)}", "prepare them, then merge")
    return [by_number[number] for number in sorted(by_number)]


def require_mergeable(stores: Sequence[StoreReader]) -> None:
    """Raise UsageError unless the stores agree and share neither slices nor split subjects."""
    first = stores[0]
    for other in stores[1:]:
        for name in ("depth", "channels", "options", "learned"):
            before, now = _fact(first, name), _fact(other, name)
            if before != now:
                news = f"{before} and {now}"
                if isinstance(before, dict):
                    news = differences(before, now)[0]
                together = name == "learned"  # labels of masks, landmarks of greys
                raise UsageError(
                    f"{first.folder} and {other.folder} differ in {name} ({news})",
                    f"prepare them {'together' if together else 'with the same options'}",
                )
    _require_one_split(stores)
    _require_no_duplicates(stores)


def _fact(store: StoreReader, name: str) -> Any:
    """An entry of the header; given landmarks follow from what was learned."""
    value = store.header.get(name, {})
    return {k: v for k, v in value.items() if k != "landmarks"} if name == "options" else value


def _require_one_split(stores: Sequence[StoreReader]) -> None:
    splits: dict[str, tuple[str, Path]] = {}
    for store in stores:
        for record in store.records:
            split, folder = splits.setdefault(record.subject, (record.split, store.folder))
            if split != record.split:
                raise UsageError(
                    f"subject {record.subject} is in {split} of {folder} and in {record.split} of "
                    f"{store.folder}",
                    "prepare all files of a person together",
                )


def _require_no_duplicates(stores: Sequence[StoreReader]) -> None:
    """The same pixels from a source of the same name; within one store they are as prepared."""
    seen: dict[tuple[str, int, int], Path] = {}
    for store in stores:
        keys = {(r.source, r.position, r.checksum) for r in store.records}
        for key in keys:
            if key in seen:
                raise UsageError(
                    f"{key[0]} is in {seen[key]} and in {store.folder}", "leave one of them out"
                )
        seen |= dict.fromkeys(keys, store.folder)


def _encoded_slices(store: StoreReader) -> Iterator[EncodedSlice]:
    """Every slice record with its image records, checked and free of their old keys."""
    with store.stored_records() as get:
        for index, record in enumerate(store.records):
            images: dict[int, bytes] = {}
            for level in LEVELS:
                try:
                    key = index_key(index)
                    images[level] = unseal(get(level, key), key)
                except BadRecordError as error:
                    raise DataError(
                        f"{store.folder}: slice {index} at {level} px is damaged ({error})",
                        f"see: mrigan check {store.folder}",
                    ) from error
            yield record.to_json(), images


def merge_headers(stores: Sequence[StoreReader]) -> dict[str, Any]:
    """The first store's header with the plan of its shards, or one that stands for all plans."""
    header = dict(stores[0].header)
    shard = header.pop("shard", None)
    if shard:
        return {**header, "plan": shard["plan"]}
    plans = [store.header["plan"] for store in stores]
    plan = hashlib.blake2b(dump_json(["merge", *plans]), digest_size=16).hexdigest()
    return {**header, "plan": plan}


def merge_summaries(stores: Sequence[StoreReader]) -> dict[str, Any]:
    """Counts over all stores; subjects that several of them hold count once."""
    records = (record for store in stores for record in store.records)
    summaries = [store.summary for store in stores]
    skipped, ignored, files = Counter[str](), Counter[str](), Counter[str]()
    unpaired = [entry for summary in summaries for entry in summary.get("unpaired", [])]
    for summary in summaries:
        skipped.update(summary["skipped"])
        ignored.update(summary.get("ignored_kinds", {}))
        files.update(summary.get("files", {}))
    return {
        **count_slices(records),
        **tell_learned(stores[0].header.get("learned", {})),
        "layouts": sorted({layout for summary in summaries for layout in summary["layouts"]}),
        "skipped": dict(sorted(skipped.items())),
        "unlisted": [pair for summary in summaries for pair in summary["unlisted"]],
        **({"unpaired": unpaired} if unpaired else {}),
        **{
            name: sum(summary.get(name, 0) for summary in summaries)
            for name in ("masks", "empty_slices", "deselected_slices", "ignored_files")
        },
        "ignored_kinds": dict(sorted(ignored.items())),
        "files": dict(files),
        "seconds": round(sum(summary["seconds"] for summary in summaries), 2),
    }
