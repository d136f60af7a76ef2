"""What one source gave or why it gave nothing, and what was learned from all sources together.

Whatever reading a source raises becomes that source's one line here and nowhere else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mri_gan.errors import (
    DataError,
    LabelMapError,
    MriganError,
    NoImageError,
    OwnFileError,
    SeriesError,
    UsageError,
)
from mri_gan.files import explain_os_error, one_line
from mri_gan.store.schema import EncodedSlice


@dataclass
class Outcome:
    """What one source gave: encoded slices, or the reason why there are none."""

    kind: str = ""  # "damaged", "mask", "no image", "empty", ... when there are no slices
    reason: str = ""
    empty: int = 0  # slices of a volume that were dropped as empty
    deselected: int = 0  # slices that --slices and --every leave out
    slices: list[EncodedSlice] = field(default_factory=list)


# Of some images: the window of 16-bit ones, and the greys of dark ones, where they are such.
Glance = tuple[tuple[float, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Learned:
    """What was learned from all sources together; empty where it was not needed."""

    mask_labels: tuple[int, ...] = ()  # values of masks, in order: spread evenly over the greys
    landmarks: tuple[float, ...] = ()  # where the standard scale of `nyul` has them, 0..1
    image_window: tuple[float, ...] = ()  # black and white of 16-bit images of a scanner's values
    darkness: tuple[int, ...] = ()  # the 99th percentile of images that are nearly black, of 255

    def to_dict(self) -> dict[str, Any]:
        """The fields that hold something, as plain values."""
        return {name: list(value) for name, value in vars(self).items() if value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Learned:
        """What `to_dict` gave."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: tuple(value) for name, value in values.items() if name in known})


# Whatever reading a source raises becomes that source's one line, here and nowhere else.


DAMAGED = "damaged"
CRASHED = (DAMAGED, "its decoder crashed or ran out of memory")
DRAWN = "drawn"  # what gave nothing, since it is a sheet, a chart or numbers of ours
KINDS: dict[type[Exception], str] = {
    LabelMapError: "mask",
    NoImageError: "no image",
    OwnFileError: DRAWN,
    SeriesError: "4-D",
}
UID = re.compile(r"\d+(?:\.\d+){3,}")  # libraries quote the values that they stumble over
LONGEST_REASON = 300
NTH_FILE = re.compile(r"^file (\d+) of \d+: ")


def explain(error: Exception, label: str = "") -> tuple[str, str]:
    """(kind, reason) of a source whose reading raised; `label` is not repeated in the reason."""
    if isinstance(error, MriganError):
        kind = KINDS.get(type(error), DAMAGED)
        hint = f": {error.hint}" if isinstance(error, (LabelMapError, SeriesError)) else ""
        return kind, _plain(error.message.removeprefix(f"{label}: ") + (hint if error.hint else ""))
    if isinstance(error, (MemoryError, OverflowError)):
        return DAMAGED, "too large for this machine's memory"
    if isinstance(error, OSError) and error.errno:
        where = Path(str(error.filename or "file"))
        return DAMAGED, _plain(explain_os_error(error, where).message.removeprefix(f"{where}: "))
    if isinstance(error, RecursionError):
        return DAMAGED, "unreadable (nested too deeply)"
    return DAMAGED, _plain(f"unreadable ({one_line(error)})")


def _plain(text: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in UID.sub("a UID", text))
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
    """Let an error in a part of a source say which: `its t2`, or of a series' files `file 3 of 20`.

    Numbers stand for names, which a store may not hold.
    """
    try:
        yield
    except (DataError, SeriesError, LabelMapError, NoImageError) as error:
        raise type(error)(f"{what}: {error.message}", error.hint) from error


def find_file(reason: str, labels: Sequence[str]) -> tuple[str, str]:
    """(label, reason) of the file that a reason is about: `file 3 of 20`, or else the first."""
    nth = NTH_FILE.match(reason)
    return (labels[int(nth[1]) - 1], reason[nth.end() :]) if nth else (labels[0], reason)


@contextlib.contextmanager
def reading(label: object) -> Iterator[list[tuple[str, str]]]:
    """Keep whatever is raised within: the list then holds (label, reason).

    A UsageError passes: it is about the command and not about one source.
    """
    problems: list[tuple[str, str]] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield problems
    except UsageError:
        raise
    except Exception as error:
        problems.append((str(label), explain(error, str(label))[1]))
