"""7z archives, listed from their headers and read forwards in memory, never unpacked."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import stat
import struct
import weakref
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line
from mri_gan.ingest.read.inflate import AGAIN, refuse_bomb
from mri_gan.ingest.source import (
    CLUTTER,
    HEAD_BYTES,
    LINKS,
    SPECIAL_FILES,
    Listing,
    Member,
    form_of,
    is_clutter,
    is_wanted,
    needs_look,
)

# Copy, LZMA, LZMA2, Delta, BZip2 and Deflate, which the standard library unpacks: py7zr's packages
# for the others were not made for damaged files.
METHODS = (b"\0", b"\3\1\1", b"\x21", b"\3", b"\4\2\2", b"\4\1\x08")
ENCRYPTION = b"\6\xf1\7\1"
ENCODED_HEADER = b"\x17"
START = struct.Struct("<12xQQ4x")  # place and size of the header, after the first 32 bytes
MAX_FILES = 1 << 18  # py7zr needs about 2 KB for each, and has a limit of eight millions
COUNTS = ("MAX_NUMFILES", "MAX_NUMFOLDERS", "MAX_SUBSTREAMS")
MAX_HEADER_BYTES = 1 << 26
FED_BYTES = 1 << 12
PIECE_BYTES = 1 << 20


class _Fed(io.RawIOBase):
    """Packed bytes, a few at a time: py7zr's decoders unpack or keep whatever they are given."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        """At most `FED_BYTES`."""
        return self.stream.read(min(size, FED_BYTES))


class _Block:
    """Files packed together, which can only be unpacked from the first one on."""

    def __init__(self, folder: Any, start: int, packed: int) -> None:
        self.folder, self.start, self.packed = folder, start, packed
        self.reason = _why_unreadable(folder, packed)
        self.good_bytes = folder.get_unpack_size()  # fewer once damage was met


def _why_unreadable(folder: Any, packed: int) -> str:
    methods = {coder["method"] for coder in folder.coders}
    if ENCRYPTION in methods:
        return "encrypted (unpack it with its password)"
    if not methods <= set(METHODS):
        return "packed in an unusual way (pack it again with LZMA2)"
    try:
        refuse_bomb(folder.get_unpack_size(), packed)
    except DataError as error:
        return error.message
    return ""


