"""Files, folders and zips as one flat list of members, read in memory, never unpacked."""

from __future__ import annotations

import functools
import itertools
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUME_SUFFIXES = (".nii", ".nii.gz")
MAX_MEMBER_BYTES = 4 << 30
# Deflate reaches about 1030:1 at most; real scans stay under 50:1, even nearly empty ones.
MAX_RATIO = 400
SMALL_BYTES = 1 << 20
# What `zipfile` raises for damaged members; ValueError for names that are no UTF-8.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Member:
    """One readable thing: a file on disk, or number `number` of a zip's directory.

    `name` is the path inside its container with forward slashes; for a folder it starts with
    the folder's own name, so that a zipped folder and the folder itself have the same names.
    `stamp` tells whether the content may have changed: a zip's CRC-32, or a file's time.
    """

    container: Path
    name: str
    size: int
    stamp: int
    number: int | None = None

    @property
    def label(self) -> str:
        """How to name it to a person."""
        return str(self.container) if self.number is None else f"{self.container}:{self.name}"


def suffix_of(name: str) -> str:
    """The lower-case suffix, with `.nii.gz` as one; `a.nii.gz_3.png` is a `.png`."""
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else PurePosixPath(lower).suffix


def is_clutter(name: str) -> bool:
    """Files that systems leave behind: resource forks, thumbnails, hidden files."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] == "Thumbs.db"


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts slice_2 before slice_10, the same on every machine."""
    return tuple(
        (0, int(part), part) if part.isdecimal() and part.isascii() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    )


def list_members(source: Path) -> tuple[list[Member], list[tuple[str, str]]]:
    """All members of a file, folder or zip in natural order, and (label, reason) of the rest.

    Raises DataError when the source itself cannot be listed.
    """
    if source.is_dir():
        return _list_folder(source)
    if suffix_of(source.name) == ".zip":
        return _list_zip(source), []
    try:
        return [_file_member(source, source.name)], []
    except OSError as error:
        raise explain_os_error(error, source) from error


def _file_member(path: Path, name: str) -> Member:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{path}: is not a regular file", "give a file, a folder or a zip")
    return Member(path, name, info.st_size, info.st_mtime_ns)


def _list_folder(folder: Path) -> tuple[list[Member], list[tuple[str, str]]]:
    members: list[Member] = []
    bad: list[tuple[str, str]] = []
    top = folder.resolve()
    for path in _walk(top):
        name = "/".join((top.name, *path.relative_to(top).parts))
        if is_clutter(name):
            continue
        try:
            if suffix_of(name) == ".zip":
                members += _list_zip(path)
            elif suffix_of(name) in IMAGE_SUFFIXES + VOLUME_SUFFIXES:
                members.append(_file_member(path, name))
        except (DataError, OSError) as error:
            bad.append((str(path), error.message if isinstance(error, DataError) else str(error)))
    return sorted(members, key=lambda m: natural_key(m.name)), bad


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
    return archive.read(info)


def gunzip(data: bytes, limit: int) -> bytes:
    """Decompress a whole gzip stream of at most `limit` bytes, its trailer verified.

    Readers that stop at the last voxel never see the trailer, and so miss damage: 175 of 200
    random bit flips gave wrong voxels without any error. Raises DataError.
    """
    out = bytearray()
    while data.strip(b"\0"):
        stream = zlib.decompressobj(wbits=31)
        try:
            out += stream.decompress(data, limit - len(out) + 1)
        except zlib.error as error:
            raise DataError("damaged gzip stream", one_line(error)) from error
        if len(out) > limit:
            raise DataError("more data than its header announces")
        if not stream.eof:
            raise DataError("truncated gzip stream")
        data = stream.unused_data
    return bytes(out)


def common_prefix(names: list[str]) -> str:
    """The folders that all names share, with the closing slash; empty when there is none."""
    if not names:
        return ""
    # Of sorted names, the first and the last differ the most.
    first, last = (name.split("/")[:-1] for name in (min(names), max(names)))
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(f"{part}/" for part, _ in shared)
