"""Network pickles of the StyleGAN2-ADA and StyleGAN3 repositories, of StyleGAN2's architecture.

Names and shapes as published with those pickles; the equations behind them are those of Karras et
al. 2020 and 2020b, which `nets/stylegan2.py` sets beside ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mri_gan.conditions import Column, Conditions
from mri_gan.config import ModelConfig
from mri_gan.errors import DataError
from mri_gan.synth.foreign.taking import (
    DEEPEST,
    ONLY,
    Imported,
    Taker,
    Weights,
    find_network,
    find_networks,
    is_average,
    is_binomial,
    is_size,
    stylegan2_shape,
    take_part,
)
from mri_gan.synth.foreign.tensors import TENSORFLOW, Shell

UNUSED = (r"resample_filter$", r"noise_const$")
STYLED = ("weight", "bias", "affine.weight", "affine.bias")
GROUP = 4  # images whose spread the critic sees
MAPPING_LR = 0.01  # of our mapping network, within its weights
ALIAS_FREE = ("synthesis.input.weight", "synthesis.input.freqs")
LINEAR = ("affine", "embed", "skip", "out")  # layers without a rectifier
PARTS = ("G_ema", "G")  # the running average first
TENSORS = "state_dict"  # the name of a network of which only the tensors are known
CLAMP = 256  # of those programs' layers
MARKS = ("synthesis.b4.const", "b4.fc.weight")  # of their generator and their critic


def find_parts(value: Any) -> dict[str, Shell]:
    """The networks of a file as G_ema, G and D, as far as there are such; empty if none.

    Where they have other names, averages are those whose name says so.
    """
    if isinstance(value, Shell):
        return {PARTS[0]: value}
    if not isinstance(value, dict):
        return {}
    named = {name: as_network(value.get(name)) for name in (*PARTS, "D")}
    if any(named[name] for name in PARTS):
        return {name: part for name, part in named.items() if part}
    found = list(find_shells(value))
    generators = [part for part in found if MARKS[0] in dict(tensors_of(part[1]))]
    critics = [shell for _, shell in found if MARKS[1] in dict(tensors_of(shell))]
    if not generators:
        return {PARTS[0]: critics[0]} if critics else {}
    generators.sort(key=lambda part: not is_average(part[0]))
    first = generators[0][0]
    trained = first.rpartition(".")[2].lower() in ("g", "generator") or len(generators) > 1
    names = PARTS[1:] if trained and not is_average(first) else PARTS
    parts = dict(zip(names, (shell for _, shell in generators), strict=False))
    return parts | dict(zip("D", critics, strict=False))


def find_shells(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Shell]]:
    """Every network in dictionaries, whole or as a state dict, by its path."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return
    for name, part in value.items():
        inner = f"{path}.{name}" if path else str(name)
        if isinstance(part, Shell):
            yield inner, part
        yield from find_shells(part, inner, depth + 1)
    if not depth:
        for mark in MARKS:
            for name, tensors in find_networks(value, mark):
                yield name, Shell(TENSORS, {"_parameters": tensors})


def as_network(part: Any) -> Shell | None:
    """A network, or a state dict with a tensor of such a network, as a network."""
    if isinstance(part, Shell) or not isinstance(part, dict):
        return part if isinstance(part, Shell) else None
    found = find_network(part, MARKS[0]) or find_network(part, MARKS[1])
    return None if found is None else Shell(TENSORS, {"_parameters": found[1]})


def is_tensorflow(value: Any) -> bool:
    """Whether this is a network pickle of the older programs for TensorFlow."""
    parts = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(part, Shell) and part.name == TENSORFLOW for part in parts)


