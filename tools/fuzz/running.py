"""One damaged file after another through the readers, and what became of each."""

from __future__ import annotations

import contextlib
import functools
import random
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from fuzz.mutations import mutate
from fuzz.seeds import KINDS, MARK, DamagedError, Kind, Pixels
from mri_gan.errors import MriganError
from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.image_files import read_shades
from mri_gan.ingest.read.scan import read_source_volume

HANG_S = 20
CONFIG = PrepareConfig(ids="keep")


@dataclass
class Found:
    """What became of the files of one kind."""

    kind: str
    seed: int
    files: int = 0
    read: int = 0
    refused: int = 0
    compared: int = 0  # with another library's pixels
    seconds: float = 0.0
    slowest_s: float = 0.0
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class HangError(BaseException):
    """It took too long; nothing in the readers catches this."""


def ring(_signum: int, _frame: FrameType | None) -> None:
    """The handler of an alarm."""
    raise HangError


def run(kind: str, count: int, seed: int, keep: Path | None = None) -> Found:
    """Read `count` damaged files of a kind; the same seed gives the same files."""
    found = Found(kind, seed)
    with watch_all(found), tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            chance = random.Random(f"{seed}:{kind}:{number}")
            data = mutate(kind, make_good(kind, chance.randrange(60)), chance)
            _try(found, Path(folder) / f"a_1{KINDS[kind].suffix}", data, number, keep)
    return found


@functools.cache
def make_good(kind: str, number: int) -> bytes:
    """A good file, made once."""
    return KINDS[kind].make(number)


@contextlib.contextmanager
def watch_all(found: Found) -> Iterator[None]:
    """Time the whole run, within which alarms are `HangError`s."""
    before = signal.signal(signal.SIGALRM, ring)
    start = time.perf_counter()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    found.seconds = round(time.perf_counter() - start, 1)


@contextlib.contextmanager
def watch_file(found: Found, number: int) -> Iterator[None]:
    """Count a file, time its reading, and note a hang or a traceback in place of raising it."""
    found.files += 1
    start = time.perf_counter()
    signal.alarm(HANG_S)
    try:
        yield
    except HangError:
        found.hangs.append(number)
    except Exception:
        found.tracebacks.append(f"{number}: {traceback.format_exc(limit=-2)}")
    finally:
        signal.alarm(0)
    found.slowest_s = max(found.slowest_s, round(time.perf_counter() - start, 2))


def _try(found: Found, path: Path, data: bytes, number: int, keep: Path | None) -> None:
    _write(KINDS[found.kind], path, data)
    bad = True
    with watch_file(found, number):
        bad = not _read(found, path, data, number)
    if bad and keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{found.kind}_{number}{path.suffix}").write_bytes(data)


def _write(kind: Kind, path: Path, data: bytes) -> None:
    """The file, or both of a pair; without the second where its mark is gone."""
    path.unlink(missing_ok=True)  # to write over a file waits for the disk
    if not kind.suffix_of_second:
        path.write_bytes(data)
        return
    first, mark, second = data.partition(MARK)
    path.write_bytes(first)
    other = path.with_suffix(kind.suffix_of_second)
    other.unlink(missing_ok=True)
    if mark:
        other.write_bytes(second)


def _read(found: Found, path: Path, data: bytes, number: int) -> bool:
    """Plan, read and cut a file; False where its pixels are not those of another library."""
    try:
        plan = build_plan([path], CONFIG)
    except MriganError:
        found.refused += 1
        return True
    outcomes = [process(source, CONFIG) for source in plan.sources]
    good = [s for s, outcome in zip(plan.sources, outcomes, strict=True) if outcome.slices]
    found.read += bool(good)
    found.refused += not good
    expected = _elsewhere(found.kind, data) if good else None
    if expected is None:
        return True
    source = good[0]
    if source.is_volume:
        ours: Pixels = read_source_volume(source).voxels
        ours = ours[::-1, ::-1, 0].T if found.kind == "dicom" else ours
    else:
        ours = read_shades(read_member(source.member))[0][0]
    found.compared += 1
    same = ours.shape == expected.shape and _equal(ours, expected)
    if not same:
        found.wrong.append(number)
    return same


def _equal(ours: Pixels, expected: Pixels) -> bool:
    """Whether all is equal but what is not a number, which readers replace."""
    good = np.isfinite(expected)
    return bool(np.array_equal(ours[good], expected[good]))


def _elsewhere(kind: str, data: bytes) -> Pixels | None:
    """What another library reads; None where it cannot, or warns that something is odd."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return KINDS[kind].read_elsewhere(data)
    except DamagedError:
        return np.empty(0)  # which nothing that is read is equal to
    except Exception:
        return None
