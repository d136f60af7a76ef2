"""Tar archives, plain or gzipped, listed in one pass and read in memory, never unpacked."""

from __future__ import annotations

import functools
import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tarfile import HeaderError, ReadError
from typing import IO, Self, cast

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line
from mri_gan.ingest.source import MAX_RATIO, SMALL_BYTES, Member, is_clutter, is_wanted, natural_key

GZIP_MAGIC = b"\x1f\x8b"
PIECE_BYTES = 1 << 20
END_OF_ARCHIVE = ("EOFHeaderError", "EmptyHeaderError")
# What tar and gzip raise for damaged archives; BadGzipFile is an OSError, unlike the others.
TAR_ERRORS = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
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


def is_packed(path: Path) -> bool:
    """Whether a tar is gzipped, by its first bytes and not by its name."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def list_tar(path: Path) -> list[Member]:
    """The regular files of a tar; links, devices and sparse files are none of them.

    A plain tar lists in natural order. A gzipped one lists in the order of the archive, which is
    the only one that can be read without starting again and again; the same pass takes the
    CRC-32 of what is wanted and checks gzip's own. Raises DataError when it is damaged.
    """
    try:
        if is_packed(path):
            return list(_list_packed(path))
        with tarfile.open(path, "r:", tarinfo=_StrictInfo) as archive:
            found = enumerate(archive)
            members = [
                _member(path, n, info, int(info.mtime)) for n, info in found if _usable(info)
            ]
        return sorted(members, key=lambda m: natural_key(m.name))
    except TAR_ERRORS as error:
        raise DataError(
            f"{path}: is not a readable tar ({one_line(error)})",
            "download or copy it again and compare its size with the original",
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error


def _usable(info: tarfile.TarInfo) -> bool:
    return info.isreg() and not info.issparse() and not is_clutter(info.name)


def _member(path: Path, number: int, info: tarfile.TarInfo, stamp: int) -> Member:
    return Member(path, info.name, info.size, stamp, number, info.offset_data)


def _list_packed(path: Path) -> Iterator[Member]:
    limit = max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)
    with gzip.open(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictInfo) as archive:
            for number, info in enumerate(archive):
                if info.offset_data + info.size > limit:
                    raise DataError(f"{path}: looks like a decompression bomb", "look at that file")
                if _usable(info):
                    crc = _crc(archive, info) if is_wanted(info.name) else 0
                    yield _member(path, number, info, crc)
        while stream.read(PIECE_BYTES):  # to the trailer, where gzip checks all that went before
            pass


def _crc(archive: tarfile.TarFile, info: tarfile.TarInfo) -> int:
    stream = cast(IO[bytes], archive.extractfile(info))
    crc = 0
    while piece := stream.read(PIECE_BYTES):
        crc = zlib.crc32(piece, crc)
    return crc


def read_tar_member(member: Member) -> bytes:
    """The bytes of a member; those of a gzipped tar are compared with what the plan saw.

    A gzipped tar can only be read forwards: the handle is kept between calls, so that members
    in the archive's order cost one pass, and begins anew when asked to go back.
    """
    try:
        data = _read_packed(member) if is_packed(member.container) else _read_plain(member)
    except TAR_ERRORS as error:
        raise DataError(f"{member.label}: damaged ({one_line(error)})", "copy it again") from error
    if len(data) != member.size:
        raise DataError(f"{member.label}: shorter than when it was listed", "copy it again")
    return data


def _read_plain(member: Member) -> bytes:
    with member.container.open("rb") as stream:
        stream.seek(member.offset)
        return stream.read(member.size)


def _read_packed(member: Member) -> bytes:
    info = member.container.stat()
    stream = _open_packed(member.container, os.getpid(), info.st_size, info.st_mtime_ns)
    stream.seek(member.offset)
    data = stream.read(member.size)
    if is_wanted(member.name) and zlib.crc32(data) != member.stamp:
        raise DataError(f"{member.label}: damaged or changed since it was listed", "copy it again")
    return data


@functools.lru_cache(maxsize=4)
def _open_packed(path: Path, _pid: int, _size: int, _time: int) -> gzip.GzipFile:
    return gzip.open(path)