class _Archive:
    """An open archive: where its files are, and how far the block in use is unpacked."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream = stream
        weakref.finalize(self, stream.close)  # also where an error's frames refer to it in a circle
        self.block: _Block | None = None
        self.decoder: Any = None
        self.at = 0  # in the block, unpacked
        self.places: list[tuple[_Block | None, int]] = []  # of each file; None where it is empty
        archive = _read_header(stream)
        self.files = list(archive.files)
        blocks = {id(block.folder): block for block in _blocks(archive)}
        reached: Counter[int] = Counter()
        for file in self.files:
            key = id(file.folder)
            self.places.append((None if file.emptystream else blocks[key], reached[key]))
            reached[key] += file.uncompressed
            if file.uncompressed < 0:
                raise DataError("its header announces less than nothing")

    def read(self, number: int, n_bytes: int) -> bytes:
        """The first bytes of a file; forwards through a block, this is one pass."""
        block, offset = self.places[number]
        if block is None:
            return b""
        if block.reason:
            raise DataError(block.reason)
        if block is not self.block or self.at > offset:
            self.stream.seek(block.start)
            self.decoder = block.folder.get_decompressor(block.packed, reset=True)
            self.block, self.at = block, 0
        if offset + n_bytes > block.good_bytes:  # to try again would take the whole way again
            raise DataError("damaged, or behind something damaged")
        for _ in self._unpack(block, offset - self.at):
            pass
        return b"".join(self._unpack(block, n_bytes))

    def _unpack(self, block: _Block, n_bytes: int) -> Iterator[bytes]:
        fed, end = _Fed(self.stream), self.at + n_bytes
        try:
            while self.at < end:
                before = self.stream.tell()
                piece = self.decoder.decompress(fed, min(end - self.at, PIECE_BYTES))
                if not piece and self.stream.tell() == before:
                    raise DataError("shorter than its header announces")
                self.at += len(piece)
                yield piece
        except Exception as error:  # of five decoders
            block.good_bytes, self.block = self.at, None
            raise DataError(f"damaged ({one_line(error)})") from error


def _read_header(stream: io.BufferedReader) -> Any:
    """What py7zr makes of it, within limits: a few packed bytes may announce millions of files."""
    import py7zr
    from py7zr import archiveinfo

    size, header_bytes = START.unpack(stream.read(START.size).ljust(START.size, b"\0"))
    stream.seek(START.size + size)
    if stream.read(1) == ENCODED_HEADER:
        packed = archiveinfo.HeaderStreamsInfo.retrieve(io.BytesIO(stream.read(header_bytes - 1)))
        for folder in packed.unpackinfo.folders:
            reason = _why_unreadable(folder, header_bytes)
            header_bytes = folder.get_unpack_size()
            if reason:
                raise DataError(reason)
    if header_bytes > MAX_HEADER_BYTES:
        raise DataError("its header is too long", "split it")
    usual = {name: getattr(archiveinfo, name) for name in COUNTS}
    try:
        vars(archiveinfo).update(dict.fromkeys(COUNTS, MAX_FILES))
        stream.seek(0)
        return py7zr.SevenZipFile(stream)
    finally:
        vars(archiveinfo).update(usual)


def _blocks(archive: Any) -> Iterator[_Block]:
    streams = archive.header.main_streams
    if streams is None:
        return
    start, sizes = archive.afterheader + streams.packinfo.packpos, iter(streams.packinfo.packsizes)
    for folder in streams.unpackinfo.folders:
        packed = sum(next(sizes) for _ in folder.packed_indices)
        yield _Block(folder, start, packed)
        start += packed


def _open(path: Path) -> _Archive:
    """Open an archive once per process and version of the file."""
    try:
        info = path.stat()
        return _open_once(path, os.getpid(), info.st_size, info.st_mtime_ns)
    except OSError as error:
        raise explain_os_error(error, path) from error


@functools.lru_cache(maxsize=4)
def _open_once(path: Path, _pid: int, _size: int, _time: int) -> _Archive:
    try:
        with contextlib.ExitStack() as stack:
            archive = _Archive(stack.enter_context(path.open("rb")))
            stack.pop_all()
            return archive
    except OSError as error:
        if error.errno != errno.EINVAL:  # which it is to look before the beginning of a file
            raise
        raise DataError(f"{path}: is not a readable 7z (its header is damaged)", AGAIN) from error
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from error
    except Exception as error:  # whatever py7zr raises over damaged headers
        reason = "encrypted" if type(error).__name__ == "PasswordRequired" else one_line(error)
        raise DataError(f"{path}: is not a readable 7z ({reason})", AGAIN) from error


def list_7z(path: Path) -> Listing:
    """The files of a 7z in the archive's order, and what else there is.

    Raises DataError when it is damaged, encrypted or packed in ways that are not read.
    """
    archive, found = _open(path), Listing()
    for number, file in enumerate(archive.files):
        block, offset = archive.places[number]
        name = file.filename
        if file.is_directory:
            continue
        why = _why_not(file)
        if why:
            found.ignored[why] += 1
        elif block is not None and block.reason and is_wanted(name):
            found.bad.append((f"{path}:{name}", block.reason))
        else:
            form = _look(archive, number) if needs_look(name) else ""
            stamp = file.crc32 or 0
            found.members.append(
                Member(path, name, file.uncompressed, stamp, number, offset, form=form)
            )
    reasons = {reason for _, reason in found.bad}
    if len(reasons) == 1 and not any(
        m.size and (is_wanted(m.name) or m.form) for m in found.members
    ):
        raise DataError(f"{path}: {reasons.pop()}")
    return found


def _why_not(file: Any) -> str:
    """Why an entry is none of the files; empty where it is."""
    if is_clutter(file.filename):
        return CLUTTER
    if file.is_symlink or file.is_junction:
        return LINKS
    return "" if stat.S_ISREG(file.st_fmt or stat.S_IFREG) else SPECIAL_FILES


def _look(archive: _Archive, number: int) -> str:
    with contextlib.suppress(DataError, OSError):
        return form_of(archive.read(number, min(archive.files[number].uncompressed, HEAD_BYTES)))
    return ""  # what is damaged is noticed when it is read


def read_7z_member(member: Member) -> bytes:
    """The member's bytes, compared with the checksum that the archive has of it."""
    assert member.number is not None
    archive = _open(member.container)
    files = archive.files[member.number : member.number + 1]
    if [file.uncompressed for file in files] != [member.size]:
        raise DataError(f"{member.label}: changed since it was listed", "copy it again")
    try:
        data = archive.read(member.number, member.size)
    except DataError as error:
        raise DataError(f"{member.label}: {error.message}") from error
    if member.stamp and zlib.crc32(data) != member.stamp:
        raise DataError(f"{member.label}: damaged or changed since it was listed", "copy it again")
    return data
