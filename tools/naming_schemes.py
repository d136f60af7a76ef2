"""Public collections, as their files are named: names alone, with made-up people.

    python tools/naming_schemes.py

prints a file, the person and the layout of each. The names are in `naming_schemes.tsv`: `{who}` is
the person as the collection writes it, and each of the files exists for everybody. Rows without a
source belong to no collection: what people have on their disks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.filenames import identify_all

TABLE = Path(__file__).with_suffix(".tsv")
NUMBERED = re.compile(r"(?P<form>.*) from (?P<first>[0-9]+) to (?P<last>[0-9]+)")


@dataclass(frozen=True)
class Collection:
    """Names of one collection."""

    name: str
    source: str
    people: Sequence[str]
    files: Sequence[str]
    contrasts: Sequence[str] = ()  # that its scans have, masks left out
    masks: int = 0  # of the files


def read_collections(path: Path) -> list[Collection]:
    """Each row of a table: lists with ` | ` between, people also as `OAS1_{:04} from 1 to 10`."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Collection(
            row["name"],
            row.get("source", "-").removeprefix("-"),
            list_people(row["people"]),
            row["files of each"].split(" | "),
            row["contrasts"].split() if row["contrasts"] != "-" else (),
            -1 if row["masks"] == "-" else int(row["masks"]),
        )
        for row in rows
    ]


def list_people(text: str) -> list[str]:
    """`p{:02} from 1 to 10`, or names with ` | ` between."""
    if match := NUMBERED.fullmatch(text):
        numbers = range(int(match["first"]), int(match["last"]) + 1)
        return [match["form"].format(number) for number in numbers]
    return text.split(" | ")


_ALL = read_collections(TABLE)
COLLECTIONS = [one for one in _ALL if one.source]
OWN = [one for one in _ALL if not one.source]


def table_rows() -> list[str]:
    """What the first file of each collection becomes, as a table for Markdown."""
    rows = ["| collection | a file | person | layout |", "| --- | --- | --- | --- |"]
    for one in COLLECTIONS:
        names = [file.replace("{who}", who) for who in one.people[:2] for file in one.files]
        first = identify_all(names, PrepareConfig())[0]
        short = "/".join(names[0].split("/")[-2:])
        rows.append(
            f"| [{one.name}]({one.source}) | `{short}` | `{first.subject}` | `{first.layout}` |"
        )
    return rows


if __name__ == "__main__":
    print("\n".join(table_rows()))
