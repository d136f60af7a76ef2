"""Folders, zips and tars of made-up files, and bytes with damage."""

from __future__ import annotations

import gzip as gzip_module
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ZIP_TIME = (2020, 1, 1, 0, 0, 0)


def truncated(data: bytes, share: float = 0.5) -> bytes:
    """The first part of a file, as a broken download leaves it."""
    return data[: int(len(data) * share)]


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes with one bit turned."""
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def write_zip(
    path: Path,
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """A zip with fixed times; a list of pairs may repeat names."""
    pairs = files.items() if isinstance(files, Mapping) else files
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in pairs:
            info = zipfile.ZipInfo("placeholder", ZIP_TIME)
            info.filename = name  # as it is: the constructor would tidy the name
            info.compress_type = method
            archive.writestr(info, data)
    return path


def write_tar(path: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Path:
    """A tar with fixed times, gzipped where its name says so."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    packed = path.suffix in (".gz", ".tgz")
    data = stream.getvalue()
    path.write_bytes(gzip_module.compress(data, compresslevel=1, mtime=0) if packed else data)
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """The files below a folder."""
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path
