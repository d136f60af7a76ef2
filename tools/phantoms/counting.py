"""How many files a source holds, counted with nothing but the standard library."""

from __future__ import annotations

import contextlib
import os
import tarfile
import zipfile
from pathlib import Path

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def count_files(source: Path) -> int:
    """Files of a folder, archive or file; those of archives in a folder for each archive."""
    if source.is_dir():
        return sum(
            sum(count_files(Path(root, name)) for name in files)
            + sum(Path(root, name).is_symlink() for name in folders)
            for root, folders, files in os.walk(source)
        )
    try:
        if source.name.lower().endswith(".zip"):
            with zipfile.ZipFile(source) as archive:
                names = (info.filename for info in archive.infolist())
                return sum(not name.endswith(("/", "\\")) for name in names)
        if source.name.lower().endswith(TARS):
            with tarfile.open(source) as tar:
                return sum(not member.isdir() for member in tar)
        if source.name.lower().endswith(".7z"):
            import py7zr

            with contextlib.suppress(Exception), py7zr.SevenZipFile(source) as seven:
                return sum(not member.is_directory for member in seven.list())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, tarfile.TarError):
        pass  # a damaged archive is one file
    return 1
