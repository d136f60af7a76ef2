"""TrainState: everything that changes during training, with its device and optimisers."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mri_gan.config import TrainConfig, require
from mri_gan.nets.augmentation.pipeline import augment, draw_augmentations
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.layers import CriticNet, GeneratorNet
from mri_gan.store.schema import label_channels
from mri_gan.train.parallel import Step, gradients, key
from mri_gan.values import say_count

# How a device is set up before a run, and how batches come to it


def prepare_device(precision: str, device: str) -> None:
    """Choose float32 arithmetic and let cuDNN pick its algorithms by trying them.

    With `fp32` a GPU computes in float32 and not in TF32, whose 10 bits of mantissa would make
    the name a lie. With `bf16` the float32 that is left (mapping, penalties, losses) may be TF32.
    """
    if not device.startswith("cuda"):
        return
    if torch.cuda.is_available():
        # One for each process; else all of them use the first one as well.
        torch.cuda.set_device(torch.device(device).index or 0)
    reduced = precision == "bf16"
    torch.backends.cudnn.allow_tf32 = reduced
    torch.backends.cuda.matmul.allow_tf32 = reduced
    torch.backends.cudnn.benchmark = True


def lay_out(net: nn.Module, config: TrainConfig, device: torch.device) -> None:
    """Move a network to its device, in the order of axes that is quick there.

    The order of the weights decides that of everything after them.
    """
    net.to(device)
    if channels_innermost(config, device):
        lay_innermost(net)


def lay_innermost(net: nn.Module) -> None:
    """Turn every kernel so that the channels it reads are next to each other in memory.

    The order of the kernels decides that of the images after them.  A module whose `up` is true
    leads its kernel over the image as a transposed convolution, which reads the other channels.
    """
    for module in net.modules():
        for kernel in module.parameters(recurse=False):
            if kernel.dim() == 4:
                turns = getattr(module, "up", False)
                data = kernel.data.transpose(0, 1) if turns else kernel.data
                data = data.contiguous(memory_format=torch.channels_last)
                kernel.data = data.transpose(0, 1) if turns else data


@functools.lru_cache(maxsize=2)
def measure_innermost(low: bool) -> float:
    """How many times as fast a convolution is with channels innermost, on this processor.

    In bfloat16 where `low`.  A few milliseconds on one thread, in turn and by processor time, the
    best of ten each: on a busy machine threads that wait for each other would decide.  With AMX it
    was 3 to 4 times as fast, without it about as fast.
    """
    kind = torch.bfloat16 if low else torch.float32
    orders = (torch.contiguous_format, torch.channels_last)
    images = [torch.ones(4, 128, 16, 16, dtype=kind).to(memory_format=order) for order in orders]
    kernels = [torch.ones(128, 128, 3, 3, dtype=kind).to(memory_format=order) for order in orders]
    seconds, threads = [float("inf")] * len(orders), torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for _ in range(10):
            for i, (x, kernel) in enumerate(zip(images, kernels, strict=True)):
                start = time.thread_time()
                F.conv2d(x, kernel, padding=1)
                seconds[i] = min(seconds[i], time.thread_time() - start)
    torch.set_num_threads(threads)
    return seconds[0] / max(seconds[1], 1e-9)


def channels_innermost(config: TrainConfig, device: torch.device) -> bool:
    """Whether channels should be next to each other in memory.

    Tensor cores of a GPU work on bfloat16 so; in the other order cuDNN turns every tensor around
    and back. On a CPU convolutions are quicker so, and normalisations of each channel slower: by
    how much decides the run's `layout`, and where that is little, the architecture.
    """
    if device.type == "cuda":
        return config.precision == "bf16"
    return config.layout == "channels-last" or config.arch in ("stylegan2", "fastgan")


def to_device(array: Any, device: str) -> torch.Tensor:
    """A NumPy array as a tensor where the networks are; the host does not wait for the copy."""
    tensor = torch.from_numpy(array)
    if not device.startswith("cuda"):
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


# The optimisers of the papers, and steps that a gradient which is not finite does not take

ADAM_BETAS = (0.0, 0.99)  # Karras 2018, appendix A.1
ADAM_EPS = 1e-8
DCGAN_BETAS = (0.5, 0.999)  # Radford 2016, section 4
DCGAN_GP_BETAS = (0.0, 0.9)  # Gulrajani 2017, algorithm 1
RMSPROP_ALPHA = 0.99  # the usual one: Arjovsky 2017 names none


class RMSprop(torch.optim.Optimizer):
    """RMSprop that leaves a step out when `found_inf` is 1, as torch's fused Adam does.

    Nothing waits for the device.  Tieleman and Hinton 2012; for Wasserstein GANs: Arjovsky et al.
    2017, algorithm 1.
    """

    found_inf: Tensor

    def __init__(self, parameters: Any, lr: float = 1e-3, eps: float = 1e-8) -> None:
        super().__init__(parameters, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        take = 1 - self.found_inf
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["square_avg"] = torch.zeros_like(weight)
                gradient = weight.grad.nan_to_num(0.0, 0.0, 0.0)
                mean: Tensor = state["square_avg"]
                mean.lerp_(gradient.square(), (1 - RMSPROP_ALPHA) * take)
                weight.sub_(group["lr"] * take * gradient / (mean.sqrt() + group["eps"]))


def build_optimiser(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """What the paper of this architecture and loss uses; each step sets the learning rate."""
    if config.loss == "wgan-clip":
        return RMSprop(net.parameters())
    betas = ADAM_BETAS
    if config.arch == "dcgan":
        betas = DCGAN_GP_BETAS if config.loss == "wgan-gp" else DCGAN_BETAS
    return torch.optim.Adam(net.parameters(), betas=betas, eps=ADAM_EPS, fused=True)


@torch.no_grad()
def match_order(optimiser: torch.optim.Optimizer) -> None:
    """Lay what an optimiser remembers of each weight out as the weight is.

    The fused Adam goes through both as they are in memory, and a checkpoint from another device
    or version may have them in another order of axes.
    """
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.stride() != weight.stride() and value.dim():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def step_if_finite(optimiser: torch.optim.Optimizer) -> Tensor:
    """An optimiser step, unless a gradient is not finite: then weights and moments stay.

    Decided on the device: the optimisers leave out the step when `found_inf` is 1, which is also
    what this returns.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norms = torch.stack(torch._foreach_norm(gradients(parameters)))
    found = (~torch.isfinite(norms).all()).to(torch.float32)
    optimiser.found_inf = found  # type: ignore[attr-defined]
    optimiser.step()
    return found


