"""The training schedule: size, alpha, batch and rate as a function of nimg, or from a file."""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING as REQUIRED
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mri_gan.config import (
    BY_SIZE_LOSSES,
    GROWING,
    LEVELS,
    Stage,
    TrainConfig,
    check_stages,
    require,
)
from mri_gan.errors import UsageError
from mri_gan.files import explain_os_error, parse_json

# The training schedule: a pure function from nimg to the phase in force

BASE_LR = 1e-3
BASE_BATCH = 16
# Karras 2019, appendix C: higher resolutions train with larger learning rates ...
SCHED_LR = {128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}
# ... and smaller batches, as the field's PyTorch implementations of the paper have them.
SCHED_BATCH = {8: 256, 16: 128, 32: 64, 64: 32, 128: 32, 256: 32, 512: 16, 1024: 8}


@dataclass(frozen=True)
class Phase:
    """What is in force for the next batch of real images."""

    resolution: int  # px
    alpha: float  # fade-in weight of the newest level, 0..1
    batch: int  # images
    lr: float


@functools.lru_cache(maxsize=64)
def stages(config: TrainConfig) -> tuple[Stage, ...]:
    """The levels that the run passes through, from the schedule file or from the options.

    Without a file the first level trains for one `phase`; every other fades in during one and
    stays for one (Karras 2018, appendix A).  An architecture that does not grow sees as many
    images at its one size, so that runs of the same options compare.
    """
    if config.schedule:
        return config.schedule
    sizes = [lv for lv in LEVELS if config.init_size <= lv <= config.max_size]
    if config.arch not in GROWING:
        grown = (2 * len(sizes) - 1) * config.phase
        return (_stage(config, config.max_size, 0, grown),)
    return tuple(
        _stage(config, size, 0 if size == config.init_size else config.phase, config.phase)
        for size in sizes
    )


def _stage(config: TrainConfig, size: int, fade: int, stay: int) -> Stage:
    """One level with the batch and learning rate that the options give it."""
    return Stage(
        size,
        fade,
        stay,
        config.batch or (SCHED_BATCH[size] if config.sched else BASE_BATCH),
        config.lr or (SCHED_LR.get(size, BASE_LR) if config.sched else BASE_LR),
    )


@functools.lru_cache(maxsize=64)
def starts(config: TrainConfig) -> tuple[int, ...]:
    """The nimg at which each level begins to fade in, and last the end of the whole schedule."""
    return tuple(itertools.accumulate((s.fade + s.stay for s in stages(config)), initial=0))


def total_images(config: TrainConfig) -> int:
    """The nimg at which training ends: `kimg`, or the end of the schedule.

    With a `kimg` beyond the schedule the largest level simply stays longer.
    """
    return round(config.kimg * 1000) if config.kimg is not None else starts(config)[-1]


def stages_reached(config: TrainConfig) -> Iterator[Stage]:
    """The levels as far as the run goes: `kimg` may end it before the schedule's end, or later."""
    for stage, start, end in zip(stages(config), starts(config), starts(config)[1:], strict=False):
        left = total_images(config) - start
        if left > 0:
            fade = min(stage.fade, left)
            is_last = end == starts(config)[-1]
            stay = left - fade if is_last else min(stage.stay, left - fade)
            yield replace(stage, fade=fade, stay=stay)


def phase_at(config: TrainConfig, nimg: int) -> Phase:
    """The phase for the batch that begins after `nimg` real images."""
    begun = zip(starts(config), stages(config), strict=False)
    start, stage = max(((at, s) for at, s in begun if at <= nimg), key=lambda pair: pair[1].size)
    alpha = min(1.0, (nimg - start) / stage.fade) if stage.fade else 1.0
    return Phase(stage.size, alpha, stage.batch, stage.lr)