def read_stylegan2_ada(value: Any, what: str) -> Imported:
    """Generator, its average and the critic; raises DataError for other architectures.

    A part that does not fit beside a generator that does is left out, which the notes say.
    """
    parts = find_parts(value)
    name = next(name for name in PARTS if parts.get(name))
    notes = ["the fixed noise images of the file are left out: noise is drawn by seed here"]
    if name != PARTS[0]:
        notes.append(f"the file has no running average of its generator: {name} is drawn from")
    if parts[name].name == TENSORS:
        notes.append("only tensors are there: layers are taken to be as those programs build them")
    taker = Taker(dict(tensors_of(parts[name])), f"{what}: {name}")
    model = shape_of(parts[name], taker)
    g_ema = generator_weights(parts[name], taker, model)

    def read_g() -> Weights:
        other = Taker(dict(tensors_of(parts["G"])), f"{what}: G")
        return generator_weights(parts["G"], other, model)

    def read_d() -> Weights:
        return critic_weights(parts["D"], f"{what}: D", model, notes)

    g = take_part(read_g, "G", notes) if parts.get("G") else None
    d = take_part(read_d, "D, the critic,", notes) if parts.get("D") else None
    classes = tuple(map(str, range(model.condition_dim)))
    spec = Conditions((Column("class", classes),)) if classes else Conditions()
    return Imported(model, g_ema, g, d, spec, tuple(notes))


def tensors_of(shell: Shell) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by their path, as `state_dict()` names them."""
    for path, module in modules_of(shell):
        for kind in ("_parameters", "_buffers"):
            for name, tensor in (module.attributes.get(kind) or {}).items():
                if isinstance(tensor, Tensor):
                    yield f"{path}.{name}" if path else name, tensor


def modules_of(shell: Shell, path: str = "", depth: int = 0) -> Iterator[tuple[str, Shell]]:
    """The module and all inside it, by their path."""
    if depth > 10:
        raise DataError("modules nested too deeply", ONLY)
    yield path, shell
    for name, part in (shell.attributes.get("_modules") or {}).items():
        if isinstance(part, Shell):
            yield from modules_of(part, f"{path}.{name}" if path else name, depth + 1)


def find(shell: Shell, path: str) -> dict[str, Any]:
    """The attributes of a module by its path; empty where there is none."""
    for name in path.split("."):
        part = (shell.attributes.get("_modules") or {}).get(name)
        if not isinstance(part, Shell):
            return {}
        shell = part
    return shell.attributes


def check_architecture(shell: Shell, taker: Taker) -> None:
    """Raise DataError, naming what it is instead, unless it is StyleGAN2's skip generator."""
    if any(name in taker for name in ALIAS_FREE):
        raise DataError(
            f"{taker.what}: is a network of StyleGAN3's own architecture (alias-free)",
            "only networks of StyleGAN2's can be imported (--cfg=stylegan2 in that program)",
        )
    if "synthesis.b4.const" not in taker and "b4.fc.weight" in taker:
        raise DataError(f"{taker.what}: is a critic, not a generator", "give the whole snapshot")
    if "synthesis.b4.const" not in taker:
        raise DataError(f"{taker.what}: is not of StyleGAN2's architecture", ONLY)
    for path, module in modules_of(shell):
        kind = module.attributes.get("architecture", "skip")
        if path.startswith("synthesis.b") and kind != "skip":
            raise DataError(f"{taker.what}: is a generator of kind {kind!s:.20}, not skip", ONLY)
    check_layers(shell, taker.what)


def check_layers(shell: Shell, what: str) -> None:
    """Raise DataError for rectifiers and resampling filters that our layers do not have."""
    for path, module in modules_of(shell):
        wanted = "linear" if path.endswith(LINEAR) else "lrelu"
        kind = module.attributes.get("activation", wanted)
        if kind != wanted:
            raise DataError(f"{what}: {path} has the activation {kind!s:.20}, not {wanted}", ONLY)
        filter_ = (module.attributes.get("_buffers") or {}).get("resample_filter")
        if isinstance(filter_, Tensor) and not is_binomial(filter_):
            raise DataError(f"{what}: {path} resamples by another filter than [1 3 3 1]", ONLY)


def shape_of(shell: Shell, taker: Taker) -> ModelConfig:
    """The configuration of the generator; raises DataError unless it is of StyleGAN2's."""
    check_architecture(shell, taker)
    sizes = taker.numbers(r"synthesis\.b(\d+)\.conv1\.weight")
    if not is_size(sizes):
        raise DataError(f"{taker.what}: has the sizes {sizes}", ONLY)
    widths = {r: len(taker.take_tensor(f"synthesis.b{r}.conv1.weight")) for r in sizes}
    w_dim = taker.take_tensor("mapping.w_avg").numel()
    if shell.attributes.get("z_dim", w_dim) != w_dim:
        raise DataError(f"{taker.what}: z and w are of different lengths", ONLY)
    embed = taker.take_tensor("mapping.embed.weight") if "mapping.embed.weight" in taker else None
    clamp = find(shell, f"synthesis.b{sizes[-1]}.conv1").get("conv_clamp")
    if shell.name == TENSORS:
        clamp = CLAMP
    return stylegan2_shape(
        taker.what,
        widths,
        channels=len(taker.take_tensor(f"synthesis.b{sizes[-1]}.torgb.bias")),
        latent_dim=w_dim,
        mapping_depth=len(taker.numbers(r"mapping\.fc(\d+)\.weight")),
        condition_dim=0 if embed is None else embed.shape[1],
        clamp=float(clamp or 0),
    )


