"""`mrigan prepare`: scans in, store out."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.data.source_options import (
    parse_split,
    people_options,
    report_people,
    report_twins,
    say_kept,
    slice_options,
    source_options,
)
from mri_gan.cli.options import Configurable, write_given
from mri_gan.config import require
from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.options import GIVEN_FILE, IDS, KEY_FILE, LOCAL, PrepareConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from mri_gan.ingest.plan.plan import Plan, Shard


setting = options.of_config(PrepareConfig)
LEAVE_AFTER_S = 1.0  # with the time that Python needs to end, a signal is obeyed within 2 s

SHARD_KEY = "give the same --id-key FILE to all parts, or --ids keep"


EPILOG = """\b
Examples:
  mrigan prepare keras_png_slices_data.zip --out OASIS_PRE
  mrigan prepare AKOA_Analysis.zip --out AKOA_PRE
  mrigan prepare oasis_cross-sectional_disc*.tar.gz --out OASIS1
  mrigan prepare scans/ more.nii.gz --out STORE --plane coronal
  mrigan prepare scans/ --out PART_3 --shard 3/8
"""


@click.command("prepare", epilog=EPILOG, cls=Configurable)
@click.argument("sources", nargs=-1, required=True, type=options.PATH)
@options.path("--out", "Folder of the store to write.", required=True)
@source_options
@slice_options
@options.setting(
    "--split",
    str,
    "80,10,10",
    "Per cent of subjects to train,validate,test where the source ships no split.",
    callback=parse_split,
)
@options.setting(
    "--split-file",
    options.UserPath(dir_okay=False),
    None,
    "Table of subject and split, such as a store's splits.tsv; it overrides a shipped split.",
)
@people_options
@click.option(
    "--masks",
    is_flag=True,
    help="Keep the mask of each slice as a second channel; slices without one are left out.",
)
@click.option(
    "--materialize", is_flag=True, help="Write enlarged levels instead of computing them on read."
)
@setting(
    "--ids",
    "Replace subject ids and file names by keyed pseudonyms: auto does so for DICOM and ids "
    "like those of the OAI.",
    click.Choice(IDS),
)
@options.setting(
    "--id-key",
    options.UserPath(dir_okay=False),
    None,
    "File of the secret key, created if missing  [default: ids.key in --out].",
)
@options.seed
@options.setting("--workers", click.IntRange(0, 256), None, "Processes  [default: one per CPU].")
@options.setting(
    "--engine",
    str,
    "local",
    "Where the work is done: in processes of this machine, or on a Dask cluster.",
    metavar="local|dask=ADDRESS",
)
@options.setting(
    "--shard",
    str,
    None,
    "Write only part I of N, for array jobs of a cluster; mrigan merge joins them.",
    metavar="I/N",
)
@click.option("--overwrite", is_flag=True, help="Delete a store that is already at --out.")
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@options.as_json
@options.quiet
def command(
    sources: tuple[Path, ...],
    out: Path,
    workers: int | None,
    engine: str,
    shard: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    id_key: Path | None,
    split_file: Path | None,
    people_file: Path | None,
    strict: bool,
    **choices: Any,
) -> None:
    """Turn zips, folders and volumes of scans into a store with every level from 8 to 1024 px.

    SOURCES are OASIS course or AKOA zips, and any folder, zip or tar of PNG, JPEG, TIFF or BMP
    slices, NIfTI, FreeSurfer or DICOM volumes, or Analyze pairs, such as OASIS-1 discs. Nothing
    is unpacked to disk. Run the same command again to continue an interrupted one. Exit code 1
    when some sources were damaged; the others are in the store.
    """
    config = PrepareConfig(**choices)
    for source in sources:
        require(source.exists(), f"{source}: no such file or folder", "check the spelling")
    from mri_gan.ingest.run.workers import begin_loading, check_engine

    check_engine(engine)
    if engine == LOCAL and workers != 0 and not dry_run:
        begin_loading(sources)
    from mri_gan.ingest.run.prepare import require_apart

    require_apart(sources, out)
    from mri_gan.ingest.plan import people
    from mri_gan.ingest.plan.plan import parse_shard

    part = parse_shard(shard) if shard else None
    key_file = id_key or out / KEY_FILE
    key = functools.partial(_find_key, key_file, dry_run, shared=not part or id_key is not None)
    plan = _plan(sources, config, key, (split_file, people_file), part)
    report_people(plan, strict=strict, quiet=quiet, as_json=as_json or dry_run)
    if dry_run:
        options.print_json(_describe(plan, config))
        return
    crew = engine if engine != LOCAL else workers
    facts = _prepare(plan, config, out, crew, overwrite, quiet)
    write_given(out / GIVEN_FILE)
    if any(map(people.is_pseudonym, plan.true_labels)) and not (quiet or as_json):
        kept = say_kept(sources, [source for source in plan.sources if not source.hidden])
        click.echo(
            f"ids are pseudonyms{kept}; whoever has {key_file} can undo them: keep it, do not "
            "share it"
        )
    report_twins(out, _with_files(facts, plan), strict=strict, quiet=quiet)
    _report(out, facts, plan, as_json, quiet)


def _describe(plan: Plan, config: PrepareConfig) -> dict[str, Any]:
    """What a dry run shows."""
    return {
        "sources": len(plan.sources),
        "masks": plan.masks,
        "people": plan.conclusion,
        "doubts": list(plan.doubts),
        "left_out": dict(plan.left_out),
        "deselected": plan.deselected,
        "options": config.to_dict(),
    }


def _plan(
    sources: tuple[Path, ...],
    config: PrepareConfig,
    key: Callable[[], bytes],
    tables: tuple[Path | None, Path | None],
    part: Shard | None,
) -> Plan:
    from mri_gan.ingest.plan.plan import build_plan, take_shard

    split_file, people_file = tables
    plan = build_plan(sources, config, key, split_file, people_file=people_file)
    return take_shard(plan, part) if part else plan


def _find_key(key_file: Path, dry_run: bool, *, shared: bool) -> bytes:
    """The key for pseudonyms; a part of a plan has none of its own."""
    from mri_gan.ingest.plan import people

    if not shared:
        raise UsageError("--shard with pseudonyms needs one key for all parts", SHARD_KEY)
    return people.new_key() if dry_run else people.find_key(key_file)


def _prepare(
    plan: Plan,
    config: PrepareConfig,
    out: Path,
    workers: int | str | None,
    overwrite: bool,
    quiet: bool,
) -> dict[str, Any]:
    from mri_gan.files import FolderLock, make_folder, remove_leftovers, stop_on_signal
    from mri_gan.ingest.run import prepare
    from mri_gan.ingest.run.workers import available_cpus

    make_folder(out)
    with FolderLock(out), stop_on_signal(leave_after_s=LEAVE_AFTER_S) as stop:
        remove_leftovers(out)
        if overwrite:
            prepare.remove_store(out)
        if prepare.is_complete(out, plan.digest, config):
            if not quiet:
                click.echo(f"{out} is already complete", err=True)
            from mri_gan.store.companions import write_companions

            return write_companions(out)
        count = available_cpus() if workers is None else workers
        total = len(plan.sources) + prepare.count_teachers(plan.learn_from or plan.sources, config)
        with options.Progress(total, " sources", quiet) as bar:
            return prepare.write_store(
                plan,
                config,
                out,
                count,
                stop,
                lambda tick: bar.show(tick.learned_from + tick.sources_done),
            )


def _report(out: Path, facts: dict[str, Any], plan: Plan, as_json: bool, quiet: bool) -> None:
    from mri_gan.cli.data.info import print_tables
    from mri_gan.ingest.run.prepare import say_lost
    from mri_gan.store.counts import say_oddities

    damaged = [{"source": label, "reason": why} for label, why in facts["unlisted"]]
    damaged += [entry for entry in facts["skipped_sources"] if entry["kind"] == "damaged"]
    if as_json:
        options.print_json(facts)
    elif not quiet:
        print_tables(facts)
        joined = "when all parts are there, join them with mrigan merge"
        then = joined if plan.part else f"train with: {options.train_command(out)}"
        click.echo(f"\nLook at {out / 'preview.png'}; {then}")
    if not quiet:
        for text in (*say_lost(plan, facts), *say_oddities(_with_files(facts, plan))):
            click.echo(f"warning: {text}", err=True)
    if damaged:
        name, reason, lost = _find_damaged(plan, damaged[0]["source"], damaged[0]["reason"])
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        left_out = f"; {lost} is left out of {out}{more}" if lost else f"{more}; left out of {out}"
        raise DataError(
            f"{name}: {reason}{left_out}, everything else is in it",
            "replace the damaged files and prepare with --overwrite, or go on without them; list: "
            f"mrigan info {shlex.quote(str(out))}",
        )


def _with_files(facts: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The facts with the files and people of warnings as they were given, for the screen only."""
    files = plan.true_labels
    people = {name.partition("/")[0]: label for name, label in files.items()}
    face, strangers = facts.get("first_face", ""), facts.get("strangers", ())
    return facts | {
        "first_face": files.get(face, face),
        "strangers": [files.get(name, name) for name in strangers],
        "same_people": [
            f"{who} ({people[who]})" if who in people else who for who in facts["same_people"]
        ],
    }


def _find_damaged(plan: Plan, name: str, reason: str) -> tuple[str, str, str]:
    """(label, reason, what is lost with it) of a damaged file as it was given.

    That is with its folders, and no pseudonym.
    """
    from mri_gan.ingest.outcome import find_file
    from mri_gan.ingest.source import say_lost_with

    sets = ((s,) if s.hidden else (s, *s.channels) for s in plan.sources)
    given = [source for every in sets for source in every if source.public_label == name]
    if len(given) != 1:  # not even listed, or in two sources by the same name
        return plan.true_labels.get(name, name), reason, ""
    found = find_file(reason, [member.label for member in given[0].members])
    return *found, say_lost_with(given[0], plan.sources)
