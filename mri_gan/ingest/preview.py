"""The contact sheet that shows at a glance what went into a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mri_gan.pictures import build_sheet, save_png
from mri_gan.store.reader import StoreReader

COLUMNS, ROWS, LEVEL = 8, 5, 128


def write_preview(store: StoreReader, path: Path) -> None:
    """Forty slices, evenly spread over the store, each with its subject and split."""
    count = min(len(store), COLUMNS * ROWS)
    indices = np.linspace(0, len(store) - 1, count).round().astype(int)
    records = [store.records[i] for i in indices]
    labels = [f"{r.subject.split('/')[-1]} {r.side[:1].upper()} {r.split}" for r in records]
    images = store.read(LEVEL, indices.tolist())[:, 0]
    save_png(path, build_sheet(images, COLUMNS, labels))
