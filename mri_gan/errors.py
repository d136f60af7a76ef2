"""Errors a person can act on: one line that names the file, a hint, an exit code."""

from __future__ import annotations

from typing import Any


def printable(text: str) -> str:
    """The text with a question mark for whatever a terminal or table might obey: controls, breaks.

    The one place where that is decided; names of files and people go through it before they are
    shown.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class MriganError(Exception):
    """Something the user can fix; `message` names the file, `hint` says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[MriganError], tuple[Any, ...]]:
        """Survive the trip from a worker process, where the default would lose the hint."""
        return type(self), (self.message, self.hint)


class DataError(MriganError):
    """A file, store or checkpoint cannot be read or written (exit code 1)."""


class LabelMapError(MriganError):
    """A volume that holds labels, not intensities."""


class SeriesError(MriganError):
    """Several volumes in one file, where one is needed."""


class NoImageError(MriganError):
    """A file that is whole, and holds numbers but no image."""


class OwnFileError(MriganError):
    """A file that this program wrote, and that holds no scan."""


class UsageError(MriganError):
    """Options that do not make sense, alone or with this data (exit code 2)."""

    exit_code = 2


class Stopped(MriganError):  # noqa: N818 - a stop by the user is not an error
    """A signal asked us to stop; what was done is saved (exit code 128 + signal)."""

    def __init__(self, message: str, hint: str = "", signum: int = 2) -> None:
        super().__init__(message, hint)
        self.signum = signum
        self.exit_code = 128 + signum

    def __reduce__(self) -> tuple[type[MriganError], tuple[Any, ...]]:
        return type(self), (self.message, self.hint, self.signum)


class Interrupted(BaseException):
    """A stop signal outside the work that has safe points of its own.

    No `Exception`, so that code which survives bad input does not survive it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


# Packages that `pip install mrigan` leaves out, and the extra that brings them
EXTRAS = {
    **dict.fromkeys(("torch", "matplotlib", "scipy", "skimage", "jinja2", "markupsafe"), "train"),
    "pydicom": "dicom",
    "distributed": "dask",
}


def explain_missing(error: ModuleNotFoundError) -> UsageError | None:
    """One line that names the extra to install; None where the module is none of an extra's."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        return None
    hint = f"pip install 'mrigan[{EXTRAS[name]}]'"
    return UsageError(f"this needs {name}, which is not installed", hint)
