"""Which slices an export takes, and under which names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mri_gan.errors import UsageError
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import SliceRecord

MAX_NAME = 80
# Folders that Windows cannot have.
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Selection:
    """Slices of a store by index, in store order, and the folder name of each subject."""

    indices: tuple[int, ...]
    folders: dict[str, str]


def select(store: StoreReader, split: str | None, *, anonymous: bool) -> Selection:
    """The slices of one split, or of all; raises UsageError when there are none."""
    indices = tuple(store.indices(split).tolist())
    if not indices:
        have = sorted({record.split for record in store.records})
        raise UsageError(f"{store.folder}: no slices in split {split}", f"it has {have}")
    # Numbered over the whole store, so that exports of its splits fit together.
    subjects = list(dict.fromkeys(record.subject for record in store.records))
    return Selection(indices, number(subjects) if anonymous else name_folders(subjects))


def number(subjects: Sequence[str]) -> dict[str, str]:
    """Running numbers instead of names."""
    return {subject: f"{i:05d}" for i, subject in enumerate(subjects)}


def name_folders(subjects: Sequence[str]) -> dict[str, str]:
    """A folder name for each subject: harmless everywhere, and never shared by two."""
    taken: set[str] = set()
    folders: dict[str, str] = {}
    for subject in subjects:
        plain = base = safe_name(subject)
        count = 1
        while plain.lower() in taken:  # some file systems do not tell upper from lower case
            count += 1
            plain = f"{base}~{count}"
        taken.add(plain.lower())
        folders[subject] = plain
    return folders


def safe_name(text: str) -> str:
    """The text as one file name: no separators, no dots in front, no odd characters."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:MAX_NAME] or "unnamed"
    return f"_{plain}" if RESERVED.match(plain) else plain


def public_facts(record: SliceRecord, folder: str) -> dict[str, Any]:
    """What may stand beside an exported image: nothing that the folder name does not say."""
    return {
        "subject": folder,
        "split": record.split,
        "session": record.session,
        "side": record.side,
        "plane": record.plane,
        "position": record.position,
        "position_mm": record.position_mm,
        "native": record.native,
    }
