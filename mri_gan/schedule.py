"""The training schedule: a pure function from nimg to the phase in force."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

from mri_gan.archs import GROWING
from mri_gan.config import LEVELS, SCHED_BATCH, SCHED_LR, Stage, TrainConfig

BASE_LR = 1e-3
BASE_BATCH = 16


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


def sizes(config: TrainConfig) -> tuple[int, ...]:
    """The sizes of the levels in px."""
    return tuple(stage.size for stage in stages(config))


def level_start(config: TrainConfig, size: int) -> int:
    """The nimg at which a level begins to fade in."""
    return starts(config)[sizes(config).index(size)]


def total_images(config: TrainConfig) -> int:
    """The nimg at which training ends: `kimg`, or the end of the schedule.

    With a `kimg` beyond the schedule the largest level simply stays longer.
    """
    return round(config.kimg * 1000) if config.kimg else starts(config)[-1]


def phase_at(config: TrainConfig, nimg: int) -> Phase:
    """The phase for the batch that begins after `nimg` real images."""
    begun = zip(starts(config), stages(config), strict=False)
    start, stage = max(((at, s) for at, s in begun if at <= nimg), key=lambda pair: pair[1].size)
    alpha = min(1.0, (nimg - start) / stage.fade) if stage.fade else 1.0
    return Phase(stage.size, alpha, stage.batch, stage.lr)


def step_number(config: TrainConfig, nimg: int) -> int:
    """How many steps lead to `nimg`; batches differ by level, and a level ends with a whole one."""
    steps = at = 0
    ends = [*starts(config)[1:-1], nimg]
    for stage, end in zip(stages(config), ends, strict=True):
        ahead = max(0, min(end, nimg) - at)
        taken = -(-ahead // stage.batch)
        steps, at = steps + taken, at + taken * stage.batch
    return steps


def phases_from(config: TrainConfig, nimg: int) -> list[tuple[int, Phase]]:
    """All (nimg, phase) steps from `nimg` to the end, for tests."""
    steps = []
    while nimg < total_images(config):
        phase = phase_at(config, nimg)
        steps.append((nimg, phase))
        nimg += phase.batch
    return steps