def settings_used(config: TrainConfig) -> dict[str, Any]:
    """The settings with what a level decides written out, where it is the same at all levels."""
    used = config.to_dict() | {"kimg": total_images(config) / 1000}
    if not config.schedule:
        batches, rates = {s.batch for s in stages(config)}, {s.lr for s in stages(config)}
        used |= {"batch": batches.pop()} if len(batches) == 1 else {}
        used |= {"lr": rates.pop()} if len(rates) == 1 else {}
    if config.gp_weight is None:
        by_size = config.loss in BY_SIZE_LOSSES  # others have no penalty without a weight
        gammas = {r1_gamma(s.size, s.batch) if by_size else 0.0 for s in stages(config)}
        used |= {"gp_weight": gammas.pop()} if len(gammas) == 1 else {}
    return used


def r1_gamma(size: int, batch: int) -> float:
    """The weight of R1 by size and batch: Karras et al. 2020b, appendix C (heuristic)."""
    return 0.0002 * size**2 / batch


def step_number(config: TrainConfig, nimg: int) -> int:
    """How many steps lead to `nimg`; batches differ by level, and a level ends with a whole one."""
    steps = at = 0
    ends = [*starts(config)[1:-1], nimg]
    for stage, end in zip(stages(config), ends, strict=True):
        ahead = max(0, min(end, nimg) - at)
        taken = -(-ahead // stage.batch)
        steps, at = steps + taken, at + taken * stage.batch
    return steps


# Reading a user's own training schedule: one line or object for each level

EXAMPLE = "size fade stay batch lr, for example: 16 50000 100000 32 0.001"


def read_schedule(path: Path) -> tuple[Stage, ...]:
    """The levels in a `.json` list of objects or a table with tabs, by the names of `Stage`.

    fade and stay are images. Raises UsageError that names the file, the line and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        why = explain_os_error(error, path)
        raise UsageError(f"--schedule {why.message}", why.hint) from error
    except UnicodeError as error:
        raise UsageError(f"--schedule {path}: is no text", "save it as UTF-8") from error
    rows = _json_rows(path, text) if path.suffix == ".json" else _table_rows(text)
    require(bool(rows), f"--schedule {path}: has no levels", f"one line each: {EXAMPLE}")
    stages = tuple(_build_stage(path, line, row) for line, row in rows)
    try:
        check_stages(stages)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error
    return stages


def settings_by_levels(levels: Sequence[Stage], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a schedule's levels decide.

    Raises UsageError for one that is given, too, and differs.
    """
    ends = {"init_size": levels[0].size, "max_size": levels[-1].size}
    decided = {**ends, "schedule": tuple(levels), "batch": None, "lr": None, "sched": False}
    for name in (*ends, "phase", "batch", "lr", "sched"):
        agrees = name not in given or (name in decided and given[name] == decided[name])
        flag = f"--{name.replace('_', '-')}"
        require(agrees, f"{flag} beside --schedule", "the schedule sets it; leave one of them out")
    return decided


def _json_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UsageError(f"--schedule {path}: not valid JSON", str(error)) from error
    right = isinstance(value, list) and all(isinstance(row, dict) for row in value)
    require(right, f"--schedule {path}: not a list of objects", EXAMPLE)
    return list(enumerate(value, start=1))


def _table_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = csv.DictReader(lines, delimiter="\t")
    return [(rows.line_num, {k: v for k, v in row.items() if v != ""}) for row in rows]


def _build_stage(path: Path, line: int, row: dict[Any, Any]) -> Stage:
    where = f"--schedule {path}: level {line}"
    known = {field.name: field for field in fields(Stage)}
    unknown = ", ".join(str(name) for name in row if name not in known)
    require(not unknown, f"{where} has {unknown}", f"give {EXAMPLE}")
    lacking = [n for n, f in known.items() if row.get(n) is None and f.default is REQUIRED]
    require(not lacking, f"{where} lacks {', '.join(lacking)}", f"give {EXAMPLE}")
    values = {n: v for n, v in row.items() if v is not None}
    return Stage(**{name: _number(where, name, value) for name, value in values.items()})


def _number(where: str, name: str, value: Any) -> Any:
    """An image count may be written 5e4; a part of an image may not."""
    try:
        number = float(value)
        if name == "lr":
            return number
        require(number == int(number), f"{where}: {name} {value}", "give a whole number")
        return int(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{where}: {name} {value} is not a number", f"give {EXAMPLE}") from error
