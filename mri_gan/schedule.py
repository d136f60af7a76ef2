"""The training schedule: a pure function from nimg to the phase in force."""

from __future__ import annotations

from dataclasses import dataclass

from mri_gan.config import LEVELS, SCHED_BATCH, SCHED_LR, TrainConfig

BASE_LR = 1e-3
BASE_BATCH = 16


@dataclass(frozen=True)
class Phase:
    """What is in force for the next batch of real images."""

    resolution: int  # px
    alpha: float  # fade-in weight of the newest level, 0..1
    batch: int  # images
    lr: float


def sizes(config: TrainConfig) -> tuple[int, ...]:
    """The levels that the run passes through."""
    return tuple(lv for lv in LEVELS if config.init_size <= lv <= config.max_size)


def level_start(config: TrainConfig, size: int) -> int:
    """The nimg at which a level begins to fade in.

    The first level trains for one `phase`; every other fades in during one and stays for one
    (Karras 2018, appendix A).
    """
    position = sizes(config).index(size)
    return 0 if position == 0 else (2 * position - 1) * config.phase


def total_images(config: TrainConfig) -> int:
    """The nimg at which training ends: `kimg`, or the end of the largest level's stay."""
    if config.kimg:
        return round(config.kimg * 1000)
    return (2 * len(sizes(config)) - 1) * config.phase


def phase_at(config: TrainConfig, nimg: int) -> Phase:
    """The phase for the batch that begins after `nimg` real images."""
    resolution = max(
        (size for size in sizes(config) if level_start(config, size) <= nimg),
        default=config.init_size,
    )
    start = level_start(config, resolution)
    faded = (nimg - start) / config.phase
    alpha = 1.0 if resolution == config.init_size else min(1.0, faded)
    return Phase(resolution, alpha, _batch(config, resolution), _lr(config, resolution))


def _batch(config: TrainConfig, resolution: int) -> int:
    return config.batch or (SCHED_BATCH[resolution] if config.sched else BASE_BATCH)


def _lr(config: TrainConfig, resolution: int) -> float:
    if config.lr:
        return config.lr
    return SCHED_LR.get(resolution, BASE_LR) if config.sched else BASE_LR


def phases_from(config: TrainConfig, nimg: int) -> list[tuple[int, Phase]]:
    """All (nimg, phase) steps from `nimg` to the end, for tables and tests."""
    steps = []
    while nimg < total_images(config):
        phase = phase_at(config, nimg)
        steps.append((nimg, phase))
        nimg += phase.batch
    return steps
