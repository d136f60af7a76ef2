"""Checkpoints of the common PyTorch port of StyleGAN2: `g`, `d`, `g_ema`, `latent_avg`.

Names and shapes as people quote them in its issues; the equations are those of Karras et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mri_gan.config import ModelConfig
from mri_gan.errors import DataError
from mri_gan.nets.layers import resolutions_up_to
from mri_gan.synth.foreign.taking import (
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

UNUSED = (r"\.kernel$", r"^noises\.")
MARK = "conv1.conv.modulation.weight"
WAVELETS = "iwt.ll"
CRITIC_MARK = "final_conv.0.weight"


def is_stylegan2_port(value: Any) -> bool:
    """Whether this is what such a checkpoint holds, and no network of its kind with wavelets."""
    return find_network(value, MARK) is not None and find_network(value, WAVELETS) is None


def read_stylegan2_port(value: dict[str, Any], what: str) -> Imported:
    """Generator, its average and the critic, where they are there.

    A part that does not fit beside a generator that does is left out, which the notes say.
    """
    found = find_network(value, MARK)
    assert found is not None
    name, ema = found
    notes = ["the fixed noise images of the file are left out: noise is drawn by seed here"]
    if name.rpartition(".")[2] in ("g", "generator"):
        notes.append(f"the file has no running average of its generator: {name} is drawn from")
    taker = Taker(ema, f"{what}: {name}" if name else what)
    model = shape_of(taker)
    g_ema = generator_weights(taker, model)
    average = value.get("latent_avg")
    if isinstance(average, Tensor):
        other = Taker({"latent_avg": average.reshape(-1)}, what)
        mean = take_part(
            lambda: {"w_avg": other.take_tensor("latent_avg", model.latent_dim)},
            "latent_avg",
            notes,
        )
        g_ema |= mean or {}
    others = [part for part in find_networks(value, MARK) if not is_average(part[0])]
    g = None
    if others and others[0][0] != name:
        g = take_part(lambda: _read(others[0], generator_weights, model, what), "g", notes)
    critic = next(find_networks(value, CRITIC_MARK), ("d", {}))
    d = None
    if critic[1] or value.get("d") is not None:
        d = take_part(lambda: _read(critic, critic_weights, model, what), "d, the critic,", notes)
    return Imported(model, g_ema, g, d, notes=tuple(notes))


def _read(
    part: tuple[str, Weights],
    read: Callable[[Taker, ModelConfig], Weights],
    model: ModelConfig,
    what: str,
) -> Weights:
    return read(Taker(part[1], f"{what}: {part[0]}"), model)


def shape_of(taker: Taker) -> ModelConfig:
    """The configuration of the generator."""
    widths, depth = widths_of(taker), len(taker.numbers(r"style\.(\d+)\.weight"))
    for name, kernel in taker.weights.items():
        if name.endswith(".kernel") and not is_binomial(kernel):
            raise DataError(f"{taker.what}: {name} is another filter than [1 3 3 1]", ONLY)
    image, w = taker.take_tensor("to_rgb1.bias"), taker.take_tensor("style.1.bias")
    return stylegan2_shape(taker.what, widths, image.numel(), len(w), depth)


def widths_of(taker: Taker) -> dict[int, int]:
    """The width at each resolution."""
    pairs = len(taker.numbers(r"convs\.(\d+)\.conv\.weight")) // 2
    sizes = [4 << i for i in range(pairs + 1)]
    if not is_size(sizes):
        raise DataError(f"{taker.what}: has {pairs} pairs of layers", ONLY)
    names = ["conv1", *(f"convs.{2 * i + 1}" for i in range(pairs))]
    return {
        r: taker.take_tensor(f"{n}.conv.weight").shape[1] for r, n in zip(sizes, names, strict=True)
    }


def generator_weights(taker: Taker, model: ModelConfig) -> Weights:
    """Their generator's tensors under our names and in our shapes."""
    out: Weights = {}
    sizes = resolutions_up_to(model.max_size)
    for i in range(model.mapping_depth):
        taker.copy_tensors(out, f"style.{i + 1}", f"mapping.layers.{i}")
    out["synthesis.blocks.4.constant"] = taker.take_tensor("input.input")[0]
    for i, r in enumerate(sizes):
        ours = f"synthesis.blocks.{r}"
        if i:
            _styled(taker, out, f"convs.{2 * i - 2}", f"{ours}.conv0")
        _styled(taker, out, f"convs.{2 * i - 1}" if i else "conv1", f"{ours}.conv1")
        image = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        _modulated(taker, out, image, f"{ours}.to_image")
        out[f"{ours}.to_image.bias"] = taker.take_tensor(f"{image}.bias").flatten()
    taker.finish(UNUSED)
    return out


def _styled(taker: Taker, out: Weights, theirs: str, ours: str) -> None:
    _modulated(taker, out, theirs, ours)
    out[f"{ours}.noise_strength"] = taker.take_tensor(f"{theirs}.noise.weight", 1)[0]
    out[f"{ours}.bias"] = taker.take_tensor(f"{theirs}.activate.bias").flatten()


def _modulated(taker: Taker, out: Weights, theirs: str, ours: str) -> None:
    out[f"{ours}.weight"] = taker.take_tensor(f"{theirs}.conv.weight")[0]
    taker.copy_tensors(out, f"{theirs}.conv.modulation", f"{ours}.affine")


def critic_weights(taker: Taker, model: ModelConfig) -> Weights:
    """Their critic's tensors under our names: blocks run from the largest size down."""
    out: Weights = {}
    sizes = resolutions_up_to(model.max_size)
    _pair(taker, out, "convs.0", "from_image", 0)
    for i, r in enumerate(sizes[:0:-1], start=1):
        _pair(taker, out, f"convs.{i}.conv1", f"blocks.{r}.conv0", 0)
        _pair(taker, out, f"convs.{i}.conv2", f"blocks.{r}.conv1", 1)
        taker.copy_tensors(out, f"convs.{i}.skip.1", f"blocks.{r}.skip", "weight")
    _pair(taker, out, "final_conv", "blocks.4.conv", 0)
    for i in (0, 1):
        taker.copy_tensors(out, f"final_linear.{i}", f"blocks.4.dense{i}")
    taker.finish(UNUSED)
    return out


def _pair(taker: Taker, out: Weights, theirs: str, ours: str, first: int) -> None:
    """A convolution without bias, and the bias of the rectifier behind it."""
    out[f"{ours}.weight"] = taker.take_tensor(f"{theirs}.{first}.weight")
    out[f"{ours}.bias"] = taker.take_tensor(f"{theirs}.{first + 1}.bias").flatten()
