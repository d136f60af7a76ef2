"""Network pickles of the StyleGAN2-ADA and StyleGAN3 repositories, of StyleGAN2's architecture.

Names and shapes as published with those pickles; the equations behind them are those of Karras et
al. 2020 and 2020b, which `docs/models.md` sets beside ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from mri_gan.conditions import Column, Conditions
from mri_gan.config import ModelConfig
from mri_gan.errors import DataError
from mri_gan.synth.foreign.taking import ONLY, Imported, Taker, Weights, is_size, stylegan2_shape
from mri_gan.synth.foreign.tensors import Shell

UNUSED = (r"resample_filter$", r"noise_const$")
STYLED = ("weight", "bias", "affine.weight", "affine.bias")
GROUP = 4  # images whose spread the critic sees


def is_stylegan2_ada(value: Any) -> bool:
    """Whether this is what such a pickle holds."""
    return isinstance(value, dict) and isinstance(value.get("G_ema"), Shell)


def read_stylegan2_ada(value: dict[str, Any], what: str) -> Imported:
    """Generator, its average and the critic; raises DataError for other architectures."""
    shell = value["G_ema"]
    notes = ["the fixed noise images of the file are left out: noise is drawn by seed here"]
    taker = Taker(dict(tensors_of(shell)), f"{what}: G_ema")
    if "synthesis.b4.const" not in taker:
        raise DataError(f"{what}: is not of StyleGAN2's architecture", ONLY)
    model = shape_of(shell, taker)
    g_ema = generator_weights(taker, model.max_size, model.mapping_depth, model.condition_dim)
    g = d = None
    if isinstance(value.get("G"), Shell):
        other = Taker(dict(tensors_of(value["G"])), f"{what}: G")
        g = generator_weights(other, model.max_size, model.mapping_depth, model.condition_dim)
    if isinstance(value.get("D"), Shell):
        critic = Taker(dict(tensors_of(value["D"])), f"{what}: D")
        d = critic_weights(critic, model.max_size, model.condition_dim)
        group = find(value["D"], "b4.mbstd").get("group_size")
        if group != GROUP:
            notes.append(f"its critic sees the spread of groups of {group}, ours of {GROUP}")
    classes = tuple(map(str, range(model.condition_dim)))
    spec = Conditions((Column("class", classes),)) if classes else Conditions()
    return Imported(model, g_ema, g, d, spec, tuple(notes))


def tensors_of(shell: Shell, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by their path, as `state_dict()` names them."""
    if depth > 10:
        raise DataError("modules inside modules beyond reason", ONLY)
    for kind in ("_parameters", "_buffers"):
        for name, tensor in (shell.attributes.get(kind) or {}).items():
            if isinstance(tensor, Tensor):
                yield f"{prefix}{name}", tensor
    for name, part in (shell.attributes.get("_modules") or {}).items():
        if isinstance(part, Shell):
            yield from tensors_of(part, f"{prefix}{name}.", depth + 1)


def find(shell: Shell, path: str) -> dict[str, Any]:
    """The attributes of a module by its path; empty where there is none."""
    for name in path.split("."):
        part = (shell.attributes.get("_modules") or {}).get(name)
        if not isinstance(part, Shell):
            return {}
        shell = part
    return shell.attributes


def shape_of(shell: Shell, taker: Taker) -> ModelConfig:
    """The configuration of the generator."""
    sizes = taker.numbers(r"synthesis\.b(\d+)\.conv1\.weight")
    if not is_size(sizes):
        raise DataError(f"{taker.what}: has the sizes {sizes}", ONLY)
    blocks = [find(shell, f"synthesis.b{r}") for r in sizes]
    if any(block.get("architecture", "skip") != "skip" for block in blocks):
        raise DataError(f"{taker.what}: is no skip generator", ONLY)
    widths = {r: len(taker.take(f"synthesis.b{r}.conv1.weight")) for r in sizes}
    w_dim = taker.take("mapping.w_avg").numel()
    if shell.attributes.get("z_dim", w_dim) != w_dim:
        raise DataError(f"{taker.what}: z and w are of different lengths", ONLY)
    embed = taker.take("mapping.embed.weight") if "mapping.embed.weight" in taker else None
    clamp = find(shell, f"synthesis.b{sizes[-1]}.conv1").get("conv_clamp")
    return stylegan2_shape(
        taker.what,
        widths,
        channels=len(taker.take(f"synthesis.b{sizes[-1]}.torgb.bias")),
        latent_dim=w_dim,
        mapping_depth=len(taker.numbers(r"mapping\.fc(\d+)\.weight")),
        condition_dim=0 if embed is None else embed.shape[1],
        clamp=float(clamp or 0),
    )


def _copy(taker: Taker, out: Weights, theirs: str, ours: str, *names: str) -> None:
    for name in names:
        out[f"{ours}.{name}"] = taker.take(f"{theirs}.{name}")


def _mapping(taker: Taker, out: Weights, depth: int, condition_dim: int) -> None:
    if condition_dim:
        _copy(taker, out, "mapping.embed", "mapping.embed.dense", "weight", "bias")
    for i in range(depth):
        _copy(taker, out, f"mapping.fc{i}", f"mapping.layers.{i}", "weight", "bias")


def generator_weights(taker: Taker, size: int, depth: int, condition_dim: int) -> Weights:
    """Their generator's tensors under our names; all conventions agree, so none is changed."""
    out: Weights = {"w_avg": taker.take("mapping.w_avg")}
    _mapping(taker, out, depth, condition_dim)
    for e in range(2, size.bit_length()):
        theirs, ours = f"synthesis.b{1 << e}", f"synthesis.blocks.{1 << e}"
        if e == 2:
            out[f"{ours}.constant"] = taker.take(f"{theirs}.const")
        for conv in ("conv1",) if e == 2 else ("conv0", "conv1"):
            _copy(taker, out, f"{theirs}.{conv}", f"{ours}.{conv}", *STYLED, "noise_strength")
        _copy(taker, out, f"{theirs}.torgb", f"{ours}.to_image", *STYLED)
    taker.finish(UNUSED)
    return out


def critic_weights(taker: Taker, size: int, condition_dim: int) -> Weights:
    """Their residual critic's tensors under our names."""
    out: Weights = {}
    if condition_dim:
        depth = len(taker.numbers(r"mapping\.fc(\d+)\.weight"))
        _mapping(taker, out, depth, condition_dim)
    _copy(taker, out, f"b{size}.fromrgb", "from_image", "weight", "bias")
    for e in range(size.bit_length() - 1, 2, -1):
        theirs, ours = f"b{1 << e}", f"blocks.{1 << e}"
        for conv in ("conv0", "conv1"):
            _copy(taker, out, f"{theirs}.{conv}", f"{ours}.{conv}", "weight", "bias")
        _copy(taker, out, f"{theirs}.skip", f"{ours}.skip", "weight")
    for theirs, ours in (("conv", "conv"), ("fc", "dense0"), ("out", "dense1")):
        _copy(taker, out, f"b4.{theirs}", f"blocks.4.{ours}", "weight", "bias")
    taker.finish(UNUSED)
    return out
