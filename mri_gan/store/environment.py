"""Opening a store for reading, safely: no crash signal, whatever the file holds.

LMDB believes every number it finds in a page: a turned bit in one can send it outside of the
file, which the system answers with a crash signal. Here the trees are walked first, and every
offset, size and page number compared with the bounds it must keep. Only index pages are read;
what is in the values is guarded by their own checksums.

Layout of LMDB 0.9 on 64-bit machines. A page begins with its number (8 bytes), 2 unused bytes,
flags (2), and the ends of its node offsets (2) and of its free space (2). A node is the size of
its data (4 bytes), flags (2), the size of its key (2), key, data; in a branch the first six
bytes are a page number. Pages 0 and 1 hold the two latest states of the whole file.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from mri_gan.config import is_run
from mri_gan.errors import DataError
from mri_gan.files import one_line, writer_of
from mri_gan.store.schema import DATA_FILE, DATABASE_NAMES, MAX_DATABASES

REMEDY = "run `mrigan prepare SOURCE... --out STORE` to make one"
COPY_AGAIN = "copy the whole file again, or delete the folder and prepare it again"

# LMDB refuses to open a file twice in one process, so readers of one folder share an environment.
_shared: dict[Path, lmdb.Environment] = {}
_users: Counter[lmdb.Environment] = Counter()
_given_back: deque[lmdb.Environment] = deque()
_shared_lock = threading.Lock()


def _close_after_fork() -> None:
    """Close a forked child's copies of its parent's environments: LMDB allows no second opening.

    Read only and without locks, that concerns the child's memory maps and nothing of the parent's.
    """
    global _shared_lock
    _shared_lock = threading.Lock()  # the parent may have held it
    for env in _shared.values():
        env.close()
    for known in (_shared, _users, _given_back):
        known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_after_fork)


def open_shared(folder: Path) -> lmdb.Environment:
    """The folder's environment for reading, opened once per process; pair with `close_shared`."""
    with _shared_lock:
        _close_given_back()
        key = folder.resolve()
        if key not in _shared:
            _shared[key] = open_for_reading(folder)
        _users[_shared[key]] += 1
        return _shared[key]


def is_open_here(folder: Path) -> bool:
    """Whether this process has the folder's store open; what nobody has any more is closed."""
    with _shared_lock:
        _close_given_back()
        return folder.resolve() in _shared


def close_shared(env: lmdb.Environment, *, wait: bool = True) -> None:
    """Give an environment of `open_shared` back; after its last reader it is closed.

    A finaliser must not `wait`: it may run while this very thread opens a store. The next call
    then closes what it gave back.
    """
    _given_back.append(env)
    if _shared_lock.acquire(blocking=wait):
        try:
            _close_given_back()
        finally:
            _shared_lock.release()


def _close_given_back() -> None:
    while _given_back:
        env = _given_back.popleft()
        _users[env] -= 1
        if not _users[env]:
            del _users[env], _shared[next(key for key, one in _shared.items() if one is env)]
            env.close()


def open_for_reading(folder: Path) -> lmdb.Environment:
    """Open the folder's environment, which nobody writes to.

    Raises DataError when the folder is not a store, or when its file is truncated or damaged so
    that LMDB would answer with a crash.
    """
    file = folder / DATA_FILE
    if not folder.exists():
        raise DataError(f"{folder}: no such store: check the spelling, or {REMEDY}")
    if is_run(folder):
        raise DataError(f"{folder}: is a run, not a store", "give the store that it was trained on")
    if not file.is_file():
        raise DataError(f"{folder}: is not a mrigan store (no {DATA_FILE})", REMEDY)
    if holder := writer_of(folder):
        raise DataError(
            f"{folder}: is being written by another process (pid {holder})", "wait until it is done"
        )
    check_pages(file)
    try:
        env: lmdb.Environment = lmdb.open(
            os.fsencode(folder),  # a name may be bytes that no text has
            map_size=file.stat().st_size,
            readonly=True,
            lock=False,  # there are no writers beside readers
            max_dbs=MAX_DATABASES,
            readahead=False,
        )
    except (lmdb.Error, OSError) as error:
        raise DataError(f"{folder}: cannot be opened as a store ({one_line(error)})", REMEDY) from (
            error
        )
    return env


# Is the structure of a file sound? Checked before LMDB opens it

BRANCH, LEAF = 0x01, 0x02
PAGE_HEADER, NODE_HEADER = 16, 8
BIG, DATABASE = 0x01, 0x02  # a node's data is in pages of its own; is a tree of its own
NO_PAGE = 2**64 - 1
MAGIC, LMDB_VERSION = 0xBEEFC0DE, 1
INTEGER_KEYS = 0x08
MAX_DEPTH = 32
CHUNK = 4096  # pages looked at together