@torch.no_grad()
def clip_weights(net: nn.Module, limit: float) -> None:
    """Keep every weight that learns within +-limit (Arjovsky et al. 2017, algorithm 1, line 7)."""
    for weight in net.parameters():
        if weight.requires_grad:
            weight.clamp_(-limit, limit)


# TrainState: everything that changes during training, built from the configuration


@dataclass
class TrainState:
    """Networks, their running mean, optimisers and one integer of progress.

    `attempt` counts rollbacks; it salts the random numbers so that another try differs. `suspect`
    counts the last ticks whose means looked like divergence.
    """

    g: GeneratorNet
    d: CriticNet
    g_ema: GeneratorNet
    g_opt: torch.optim.Optimizer
    d_opt: torch.optim.Optimizer
    augment: AugmentState
    path_mean: Tensor  # [], running mean of path lengths
    nimg: int = 0
    attempt: int = 0
    suspect: int = 0


def freeze_levels(d: nn.Module, count: int) -> None:
    """Keep the weights of a critic's `count` largest levels as they are.

    They see edges and textures, which another data set has as well: Mo et al. 2020, section 3.
    Raises UsageError for a critic that has fewer.
    """
    named = [(name.split("."), weight) for name, weight in d.named_parameters()]
    sizes = sorted({int(parts[1]) for parts, _ in named if parts[0] == "blocks"} - {4})
    require(
        count <= len(sizes),
        f"--freeze-critic {count}: this critic has {say_count(len(sizes), 'level')} that can be "
        "frozen",
        f"give at most {len(sizes)}" if sizes else "leave it out, or choose another --arch",
    )
    kept = {str(size) for size in sizes[len(sizes) - count :]}
    for parts, weight in named:
        shared = parts[0] == "from_image" and not parts[1].isdigit()
        of_level = parts[0] in ("from_image", "blocks", "norms") and parts[1] in kept
        weight.requires_grad_(not (of_level or shared))


