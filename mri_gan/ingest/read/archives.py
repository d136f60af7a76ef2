"""Files, folders, zips, tars and 7z as one flat list of members, read in memory, never unpacked."""

from __future__ import annotations

import contextlib
import functools
import lzma
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line
from mri_gan.ingest.outcome import reading
from mri_gan.ingest.read.inflate import AGAIN, EMPTY, require_bytes
from mri_gan.ingest.read.sevenzip import list_7z, read_7z_member
from mri_gan.ingest.read.tars import list_tar, read_tar_member
from mri_gan.ingest.source import (
    ARCHIVE_SUFFIXES,
    CLUTTER,
    HEAD_BYTES,
    LINKED_FOLDERS,
    LINKS,
    MAX_MEMBER_BYTES,
    MAX_MEMBERS,
    MAX_RATIO,
    PAIR_SUFFIXES,
    SLICE_SUFFIXES,
    SMALL_BYTES,
    Listing,
    Member,
    form_of,
    holds_slices,
    is_clutter,
    lacks_reader,
    natural_key,
    needs_look,
    stem_of,
    suffix_of,
)

LOCAL_HEADER_BYTES = 30  # of a zip, before a file's name
# What `zipfile` raises for damaged members; ValueError for names that are not UTF-8.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def list_source(source: Path) -> Listing:
    """All members of a file, folder or archive, what is damaged, and what kinds of files are not.

    They are in natural order, but for those of packed tars and 7z. Raises DataError when the source
    itself cannot be listed.
    """
    if source.is_dir():
        return _list_folder(source)
    suffix = suffix_of(source.name)
    if suffix in ARCHIVE_SUFFIXES and not lacks_reader(suffix):
        return _list_archive(source, suffix)
    try:
        return Listing([_file_member(path, path.name) for path in _halves(source)])
    except OSError as error:
        raise explain_os_error(error, source) from error


def _list_archive(path: Path, suffix: str) -> Listing:
    if path.is_file() and not path.stat().st_size:
        kind = suffix[1:] if suffix in (".zip", ".7z") else "tar"
        raise DataError(f"{path}: is not a readable {kind} ({EMPTY})", AGAIN)
    if suffix == ".zip":
        return _list_zip(path)
    return list_7z(path) if suffix == ".7z" else list_tar(path)


def _halves(source: Path) -> list[Path]:
    """The file itself, or both files of the pair that it is one of."""
    if suffix_of(source.name) not in PAIR_SUFFIXES:
        return [source]
    beside = (p for p in source.parent.iterdir() if suffix_of(p.name) in PAIR_SUFFIXES)
    return sorted(p for p in beside if stem_of(p.name) == stem_of(source.name))


def _file_member(path: Path, name: str) -> Member:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{path}: is not a regular file", "give a file, a folder or an archive")
    form = ""
    if needs_look(name):
        with path.open("rb") as stream:
            form = form_of(stream.read(HEAD_BYTES))
    return Member(path, name, info.st_size, info.st_mtime_ns, form=form)


# As in a data set of git-annex before its content is fetched.
LINK_TO_NOTHING = "a link to nothing (git annex get or datalad get would fetch the file)"


def _list_folder(folder: Path) -> Listing:
    found = Listing()
    ordered: dict[str, Listing] = {}
    top = folder.resolve()
    for path in _walk(top, found):
        inside = "/".join(path.relative_to(top).parts)
        name = f"{top.name}/{inside}"
        if is_clutter(inside):
            found.ignored[CLUTTER] += 1
            continue
        with reading(path) as problem:
            suffix = suffix_of(name)
            if suffix == ".zip":
                found.add(_list_archive(path, suffix))
            elif suffix in ARCHIVE_SUFFIXES and not lacks_reader(suffix):
                ordered[name] = _list_archive(path, suffix)
            elif path.is_symlink() and not path.exists():
                if suffix in SLICE_SUFFIXES:
                    raise DataError(f"{path}: {LINK_TO_NOTHING}")
                found.ignored[LINKS] += 1
            else:
                found.members.append(_file_member(path, name))
        found.bad += problem
    found.members.sort(key=lambda m: (natural_key(m.name), str(m.container)))
    for name in sorted(ordered, key=natural_key):  # whole, in their own order: see `list_tar`
        found.add(ordered[name])
    return found


