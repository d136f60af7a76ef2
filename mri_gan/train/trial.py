"""How long a step takes on this device: real steps on images without meaning."""

from __future__ import annotations

import math
import time

import torch

from mri_gan.config import TrainConfig
from mri_gan.schedule import Phase, step_number
from mri_gan.train.path_length import path_due
from mri_gan.train.state import TrainState
from mri_gan.train.step import penalty_due, train_step

FEW = 4  # images of the step that tells whether a whole batch can be afforded
Kind = tuple[bool, bool, bool]  # whether a step pays a penalty, moves the generator, pays a path


def seconds_per_image(
    state: TrainState, config: TrainConfig, phase: Phase, begin: int, device: str, limit_s: float
) -> float:
    """The time of one image at a level that begins at nimg `begin`, in the mean over steps.

    Every kind of step is tried once after a first one of a few images, which also makes the
    device ready. Where a whole batch would take longer than `limit_s`, the few have to do.
    """
    kinds = kinds_of_steps(config, phase, begin)
    few = min(FEW, phase.batch)
    first = next(iter(kinds))
    taken = seconds_of(state, config, phase, kinds[first][0], few, device)
    n = phase.batch if taken * phase.batch / few < limit_s else few
    if n == few and taken > limit_s:
        return taken / few
    seconds = 0.0
    steps = sum(len(nimgs) for nimgs in kinds.values())
    for nimgs in kinds.values():
        seconds_of(state, config, phase, nimgs[0], n, device)
        seconds += len(nimgs) / steps * seconds_of(state, config, phase, nimgs[0], n, device)
    return seconds / n


def kinds_of_steps(config: TrainConfig, phase: Phase, begin: int) -> dict[Kind, list[int]]:
    """The nimg of every step of a period after which penalties and the rest come round again."""
    period = math.lcm(config.penalty_every, config.n_critic * config.path_every)
    kinds: dict[Kind, list[int]] = {}
    for nimg in range(begin, begin + period * phase.batch, phase.batch):
        count = step_number(config, nimg)
        moves = (count + 1) % config.n_critic == 0
        kind = (penalty_due(config, count), moves, moves and path_due(config, nimg))
        kinds.setdefault(kind, []).append(nimg)
    return kinds


def seconds_of(
    state: TrainState, config: TrainConfig, phase: Phase, nimg: int, n: int, device: str
) -> float:
    """The time of one step with n images, as if `nimg` had been shown."""
    shape = (n, config.channels, phase.resolution, phase.resolution)
    images = torch.randint(256, shape, dtype=torch.uint8, device=device)
    dim = config.conditions.dim
    conditions = torch.zeros((2, n, dim), device=device) if dim else None
    state.nimg = nimg
    start = time.perf_counter()
    train_step(
        state,
        config,
        Phase(phase.resolution, phase.alpha, n, phase.lr),
        images,
        conditions=conditions,
    )
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
