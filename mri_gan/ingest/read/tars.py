"""Tar archives, plain or packed, listed in one pass and read in memory, never unpacked."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tarfile import HeaderError, ReadError
from typing import IO, Any, Self

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line
from mri_gan.ingest.read.inflate import AGAIN
from mri_gan.ingest.source import (
    CLUTTER,
    HEAD_BYTES,
    LINKS,
    MAX_MEMBERS,
    MAX_RATIO,
    SMALL_BYTES,
    SPECIAL_FILES,
    Listing,
    Member,
    form_of,
    is_clutter,
    is_wanted,
    natural_key,
    needs_look,
)

PACKERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
PIECE_BYTES = 1 << 20
# Of one member: names and attributes, or the map of a sparse file. Real ones are a few KB.
HEADER_BYTES = 1 << 20
END_OF_ARCHIVE = ("EOFHeaderError", "EmptyHeaderError")
# What tar and its packers raise for damaged archives; BadGzipFile is an OSError of no errno.
TAR_ERRORS = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    MemoryError,
)


class _StrictInfo(tarfile.TarInfo):
    """A header whose damage is an error; `tarfile` takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ in END_OF_ARCHIVE:
                raise
            raise ReadError(f"damaged header: {error}") from error


class _HeaderStream:
    """A stream as `tarfile` reads headers from it: forwards, and never more than a budget.

    A packed header may announce gigabytes. One byte is remembered, for which `tarfile` steps back
    behind each member: a packed stream would have to start again.
    """

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.limit = stream, limit
        self.budget = HEADER_BYTES
        self._at = self._reached = stream.tell()
        self._last = b""

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, position: int) -> int:
        """Have the next read begin elsewhere."""
        self._at = position
        return position

    def read(self, n_bytes: int = -1) -> bytes:
        """The next bytes; raises ReadError beyond the budget."""
        self.budget -= n_bytes
        if n_bytes < 0 or self.budget < 0:
            raise ReadError("its headers are too long")
        if self._at == self._reached - 1 and n_bytes == 1:
            self._at += 1
            return self._last
        self._go()
        return self._take(n_bytes)

    def _go(self) -> None:
        if self._at > self.limit:
            raise ReadError("looks like a decompression bomb")
        if self._at < self._reached:
            self.stream.seek(self._at)
            self._reached = self._at
        target = self._at
        self._at = self._reached
        while self._at < target and self._take(min(PIECE_BYTES, target - self._at)):
            pass

    def _take(self, n_bytes: int) -> bytes:
        data = self.stream.read(n_bytes)
        self._at += len(data)
        self._reached = self._at
        self._last = data[-1:] or self._last
        return data


def _find_packer(path: Path) -> Any:
    """What opens a tar that is packed, by what it begins with; None for a plain one."""
    with path.open("rb") as stream:
        head = stream.read(6)
    return next((way for magic, way in PACKERS.items() if head.startswith(magic)), None)


def list_tar(path: Path) -> Listing:
    """The files of a tar, hard-linked and sparse ones included, and what else there is.

    A plain tar lists in natural order. A packed one lists in the order of the archive, which is
    the only one that can be read without starting again and again; the same pass takes the
    CRC-32 of what is wanted and checks the packer's own. Raises DataError when it is damaged.
    """
    try:
        packer = _find_packer(path)
        with (packer or open)(path, "rb") as stream:
            found = _list(path, stream, packed=packer is not None)
    except TAR_ERRORS as error:
        raise DataError(f"{path}: is not a readable tar ({one_line(error)})", AGAIN) from error
    except OSError as error:
        if error.errno is None:  # bzip2's way to say that it is damaged
            raise DataError(f"{path}: is not a readable tar ({one_line(error)})") from error
        raise explain_os_error(error, path) from error
    place = (lambda m: m.offset) if packer else (lambda m: natural_key(m.name))
    found.members.sort(key=place)  # a hard link is beside its target
    return found


def _list(path: Path, stream: IO[bytes], packed: bool) -> Listing:
    limit = max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)
    reader = _HeaderStream(stream, limit)
    found = Listing()
    by_name: dict[str, Member] = {}
    for number, info in enumerate(_headers(reader)):
        if info.isdir():
            continue
        why = _why_not(info)
        if info.islnk() and not why:
            target = by_name.get(info.linkname)
            if target is None:
                found.bad.append((f"{path}:{info.name}", "a hard link to a file that is not there"))
                continue
            member = replace(target, name=info.name, number=number)
        elif why:
            found.ignored[why] += 1
            continue
        else:
            member = _member(path, number, info, reader, packed)
        if len(found.members) >= MAX_MEMBERS:
            raise ReadError(f"more than {MAX_MEMBERS} files")
        by_name[info.name] = member
        found.members.append(member)
    while packed and stream.read(PIECE_BYTES):  # to the trailer, which checks all that went before
        if stream.tell() > limit:
            raise ReadError("looks like a decompression bomb")
    return found