_META = struct.Struct("<II16x")
_TREE = struct.Struct("<IHHQQQQQ")
_STATE = struct.Struct("<QQ")


class DamagedPageError(ValueError):
    """A page that holds what LMDB would not have written."""


@dataclass(frozen=True)
class _Tree:
    """Where a tree of pages begins, and what its owner says of it."""

    size: int  # of a page; LMDB keeps it here
    flags: int
    depth: int
    branches: int
    leaves: int
    overflow: int
    entries: int
    root: int

    @classmethod
    def at(cls, data: bytes | memoryview, offset: int = 0) -> _Tree:
        return cls(*_TREE.unpack_from(data, offset))


def check_pages(file: Path) -> None:
    """Raise DataError unless LMDB can read and write the file without leaving it.

    An empty file is a database that has not begun.
    """
    n_bytes = file.stat().st_size
    if not n_bytes:
        return
    with file.open("rb") as stream:
        head = stream.read(2 * 65536)
        try:
            free, main, last, size = _latest_state(head)
        except (DamagedPageError, struct.error) as error:
            raise DataError(f"{file}: cannot be opened as a store ({error})", COPY_AGAIN) from error
        if (last + 1) * size > n_bytes:
            raise DataError(
                f"{file}: cut short ({n_bytes} of {(last + 1) * size} bytes)", COPY_AGAIN
            )
        with mmap.mmap(stream.fileno(), (last + 1) * size, access=mmap.ACCESS_READ) as mapped:
            try:
                _check_trees(mapped, free, main, last, size)
            except DamagedPageError as error:
                raise DataError(f"{file}: damaged ({error})", COPY_AGAIN) from error


def _check_trees(mapped: mmap.mmap, free: _Tree, main: _Tree, last: int, size: int) -> None:
    walk: _Walk | None = None
    try:
        walk = _Walk(mapped, last, size)
        walk.check(free, "free pages", tree_flags=INTEGER_KEYS)
        for name, data in walk.check(main, "databases", databases=True):
            if name in DATABASE_NAMES:
                if len(data) != _TREE.size:
                    raise DamagedPageError("a database of the wrong size")
                walk.check(_Tree.at(data), name.decode())
    finally:
        if walk is not None:
            walk.release()  # a map that is still looked at cannot be closed


def _latest_state(head: bytes) -> tuple[_Tree, _Tree, int, int]:
    """The trees, the last page and the page size of the state that LMDB will open."""
    size = _Tree.at(head, PAGE_HEADER + _META.size).size
    if size not in {2**n for n in range(9, 17)} or len(head) < size + 160:
        raise DamagedPageError("MDB_INVALID: not an LMDB file")
    states = []
    for start in (0, size):
        offset = start + PAGE_HEADER
        if _META.unpack_from(head, offset) != (MAGIC, LMDB_VERSION):
            raise DamagedPageError("MDB_INVALID: not an LMDB file")
        offset += _META.size
        trees = (_Tree.at(head, offset), _Tree.at(head, offset + _TREE.size))
        last, transaction = _STATE.unpack_from(head, offset + 2 * _TREE.size)
        states.append((transaction, trees, last))
    # As LMDB chooses: the second only when it is newer.
    _, (free, main), last = max(states, key=lambda state: state[0])
    if free.size != size or last >= 2**48:
        raise DamagedPageError("its first pages are damaged")
    return free, main, max(last, 1), size