def build_state(config: TrainConfig, device: torch.device) -> TrainState:
    """The state at nimg 0; initial weights are a function of the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.seed, "init"))
        g, d = build_generator(config.model), build_critic(config.model)
    for net in (g, d):
        lay_out(net, config, device)
    if config.freeze_critic:
        freeze_levels(d, config.freeze_critic)
    g_ema = copy.deepcopy(g).requires_grad_(False).eval()
    return TrainState(
        g,
        d,
        g_ema,
        build_optimiser(g, config),
        build_optimiser(d, config),
        start_augmenting(config, device),
        torch.zeros((), device=device),
    )


def side_state(state: TrainState) -> dict[str, Any]:
    """What a checkpoint keeps besides networks and optimisers."""
    return {
        "attempt": state.attempt,
        "suspect": state.suspect,
        "augment_p": state.augment.p.clone(),
        "augment_signs": state.augment.signs.clone(),
        "augment_steps": state.augment.steps,
        "path_mean": state.path_mean.clone(),
    }


def restore_side_state(state: TrainState, parts: dict[str, Any]) -> None:
    """Take back what `side_state` gave; checkpoints of older versions lack some or all of it."""
    state.attempt = int(parts.get("attempt", 0))
    state.suspect = int(parts.get("suspect", 0))
    if "path_mean" in parts:
        device = state.path_mean.device
        state.path_mean = parts["path_mean"].to(device)
        state.augment = AugmentState(
            parts["augment_p"].to(device),
            parts["augment_signs"].to(device),
            int(parts["augment_steps"]),
        )


# Augmentation in training: what the critic gets to see, and with which probability
#
# Karras et al. 2020b, section 3: a critic that overfits is sure of real images, so the mean sign of
# its scores of them shows when to augment more.

INTERVAL = 4  # steps between two changes of p; Karras et al. 2020b, section 3
CEILING = 0.8  # augmentations do not leak below it; Karras et al. 2020b, section 2.2

View = Callable[[Tensor], Tensor]  # images [n, C, R, R] -> what the critic sees of them


@dataclass
class AugmentState:
    """The probability of each augmentation, and what has been gathered to change it."""

    p: Tensor  # [], 0..1
    signs: Tensor  # [], sum over steps of the mean sign of the scores of real images
    steps: int = 0


def start_augmenting(config: TrainConfig, device: torch.device) -> AugmentState:
    """The state at nimg 0."""
    return AugmentState(
        torch.tensor(config.augment_p, device=device), torch.zeros((), device=device)
    )


def view_of(state: AugmentState, step: Step, purpose: str) -> View:
    """The augmentation of one batch, which may be applied to it any number of times."""
    config = step.config
    if config.augment == "none":
        return lambda images: images
    coloured = colour_channels(config)
    draws = draw_augmentations(
        step.phase.batch,
        state.p,
        step.rng("augment", purpose, device=state.p.device),
        size=step.phase.resolution,
        channels=coloured,
        kinds=tuple(config.augment_kinds.split(",")),
        mirror=config.flip,
    )
    own = draws if step.world.size == 1 else draws.rows(step.own_rows(state.p.device))
    return lambda images: augment(images, own, coloured)


def colour_channels(config: TrainConfig) -> int:
    """How many channels hold intensities; masks come behind them."""
    masks = label_channels(config.channel_names)
    return masks[0] if masks else config.channels


def signs_of(config: TrainConfig, real_scores: Tensor) -> list[Tensor]:
    """What a step gathers for `adapt`: the mean sign of the scores of real images, or nothing."""
    return [real_scores.detach().sign().mean()] if config.augment == "ada" else []


def adapt(state: AugmentState, step: Step, signs: list[Tensor]) -> dict[str, Tensor]:
    """Gather the signs of the scores of real images; every few steps move p by them.

    `signs` are those of the whole batch.  As far as real images are recognised more often
    than the target, p grows, by at most 1 in `ada_kimg`; otherwise it shrinks.  Karras et al.
    2020b, section 3, r_t.
    """
    config = step.config
    if config.augment == "none":
        return {}
    for sign in signs:
        state.signs += sign
        state.steps += 1
    if state.steps == INTERVAL:
        move = INTERVAL * step.phase.batch / (1000 * config.ada_kimg)
        towards = (state.signs / INTERVAL - config.ada_target).sign()
        state.p.add_(move * towards).clamp_(0.0, CEILING)
        state.signs, state.steps = torch.zeros_like(state.signs), 0
    return {"augment_p": state.p.clone()}
