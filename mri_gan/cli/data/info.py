"""`mrigan info`: what a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mri_gan.cli import options
from mri_gan.errors import printable
from mri_gan.values import say_count, say_some

EPILOG = """\b
Examples:
  mrigan info OASIS_PRE
  mrigan info OASIS_PRE --json
"""

MAX_SKIPPED = 10
MAX_FIELDS = 8
MAX_NAMED = 5
FILES = ("stored", "left_out", "ignored")


@click.command("info", epilog=EPILOG)
@click.argument("store", type=options.PATH)
@options.as_json
def command(store: Path, as_json: bool) -> None:
    """Show slices, subjects, splits, levels and what was left out of a STORE."""
    from mri_gan.store.reader import StoreReader

    with StoreReader(store) as opened:
        facts = opened.describe()
    if as_json:
        options.print_json(facts)
    else:
        print_tables(facts)


def print_tables(facts: dict[str, Any]) -> None:
    """The facts as tables for people."""
    from rich.markup import escape
    from rich.table import Table

    console = options.open_console()
    title = escape(printable(facts["store"]))
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in _rows(facts):
        table.add_row(name, value)
    console.print(table)
    if facts["skipped_sources"] or facts["unlisted"] or facts.get("unpaired"):
        console.print(_skipped_table(facts))


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from rich.markup import escape

    splits = facts["split_subjects"]
    channels = say_count(facts["channels"], "channel")
    if facts["channels"] > 1:
        channels += f": {escape(', '.join(facts['channel_names']))}"
    contrasts = {name or "of none": n for name, n in facts.get("contrasts", {}).items()}
    native = ", ".join(f"{n:,} of {level} px" for level, n in facts["native"].items())
    return [
        ("slices", f"{facts['slices']:,} ({facts['depth']}-bit, {channels})"),
        ("subjects", f"{facts['subjects']:,}"),
        *(
            (
                f"  {split}",
                f"{say_count(facts['split_slices'][split], 'slice')} of {_people(people)}",
            )
            for split, people in splits.items()
        ),
        *([("sessions", f"{facts['sessions']:,}")] if "sessions" in facts else []),
        *([("contrasts", escape(_counts(contrasts)))] if contrasts else []),
        ("levels", f"{facts['levels'][0]} .. {facts['levels'][-1]} px"),
        ("slices by native level", native),
        *([("planes", _counts(facts["planes"]))] if facts.get("planes") else []),
        ("layout", ", ".join(facts["layouts"])),
        *([("labels", _labels(facts["labels"], facts["subjects"]))] if facts.get("labels") else []),
        ("masks left out", f"{facts['masks']:,}"),
        ("empty slices dropped", f"{facts['empty_slices']:,}"),
        ("slices not selected", f"{facts.get('deselected_slices', 0):,}"),
        ("sources skipped", _skipped(facts)),
        ("header fields left out", _fields(facts.get("dropped_fields", {}))),
        ("volumes with a face", f"{facts.get('faces', 0):,}"),
        ("other files", _kinds(facts["ignored_files"], facts.get("ignored_kinds", {}))),
        ("files", say_files(facts.get("files", {}))),
        ("size on disk", options.human_bytes(facts["bytes"])),
        ("time", options.human_seconds(facts["seconds"])),
        ("digest", facts["digest"]),
    ]


def _labels(labels: dict[str, dict[str, Any]], people: int) -> str:
    """A line for each label: its values, whose it is, and who has none."""
    from rich.markup import escape

    lines = []
    for name, found in labels.items():
        if "classes" in found:
            values = say_some(
                [f"{value} {n:,}" for value, n in found["classes"].items()], MAX_NAMED
            )
        else:
            values = f"{found['least']:g} to {found['most']:g}"
        lines.append(f"{name}: {values}; {found['people']:,} of {_people(people)}")
        if found["missing"]:
            lines.append(f"  not of {say_some(found['missing'], MAX_NAMED)}")
    return "\n".join(escape(printable(line)) for line in lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _skipped(facts: dict[str, Any]) -> str:
    """Sources that gave nothing by their kinds, those that could not even be listed among them."""
    kinds = dict(facts["skipped"])
    if facts["unlisted"]:
        kinds["damaged"] = kinds.get("damaged", 0) + len(facts["unlisted"])
    return _counts(kinds) or "none"


def _people(count: int) -> str:
    return say_count(count, "subject")


def _kinds(count: int, kinds: dict[str, int]) -> str:
    """How many files were not looked at, and what they were."""
    from rich.markup import escape

    return "\n".join([f"{count:,}", *(f"{escape(kind)}: {n:,}" for kind, n in kinds.items())])


def say_files(counts: dict[str, int]) -> str:
    """Every file that the sources hold, by what became of it."""
    if not counts:
        return "not counted by the version that wrote this store"
    parts = (f"{counts[name]:,} {name.replace('_', ' ')}" for name in FILES)
    return f"{counts['listed']:,} = " + " + ".join(parts)


def _fields(counts: dict[str, int]) -> str:
    """Names of header fields with the number of sources that had them."""
    from rich.markup import escape

    named = [f"{escape(printable(name))} ({n:,})" for name, n in list(counts.items())[:MAX_FIELDS]]
    more = f", and {len(counts) - MAX_FIELDS} more" if len(counts) > MAX_FIELDS else ""
    return ", ".join(named) + more or "none"


def _skipped_table(facts: dict[str, Any]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    entries = [(e["source"], e["kind"], e["reason"]) for e in facts["skipped_sources"]]
    entries += [(label, "damaged", why) for label, why in facts["unlisted"]]
    entries += [(label, kind, why) for label, kind, why in facts.get("unpaired", ())]
    table = Table(title="gave no slices", title_justify="left")
    table.add_column("source", overflow="fold")  # names end with what distinguishes them
    for name in ("kind", "reason"):
        table.add_column(name)
    for entry in entries[:MAX_SKIPPED]:
        table.add_row(*(escape(printable(text)) for text in entry))
    if len(entries) > MAX_SKIPPED:
        table.add_row(f"... and {len(entries) - MAX_SKIPPED} more", "", "see --json")
    return table
