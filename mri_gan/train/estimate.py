"""What a run will take, told before it begins: parameters, disk, memory and time."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.resolutions import channels_at
from mri_gan.schedule import Phase, phase_at, starts, total_images
from mri_gan.train.cost import CRITIC_PASSES, GENERATOR_PASSES, block_cost
from mri_gan.train.losses import LOSSES, gradient_penalty, r1_penalty

FLOAT_BYTES = 4
# Besides convolutions, a step filters, normalises, updates weights and waits; their share of the
# time was 20 to 40 % where it was measured (tools/bench/bench_train.py).
REST = 1.4
TRIAL_S = 0.05  # at least so long is a convolution measured
PROCESS_BYTES = 400_000_000  # Python, torch and what they load


@dataclass(frozen=True)
class Needs:
    """What a run takes, in bytes and seconds; memory and time are estimates."""

    generator: int  # parameters
    critic: int
    checkpoint_bytes: int  # the largest, at the last level
    disk_bytes: int  # of all that --keep keeps, and one that is being written
    memory_bytes: int  # at the last level: weights, gradients, and what a step remembers
    seconds: float  # from the start to the end on this device


def estimate(config: TrainConfig, keep: int, device: str, with_time: bool = True) -> Needs:
    """Count parameters and what a step remembers; measure convolutions for the time."""
    with torch.device("meta"):
        generator, critic = build_generator(config.model), build_critic(config.model)
    g, d = count_parameters(generator), count_parameters(critic)
    # Generator, its running mean and critic; two moments of Adam for each trained weight.
    weights = FLOAT_BYTES * (4 * g + 3 * d)
    last = phase_at(config, total_images(config) - 1)
    return Needs(
        generator=g,
        critic=d,
        checkpoint_bytes=weights,
        disk_bytes=(max(keep, 1) + 1) * weights,
        memory_bytes=PROCESS_BYTES
        + weights
        + FLOAT_BYTES * (g + d)
        + remembered_bytes(config, critic, last),
        seconds=sum(level_seconds(config, device)) if with_time else 0.0,
    )


def count_parameters(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in net.parameters())


def remembered_bytes(config: TrainConfig, critic: nn.Module, phase: Phase) -> int:
    """What the critic's step keeps for its backward pass, the most of any moment of a step.

    The step is run on tensors without content, and what autograd saves is counted.
    """
    kept: dict[int, Tensor] = {}  # held, so that no two get the same number

    def note(tensor: Tensor) -> Tensor:
        kept[id(tensor.untyped_storage())] = tensor
        return tensor

    n, k = phase.batch, config.conditions.dim
    shape = (n, config.channels, phase.resolution, phase.resolution)
    with torch.device("meta"):
        real, fake, mix = torch.empty(shape), torch.empty(shape), torch.empty(n, 1, 1, 1)
        one = torch.empty(n, k) if k else None
        two = torch.empty(2 * n, k) if k else None
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        critic(torch.cat([real, fake]), parts=2, condition=two)
        kind = LOSSES[config.loss].penalty
        if kind == "gradient":
            gradient_penalty(lambda x: _scores(critic, x, one), real, fake, mix)
        elif kind == "r1":
            r1_penalty(lambda x: _scores(critic, x, one), real)
    storages = {id(t.untyped_storage()): t.untyped_storage().nbytes() for t in kept.values()}
    half = 2 if config.precision == "bf16" else 1
    return sum(storages.values()) // half


def _scores(critic: nn.Module, images: Tensor, condition: Tensor | None) -> Tensor:
    scores: Tensor = critic(images, condition=condition)
    return scores


def level_seconds(config: TrainConfig, device: str) -> list[float]:
    """Seconds for each level of the schedule, from the speed of a convolution at each size."""
    bounds = [*starts(config)[:-1], max(starts(config)[-1], total_images(config))]
    total = total_images(config)
    speeds: dict[int, float] = {}
    seconds = []
    for begin, end in itertools.pairwise(bounds):
        images = min(end, total) - min(begin, total)
        phase = phase_at(config, begin)
        seconds.append(images * seconds_per_image(config, phase, device, speeds))
    return seconds


def seconds_per_image(
    config: TrainConfig, phase: Phase, device: str, speeds: dict[int, float]
) -> float:
    """The time of one image in a step; `speeds` remembers multiply-adds per second by size."""
    passes = GENERATOR_PASSES / config.n_critic + CRITIC_PASSES
    spent, size = 0.0, phase.resolution
    while size >= 4:
        if size not in speeds:
            speeds[size] = convolution_speed(config, size, phase.batch, device)
        spent += block_cost(config.capacity, size) / speeds[size]
        size //= 2
    return REST * passes * spent


def convolution_speed(config: TrainConfig, size: int, batch: int, device: str) -> float:
    """Multiply-adds per second of a 3x3 convolution of this run at one size."""
    width = channels_at(size, config.capacity)
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    x = torch.randn(batch, width, size, size, device=device, dtype=dtype)
    kernel = torch.randn(width, width, 3, 3, device=device, dtype=dtype)
    count, start = -1, 0.0
    with torch.inference_mode():
        while count < 1 or time.perf_counter() - start < TRIAL_S:
            out = F.conv2d(x, kernel, padding=1)
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            if count < 0:  # the first one chooses an algorithm
                start = time.perf_counter()
            count += 1
    taken = time.perf_counter() - start
    return 9.0 * width * out.numel() * max(count, 1) / taken
