"""What a run folder holds, read without torch and without the training data."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mri_gan.config import CONFIG, METRICS, PLOT, REALS, SAMPLES, read_metrics, refuse_store
from mri_gan.errors import DataError, UsageError
from mri_gan.files import read_json, write_bytes
from mri_gan.pictures import Shows, read_age, read_mark

GRID_NAME = re.compile(r"(?P<nimg>\d{9})-(?P<size>\d{4})px\.png$")
# The results of other commands, as folders of a run that hold a JSON file of the same name.
RESULTS = ("evaluation", "audit", "utility")
PICTURES = ("*.png", "*.gif", "*.apng")
ELSEWHERE = (PLOT, REALS)  # shown in places of their own


@dataclass(frozen=True)
class Picture:
    """A picture file and what its own mark says that it shows; None where it has no mark."""

    path: Path
    shows: Shows | None
    nimg: int | None = None  # real images shown to the network that drew it, where it says so


@dataclass(frozen=True)
class Grid:
    """A grid of samples that training drew after `nimg` real images."""

    nimg: int
    size: int  # px of each sample
    picture: Picture


@dataclass(frozen=True)
class Result:
    """What one judging command wrote: its JSON document and the pictures beside it."""

    document: dict[str, Any]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class RunFacts:
    """All that a page shows of one run."""

    folder: Path
    config: dict[str, Any]  # config.json
    metrics: list[dict[str, Any]]  # one per tick
    grids: list[Grid]  # oldest first
    reals: Picture | None
    pictures: tuple[Picture, ...]  # what `mrigan test`, `walk` and others drew into the folder
    results: dict[str, Result] = field(default_factory=dict)
    with_people: bool = False  # whether a page may show pictures of real people

    @property
    def settings(self) -> dict[str, Any]:
        """The training settings."""
        return dict(self.config.get("settings", {}))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def nimg(self) -> int:
        """Real images shown so far."""
        reached = [line["nimg"] for line in self.metrics] + [grid.nimg for grid in self.grids]
        return max(reached, default=0)

    @property
    def newest(self) -> int:
        """Real images shown at the newest checkpoint, with which a grid is drawn."""
        return max((grid.nimg for grid in self.grids), default=0)


def read_run(folder: Path, with_people: bool = False) -> RunFacts:
    """Gather the facts of a run folder; raises DataError where it is not one."""
    refuse_store(folder)
    config = read_document(folder / CONFIG)
    if not isinstance(config.get("settings"), dict):
        raise DataError(f"{folder}: not a run folder", "give a folder that `mrigan train` wrote")
    reals = folder / REALS
    return RunFacts(
        folder=folder,
        config=config,
        metrics=read_metrics(folder / METRICS),
        grids=find_grids(folder / SAMPLES),
        reals=Picture(reals, read_mark(reals)) if reals.is_file() else None,
        pictures=tuple(p for p in find_pictures(folder) if p.path.name not in ELSEWHERE),
        results=dict(find_results(folder)),
        with_people=with_people,
    )


Page = TypeVar("Page")
# What a page meets in a document that the command did not write.
ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def showing(name: str) -> Callable[[Callable[..., Page]], Callable[..., Page]]:
    """For what shows a result of a run: DataError names the file where it holds something else."""

    def add(build: Callable[..., Page]) -> Callable[..., Page]:
        @functools.wraps(build)
        def named(run: RunFacts, *rest: Any) -> Page:
            try:
                return build(run, *rest)
            except ODD as error:
                path = run.folder / name if "." in name else run.folder / name / f"{name}.json"
                hint = "run the command again that wrote it, or remove it"
                raise DataError(f"{path}: holds something else than it should", hint) from error

        return named

    return add


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object; raises DataError that names the file where there is none."""
    if not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder", "check the spelling")
    if not path.is_file():
        raise DataError(
            f"{path.parent}: has no {path.name}", "give a folder that `mrigan train` wrote"
        )
    try:
        return read_json(path)
    except UsageError as error:
        raise DataError(error.message, "write it again") from error


def find_grids(folder: Path) -> list[Grid]:
    """The sample grids of a run, oldest first."""
    found = [(GRID_NAME.search(path.name), path) for path in folder.glob("*.png")]
    grids = [
        Grid(int(m["nimg"]), int(m["size"]), Picture(path, read_mark(path)))
        for m, path in found
        if m
    ]
    return sorted(grids, key=lambda grid: (grid.nimg, grid.size))


def find_pictures(folder: Path) -> list[Picture]:
    """Pictures directly in a folder, by name."""
    paths = sorted(path for pattern in PICTURES for path in folder.glob(pattern))
    return [Picture(path, read_mark(path), read_age(path)) for path in paths]


def find_results(folder: Path) -> Iterator[tuple[str, Result]]:
    """What `evaluate`, `audit` and `utility` left in the run folder."""
    for name in RESULTS:
        path = folder / name / f"{name}.json"
        if path.is_file():
            yield name, Result(read_document(path), tuple(find_pictures(folder / name)))


def copy_figures(run: RunFacts, folder: Path) -> list[Path]:
    """Copy the charts of the judging commands, as PDF where they can be, and the newest samples."""
    found = [path for name in run.results for path in sorted((run.folder / name).glob("*.pdf"))]
    charts = [one for result in run.results.values() for one in result.pictures]
    printed = {path.with_suffix("") for path in found}
    found += [
        one.path
        for one in charts
        if one.shows is Shows.CHART and one.path.with_suffix("") not in printed
    ]
    newest = [grid.picture for grid in run.grids[-1:]]
    found += [one.path for one in newest if one.shows is Shows.SYNTHETIC]
    for path in found:
        write_bytes(folder / path.name, path.read_bytes())
    return [folder / path.name for path in found]
