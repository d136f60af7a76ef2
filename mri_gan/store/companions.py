"""What people look at beside a store: a contact sheet and a table of its slices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mri_gan.files import write_text
from mri_gan.pictures import Shows, build_sheet, save_png, say_edges
from mri_gan.store.labels import one_cell
from mri_gan.store.reader import StoreReader, find_edges
from mri_gan.store.schema import (
    FACE,
    IMAGE,
    MANIFEST_FILE,
    PREVIEW_FILE,
    SPLIT_FILE,
    shown_name,
    tell_scans_apart,
)
from mri_gan.store.twins import count_twins, find_same_people

MANIFEST_COLUMNS = ("subject", "session", "split", "side", "plane", "position", "native", "source")
COLUMNS, ROWS, LEVEL = 8, 5, 128


def write_companions(folder: Path) -> dict[str, Any]:
    """Write `preview.png`, `manifest.tsv` and `splits.tsv` where they are not there yet.

    Returns what the store holds, the first of the volumes that seem to show a face, how many
    slices equal one of another split, and how many that of another person of the same split.
    """
    writers = {PREVIEW_FILE: write_preview, MANIFEST_FILE: write_manifest}
    writers[SPLIT_FILE] = write_splits
    with StoreReader(folder) as store:
        for name, write in writers.items():
            if not (folder / name).exists():
                write(store, folder / name)
        faces = (record.source for record in store.records if FACE in (record.notes or ()))
        same = find_same_people(store)
        return {
            **store.describe(),
            "first_face": next(faces, ""),
            "same_across_splits": count_twins(store),
            "same_across_people": same.total(),
            "same_people": list(next(iter(same), ())),
        }


def write_preview(store: StoreReader, path: Path) -> None:
    """Forty slices, evenly spread over the store, each with its subject and split.

    R and L are where they are the same in all of them.
    """
    count = min(len(store), COLUMNS * ROWS // store.channels)
    indices = np.linspace(0, len(store) - 1, count).round().astype(int)
    records = [store.record(i) for i in indices.tolist()]
    people = [shown_name(record.subject, record.source) for record in records]
    kinds = tell_scans_apart([(r.subject, r.session, r.contrast) for r in records])
    marks = [(kind, r.side[:1].upper(), r.split) for kind, r in zip(kinds, records, strict=True)]
    labels = [" ".join(filter(None, (w, *m))) for w, m in zip(people, marks, strict=True)]
    images = store.read(LEVEL, indices.tolist())
    if store.channels > 1:  # a mask beside its image
        images = images.reshape(-1, 1, *images.shape[2:])
        names = store.channel_names
        labels = [label if name == IMAGE else name for label in labels for name in names]
    images = images[:, 0]
    edges = find_edges(records)
    sheet = build_sheet(images, COLUMNS, labels, edges=edges, notes=[say_edges(edges)])
    save_png(path, sheet, Shows.REAL)


def write_manifest(store: StoreReader, path: Path) -> None:
    """`manifest.tsv` beside the data: one line per slice, for people and spreadsheets."""
    contrast = ("contrast",) if any(record.contrast for record in store.records) else ()
    columns = (*MANIFEST_COLUMNS, *contrast)
    lines = ["\t".join(("index", *columns))]
    for index, record in enumerate(store.records):
        values = (str(getattr(record, name)) for name in columns)
        lines.append("\t".join((str(index), *map(one_cell, values))))
    write_text(path, "\n".join(lines) + "\n")


def write_splits(store: StoreReader, path: Path) -> None:
    """The table of a store's subjects and splits, as `--split-file` takes it."""
    rows: Iterable[tuple[str, str]] = sorted({(r.subject, r.split) for r in store.records})
    lines = ["subject\tsplit", *("\t".join(map(one_cell, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")
