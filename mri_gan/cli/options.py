"""Options and small printing helpers that several commands share."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

quiet = click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
with_people = click.option(
    "--with-people",
    is_flag=True,
    help="Also show pictures of real people; the page is then as confidential as the scans.",
)
seed = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed for all random numbers."
)


def pick_device(name: str) -> str:
    """The torch device of a name; `auto` is a GPU where there is one.

    Raises UsageError where this machine has no such device.
    """
    # Threads of torch's OpenMP wait for each other in a busy loop. On a machine that does anything
    # else that made training several times slower; a short loop costs next to nothing when idle.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from mri_gan.nets import build

    # One GPU for each process that torchrun started on this machine.
    return build.pick_device(name, os.environ.get("LOCAL_RANK", "0"))


device = click.option(
    "--device",
    default="auto",
    show_default=True,
    callback=lambda _ctx, _param, value: pick_device(value),
    help="auto, cpu, cuda, cuda:1, mps.",
)


def has_gpu() -> bool:
    """Whether this machine seems to have a GPU that torch can use, without importing torch."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def train_command(store: Path) -> str:
    """The command that trains on a store and suits this machine."""
    return f"mrigan train {shlex.quote(str(store))} --preset {'gpu' if has_gpu() else 'laptop'}"


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2))


def report_files(paths: Sequence[Path], as_json: bool, quiet: bool, **facts: Any) -> None:
    """What a command has written: a line each, or one JSON document with further facts."""
    if as_json:
        print_json({"files": [str(path) for path in paths], **facts})
    elif not quiet:
        for path in paths:
            click.echo(path)


def write_page(path: Path, page: str, quiet: bool) -> None:
    """Write an HTML file and print where it is."""
    from mri_gan.files import make_folder, write_text

    make_folder(path.parent)
    write_text(path, page)
    if not quiet:
        click.echo(f"{path} ({human_bytes(path.stat().st_size)}); open it in a browser")


def human_bytes(count: float) -> str:
    """1536 -> '1.5 KB'."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """3725 -> '1 h 02 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def open_console(*, stderr: bool = False) -> Console:
    """Where tables and panels go: no escape codes at all with NO_COLOR, 100 columns in a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        highlight=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() else 100,
    )


LINE_EVERY_S = 10.0  # in log files, where nothing is drawn over


class Progress:
    """A bar in a terminal, a line every ten seconds elsewhere, nothing when quiet."""

    def __init__(self, total: int, unit: str, quiet: bool, done: int = 0) -> None:
        self._total, self._unit, self._quiet = total, unit.strip(), quiet
        self._first = self._done = done
        self._start = self._told = time.monotonic()
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, unit=unit, delay=0.5, dynamic_ncols=True, file=sys.stderr
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int) -> None:
        """Show how much is done by now."""
        more, self._done = done - self._done, done
        if self._bar is not None:
            self._bar.update(more)
        elif not self._quiet and time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            click.echo(self._line(self._told - self._start), err=True)

    def add(self, more: int) -> None:
        """Show how much has been done since the last time."""
        self.show(self._done + more)

    def _line(self, seconds: float) -> str:
        left = seconds / max(self._done - self._first, 1) * (self._total - self._done)
        return (
            f"{self._done:,} of {self._total:,} {self._unit}, {human_seconds(seconds)}, "
            f"left {human_seconds(left)}"
        )


def read_landmarks(
    _ctx: click.Context, _param: click.Parameter, folder: Path | None
) -> tuple[float, ...]:
    """A click callback for `--landmarks STORE`: what `--intensity nyul` has learned there."""
    if folder is None:
        return ()
    from mri_gan.store.reader import StoreReader

    with StoreReader(folder) as store:
        learned = store.header.get("learned", {}).get("landmarks", ())
    if not learned:
        raise UsageError(f"{folder}: has no landmarks", "prepare it with --intensity nyul")
    return tuple(learned)


def parse_numbers(
    count: int, kind: Callable[[str], Any]
) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """A click callback for `80,10,10`: exactly `count` numbers with commas."""

    def parse(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[Any, ...]:
        try:
            numbers = tuple(kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count:
            raise click.BadParameter(f"give {count} numbers with commas between them")
        return numbers

    return parse


def split_words(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