def _walk(folder: Path, found: Listing) -> Iterator[Path]:
    """The files below a folder; folders that cannot be looked into are noted as bad."""

    def note(error: OSError) -> None:
        where = Path(error.filename)
        found.bad.append((str(where), explain_os_error(error, where).message.partition(": ")[2]))

    # Links to folders are not followed: they may form a loop or leave the data set.
    for root, folders, files in os.walk(folder, onerror=note, followlinks=False):
        linked = sum(Path(root, name).is_symlink() for name in folders)
        found.ignored += Counter({LINKED_FOLDERS: linked})
        yield from (Path(root, file) for file in files)


def _list_zip(path: Path) -> Listing:
    archive = _open_zip(path)
    found = Listing()
    if len(archive.infolist()) > MAX_MEMBERS:
        raise DataError(f"{path}: more than {MAX_MEMBERS} files", "split it")
    overlapping = _find_overlaps(archive)
    for number, info in enumerate(archive.infolist()):
        name = info.filename.replace("\\", "/")  # as some programs of Windows have it
        if name.endswith("/"):
            continue
        why = CLUTTER if is_clutter(name) else _why_not(info)
        if why:
            found.ignored[why] += 1
        elif number in overlapping:
            found.bad.append((f"{path}:{name}", "overlaps another file, as in a bomb"))
        else:
            form = _look(archive, info) if needs_look(name) else ""
            found.members.append(Member(path, name, info.file_size, info.CRC, number, form=form))
    found.members.sort(key=lambda m: natural_key(m.name))
    return found


def _find_overlaps(archive: zipfile.ZipFile) -> set[int]:
    """The numbers of files whose bytes reach into the next one's, if all need more than is there.

    A bomb of few bytes holds them thousands of times so.  Fifield 2019, "A better zip bomb".
    """
    files = archive.infolist()
    if sum(info.compress_size for info in files) <= archive.start_dir:
        return set()
    order = sorted(range(len(files)), key=lambda number: files[number].header_offset)
    ends = [*(files[number].header_offset for number in order[1:]), archive.start_dir]
    return {
        number
        for number, end in zip(order, ends, strict=True)
        if files[number].header_offset + LOCAL_HEADER_BYTES + files[number].compress_size > end
    }


def _why_not(info: zipfile.ZipInfo) -> str:
    return LINKS if stat.S_ISLNK(info.external_attr >> 16) else ""


def _look(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with contextlib.suppress(*ZIP_ERRORS, OSError), archive.open(info) as stream:
        return form_of(stream.read(HEAD_BYTES))
    return ""  # what is damaged is noticed when it is read


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
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{path}: is not a readable zip ({one_line(error)})", AGAIN) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    # Newer Pythons refuse the file before a wrong place, too; `_find_overlaps` finds bombs.
    if hasattr(zipfile.ZipInfo, "_end_offset"):
        for info in archive.infolist():
            info._end_offset = None  # type: ignore[attr-defined]
    return archive


def read_member(member: Member) -> bytes:
    """The member's bytes, its checksum verified.

    Raises DataError when it is damaged, encrypted, too large, or a decompression bomb.
    """
    if member.size > MAX_MEMBER_BYTES:
        raise DataError(f"{member.label}: too large ({member.size} bytes)", "split it")
    if holds_slices(member.name):  # a table of no lines is one
        require_bytes(member.size, member.label)
    try:
        if member.number is None:
            return member.container.read_bytes()
        if member.offset >= 0:
            is_7z = suffix_of(member.container.name) == ".7z"
            return read_7z_member(member) if is_7z else read_tar_member(member)
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