class _Walk:
    """Walks trees of pages; no page may be met twice."""

    def __init__(self, mapped: mmap.mmap, last: int, size: int) -> None:
        self._last = last
        self._size = size
        self._pages = np.frombuffer(mapped, np.uint8).reshape(last + 1, size)
        self._met = np.zeros(last + 1, bool)
        self._met[:2] = True

    def release(self) -> None:
        """Let go of the map."""
        del self._pages

    def check(
        self, tree: _Tree, name: str, *, tree_flags: int = 0, databases: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Raise DamagedPageError unless the tree is sound and has these flags.

        With `databases` nodes may be such; gives their keys and data.
        """
        if tree.flags != tree_flags or tree.depth > MAX_DEPTH:
            raise DamagedPageError(f"{name}: impossible flags or depth")
        if tree.root == NO_PAGE:
            if tree.entries:
                raise DamagedPageError(f"{name}: entries without pages")
            return []
        level = np.array([tree.root], np.uint64)
        for _ in range(tree.depth - 1):
            level = np.concatenate([self._children(part) for part in self._parts(level, name)])
        found: list[tuple[bytes, bytes]] = []
        entries = 0
        for part in self._parts(level, name):
            nodes = _Nodes(self._pages[part], part, LEAF)
            nodes.check_leaf(self._last, DATABASE if databases else 0)
            entries += nodes.count
            found += nodes.databases()
        if entries != tree.entries:
            raise DamagedPageError(f"{name}: {entries} entries of {tree.entries}")
        return found

    def _parts(self, numbers: NDArray[np.uint64], name: str) -> list[NDArray[np.int64]]:
        """Page numbers in portions, checked, and noted as met."""
        if (numbers > self._last).any():
            raise DamagedPageError(f"{name}: leads to page {numbers.max()} of {self._last + 1}")
        pages = numbers.astype(np.int64)
        if self._met[pages].any() or len(np.unique(pages)) != len(pages):
            raise DamagedPageError(f"{name}: leads to a page twice")
        self._met[pages] = True
        return [pages[i : i + CHUNK] for i in range(0, len(pages), CHUNK)]

    def _children(self, part: NDArray[np.int64]) -> NDArray[np.uint64]:
        return _Nodes(self._pages[part], part, BRANCH).children()


class _Nodes:
    """The nodes of some pages of one kind [P, size]; raises DamagedPageError where they overlap."""

    def __init__(self, pages: NDArray[np.uint8], numbers: NDArray[np.int64], kind: int) -> None:
        self._size = pages.shape[1]
        words: NDArray[Any] = pages.view("<u2")
        own, flags = pages[:, :8].copy().view("<u8")[:, 0], words[:, 5]
        lower, upper = (words[:, i].astype(np.int64) for i in (6, 7))
        if not np.array_equal(own, numbers) or (flags != kind).any():
            raise DamagedPageError("a page of another kind or place")
        if (lower % 2 | (lower <= PAGE_HEADER) | (lower > upper) | (upper > self._size)).any():
            raise DamagedPageError("a page with impossible bounds")
        counts = (lower - PAGE_HEADER) // 2
        rows, columns = np.nonzero(np.arange(counts.max()) < counts[:, None])
        offsets = words[rows, PAGE_HEADER // 2 + columns].astype(np.int64)
        bad = offsets % 2 | (offsets < upper[rows]) | (offsets + NODE_HEADER > self._size)
        if bad.any():
            raise DamagedPageError("a node outside of its page")
        self._bytes = pages.reshape(-1)
        self._offsets = offsets
        self._starts = rows * self._size + offsets  # in all bytes
        flat = self._bytes.view("<u2")
        head = [flat[self._starts // 2 + i].astype(np.uint64) for i in range(4)]
        self._sizes = head[0] | head[1] << np.uint64(16)
        self._flags = head[2]
        self._keys = head[3].astype(np.int64)

    @property
    def count(self) -> int:
        return len(self._starts)

    def children(self) -> NDArray[np.uint64]:
        """The pages that branch nodes lead to."""
        if (self._offsets + NODE_HEADER + self._keys > self._size).any():
            raise DamagedPageError("a key outside of its page")
        children: NDArray[np.uint64] = self._sizes | self._flags << np.uint64(32)
        return children

    def check_leaf(self, last: int, flag: int) -> None:
        """Keys and data lie within their page, or the data in pages of the file."""
        big = self._flags == BIG
        if ((self._flags != 0) & (self._flags != flag) & ~big).any():
            raise DamagedPageError("a node of an impossible kind")
        inside = np.where(big, np.uint64(8), self._sizes).astype(np.int64)
        if (self._offsets + NODE_HEADER + self._keys + inside > self._size).any():
            raise DamagedPageError("a value outside of its page")
        if big.any():
            at = (self._starts + NODE_HEADER + self._keys)[big]
            numbers = self._bytes[at[:, None] + np.arange(8)].view("<u8")[:, 0]
            needed = (self._sizes[big] + np.uint64(PAGE_HEADER - 1)) // np.uint64(self._size)
            if (numbers > last).any() or (numbers + needed > last).any() or (numbers < 2).any():
                raise DamagedPageError("a value outside of the file")

    def databases(self) -> list[tuple[bytes, bytes]]:
        """Names and trees of the nodes that are databases."""
        some = self._flags == DATABASE
        names = self._starts[some] + NODE_HEADER
        trees = names + self._keys[some]
        return [
            (self._bytes[n:t].tobytes(), self._bytes[t : t + int(size)].tobytes())
            for n, t, size in zip(names, trees, self._sizes[some], strict=True)
        ]
