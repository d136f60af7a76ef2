"""Files, folders, zips and tars as one flat list of members, read in memory, never unpacked."""

from __future__ import annotations

import functools
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mri_gan.errors import DataError
from mri_gan.files import crc32, explain_os_error, one_line
from mri_gan.ingest.read.inflate import fastest
from mri_gan.ingest.read.tars import list_tar, read_tar_member
from mri_gan.ingest.source import (
    MAX_MEMBER_BYTES,
    MAX_RATIO,
    PAIR_SUFFIXES,
    SMALL_BYTES,
    TAR_SUFFIXES,
    Member,
    is_clutter,
    is_wanted,
    natural_key,
    suffix_of,
)

# Files, folders, zips and tars as one flat list of members, read in memory, never unpacked

# What `zipfile` raises for damaged members; ValueError for names that are no UTF-8.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
)


def list_members(source: Path) -> tuple[list[Member], list[tuple[str, str]]]:
    """All members of a file, folder, zip or tar, and (label, reason) of the rest.

    They are in natural order, but for those of gzipped tars. Raises DataError when the source
    itself cannot be listed.
    """
    if source.is_dir():
        return _list_folder(source)
    if suffix_of(source.name) == ".zip":
        return _list_zip(source), []
    if suffix_of(source.name) in TAR_SUFFIXES:
        return list_tar(source), []
    try:
        return [_file_member(path, path.name) for path in _halves(source)], []
    except OSError as error:
        raise explain_os_error(error, source) from error


def _halves(source: Path) -> list[Path]:
    """The file itself, or both files of the pair that it is one of."""
    suffix = suffix_of(source.name)
    if suffix not in PAIR_SUFFIXES:
        return [source]
    stem = source.name[: -len(suffix)]
    beside = (p for p in source.parent.iterdir() if suffix_of(p.name) in PAIR_SUFFIXES)
    return sorted(p for p in beside if p.name[: -len(suffix_of(p.name))] == stem)


def _file_member(path: Path, name: str) -> Member:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{path}: is not a regular file", "give a file, a folder, a zip or a tar")
    return Member(path, name, info.st_size, info.st_mtime_ns)


def _list_folder(folder: Path) -> tuple[list[Member], list[tuple[str, str]]]:
    members: list[Member] = []
    tarred: dict[str, list[Member]] = {}
    bad: list[tuple[str, str]] = []
    top = folder.resolve()
    for path in _walk(top):
        name = "/".join((top.name, *path.relative_to(top).parts))
        if is_clutter(name):
            continue
        try:
            if suffix_of(name) == ".zip":
                members += _list_zip(path)
            elif suffix_of(name) in TAR_SUFFIXES:
                tarred[name] = list_tar(path)
            elif is_wanted(name):
                members.append(_file_member(path, name))
        except (DataError, OSError) as error:
            bad.append((str(path), error.message if isinstance(error, DataError) else str(error)))
    members.sort(key=lambda m: (natural_key(m.name), str(m.container)))
    for name in sorted(tarred, key=natural_key):  # whole, in their own order: see `list_tar`
        members += tarred[name]
    return members, bad


def _walk(folder: Path) -> Iterator[Path]:
    # Links to folders are not followed: they may form a loop or leave the data set.
    for root, _, files in os.walk(folder, followlinks=False):
        yield from (Path(root, file) for file in files)


def _list_zip(path: Path) -> list[Member]:
    infos = _open_zip(path).infolist()
    members = [
        Member(path, info.filename, info.file_size, info.CRC, number)
        for number, info in enumerate(infos)
        if not info.is_dir() and not is_clutter(info.filename)
    ]
    return sorted(members, key=lambda m: natural_key(m.name))


def _open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip once per process and version of the file; its directory is read only once.

    A handle inherited through a fork shares its file position with the parent, so it counts as
    another process's.
    """
    try:
        info = path.stat()
    except OSError as error:
        raise explain_os_error(error, path) from error
    return _open_zip_once(path, os.getpid(), info.st_size, info.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _open_zip_once(path: Path, _pid: int, _size: int, _time: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(
            f"{path}: is not a readable zip ({one_line(error)})",
            "download or copy it again and compare its size with the original",
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_member(member: Member) -> bytes:
    """The member's bytes, its checksum verified.

    Raises DataError when it is damaged, encrypted, too large, or a decompression bomb.
    """
    if member.size > MAX_MEMBER_BYTES:
        raise DataError(f"{member.label}: too large ({member.size} bytes)", "split it")
    try:
        if member.number is None:
            return member.container.read_bytes()
        if member.offset >= 0:
            return read_tar_member(member)
        return _read_zipped(_open_zip(member.container), member)
    except ZIP_ERRORS as error:
        raise DataError(f"{member.label}: damaged ({one_line(error)})", "copy it again") from error
    except OSError as error:
        raise explain_os_error(error, member.container) from error


def _read_zipped(archive: zipfile.ZipFile, member: Member) -> bytes:
    assert member.number is not None
    info = archive.infolist()[member.number]
    if info.file_size > SMALL_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise DataError(f"{member.label}: looks like a decompression bomb", "look at that file")
    data = read_plain_member(archive, info)
    return archive.read(info) if data is None else data


# Whole members of a zip in one read: `zipfile` makes a buffered stream for every one of them

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
SIGNATURE = b"PK\x03\x04"
ROOM_FOR_EXTRA = 64  # bytes: what most archivers add to a member's name
# Bits of the flags: encrypted, patched, strongly encrypted, masked.
ODD_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
RAW_DEFLATE = -15


def read_plain_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a stored or deflated member, its checksum compared.

    None says nothing about a member but that `zipfile` should look at it, and tell what is wrong.
    """
    if info.flag_bits & ODD_FLAGS or archive.fp is None or not hasattr(os, "pread"):
        return None
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    start = LOCAL_HEADER.size + len(name)
    n_bytes = start + ROOM_FOR_EXTRA + info.compress_size
    found = os.pread(archive.fp.fileno(), n_bytes, info.header_offset)
    if len(found) < start or found[LOCAL_HEADER.size : start] != name:
        return None
    signature, *_, n_name, n_extra = LOCAL_HEADER.unpack_from(found)
    if signature != SIGNATURE or n_name != len(name):
        return None
    packed = found[start + n_extra : start + n_extra + info.compress_size]
    data = _unpack(packed, info)
    if data is None or len(data) != info.file_size or crc32(data) != info.CRC:
        return None
    return data


def _unpack(packed: bytes, info: zipfile.ZipInfo) -> bytes | None:
    if info.compress_type == zipfile.ZIP_STORED:
        return packed
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return None
    stream = fastest.decompressobj(RAW_DEFLATE)
    try:
        # One byte more than announced, so that a stream which goes on is noticed.
        data: bytes = stream.decompress(packed, info.file_size + 1)
    except fastest.error:
        return None
    return data if stream.eof else None
