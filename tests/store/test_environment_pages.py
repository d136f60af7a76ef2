"""A damaged index page is refused before LMDB follows it out of the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from mri_gan.errors import DataError
from mri_gan.store.environment import BRANCH, LEAF, check_pages

PAGE = 4096
DUPLICATES = 0x04  # a node flag for which LMDB reads through a null pointer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database written in one go, so that every page in it is in use."""
    folder = tmp_path_factory.mktemp("pages")
    with lmdb.open(str(folder), max_dbs=1) as env, env.begin(write=True) as txn:
        database = env.open_db(b"0008", txn)
        for i in range(3000):
            txn.put(i.to_bytes(4, "big"), bytes(i % 2500), db=database)
    return (folder / "data.mdb").read_bytes()


@pytest.fixture
def check(tmp_path: Path) -> Callable[[bytes], None]:
    """Checks a file of these bytes."""

    def write_and_check(content: bytes) -> None:
        (tmp_path / "data.mdb").write_bytes(content)
        check_pages(tmp_path / "data.mdb")

    return write_and_check


def pages(data: bytes, kind: int) -> list[int]:
    """Where pages of a kind begin."""
    return [at for at in range(2 * PAGE, len(data), PAGE) if data[at + 10] == kind]


def first_node(data: bytes, page: int) -> int:
    return page + int.from_bytes(data[page + 16 : page + 18], "little")


def with_bytes(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def test_a_whole_file_and_an_empty_one_are_sound(
    data: bytes, check: Callable[[bytes], None]
) -> None:
    check(data)
    check(b"")


def test_the_whole_tree_is_walked(data: bytes, check: Callable[[bytes], None]) -> None:
    assert pages(data, BRANCH)
    leaves = pages(data, LEAF)
    assert len(leaves) > 100
    for leaf in leaves[::20]:
        with pytest.raises(DataError, match=r"data\.mdb: damaged .*another kind"):
            check(with_bytes(data, leaf + 10, b"\7"))


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, b"\xff"), (10, b"\1"), (12, b"\xff\xff"), (12, b"\x11"), (14, b"\xff\xff"), (16, b"\0\0")],
    ids=["number", "kind", "lower", "odd", "upper", "node"],
)
def test_a_damaged_page_header_is_named(
    data: bytes, check: Callable[[bytes], None], offset: int, value: bytes
) -> None:
    page = pages(data, LEAF)[-1]
    with pytest.raises(DataError, match=r"data\.mdb: damaged"):
        check(with_bytes(data, page + offset, value))


@pytest.mark.parametrize(
    ("offset", "value"),
    [(2, b"\xff"), (4, bytes([DUPLICATES])), (6, b"\xff\xff")],
    ids=["size", "flags", "key"],
)
def test_a_damaged_node_is_named(
    data: bytes, check: Callable[[bytes], None], offset: int, value: bytes
) -> None:
    node = first_node(data, pages(data, LEAF)[-1])
    with pytest.raises(DataError, match=r"data\.mdb: damaged"):
        check(with_bytes(data, node + offset, value))


@pytest.mark.parametrize(("offset", "value"), [(0, b"\0"), (24, bytes(4)), (24, b"\0\0\1")])
def test_a_damaged_first_page_is_no_store(
    data: bytes, check: Callable[[bytes], None], offset: int, value: bytes
) -> None:
    for meta in (0, PAGE):
        data = with_bytes(data, meta + 16 + offset, value)
    with pytest.raises(DataError, match="cannot be opened as a store"):
        check(data)


# In a process of its own, which a page that slips through would end.
READ_FLIPPED = """
import collections, json, sys
from pathlib import Path
import phantoms
from mri_gan.errors import DataError
from mri_gan.store.reader import StoreReader

whole, damaged = Path(sys.argv[1]), Path(sys.argv[2])
data = (whole / "data.mdb").read_bytes()
def read(folder):
    with StoreReader(folder) as store:
        images = [store.read(level, range(len(store))).tobytes() for level in (8, 128)]
        return store.records, list(store.skipped()), images
expected, outcomes = read(whole), collections.Counter()
for bit in json.load(sys.stdin):
    (damaged / "data.mdb").write_bytes(phantoms.flipped(data, bit))
    try:
        outcomes["right" if read(damaged) == expected else "wrong"] += 1
    except DataError:
        outcomes["refused"] += 1
print(json.dumps(outcomes))
"""


def flags_of_pages(data: bytes) -> list[int]:
    """Each bit of the lower half of every page's flags."""
    return [8 * (page + 10) + bit for page in range(0, len(data), PAGE) for bit in range(8)]


def heads_of_index_pages(data: bytes) -> list[int]:
    """Bits from the first 256 bytes of pages that are no values."""
    index = [page for page in range(0, len(data), PAGE) if data[page + 10] in (BRANCH, LEAF, 8)]
    return [8 * page + bit for page in index for bit in range(5, 8 * 256, 101)]


@pytest.mark.parametrize("choose", [flags_of_pages, heads_of_index_pages])
def test_no_turned_bit_in_a_page_crashes_or_deceives(
    store: Path, tmp_path: Path, choose: Callable[[bytes], list[int]]
) -> None:
    bits = choose((store / "data.mdb").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", READ_FLIPPED, str(store), str(tmp_path)],
        input=json.dumps(bits),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    outcomes = json.loads(done.stdout)
    assert set(outcomes) == {"right", "refused"}
    assert sum(outcomes.values()) == len(bits) > 300
