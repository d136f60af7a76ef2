"""Where an export goes: written beside its place and renamed into it when whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mri_gan.errors import DataError, UsageError
from mri_gan.files import explain_os_error, make_folder, sync_folder, write_text

MARKER = "export.json"  # tells a folder that was exported from one that was not


@contextlib.contextmanager
def temporary_target(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A free name beside `out`; what was written there takes its place when the block ends.

    Where the block fails, it is removed and `out` is as it was. Raises UsageError when `out`
    exists and may not be replaced.
    """
    require_free(out, overwrite=overwrite)
    make_folder(out.absolute().parent)
    temporary = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        _replace(out.absolute(), temporary)
    except OSError as error:
        raise explain_os_error(error, Path(error.filename or out)) from error
    finally:
        _remove(temporary)


def require_free(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError when `out` is in the way; only what an export wrote is ever replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise UsageError(f"{out}: is already there", "give another --out, or --overwrite")
    if out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise UsageError(
            f"{out}: holds files that no export wrote",
            "give another --out, or move those files away",
        )


def _is_export(folder: Path) -> bool:
    try:
        holds = json.loads((folder / MARKER).read_text(encoding="utf-8"))["holds"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {path.name for path in folder.iterdir()} <= {*holds, MARKER, "lock.mdb"}


def write_marker(folder: Path, facts: dict[str, Any]) -> None:
    """Say in the folder what was exported, and which entries of it the export owns."""
    holds = sorted(path.name for path in folder.iterdir())
    write_text(folder / MARKER, json.dumps({**facts, "holds": holds}, indent=1) + "\n")


def _replace(out: Path, temporary: Path) -> None:
    """Put the new in the place of the old, which goes only after the new is there."""
    if not temporary.exists():
        raise DataError(f"{out}: nothing was written", "choose slices that exist")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.is_dir():
        out.replace(old)
    temporary.replace(out)
    sync_folder(out.parent)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