def _mapping(shell: Shell, taker: Taker, out: Weights, condition_dim: int) -> None:
    """The mapping; a learning-rate factor other than ours, which the gains show, goes into it."""
    if condition_dim:
        taker.copy_tensors(out, "mapping.embed", "mapping.embed.dense")
    for i in taker.numbers(r"mapping\.fc(\d+)\.weight"):
        theirs, ours = f"mapping.fc{i}", f"mapping.layers.{i}"
        taker.copy_tensors(out, theirs, ours)
        told = find(shell, theirs).get("bias_gain", MAPPING_LR)
        if isinstance(told, int | float) and abs(told / MAPPING_LR - 1) > 1e-6:
            for name in ("weight", "bias"):
                out[f"{ours}.{name}"] = out[f"{ours}.{name}"] * (told / MAPPING_LR)


def generator_weights(shell: Shell, taker: Taker, model: ModelConfig) -> Weights:
    """Their generator's tensors under our names; but for one factor all conventions agree."""
    out: Weights = {"w_avg": taker.take_tensor("mapping.w_avg")}
    _mapping(shell, taker, out, model.condition_dim)
    for e in range(2, model.max_size.bit_length()):
        theirs, ours = f"synthesis.b{1 << e}", f"synthesis.blocks.{1 << e}"
        if e == 2:
            out[f"{ours}.constant"] = taker.take_tensor(f"{theirs}.const")
        for conv in ("conv1",) if e == 2 else ("conv0", "conv1"):
            taker.copy_tensors(out, f"{theirs}.{conv}", f"{ours}.{conv}", *STYLED)
            strength = f"{theirs}.{conv}.noise_strength"
            out[f"{ours}.{conv}.noise_strength"] = (
                taker.take_tensor(strength) if strength in taker else torch.zeros(())
            )
        taker.copy_tensors(out, f"{theirs}.torgb", f"{ours}.to_image", *STYLED)
    taker.finish(UNUSED)
    return out


def critic_weights(shell: Shell, what: str, model: ModelConfig, notes: list[str]) -> Weights:
    """Their residual critic's tensors under our names; raises DataError for another critic."""
    kinds = {str(m.attributes.get("architecture", "resnet")) for _, m in modules_of(shell)}
    kinds -= {"resnet"}
    if kinds:
        raise DataError(f"{what}: is of kind {', '.join(sorted(kinds))[:40]}, not resnet", ONLY)
    check_layers(shell, what)
    taker = Taker(dict(tensors_of(shell)), what)
    out: Weights = {}
    if model.condition_dim:
        _mapping(shell, taker, out, model.condition_dim)
    taker.copy_tensors(out, f"b{model.max_size}.fromrgb", "from_image")
    for e in range(model.max_size.bit_length() - 1, 2, -1):
        theirs, ours = f"b{1 << e}", f"blocks.{1 << e}"
        for conv in ("conv0", "conv1"):
            taker.copy_tensors(out, f"{theirs}.{conv}", f"{ours}.{conv}")
        taker.copy_tensors(out, f"{theirs}.skip", f"{ours}.skip", "weight")
    for theirs, ours in (("conv", "conv"), ("fc", "dense0"), ("out", "dense1")):
        taker.copy_tensors(out, f"b4.{theirs}", f"blocks.4.{ours}")
    taker.finish(UNUSED)
    group = find(shell, "b4.mbstd").get("group_size", GROUP)
    if group != GROUP:
        those = f"groups of {group!s:.9}" if group else "whole batches"
        notes.append(f"its critic sees the spread of {those}, ours of groups of {GROUP}")
    return out
