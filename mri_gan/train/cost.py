"""The cost of a run before it begins: parameters, FLOP, memory, disk and time."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mri_gan.config import ModelConfig, TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.layers import CriticNet, GeneratorNet
from mri_gan.schedule import Phase, phase_at, starts, step_number, total_images
from mri_gan.train import step
from mri_gan.train.state import TrainState, build_state

# What training costs, in FLOP, as a pure function of the configuration

COUNTED_IMAGES = 4  # a group of the minibatch standard deviation
# In forward passes: gradients of the weights and of the input cost another each.
LEARN = 3.0  # forward, gradients of both
SCORE = 2.0  # forward, gradient of the input
# Forward and gradient of the input, and for each of the two the gradients of weights and input.
LEARN_OF_GRADIENT = 6.0
# What a step costs besides, on top of its images: starting some thousand operations, updating
# weights.  On a CPU about 20 ms at 100 GFLOP/s where it was measured (docs/training.md); on a GPU
# an assumption, about 20 ms at 50 TFLOP/s.
STEP_WORK = {"cpu": 2e9, "cuda": 1e12}


@functools.lru_cache(maxsize=64)
def forward_work(model: ModelConfig, size: int) -> tuple[float, float]:
    """FLOP of generator and critic, forward, for one image at `size` px at full weight.

    Counted on networks without content: two for each multiply-add of convolutions and matrix
    products, as in the tables of docs/models.md.  Fading in adds less than a hundredth.
    """
    n = COUNTED_IMAGES
    with torch.device("meta"), torch.no_grad():
        generator = build_generator(model).requires_grad_(False)
        critic = build_critic(model).requires_grad_(False)
        condition = torch.empty(n, model.condition_dim) if model.condition_dim else None
        z = torch.empty(n, model.latent_dim)
        with FlopCounterMode(display=False) as drawing:
            images = generator(z, resolution=size, condition=condition)
        with FlopCounterMode(display=False) as scoring:
            critic(images, condition=condition)
    return drawing.get_total_flops() / n, scoring.get_total_flops() / n


def image_work(config: TrainConfig, size: int) -> float:
    """FLOP of all passes of one training image at `size` px, in the mean over steps.

    The critic sees real and drawn images, learns from both, and pays its penalty; the generator
    draws, gets its scores, learns, and pays for path lengths with half of a batch.
    """
    g, d = forward_work(config.model, size)
    critic_step = (0 if config.share_fakes else g) + 2 * LEARN * d
    if step.LOSSES[config.loss].penalty != "none":
        critic_step += LEARN_OF_GRADIENT * d / config.penalty_every
    generator_step = LEARN * g + SCORE * d
    if config.path_weight:
        generator_step += LEARN_OF_GRADIENT / 2 * g / config.path_every
    return critic_step + generator_step / config.n_critic


def levels_reached(config: TrainConfig) -> Iterator[tuple[int, int, Phase]]:
    """(begin, end, phase) of every level that the run reaches, in nimg."""
    total = total_images(config)
    bounds = [*(start for start in starts(config)[:-1] if start < total), total]
    for begin, end in itertools.pairwise(bounds):
        yield begin, end, phase_at(config, begin)


def work_between(config: TrainConfig, first: int, nimg: int, device: str = "cpu") -> float:
    """FLOP of a run from one nimg to a later one, with what each step costs besides."""
    besides = STEP_WORK.get(device.split(":")[0], STEP_WORK["cpu"])
    return sum(
        (image_work(config, phase.resolution) + besides / phase.batch)
        * max(0, min(nimg, end) - max(first, begin))
        for begin, end, phase in levels_reached(config)
    )


def seconds_left(
    config: TrainConfig, first: int, nimg: int, seconds: float, device: str = "cpu"
) -> float:
    """Time to the end of a run that came from `first` to `nimg` in this many seconds.

    Later levels cost more per image, so the rate so far is taken per FLOP.
    """
    done = work_between(config, first, nimg, device)
    return work_between(config, nimg, total_images(config), device) / done * seconds if done else 0


# How long a step takes on this device: real steps on images without meaning

STEP_SHARE = 0.4  # of the speed of a bare convolution that a whole step reaches, about
RATE_S = 0.3  # for measuring the speed of a convolution: longer than others are let in between
FEW = 4  # images of the step that shows whether a whole batch can be afforded
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


def quick_seconds(config: TrainConfig, device: str, first: int = 0) -> float:
    """Very roughly, the time from nimg `first` to the end, by one convolution's speed."""
    work = work_between(config, first, total_images(config), device)
    return work / (STEP_SHARE * convolution_rate(device, config.precision))


@functools.lru_cache(maxsize=8)
def convolution_rate(device: str, precision: str) -> float:
    """FLOP per second of a convolution as the networks have them, measured in a moment.

    In the mean, so that what else the machine computes counts.
    """
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.ones(8, 128, 32, 32, device=device, dtype=kind)
    weight = torch.ones(128, 128, 3, 3, device=device, dtype=kind)

    def convolve() -> None:
        torch.nn.functional.conv2d(x, weight, padding=1)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    convolve()  # the first makes the device ready
    start, count = time.perf_counter(), 0
    while (taken := time.perf_counter() - start) < RATE_S:
        convolve()
        count += 1
    return 2 * x.numel() * 9 * 128 * count / taken


def kinds_of_steps(config: TrainConfig, phase: Phase, begin: int) -> dict[Kind, list[int]]:
    """The nimg of every step of a period after which penalties and the rest come round again."""
    period = math.lcm(config.penalty_every, config.n_critic * config.path_every)
    kinds: dict[Kind, list[int]] = {}
    for nimg in range(begin, begin + period * phase.batch, phase.batch):
        count = step_number(config, nimg)
        moves = (count + 1) % config.n_critic == 0
        kind = (step.penalty_due(config, count), moves, moves and step.path_due(config, nimg))
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
    step.train_step(state, config, replace(phase, batch=n), images, conditions=conditions)
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


# What a run will take, estimated before it begins: parameters, disk, memory and time

FLOAT_BYTES = 4
TRIAL_S = 5.0  # about how long each level is tried
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
        # The newest, the best, the last of each level, and one that is being written.
        disk_bytes=(max(keep, 1) + 1 + len(list(levels_reached(config)))) * weights,
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
        some = None if condition is None else condition[:n]
        return step.draw_styled(generator, phase, z[:n], [x[:n] for x in noise], some)

    def learn_critic() -> None:
        both = None if condition is None else condition.repeat(2, 1)
        inputs = [x.requires_grad_() for x in critic.trained_inputs(torch.cat([real, fake]))]
        scores = critic.score_inputs(inputs, parts=2, condition=both)
        kind = step.LOSSES[config.loss].penalty
        if kind == "zero-centred":
            step.zero_centred_penalty(scores, inputs)
        elif kind == "gradient":
            step.gradient_penalty(score, real, fake, mix)
        elif kind == "r1":
            step.r1_penalty(score, real)

    def learn_paths() -> None:
        images, ws = draw((n + 1) // 2)
        step.path_lengths(images, ws, torch.empty_like(images))

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
    for begin, end, phase in levels_reached(config):
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
