"""What a run will take, told before it begins: parameters, disk, memory and time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.protocol import CriticNet, GeneratorNet
from mri_gan.nets.styles import broadcast_styles
from mri_gan.schedule import Phase, phase_at, total_images
from mri_gan.train.cost import image_work, levels
from mri_gan.train.losses import LOSSES, gradient_penalty, r1_penalty
from mri_gan.train.path_length import path_lengths
from mri_gan.train.state import build_state
from mri_gan.train.trial import seconds_per_image

FLOAT_BYTES = 4
TRIAL_S = 5.0  # about so long is a level tried
# Gradients on their way back and the convolutions' own room come on top of what is kept: 1.6 to
# 2.1 times as much in all where it was compared (tools/bench/bench_estimate.py, on a CPU).
WITH_GRADIENTS = 1.8
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
    """Count parameters and what a step remembers; try a few steps for the time."""
    with torch.device("meta"):
        generator, critic = build_generator(config.model), build_critic(config.model)
    g, d = count_parameters(generator), count_parameters(critic)
    moments = 1 if config.loss == "wgan-clip" else 2  # of RMSprop, of Adam
    weights = FLOAT_BYTES * (g * (2 + moments) + d * (1 + moments))  # two: the running mean
    last = phase_at(config, total_images(config) - 1)
    return Needs(
        generator=g,
        critic=d,
        checkpoint_bytes=weights,
        disk_bytes=(max(keep, 1) + 1) * weights,
        memory_bytes=PROCESS_BYTES
        + weights
        + FLOAT_BYTES * (g + d)
        + round(WITH_GRADIENTS * remembered_bytes(config, generator, critic, last)),
        seconds=sum(level_seconds(config, device)) if with_time else 0.0,
    )


def count_parameters(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in net.parameters())


def remembered_bytes(
    config: TrainConfig, generator: GeneratorNet, critic: CriticNet, phase: Phase
) -> int:
    """What a step keeps for its backward passes, in the moment when that is most.

    The step is run on tensors without content, and what autograd saves is counted.
    """
    n, size = phase.batch, phase.resolution
    with torch.device("meta"):
        shape = (n, config.channels, size, size)
        real, fake, mix = torch.empty(shape), torch.empty(shape), torch.empty(n, 1, 1, 1)
        z = torch.empty(n, config.latent_dim)
        condition = torch.empty(n, k) if (k := config.conditions.dim) else None
        noise = [torch.empty(one) for one in generator.noise_shapes(n, size)]

    def score(images: Tensor) -> Tensor:
        scores: Tensor = critic(images, condition=condition)
        return scores

    def draw(n: int) -> tuple[Tensor, Tensor]:
        w = generator.map(z[:n], None if condition is None else condition[:n])
        ws = broadcast_styles(w, generator.num_layers(size))
        images = generator.synthesis(ws, resolution=size, noise=[x[:n] for x in noise])
        return images, ws

    def learn_critic() -> None:
        both = None if condition is None else condition.repeat(2, 1)
        critic(torch.cat([real, fake]), parts=2, condition=both)
        kind = LOSSES[config.loss].penalty
        if kind == "gradient":
            gradient_penalty(score, real, fake, mix)
        elif kind == "r1":
            r1_penalty(score, real)

    def learn_paths() -> None:
        images, ws = draw((n + 1) // 2)
        path_lengths(images, ws, torch.empty_like(images))

    moments = [
        learn_critic,
        lambda: score(draw(n)[0]),
        *([learn_paths] if config.path_weight else []),
    ]
    half = 2 if config.precision == "bf16" else 1
    return max(map(saved_bytes, moments)) // half


def saved_bytes(act: Callable[[], object]) -> int:
    """Bytes of the tensors that autograd saves while something is computed."""
    kept: dict[int, Tensor] = {}  # held, so that no two get the same number

    def note(tensor: Tensor) -> Tensor:
        kept[id(tensor.untyped_storage())] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        act()
    storages = {id(t.untyped_storage()): t.untyped_storage().nbytes() for t in kept.values()}
    return sum(storages.values())


def level_seconds(config: TrainConfig, device: str) -> list[float]:
    """Seconds for each level that the run reaches, from a few real steps at each.

    Once a level has taken more than its share of `TRIAL_S`, larger ones are not tried: their
    images take as much longer as their work is greater.
    """
    state = build_state(config, torch.device(device))
    seconds: list[float] = []
    tried: tuple[float, float] | None = None  # seconds and FLOP of an image
    for begin, end, phase in levels(config):
        work = image_work(config, phase.resolution)
        if tried is None:
            start = time.perf_counter()
            each = seconds_per_image(state, config, phase, begin, device, TRIAL_S)
            if time.perf_counter() - start > TRIAL_S:
                tried = each, work
        else:
            each = tried[0] * work / tried[1]
        seconds.append((end - begin) * each)
    return seconds
