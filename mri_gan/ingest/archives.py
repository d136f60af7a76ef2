"""Files, folders, zips and tars as one flat list of members, read in memory, never unpacked."""

from __future__ import annotations

import functools
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line
from mri_gan.ingest.members import (
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
from mri_gan.ingest.tars import list_tar, read_tar_member
from mri_gan.ingest.zips import read_plain_member

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
    members.sort(key=lambda m: natural_key(m.name))
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
