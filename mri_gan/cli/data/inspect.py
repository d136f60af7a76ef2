"""`mrigan inspect`: what `prepare` would find, before it writes anything."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.data.info import say_files
from mri_gan.cli.data.source_options import (
    people_options,
    report_people,
    say_kept,
    slice_options,
    source_options,
)
from mri_gan.config import require
from mri_gan.errors import DataError, Stopped, printable
from mri_gan.ingest.options import PLANES, PrepareConfig
from mri_gan.values import say_count

if TYPE_CHECKING:
    from mri_gan.ingest.look.survey import Look, Survey
    from mri_gan.ingest.plan.plan import Plan
    from mri_gan.ingest.source import Source


EPILOG = """\b
Examples:
  mrigan inspect keras_png_slices_data.zip
  mrigan inspect scans/ --plane coronal --sheet overview.png
  mrigan inspect scans/ --fov 220 --slices 0.2:0.8 --sheet
"""

COLUMNS, PICTURES = 9, 45
SPARE = 4  # times as many pictures are kept, for files that cannot be read
PLANE_COUNT = 3  # pictures of a volume: the middle of each plane
NAMED = 3
COUNTED = (
    *("sources", "slices", "subjects", "sessions", "masks", "sources_with_mask"),
    *("other_files", "empty_slices", "deselected_slices", "faces"),
)
TABLES = (
    *(
        "layouts",
        "contrasts",
        "classes",
        "left_out",
        "sides",
        "splits",
        "shapes",
        "native",
        "spacings_mm",
        "volume_shapes",
    ),
    *("voxels_mm", "orientations", "planes", "resized", "dropped_fields", "ignored_kinds"),
)
LISTS = (
    "same_pixels",
    "near_duplicates",
    "rescans",
    "outliers",
    "flat_slices",
    "doubtful_orientation",
)
UNJUDGED = "{}: no brain without its skull is seen"
OWN_OPTIONS = ("sheet", "workers", "as_json", "quiet")  # that say nothing of a store
TELLING = (
    "the names here can identify people (prepare replaces them by pseudonyms{}): "
    "do not pass this on"
)


@click.command("inspect", cls=options.Remembering, epilog=EPILOG)
@click.argument("sources", nargs=-1, required=True, type=options.PATH)
@source_options
@slice_options
@people_options
@click.option(
    "--sheet",
    is_flag=False,
    flag_value="inspect.png",
    default=None,
    type=options.PATH,
    help="Write a contact sheet; without a name, to inspect.png.",
)
@options.setting("--workers", click.IntRange(0, 256), None, "Processes  [default: one per CPU].")
@options.as_json
@options.quiet
def command(
    sources: tuple[Path, ...],
    sheet: Path | None,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    people_file: Path | None,
    strict: bool,
    **choices: Any,
) -> None:
    """Read SOURCES as `prepare` would and show what they hold; nothing is changed.

    Shows layouts, subjects, shapes, spacings, orientations and grey levels, slices that occur
    twice or look like one of another subject, outliers, volumes whose header and picture seem to
    disagree, masks, what would be left out and why, and the size of the store.
    """
    from mri_gan.ingest.plan.people import is_telling, say_names
    from mri_gan.ingest.plan.plan import build_plan
    from mri_gan.store.counts import say_oddities

    for source in sources:
        require(source.exists(), f"{source}: no such file or folder", "check the spelling")
        require(
            sheet is None or source.resolve() not in (sheet.resolve(), *sheet.resolve().parents),
            f"--sheet {sheet} is inside {source}",
            "write it elsewhere: sources are left as they are",
        )
    config = PrepareConfig(ids="keep", **choices)  # ids are not stored, and so not hidden
    plan = name_series(build_plan(sources, config, only_look=True, people_file=people_file))
    report_people(plan, strict=strict, quiet=quiet, as_json=as_json)
    start = time.perf_counter()
    survey = _look(plan, config, workers, quiet)
    facts = without_folders(_describe(plan, survey, start), sources)
    _warn_of_splits(facts, strict=strict, quiet=quiet)
    for text in [] if quiet else say_oddities(facts, stored=False):
        click.echo(f"warning: {text}", err=True)
    if sheet is not None:
        _write_sheet(survey, sheet)
    if as_json:
        options.print_json(facts)
    elif not quiet:
        _print_table(facts)
        kept = [source for source in plan.sources if not is_telling(source)]
        if len(kept) < len(plan.sources):
            click.echo(f"warning: {TELLING.format(say_kept(sources, kept))}", err=True)
        if named := say_names(plan.sources):
            click.echo(f"warning: {named} to prepare", err=True)
        if not facts["slices"]:
            return
        look = f"Look at {sheet}; make" if sheet is not None else "Make"
        click.echo(f"\n{look} a store with: {prepare_command(sources)}")


def name_series(plan: Plan) -> Plan:
    """The plan with DICOM series called as their files, which must be found to be mended.

    That is as their folder, or as the first file where another series is in it, too.
    """
    series = [source for source in plan.sources if source.is_series]
    held = Counter(folder for source in series for folder in _folders_of(source))

    def name(source: Source) -> str:
        first, folders = source.member.public_label, _folders_of(source)
        (*more, folder) = folders
        alone = source.others and folder and not more and held[folder] == 1
        return folder if alone else first

    sources = [replace(s, name=name(s)) if s.is_series else s for s in plan.sources]
    return replace(plan, sources=sources)


def _folders_of(source: Source) -> set[str]:
    files = (source.member, *source.others)
    return {file.public_label.rpartition("/")[0] for file in files}


def name_people(
    pairs: Sequence[tuple[str, str]] | None, sources: Sequence[Source]
) -> list[list[str]] | None:
    """The pairs of people, those of DICOM files with the first of these."""
    named = {s.naming.subject: s.name for s in reversed(sources) if s.is_series}
    names = {who: f"{who} ({file})" for who, file in named.items()}
    return None if pairs is None else [[names.get(who, who) for who in pair] for pair in pairs]


def prepare_command(sources: Sequence[Path]) -> str:
    """The command that makes a store of what was inspected."""
    words = [*map(str, sources), *options.given_words(but=OWN_OPTIONS)]
    return f"mrigan prepare {shlex.join(words)} --out STORE"


def _describe(plan: Plan, survey: Survey, start: float) -> dict[str, Any]:
    """What the plan and the survey found, and the seconds since `start`."""
    from mri_gan.ingest.run.prepare import count_files, count_partners, without_masks

    facts = survey.facts()
    skipped = {number for number, (_, found) in enumerate(survey.looks) if not found.slices}
    with_mask = sum(source.mask is not None for source in plan.sources)
    return facts | {
        "rescans": name_people(facts["rescans"], plan.sources),
        "deselected_slices": facts["deselected_slices"] + plan.deselected,
        "masks": plan.masks + len({id(s.mask) for s in plan.sources if s.mask is not None}),
        "sources_with_mask": with_mask,
        "people": plan.conclusion,
        "doubts": list(plan.doubts),
        "left_out": dict(Counter(plan.left_out) + count_partners(plan, skipped)),
        "contrasts": dict(Counter(s.naming.contrast for s in plan.sources if s.naming.contrast)),
        "classes": dict(Counter(s.naming.label for s in plan.sources if s.naming.label)),
        "other_files": plan.ignored,
        "ignored_kinds": dict(plan.ignored_kinds),
        "files": plan.listed,
        "files_by_fate": count_files(without_masks(plan), skipped),
        "unpaired": [[plan.true_labels.get(s, s), kind, why] for s, kind, why in plan.unpaired],
        "unlisted": [[plan.true_labels.get(name, name), why] for name, why in plan.bad],
        "seconds": round(time.perf_counter() - start, 2),
    }


def without_folders(facts: dict[str, Any], sources: Sequence[Path]) -> dict[str, Any]:
    """The facts with each source named from its own name on.

    The folders above it say whose computer it was, and a table or JSON may be passed on.
    """
    above = {place for s in sources for place in (s.absolute().parent, s.resolve().parent)}
    folders = sorted((f"{a}{os.sep}" for a in above if a.name), key=len, reverse=True)

    def plain(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {name: plain(part) for name, part in entry.items()}
        if isinstance(entry, list | tuple):
            return [plain(part) for part in entry]
        for folder in folders if isinstance(entry, str) else ():
            entry = entry.replace(folder, "")
        return entry

    return {name: plain(entry) for name, entry in facts.items()}


def _warn_of_splits(facts: dict[str, Any], *, strict: bool, quiet: bool) -> None:
    """Warn of what looks alike in two splits; raises DataError where it is strict."""
    from mri_gan.store.twins import say_across

    for what, count in facts["across_splits"].items():
        if not count:
            continue
        text = say_across(what, count)
        if strict:
            raise DataError(f"--strict: {text}", "mrigan inspect without --strict names them")
        if not quiet:
            click.echo(f"warning: {text}", err=True)


def _look(plan: Plan, config: PrepareConfig, workers: int | None, quiet: bool) -> Survey:
    import functools

    from mri_gan.files import stop_on_signal
    from mri_gan.ingest.look.survey import Look, Survey, look_all
    from mri_gan.ingest.outcome import CRASHED
    from mri_gan.ingest.run.prepare import chunked, learn
    from mri_gan.ingest.run.workers import OrderedPool, available_cpus, open_engine

    count = available_cpus() if workers is None else workers
    share = PICTURES // PLANE_COUNT if any(s.is_volume for s in plan.sources) else PICTURES
    order = _sheet_order(plan.sources, share)
    kept = set(order[: SPARE * share])
    again = "the same command begins anew"
    with stop_on_signal(leave_after_s=1.0, again=again) as stop, open_engine(count) as engine:
        learned = learn(plan.sources, config, engine, stop)
        survey = Survey(learned=learned)
        function = functools.partial(look_all, config=config, learned=learned)
        with options.Progress(len(plan.sources), " sources", quiet) as bar:
            pool = OrderedPool(function, lambda _: Look(*CRASHED), engine)
            for number, (source, found) in enumerate(pool.map(chunked(plan.sources))):
                if number not in kept:
                    found.thumb = None
                survey.looks.append((source, found))
                bar.show(number + 1)
                if stop:
                    raise Stopped("stopped; nothing was written", signum=stop.signum or 2)
    drawn = [number for number in order if survey.looks[number][1].thumb is not None]
    for number in drawn[share:]:
        survey.looks[number][1].thumb = None
    return survey


def _sheet_order(sources: Sequence[Source], places: int) -> list[int]:
    """Numbers of sources as a sheet takes them: one of every person before a second of any.

    Of a person, and of people where there are too many, they are spread evenly.
    """
    people: dict[str, list[int]] = {}
    for number, source in enumerate(sources):
        people.setdefault(source.naming.subject, []).append(number)
    turns: list[list[int]] = []
    for numbers in people.values():
        own = _spread(numbers, places // len(people), middle=not sources[numbers[0]].is_volume)
        for turn, number in enumerate(own):
            turns += [[]] * (turn == len(turns))
            turns[turn] = [*turns[turn], number]
    return [number for turn in turns for number in _spread(turn, places)]


def _spread(numbers: Sequence[int], count: int, *, middle: bool = False) -> list[int]:
    """The numbers, first some `count` evenly from all of them, then those between."""
    step = -(-len(numbers) // max(count, 1))
    first = step // 2 if middle else 0
    places = sorted(range(len(numbers)), key=lambda place: ((place - first) % step, place))
    return [numbers[place] for place in places]


def _write_sheet(survey: Survey, path: Path) -> None:
    import numpy as np

    from mri_gan.files import make_folder
    from mri_gan.pictures import Shows, build_sheet, save_png, say_edges
    from mri_gan.store.schema import tell_scans_apart

    said = [source.naming for source, _ in survey.looks]
    kinds = tell_scans_apart([(one.subject, one.session, one.contrast) for one in said])
    looks = zip(survey.looks, kinds, strict=True)
    shown = [entry for (source, found), kind in looks for entry in _pictures(source, found, kind)]
    require(bool(shown), "no slice to draw on a sheet", "see the table for the reasons")
    images = np.stack([picture for _, picture in shown])
    # Cut pictures show the right on the left; the first one of a volume is axial.
    first = next(found.whole for _, found in survey.looks if found.thumb is not None)
    edges = ("R", "L") if first is not None and first.axes else ()
    labels = [label for label, _ in shown]
    notes = [say_edges(edges, "an axial or coronal picture")]
    columns = min(COLUMNS, len(shown))
    sheet = build_sheet(images, columns, labels, scale=2, edges=edges, notes=notes)
    make_folder(path.parent)
    save_png(path, sheet, Shows.REAL)


def _pictures(source: Source, found: Look, kind: str) -> list[tuple[str, Any]]:
    """(label, picture) of a source that is kept for the sheet; a sheet may be passed on.

    `kind` is its contrast and session, where the sheet has several.
    """
    from mri_gan.ingest.plan.people import OAI_LIKE
    from mri_gan.store.schema import shown_name

    if found.thumb is None:
        return []
    name = f"{shown_name(source.naming.subject, source.name)} {kind}".rstrip()
    who = OAI_LIKE.sub("OAI", name)
    if found.whole is None or not found.whole.spacing_mm:
        return [(who, found.thumb)]
    return [
        (f"{plane} {who}", picture)
        for plane, picture in zip(PLANES, found.whole.pictures, strict=True)
    ]


def _print_table(facts: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="as prepare would read it", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")  # names end with what distinguishes them
    for name, value in _rows(facts):
        table.add_row(name, "\n".join(escape(printable(line)) for line in value.split("\n")))
    options.open_console().print(table)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    skipped = facts["skipped"] + [{"source": s, "reason": why} for s, why in facts["unlisted"]]
    skipped += [{"source": s, "reason": f"{kind}: {why}"} for s, kind, why in facts["unpaired"]]
    why = [f"{entry['source']}: {entry['reason']}" for entry in skipped]
    size, unjudged = options.human_bytes(facts["store_bytes"]), facts["orientation_not_judged"]
    seconds = options.human_seconds(facts["seconds"])
    without = ", without masks" if facts["sources_with_mask"] else ""
    return [
        *((name.replace("_", " "), f"{facts[name]:,}") for name in COUNTED),
        ("files", say_files(facts["files_by_fate"])),
        *((name.replace("_", " "), _counts(facts[name])) for name in TABLES if facts.get(name)),
        *_values(facts["scanner_values"]),
        ("greys at 1, 50, 99 %", ", ".join(map(str, facts["grey_percentiles"].values()))),
        *((name.replace("_", " "), _listed(facts, name)) for name in LISTS),
        *(
            [("orientation not judged", UNJUDGED.format(say_count(unjudged, "volume")))]
            if unjudged
            else []
        ),
        ("would give no slices", _some(why)),
        ("store", f"about {size} in {seconds}{without}"),
    ]


def _values(values: dict[str, list[float]]) -> list[tuple[str, str]]:
    ranges = (f"{low:g} .. {high:g}" for low, high in values.values())
    return [("scanner values at 1, 50, 99 %", "; ".join(ranges))] if values else []


def _counts(counts: dict[str, int]) -> str:
    parts = [f"{name} ({n:,})" for name, n in list(counts.items())[: 2 * NAMED]]
    return ", ".join(parts) + (", ..." if len(counts) > len(parts) else "")


def _listed(facts: dict[str, Any], name: str) -> str:
    """How many of a kind there are and the first of them, or why that was not judged."""
    if facts[name] is None:
        return f"not judged ({facts[f'{name}_not_judged']})"
    return _some([*map(_text, facts[name])])


def _text(entry: Any) -> str:
    if isinstance(entry, dict):
        return f"{entry['slice']} ({entry['what']} {entry['sigma']:+} sigma)"
    return entry if isinstance(entry, str) else " = ".join(entry)


def _some(texts: list[str]) -> str:
    if not texts:
        return "none"
    more = [f"... and {len(texts) - NAMED:,} more (--json)"] if len(texts) > NAMED else []
    return "\n".join([f"{len(texts):,}", *texts[:NAMED], *more])
