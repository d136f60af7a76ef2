"""A damaged or half-copied store: never a crash, and never another picture than was written.

Whatever is done to its files, `info`, `check` and reading every slice at every level either give
what the whole store gives, or one line that names the store.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faults
import phantoms
import pytest
from faults import Nursery

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="not tried: needs ptrace and /proc, which Linux has"
)

N_CASES = 230
PAGE = 4096
CHANGING = ("store", "seconds", "mb_per_s")  # facts that tell of the place or the moment

Hurt = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A whole store, another one of the same options, one under way, and what the first tells."""

    whole: Path
    other: Path
    unfinished: Path
    told: list[Any]


@pytest.fixture(scope="module")
def case(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Slices, a volume and a damaged file, committed in several transactions."""
    folder = tmp_path_factory.mktemp("damage")
    volume = phantoms.brain_volume((12, 14, 10))
    for name, people in (("whole", 4), ("other", 3)):
        files = phantoms.slice_files(people=people, slices=2, size=100) | {
            "sub00/scan.nii.gz": phantoms.nifti_bytes(volume, gzip=True),
            "sub01/slice_9.png": b"no picture",
        }
        sources = phantoms.write_folder(folder / f"{name}-set", files)
        arguments = ("prepare", sources, "--out", folder / name, "-q", "--workers", "0")
        done = faults.run(*faults.mrigan(*arguments, prelude=faults.SMALL_BATCHES))
        assert done.code == 1, done.err
    unfinished = folder / "unfinished"
    command = ("prepare", folder / "whole-set", "--out", unfinished, "-q", "--workers", "0")
    faults.kill_at_write(faults.mrigan(*command, prelude=faults.SMALL_BATCHES), unfinished, 40)
    whole = folder / "whole"
    return Case(whole, folder / "other", unfinished, [told for _, told in looks(nursery, whole)])


def looks(nursery: Nursery, folder: Path) -> Iterator[tuple[faults.Ended, Any]]:
    """What `info`, `check` and a reader of all slices and levels tell, but for place and time."""
    for ended in (
        nursery("info", folder, "--json"),
        nursery("check", folder, "--json"),
        faults.contents(nursery, folder),
    ):
        told: Any = ended.out
        if told.startswith("{"):
            told = {k: v for k, v in json.loads(told).items() if k not in CHANGING}
        yield ended, told


# Ways to hurt a store


def cut(length: int, folder: Path) -> None:
    data = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(data[:length])


def turn(bits: list[int], folder: Path) -> None:
    data = (folder / "data.mdb").read_bytes()
    for bit in bits:
        data = phantoms.flipped(data, bit)
    (folder / "data.mdb").write_bytes(data)


def zero(start: int, length: int, folder: Path) -> None:
    data = bytearray((folder / "data.mdb").read_bytes())
    data[start : start + length] = bytes(length)
    (folder / "data.mdb").write_bytes(data)


def copy_page(source: Path, start: int, end: int, folder: Path) -> None:
    """Pages of another state of the file in the place of these, as a copy of moving parts has."""
    data = bytearray((folder / "data.mdb").read_bytes())
    data[start:end] = source.read_bytes()[start:end].ljust(end - start, b"\0")
    (folder / "data.mdb").write_bytes(data)


def swap_pages(pair: list[int], folder: Path) -> None:
    data = bytearray((folder / "data.mdb").read_bytes())
    one, two = (slice(PAGE * n, PAGE * (n + 1)) for n in pair)
    data[one], data[two] = data[two], data[one]
    (folder / "data.mdb").write_bytes(data)


def put(name: str, data: bytes, folder: Path) -> None:
    (folder / name).write_bytes(data)


def remove(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)


def put_folder(name: str, folder: Path) -> None:
    remove(name, folder)
    (folder / name).mkdir()


def put_link(target: str, folder: Path) -> None:
    remove("data.mdb", folder)
    (folder / "data.mdb").symlink_to(target)


def all_ways(case: Case) -> list[tuple[str, Hurt]]:
    """230 ways, always the same."""
    draw = random.Random(7)
    ways = [*damaged_bytes(case, draw), *mixed_pages(case, draw), *odd_files(case, draw)]
    size = (case.whole / "data.mdb").stat().st_size
    rest: Iterator[Hurt] = (
        functools.partial(turn, [draw.randrange(8 * size)]) for _ in range(N_CASES)
    )
    return [*ways, *(("bits", way) for way in rest)][:N_CASES]


def damaged_bytes(case: Case, draw: random.Random) -> Iterator[tuple[str, Hurt]]:
    """Cut short, with bits turned, with blocks of zeros."""
    data = (case.whole / "data.mdb").read_bytes()
    index_pages = [n for n in range(0, len(data), PAGE) if data[n + 10] in (1, 2, 8)]
    for length in (0, 1, 100, PAGE - 1, PAGE, 2 * PAGE - 1, 2 * PAGE, len(data) - 1):
        yield "cut", functools.partial(cut, length)
    for _ in range(22):
        unit = draw.choice((1, PAGE))
        yield "cut", functools.partial(cut, draw.randrange(len(data)) // unit * unit)
    for _ in range(45):
        yield "bits", functools.partial(turn, [draw.randrange(8 * len(data))])
    for _ in range(45):
        at = 8 * draw.choice(index_pages) + draw.randrange(8 * draw.choice((160, PAGE)))
        yield "index bits", functools.partial(turn, [at])
    for _ in range(10):
        bits = [draw.randrange(8 * len(data)) for _ in range(50)]
        yield "many bits", functools.partial(turn, bits)
    for _ in range(30):
        length = draw.choice((512, PAGE, 16 * PAGE))
        start = draw.randrange(len(data)) // length * length
        yield "zeros", functools.partial(zero, start, min(length, len(data) - start))


def mixed_pages(case: Case, draw: random.Random) -> Iterator[tuple[str, Hurt]]:
    """Pages at the place of others, or of another state of the file."""
    size = (case.whole / "data.mdb").stat().st_size
    for _ in range(15):
        yield "swapped pages", functools.partial(swap_pages, draw.sample(range(size // PAGE), 2))
    for source in (case.other, case.unfinished):
        for _ in range(10):
            start = PAGE * draw.randrange(size // PAGE)
            end = min(size, start + PAGE * draw.choice((1, 2, 32)))
            way = functools.partial(copy_page, source / "data.mdb", start, end)
            yield "pages of another copy", way


def odd_files(case: Case, draw: random.Random) -> Iterator[tuple[str, Hurt]]:
    """Files missing, changed for one another, or of another kind."""
    for name in ("preview.png", "manifest.tsv", "lock.mdb", ".lock"):
        if (case.whole / name).exists():
            content = (case.whole / name).read_bytes()
            yield "swapped file", functools.partial(put, "data.mdb", content)
            yield "missing companion", functools.partial(remove, name)
        yield "odd companion", functools.partial(put, name, b"odd\n" * 3000)
    for content in (b"text\n", b"PK\3\4" + bytes(9000), draw.randbytes(50_000), bytes(8 * PAGE)):
        yield "swapped file", functools.partial(put, "data.mdb", content)
    yield "folder", functools.partial(put_folder, "data.mdb")
    yield "folder", functools.partial(put_folder, "lock.mdb")
    yield "missing", functools.partial(remove, "data.mdb")
    for target in ("data.mdb", "gone", "/dev/null", "/dev/zero", "."):
        yield "link", functools.partial(put_link, target)
    unfinished = (case.unfinished / "data.mdb").read_bytes()
    yield "unfinished", functools.partial(put, "data.mdb", unfinished)


def outcomes(
    nursery: Nursery, case: Case, copy: Path, every: int
) -> tuple[int, Counter[str], list[str]]:
    """Tries every n-th way; gives how many, what came of the looks, and what went wrong."""
    ways = all_ways(case)
    found: Counter[str] = Counter()
    wrong: list[str] = []
    for number, (kind, hurt) in list(enumerate(ways))[::every]:
        shutil.copytree(case.whole, copy)
        hurt(copy)
        for (ended, told), right in zip(looks(nursery, copy), case.told, strict=True):
            refused = ended.code == 1 and len(ended.complaints) == 1 and str(copy) in ended.err
            if ended.code == 0 and told == right:
                found["right"] += 1
            elif refused and "Traceback" not in ended.err:
                found["refused"] += 1
            else:
                wrong.append(f"{number} {kind}: exit code {ended.code} {ended.err[-300:]}")
        shutil.rmtree(copy)
    return len(ways[::every]), found, wrong


def test_some_damaged_stores(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    ran, found, wrong = outcomes(nursery, case, tmp_path / "s", 20)
    assert not wrong, "\n".join(wrong)
    assert ran == 12
    assert min(found["right"], found["refused"]) > 0


@pytest.mark.slow
def test_230_damaged_stores(
    nursery: Nursery, case: Case, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    ran, found, wrong = outcomes(nursery, case, tmp_path / "s", 1)
    tell(f"damaged stores: {ran} cases, {dict(found)} of {3 * ran} looks")
    assert not wrong, "\n".join(wrong)
    assert ran == N_CASES
    assert found["refused"] > N_CASES
    assert found["right"] > N_CASES // 10
