"""Whether a GPU computes what the processor does: a few steps of every kind of training on both.

Random numbers are drawn on the processor for both, since each device has its own.  What a step
changes is compared, not where it arrives: the change is far smaller than the weights.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from mri_gan.config import ARCHS, LOSS_NAMES, TrainConfig, defaults_of
from mri_gan.schedule import Phase
from mri_gan.train.state import TrainState, build_state, prepare_device
from mri_gan.train.step import train_step

STEPS, BATCH = 1, 8
LIMIT = 0.02  # of the change of all weights, in float32
EPS = 1e-4  # of Adam: with 1e-8 it makes whole steps of gradients that are rounding
EXTRAS: dict[str, dict[str, Any]] = {
    "stylegan, mixing, fade": {"mixing": True, "alpha": 0.5},
    "stylegan, 16 bits, three channels": {"channels": 3, "depth": 16},
    "stylegan2, path length, ada": {
        "arch": "stylegan2",
        "loss": "r1",
        "path_weight": 2.0,
        "path_every": 1,
        "augment": "ada",
        "augment_p": 0.5,
        "augment_kinds": "blit,geometry,colour,filter,noise,cutout",
    },
}


@dataclass
class Found:
    """One comparison."""

    name: str
    error: float  # relative, of the change of all weights; nan where it could not be computed
    finite_in_bf16: bool
    seconds: float
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether both precisions did what they should."""
        return not self.trouble and self.error < LIMIT and self.finite_in_bf16


def build_cases(size: int) -> dict[str, tuple[TrainConfig, float, int]]:
    """Configuration, alpha and bits per pixel of every comparison by its name."""
    base = TrainConfig(max_size=size, capacity=1 / 32, latent_dim=16, mapping_depth=2)
    chosen: dict[str, dict[str, Any]] = {
        f"{arch}, {loss}": {"arch": arch, "loss": loss} for arch in ARCHS for loss in LOSS_NAMES
    }
    cases = {}
    for name, options in (chosen | EXTRAS).items():
        alpha, depth = options.pop("alpha", 1.0), options.pop("depth", 8)
        defaults = defaults_of(options.get("arch", "stylegan"), options.get("loss"))
        kept = {k: defaults[k] for k in ("gp_weight", "n_critic") if k in defaults}
        cases[name] = (replace(base, **(kept | options)), alpha, depth)
    return cases


def compare_all(device: str, size: int, until: float) -> Iterator[Found]:
    """Every case in turn; those that would begin after `until` (time.monotonic) are left out."""
    for name, (config, alpha, depth) in build_cases(size).items():
        if time.monotonic() > until:
            return
        start = time.perf_counter()
        try:
            error = change_error(config, alpha, depth, device)
            finite = is_finite_in_bf16(config, alpha, depth, device)
            trouble = ""
        except Exception as found:  # whatever a new device comes up with is a finding
            error, finite, trouble = float("nan"), False, f"{type(found).__name__}: {found}"[:300]
        yield Found(name, error, finite, time.perf_counter() - start, trouble)


def change_error(config: TrainConfig, alpha: float, depth: int, device: str) -> float:
    """How far the change of all weights on a device is from that on the processor, relative."""
    changes = [change_of(config, alpha, depth, where) for where in ("cpu", device)]
    return float((changes[1] - changes[0]).norm() / changes[0].norm())


def change_of(config: TrainConfig, alpha: float, depth: int, device: str) -> Tensor:
    """What some steps change in all weights, one after the other [n], on the processor."""
    state = build_state(config, torch.device(device))
    before = flatten_weights(state)
    run_steps(state, config, alpha, depth, device)
    return flatten_weights(state) - before


def is_finite_in_bf16(config: TrainConfig, alpha: float, depth: int, device: str) -> bool:
    """Whether the weights are finite after the same steps in bfloat16."""
    low = replace(config, precision="bf16")
    state = build_state(low, torch.device(device))
    run_steps(state, low, alpha, depth, device)
    return bool(flatten_weights(state).isfinite().all())


def run_steps(
    state: TrainState, config: TrainConfig, alpha: float, depth: int, device: str
) -> None:
    """A few steps on images without meaning, the same on every device."""
    prepare_device(config.precision, device)
    for optimiser in (state.g_opt, state.d_opt):
        optimiser.param_groups[0]["eps"] = EPS
    phase = Phase(config.max_size, alpha, BATCH, 1e-3)
    shape = (STEPS * config.n_critic, BATCH, config.channels, config.max_size, config.max_size)
    kind = torch.uint8 if depth == 8 else torch.uint16
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(2**depth, shape, generator=rng, dtype=torch.int32).to(kind)
    with same_random_numbers():
        for batch in images:
            train_step(state, config, phase, batch.to(device))


def flatten_weights(state: TrainState) -> Tensor:
    """All weights of both networks and of the running mean [n], on the processor."""
    nets: tuple[nn.Module, ...] = (state.g, state.d, state.g_ema)
    return torch.cat(
        [p.detach().cpu().double().flatten() for net in nets for p in net.parameters()]
    )


@contextlib.contextmanager
def same_random_numbers() -> Iterator[None]:
    """Within, random numbers come from the processor's generator of the same seed."""
    twins: dict[int, tuple[torch.Generator, torch.Generator]] = {}

    def on_cpu(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*args: Any, **kwargs: Any) -> Tensor:
            given, device = kwargs.pop("generator", None), kwargs.pop("device", "cpu")
            if given is None:
                return draw(*args, device=device, **kwargs)
            twin = torch.Generator().manual_seed(given.initial_seed())
            _, own = twins.setdefault(id(given), (given, twin))
            return draw(*args, generator=own, **kwargs).to(device)

        return drawn

    with contextlib.ExitStack() as stack:
        for name in ("randn", "rand", "randint"):
            stack.enter_context(mock.patch.object(torch, name, on_cpu(getattr(torch, name))))
        yield
