"""What training costs, in FLOP, as a pure function of the configuration."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mri_gan.config import ModelConfig, TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.schedule import Phase, phase_at, starts, total_images
from mri_gan.train.losses import LOSSES

COUNTED_IMAGES = 4  # a group of the minibatch standard deviation
# In forward passes: gradients of the weights and of the input cost another each.
LEARN = 3.0  # forward, gradients of both
ASK = 2.0  # forward, gradient of the input
# Forward and gradient of the input, and for each of the two the gradients of weights and input.
LEARN_OF_GRADIENT = 6.0
# What a step costs besides, on top of its images: starting some thousand operations, updating
# weights.  On a CPU about 20 ms at 100 GFLOP/s where it was measured (docs/training.md); on a GPU
# an assumption, about 20 ms at 50 TFLOP/s.
STEP_WORK = {"cpu": 2e9, "cuda": 1e12}


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up torch's own formulas; its ready-made counter stops at a second derivative."""

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        if func is torch.ops.aten.convolution_backward.default:
            self.total -= overcounted(args, out)
        return out


def overcounted(args: tuple[Any, ...], out: tuple[Any, ...]) -> int:
    """What torch's formula counts too much: a grouped kernel's gradient as if of one group."""
    groups, wanted = args[9], args[10]
    if groups == 1 or not wanted[1]:
        return 0
    formula = flop_registry[torch.ops.aten.convolution_backward]
    whole = int(formula(*args[:10], (False, True, False), out_val=out))
    return whole - whole // int(groups)


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
        with FlopCount() as drawing:
            images = generator(z, resolution=size, condition=condition)
        with FlopCount() as scoring:
            critic(images, condition=condition)
    return drawing.total / n, scoring.total / n


def image_work(config: TrainConfig, size: int) -> float:
    """FLOP of all passes of one training image at `size` px, in the mean over steps.

    The critic sees real and drawn images, learns from both, and pays its penalty; the generator
    draws, asks the critic, learns, and pays for path lengths with half of a batch.
    """
    g, d = forward_work(config.model, size)
    critic_step = g + 2 * LEARN * d
    if LOSSES[config.loss].penalty != "none":
        critic_step += LEARN_OF_GRADIENT * d / config.penalty_every
    generator_step = LEARN * g + ASK * d
    if config.path_weight:
        generator_step += LEARN_OF_GRADIENT / 2 * g / config.path_every
    return critic_step + generator_step / config.n_critic


def levels(config: TrainConfig) -> Iterator[tuple[int, int, Phase]]:
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
        for begin, end, phase in levels(config)
    )


def seconds_left(
    config: TrainConfig, first: int, nimg: int, seconds: float, device: str = "cpu"
) -> float:
    """Time to the end of a run that came from `first` to `nimg` in so many seconds.

    Later levels cost more per image, so the rate so far is taken per FLOP.
    """
    done = work_between(config, first, nimg, device)
    return work_between(config, nimg, total_images(config), device) / done * seconds if done else 0
