"""Whether a GPU computes what the processor does: a few steps of every kind of training on both.

Random numbers are drawn on the processor for both, since each device has its own.  What a step
changes is compared, not where it arrives: the change is far smaller than the weights.

One step is compared tightly, three steps loosely, for roundings grow.  StyleGAN's grow most: its
first AdaIN divides the learned constant, whose pixels are all equal at first, by the root of 1e-8.
How much was measured on one processor with the axes of tensors in another order, which changes
nothing but the order of sums: at 16 px 0.2 % after one step and 2 % after three for StyleGAN,
1e-5 for all others.  A GPU's sums differ more than that, so the limits are several times as wide.
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

from mri_gan.config import (
    ARCHS,
    BY_FEATURES,
    FEATURE_CRITIC,
    LOSS_NAMES,
    TrainConfig,
    defaults_of,
)
from mri_gan.errors import UsageError
from mri_gan.pretrained import find_weights
from mri_gan.schedule import Phase
from mri_gan.train.state import TrainState, build_state, prepare_device
from mri_gan.train.step import train_step

BATCH = 8
LIMITS = {1: 0.002, 3: 0.01}  # steps: of the change of all weights, in float32
STYLEGAN_LIMITS = {1: 0.02, 3: 0.1}
BF16_LIMIT = 0.6  # after one step; 0.4 at most on a processor
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
# Where the features' weights are installed.
JUDGED = {name: BY_FEATURES[name] for name in ("loss", "share_fakes")}
FEATURE_CASES: dict[str, dict[str, Any]] = {
    f"{arch}, critic {critic}": {"arch": arch, "critic": critic, **JUDGED}
    for arch, critic in (
        ("stylegan", "features"),
        ("stylegan", "both"),
        ("stylegan2", "both"),
        ("fastgan", "features"),
        ("fastgan", "both"),
    )
}


@dataclass
class Found:
    """One comparison."""

    name: str
    errors: dict[int, float]  # steps: relative, of the change of all weights in float32
    bf16_error: float  # of one step in bfloat16, to the processor's in float32
    limits: dict[int, float]
    seconds: float
    trouble: str = ""  # why it could not be computed

    @property
    def good(self) -> bool:
        """Whether both precisions did what they should; what is not a number did not."""
        within = all(self.errors[steps] < limit for steps, limit in self.limits.items())
        return not self.trouble and within and self.bf16_error < BF16_LIMIT


def build_cases(size: int) -> dict[str, tuple[TrainConfig, float, int]]:
    """Configuration, alpha and bits per pixel of every comparison by its name."""
    base = TrainConfig(max_size=size, capacity=1 / 32, latent_dim=16, mapping_depth=2)
    chosen: dict[str, dict[str, Any]] = {
        f"{arch}, {loss}": {"arch": arch, "loss": loss} for arch in ARCHS for loss in LOSS_NAMES
    }
    cases = {}
    for name, given in (chosen | EXTRAS | feature_cases()).items():
        options = dict(given)
        alpha, depth = options.pop("alpha", 1.0), options.pop("depth", 8)
        defaults = defaults_of(options.get("arch", "stylegan"), options.get("loss"))
        kept = {k: defaults[k] for k in ("gp_weight", "n_critic") if k in defaults}
        cases[name] = (replace(base, **(kept | options)), alpha, depth)
    return cases


def feature_cases() -> dict[str, dict[str, Any]]:
    """Those with critics on features; none where the extra `features` is not installed."""
    try:
        find_weights(FEATURE_CRITIC)
    except UsageError:
        return {}
    return FEATURE_CASES


def compare_all(device: str, size: int, until: float, only: str = "") -> Iterator[Found]:
    """Every case in turn whose name holds `only`; none begins after `until` (time.monotonic)."""
    for name, (config, alpha, depth) in build_cases(size).items():
        if time.monotonic() > until:
            return
        if only in name:
            yield compare_case(name, config, alpha, depth, device)


def compare_case(name: str, config: TrainConfig, alpha: float, depth: int, device: str) -> Found:
    """One comparison; whatever a new device raises is a finding."""
    start = time.perf_counter()
    limits = STYLEGAN_LIMITS if config.arch == "stylegan" else LIMITS
    errors, bf16_error, trouble = dict.fromkeys(limits, float("nan")), float("nan"), ""
    try:
        for steps in limits:
            plain = change_of(config, alpha, depth, "cpu", steps)
            errors[steps] = relative(change_of(config, alpha, depth, device, steps), plain)
            if steps == 1:
                low = replace(config, precision="bf16")
                bf16_error = relative(change_of(low, alpha, depth, device, 1), plain)
    except Exception as found:
        trouble = f"{type(found).__name__}: {found}"[:300]
    return Found(name, errors, bf16_error, limits, time.perf_counter() - start, trouble)


def relative(found: Tensor, expected: Tensor) -> float:
    """How far one change [n] is from another, relative to its size."""
    return float((found - expected).norm() / expected.norm())


def change_of(config: TrainConfig, alpha: float, depth: int, device: str, steps: int) -> Tensor:
    """What some steps change in all weights, one after the other [n], on the processor."""
    state = build_state(config, torch.device(device))
    before = flatten_weights(state)
    run_steps(state, config, alpha, depth, device, steps)
    return flatten_weights(state) - before


def run_steps(
    state: TrainState, config: TrainConfig, alpha: float, depth: int, device: str, steps: int
) -> None:
    """A few steps of the generator on images without meaning, the same on every device."""
    prepare_device(config.precision, device)
    for optimiser in (state.g_opt, state.d_opt):
        optimiser.param_groups[0]["eps"] = EPS
    phase = Phase(config.max_size, alpha, BATCH, 1e-3)
    shape = (steps * config.n_critic, BATCH, config.channels, config.max_size, config.max_size)
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
