"""Scans in, store out: `mrigan prepare` as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack, get_type_hints

from mri_gan.config import require
from mri_gan.files import FolderLock, make_folder, remove_leftovers, stop_on_signal
from mri_gan.ingest.options import GIVEN_FILE, KEY_FILE, PrepareConfig
from mri_gan.ingest.plan.people import find_key
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.run.prepare import (
    Tick,
    is_complete,
    remove_store,
    require_apart,
    say_lost,
    write_store,
)
from mri_gan.ingest.run.workers import available_cpus, leave_if_starting
from mri_gan.library.arguments import in_python, keep_options, public, require_least
from mri_gan.library.settings import PrepareSettings
from mri_gan.store.companions import write_companions
from mri_gan.store.counts import say_oddities
from mri_gan.store.environment import is_open_here
from mri_gan.store.reader import StoreReader
from mri_gan.store.twins import say_twins
from mri_gan.tables import html_table
from mri_gan.values import StrPath, as_path


@dataclass(frozen=True)
class Prepared:
    """A store that is complete; `facts` is all that `mrigan info --json` shows.

    `left_out` names what was to be read and gave no slices: damaged or empty files. What was not
    chosen, such as another contrast, is only counted: `facts["skipped"]` by kind, and in
    `facts["files"]` with all other files, as the command shows them.
    """

    folder: Path
    slices: int
    subjects: int
    digest: str
    left_out: list[dict[str, str]]  # {"source", "kind", "reason"}
    people: str  # who was found in the names, in a sentence
    doubts: tuple[str, ...]  # what should be looked at before the splits are trusted
    facts: dict[str, Any] = field(repr=False)

    def __fspath__(self) -> str:
        """The store, wherever its path can be given."""
        return str(self.folder)

    def _repr_html_(self) -> str:
        """The counts, and what should be looked at, for notebooks."""
        rows: list[tuple[object, ...]] = [
            ("slices", f"{self.slices:,}"),
            ("subjects", f"{self.subjects:,}"),
            ("gave no slices", f"{len(self.left_out):,}"),
            ("people", self.people),
            *(("to check", doubt) for doubt in self.doubts),
        ]
        return html_table(str(self.folder), rows)


@public
def prepare(
    sources: StrPath | Iterable[StrPath],
    out: StrPath,
    *,
    workers: int | None = None,
    split_file: StrPath | None = None,
    people_file: StrPath | None = None,
    id_key: StrPath | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Unpack[PrepareSettings],
) -> Prepared:
    """Turn zips, folders and volumes into a store, or continue an interrupted one.

    `options` are those of `mrigan prepare`, as `mri_gan.PrepareConfig` names them; its `--help`
    explains each. `workers` 0 works in this process, None takes one process for each CPU. With
    `overwrite`, another store in `out` is deleted first. `on_progress` is called with the sources
    done and their number. Damaged sources give no slices and are listed in the result.

    Raises UsageError for options that make no sense, DataError when nothing could be read or the
    disk refuses, Stopped after Ctrl-C (the same call continues).
    """
    leave_if_starting()
    paths = [as_path(s) for s in ([sources] if isinstance(sources, str | os.PathLike) else sources)]
    require(bool(paths), "no sources", "name at least one zip, folder or volume")
    for path in paths:
        require(path.exists(), f"{path}: no such file or folder", "check the spelling")
    require_least(0, workers=workers)
    folder, config = as_path(out), PrepareConfig.from_dict(listed(options))
    require_apart(paths, folder)
    key_file = as_path(id_key) if id_key else folder / KEY_FILE
    splits = as_path(split_file) if split_file else None
    people = as_path(people_file) if people_file else None
    plan = build_plan(paths, config, lambda: find_key(key_file), splits, people_file=people)
    total, count = len(plan.sources), available_cpus() if workers is None else workers

    def report_progress(tick: Tick) -> None:
        if on_progress is not None:
            on_progress(tick.sources_done, total)

    make_folder(folder)
    with FolderLock(folder), stop_on_signal() as stop:
        remove_leftovers(folder)
        if overwrite:
            open_here = is_open_here(folder)
            require(not open_here, f"{folder}: is open in this program", "close its readers first")
            remove_store(folder)
        if is_complete(folder, plan.digest, config):
            facts = write_companions(folder)
        else:
            facts = write_store(plan, config, folder, count, stop, report_progress)
        tables = {"split_file": splits, "people_file": people}
        keep_options(folder / GIVEN_FILE, "prepare", {**options, "workers": workers}, tables)
    return _describe(folder, plan, facts)


def _describe(folder: Path, plan: Plan, facts: dict[str, Any]) -> Prepared:
    unlisted = [{"source": s, "kind": "damaged", "reason": why} for s, why in facts["unlisted"]]
    seen = (*plan.doubts, *say_twins(facts), *say_lost(plan, facts), *say_oddities(facts))
    return Prepared(
        folder,
        facts["slices"],
        facts["subjects"],
        facts["digest"],
        [*facts["skipped_sources"], *unlisted],
        plan.conclusion,
        tuple(map(in_python, seen)),
        facts,
    )


def listed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with one text as a list of it where several may be given."""
    kinds = get_type_hints(PrepareSettings)
    return {
        name: [value] if isinstance(value, str) and kinds[name] == Sequence[str] else value
        for name, value in options.items()
    }


@public
def open_store(path: StrPath, threads: int = 4) -> StoreReader:
    """A complete store, for reading: `store.read(64, store.indices("train")[:16])`.

    `threads` decode large images of a batch side by side. Raises DataError when the folder is not
    a store, unfinished, damaged, or of a newer version.
    """
    require_least(1, threads=threads)
    return StoreReader(as_path(path), threads)