def _headers(reader: _HeaderStream) -> Iterator[tarfile.TarInfo]:
    fileobj: Any = reader
    with tarfile.open(fileobj=fileobj, mode="r:", tarinfo=_StrictInfo) as archive:
        kept: Any = archive
        while (info := archive.next()) is not None:
            kept.members.clear()  # the list grows without end, and hard links are followed here
            yield info
            reader.budget = HEADER_BYTES
            if len(archive.pax_headers) > HEADER_BYTES >> 10:
                raise ReadError("its headers are too long")


def _why_not(info: tarfile.TarInfo) -> str:
    """Why an entry is none of the files; empty where it is."""
    if is_clutter(info.name):
        return CLUTTER
    if info.issym():
        return LINKS
    return "" if info.isreg() or info.islnk() else SPECIAL_FILES


def _member(
    path: Path, number: int, info: tarfile.TarInfo, reader: _HeaderStream, packed: bool
) -> Member:
    sparse = info.issparse()
    if info.size + (0 if sparse else info.offset_data) > reader.limit:
        raise ReadError("looks like a decompression bomb")
    reader.budget += HEAD_BYTES + (2 * info.size if packed or sparse else 0)
    stamp, form = int(info.mtime), ""
    wanted = is_wanted(info.name)
    if needs_look(info.name):
        form = form_of(_read_start(info, reader))
    if packed:
        stamp = _crc(info, reader) if form or wanted else 0
    offset = info.offset if sparse else info.offset_data
    name = info.name.replace("\\", "/")  # as some programs of Windows have it
    return Member(path, name, info.size, stamp, number, offset, sparse, form)


def _read_start(info: tarfile.TarInfo, reader: _HeaderStream) -> bytes:
    if info.issparse():
        return _expand(info, reader)[:HEAD_BYTES]
    reader.seek(info.offset_data)
    return reader.read(min(info.size, HEAD_BYTES))


def _crc(info: tarfile.TarInfo, reader: _HeaderStream) -> int:
    if info.issparse():
        return zlib.crc32(_expand(info, reader))
    reader.seek(info.offset_data)
    crc, left = 0, info.size
    while left > 0 and (piece := reader.read(min(PIECE_BYTES, left))):
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    return crc


def _expand(info: tarfile.TarInfo, reader: _HeaderStream) -> bytes:
    """The bytes of a sparse file, its holes filled with zeros."""
    blocks: Any = info.sparse or ()
    data, at = bytearray(info.size), info.offset_data
    for start, size in blocks:
        if not 0 <= start <= start + size <= info.size:
            raise ReadError("its sparse map leaves the file")
        reader.seek(at)
        data[start : start + size] = reader.read(size)
        at += size
    if len(data) != info.size:
        raise ReadError("unexpected end of data")
    return bytes(data)


def read_tar_member(member: Member) -> bytes:
    """The bytes of a member; those of a packed tar are compared with what the plan saw.

    A packed tar can only be read forwards: the handle is kept between calls, so that members
    in the archive's order cost one pass, and starts again when it must go back.
    """
    try:
        packer = _find_packer(member.container)
        data = _read_packed(member, packer) if packer else _read_plain(member)
    except TAR_ERRORS as error:
        raise DataError(f"{member.label}: damaged ({one_line(error)})", "copy it again") from error
    if len(data) != member.size:
        raise DataError(f"{member.label}: shorter than when it was listed", "copy it again")
    return data


def _read_plain(member: Member) -> bytes:
    with member.container.open("rb") as stream:
        return _read_at(stream, member)


def _read_at(stream: IO[bytes], member: Member) -> bytes:
    if not member.sparse:
        stream.seek(member.offset)
        return stream.read(member.size)
    reader: Any = _HeaderStream(stream, member.offset + MAX_RATIO * member.container.stat().st_size)
    reader.seek(member.offset)
    with tarfile.open(fileobj=reader, mode="r:", tarinfo=_StrictInfo) as archive:
        info = archive.next()
    if info is None or info.size != member.size:
        raise ReadError("changed since it was listed")
    reader.budget += info.size
    return _expand(info, reader)


def _read_packed(member: Member, packer: Any) -> bytes:
    info = member.container.stat()
    stream = _open_packed(member.container, packer, os.getpid(), info.st_size, info.st_mtime_ns)
    data = _read_at(stream, member)
    if (member.form or is_wanted(member.name)) and zlib.crc32(data) != member.stamp:
        raise DataError(f"{member.label}: damaged or changed since it was listed", "copy it again")
    return data


@functools.lru_cache(maxsize=4)
def _open_packed(path: Path, packer: Any, _pid: int, _size: int, _time: int) -> IO[bytes]:
    stream: IO[bytes] = packer(path, "rb")
    return stream
