"""A file of other people's weights as a checkpoint of ours."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mri_gan.checkpoint import IMPORTED, Checkpoint, save_checkpoint
from mri_gan.config import ModelConfig, TrainConfig, defaults_of
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.layers import GeneratorNet
from mri_gan.synth.foreign.containers import read_weights
from mri_gan.synth.foreign.stylegan2_ada import find_parts, is_tensorflow, read_stylegan2_ada
from mri_gan.synth.foreign.stylegan2_port import WAVELETS, is_stylegan2_port, read_stylegan2_port
from mri_gan.synth.foreign.stylegan_port import is_stylegan_port, read_stylegan_port
from mri_gan.synth.foreign.taking import (
    DEEPEST,
    ONLY,
    Imported,
    Weights,
    find_network,
    take_part,
    with_tensors,
)
from mri_gan.synth.foreign.tensors import Unknown
from mri_gan.values import say_count

FLOATS = "save them again as float32, on the CPU"
MEAN_OF = 10_000  # latents, where the file has no mean of w
OTHERS = {  # a tensor by which files of other networks are known, and what they are
    "final_conv.0.weight": "holds a critic of StyleGAN2, but no generator",
    "S.net.0.weight": "is of the package stylegan2_pytorch, whose networks are built differently",
    "initial_block": "is of the package stylegan2_pytorch, whose networks are built differently",
    WAVELETS: "is a SWAGAN, whose layers draw wavelets",
    "synthesis.early_layer.const": "is of a StyleGAN of GenForce, whose layers have other names",
    "style_mapping.0.weight": "is of a StyleGAN of MMEditing, whose layers are named differently",
    "synthesis.input.weight": "is a network of StyleGAN3's own architecture (alias-free)",
    "G.initial_conv.0.weight": "is of the package lightweight_gan, whose networks are others",
    "init.init.0.weight_orig": "is a FastGAN of another program",
    "main.0.weight": "is a DCGAN as PyTorch's tutorial builds it",
}


def read_foreign(path: Path, size: int | None = None) -> Imported:
    """The networks of a file, whichever of the known programs wrote it.

    Raises DataError, in one line, for a file of none of them.
    """
    value = read_weights(path)
    what = str(path)
    if isinstance(value, dict) and value.get("format") == "mrigan-checkpoint":
        raise UsageError(f"{path}: is a mrigan checkpoint already", "use it as it is")
    if is_tensorflow(value):
        raise DataError(
            f"{path}: is a network pickle of StyleGAN's programs for TensorFlow",
            "convert it with legacy.py of StyleGAN2-ADA's or StyleGAN3's repository",
        )
    value = with_tensors(value)
    if is_stylegan_port(value):
        return read_stylegan_port(value, what, size)
    if find_parts(value):
        found = read_stylegan2_ada(value, what)
    elif is_stylegan2_port(value):
        found = read_stylegan2_port(value, what)
    else:
        raise describe_other(value, what)
    found = keep_what_fits(found, what)
    if size not in (None, found.model.max_size):
        only = found.model.max_size
        raise UsageError(f"--size {size}: the network draws {only} px only", "leave it out")
    return found


def describe_other(value: Any, what: str) -> DataError:
    """What a file of weights holds instead of a generator that can be taken, as far as is seen."""
    for mark, words in OTHERS.items():
        if find_network(value, mark) is not None:
            return DataError(f"{what}: {words}", ONLY)
    for part in (value, *(value.values() if isinstance(value, dict) else ())):
        if isinstance(part, Unknown):
            return DataError(
                f"{what}: holds an object of {part.name[:80]}, which is not known here",
                "save the networks alone, or their state_dict()",
            )
    kind = find_odd_tensor(value)
    if kind:
        return DataError(f"{what}: holds tensors of a kind that is not read ({kind[:80]})", FLOATS)
    return DataError(f"{what}: holds no generator of a known program", ONLY)


def find_odd_tensor(value: Any, depth: int = 0) -> str:
    """By what torch would build a tensor that is not known here, if there is one; else nothing."""
    if isinstance(value, Unknown):
        return value.name if value.name.startswith("torch._") else ""
    if not isinstance(value, dict) or depth > DEEPEST:
        return ""
    return next(filter(None, (find_odd_tensor(part, depth + 1) for part in value.values())), "")


def keep_what_fits(found: Imported, what: str) -> Imported:
    """The networks without a critic, or a generator beside its average, of another shape.

    The notes say which was left out. Raises DataError where the average itself does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        g = build_generator(found.model).state_dict()
        d = build_critic(found.model).state_dict()
    check_fit(found.g_ema, g, f"{what}: ")
    notes, kept = list(found.notes), {"g": found.g, "d": found.d}
    for name, title, shapes in (("g", "g", g), ("d", "the critic", d)):
        weights = kept[name]
        if weights is not None:
            kept[name] = take_part(partial(check_fit, weights, shapes), title, notes)
    return replace(found, g=kept["g"], d=kept["d"], notes=tuple(notes))


