"""What `evaluate`, `audit` and `utility` share: their options, and opening what they compare."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options

if TYPE_CHECKING:
    from mri_gan.library.quality import Judged
    from mri_gan.store.reader import StoreReader
    from mri_gan.synth.sample import Trained


OPTIONS = (
    options.path("--data", "The store that the model was trained on.", required=True),
    options.setting("--size", int, None, "Pixels  [default: the largest trained]."),
    options.setting("--noise", float, 1.0, "Strength of the noise."),
    options.device,
    options.seed,
    options.as_json,
    options.quiet,
)


trained_on = options.path(
    "--trained-on",
    "The store the run was trained on, if --data is another; people in both are named.",
    metavar="STORE",
)


@dataclass(frozen=True)
class Drawing:
    """How images are drawn: their size (None: the largest trained), truncation, noise, seed."""

    size: int | None
    psi: float
    noise: float
    seed: int
    device: str


def shared(psi: float) -> options.Decorator:
    """The options that all three commands have; those about drawing arrive as one `drawing`.

    `psi` is the truncation by default: 1 to judge a model, that of `generate` to judge pictures.
    """
    truncation = options.setting("--psi", float, psi, "Truncation; 1 is none.")
    return options.gathered("drawing", Drawing, *OPTIONS[:2], truncation, *OPTIONS[2:])


def require_one(ckpt: Path | None, images: Path | None) -> None:
    """Raise UsageError unless one is given, and for a folder of pictures where a run is wanted.

    DataError for a store there.
    """
    from mri_gan.config import is_run, refuse_store, require

    neither = "neither a checkpoint nor --images, or both"
    require((ckpt is None) != (images is None), neither, "give one of them")
    if ckpt is None:
        return
    refuse_store(ckpt)
    require(
        is_run(ckpt) or any(ckpt.glob("*.pt")) or not any(ckpt.glob("*.png")),
        f"{ckpt}: holds pictures, not a run",
        f"mrigan {click.get_current_context().command.name} --images {shlex.quote(str(ckpt))}",
    )


def find_judged(
    store: StoreReader,
    ckpt: Path | None,
    images: Path | None,
    count: int,
    drawing: Drawing,
    depth: int | None = None,
) -> Judged:
    """Images of a folder, or drawn from a checkpoint that fits the store.

    Fakes are rounded to `depth` bits  [default: those of the store].

    Raises DataError or UsageError where they and the store do not go together.
    """
    from mri_gan.library.quality import judge_model, judge_pictures
    from mri_gan.synth.sample import load_trained

    if images is not None:
        return judge_pictures(store, images, count, drawing.size, drawing.seed)
    assert ckpt is not None
    trained, how = load_trained(ckpt, drawing.device), drawing
    return judge_model(store, trained, how.size, how.psi, how.noise, how.seed, depth)


def people_in_both(
    trained: Trained | None, store: StoreReader, splits: tuple[str, ...], other: Path | None
) -> list[str] | None:
    """Subjects of some splits of a store that the run was trained on in another one.

    None where no other store is given. Raises UsageError where that is not the run's.
    """
    from mri_gan.config import require
    from mri_gan.store.reader import StoreReader
    from mri_gan.train.data import was_trained_on

    if other is None:
        return None
    with StoreReader(other) as opened:
        require(
            was_trained_on(trained, opened) is not False,
            f"--trained-on {other}: the run was trained on another store",
            "give the store that was given to mrigan train",
        )
        theirs = {opened.records[int(i)].subject for i in opened.indices("train")}
    own = {store.records[int(i)].subject for split in splits for i in store.indices(split)}
    return sorted(own & theirs)


def print_both(both: list[str] | None) -> None:
    """Name the people in both stores, on the screen only."""
    if both:
        click.echo(f"in both stores: {', '.join(both)}")


def say_channel(described: dict[str, Any]) -> str:
    """Which channel was looked at, where a store has several."""
    if described["channels"] == 1:
        return ""
    return f"; only channel {described['channel']}, the first of {described['channels']}"


def print_table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], caption: str | None = None
) -> None:
    """A table whose first column names the rows; the others are numbers."""
    from rich.table import Table

    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    options.open_console().print(table)


def find_folder(out: Path | None, judged: Judged, name: str, store: StoreReader) -> Path:
    """The folder of results that are called `name`, by default beside what is judged.

    Raises UsageError where it has those of the run's own store, and this is another one.
    """
    from mri_gan.config import require
    from mri_gan.files import parse_json

    folder = out or judged.beside / name
    file = folder / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        before = parse_json(file.read_text(encoding="utf-8"))
        require(
            before["store"]["digest"] == store.digest or before["trained_on_this_store"] is False,
            f"{file}: has results of another store",
            "give --out another folder",
        )
    return folder


def write_results(folder: Path, name: str, results: dict[str, Any]) -> Path:
    """The results as `NAME.json` in a folder that is made where needed."""
    from mri_gan.files import make_folder, write_json

    make_folder(folder)
    write_json(folder / name, results)
    return folder / name