def check_fit(weights: Weights, shapes: Weights, before: str = "") -> Weights:
    """The weights; raises DataError unless they have the names and shapes of our network."""
    for name in sorted((weights.keys() | shapes.keys()) - {"w_avg"}):
        theirs, ours = (tuple(t[name].shape) if name in t else None for t in (weights, shapes))
        if theirs != ours:
            raise DataError(
                f"{before}{name} is {theirs or 'missing'}, not {ours or 'there'} here", ONLY
            )
    return weights


def to_channels(found: Imported, channels: int) -> Imported:
    """The networks for images of one channel instead of three.

    The generator's new channel is the mean of its three, so a grey image stays what it was; the
    critic sees the same grey in each of its three. Raises UsageError for other numbers.
    """
    if channels == found.model.channels:
        return found
    if (found.model.channels, channels) != (3, 1):
        raise UsageError(
            f"--to-channels {channels}: the network has {found.model.channels}",
            "only 3 to 1 is possible",
        )
    return replace(
        found,
        model=replace(found.model, channels=1),
        g_ema=_grey_generator(found.g_ema),
        g=None if found.g is None else _grey_generator(found.g),
        d=None if found.d is None else _grey_critic(found.d),
    )


def _grey_generator(weights: Weights) -> Weights:
    """The mean of the rows of `to_image`: all tensors but those of its style have one a channel."""
    return {
        k: v.mean(0, keepdim=True) if "to_image" in k and "affine" not in k else v
        for k, v in weights.items()
    }


def _grey_critic(weights: Weights) -> Weights:
    """The sum over the input channels; equalised weights are scaled by the root of fan-in."""
    root3 = 3**0.5
    return {
        k: v.sum(1, keepdim=True) / root3 if k.startswith("from_image") and v.ndim == 4 else v
        for k, v in weights.items()
    }


def build_checkpoint(found: Imported) -> tuple[Checkpoint, tuple[str, ...]]:
    """A checkpoint at nimg 0 that can be drawn from and trained on, and notes on what is in it.

    A part that the file lacks is made: g is g_ema, the critic is new, the mean of w is taken over
    10,000 latents. Raises DataError when the weights do not fit the shape they claim.
    """
    notes = list(found.notes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        g, g_ema = build_generator(found.model), build_generator(found.model)
        d = build_critic(found.model)
    without_mean = "w_avg" not in found.g_ema
    weights = found.g_ema | ({"w_avg": g_ema.w_avg} if without_mean else {})
    _load(g_ema, weights)
    if without_mean:
        g_ema.w_avg.copy_(mean_style(g_ema))
        notes.append(f"the file has no mean of w: taken over {MEAN_OF:,} latents")
    _load(g, {"w_avg": g_ema.w_avg, **(found.g or weights)})
    if found.d is None:
        notes.append("the file has no critic that fits: training starts with a new one")
    else:
        _load(d, found.d)
    state = {n: net.state_dict() for n, net in (("g", g), ("d", d), ("g_ema", g_ema))}
    config = config_for(found)
    return Checkpoint(config, 0, found.model.max_size, 1.0, IMPORTED, state), tuple(notes)


def config_for(found: Imported) -> TrainConfig:
    """The training settings whose networks have this shape."""
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    shape = {k: v for k, v in dataclasses.asdict(found.model).items() if k in names}
    settings = defaults_of(found.model.arch) | shape
    config = TrainConfig(**settings, conditions=found.conditions)
    if config.model != found.model:
        raise DataError("these networks cannot be written as a checkpoint", "update mrigan")
    return config


@torch.no_grad()
def mean_style(generator: GeneratorNet) -> Tensor:
    """The mean of w over seeded latents [D]."""
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(MEAN_OF, generator.latent_dim, generator=rng)
    return torch.cat([generator.map(part) for part in torch.split(z, 1000)]).mean(dim=0)


def _load(net: nn.Module, weights: Weights) -> None:
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError("the weights do not fit the shape they claim", ONLY) from error


def import_weights(
    path: Path, out: Path, channels: int | None = None, size: int | None = None
) -> tuple[Checkpoint, ModelConfig, tuple[str, ...]]:
    """Read a foreign file and write our checkpoint; returns it, the model and notes."""
    found = read_foreign(path, size)
    found = to_channels(found, found.model.channels if channels is None else channels)
    checkpoint, notes = build_checkpoint(found)
    save_checkpoint(out, checkpoint)
    return checkpoint, found.model, notes


def summary(model: ModelConfig, state: dict[str, Any]) -> str:
    """What was brought in, in one line."""
    count = sum(t.numel() for n, t in state["g_ema"].items() if n != "w_avg")
    channels, weights = say_count(model.channels, "channel"), f"{count / 1e6:.1f} M weights"
    return f"{model.arch}, {model.max_size} px, {channels}, {weights} in the generator"
