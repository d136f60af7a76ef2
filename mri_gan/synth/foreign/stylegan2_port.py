"""Checkpoints of the common PyTorch port of StyleGAN2: `g`, `d`, `g_ema`, `latent_avg`.

Names and shapes as people quote them in its issues; the equations are those of Karras et al. 2020.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mri_gan.errors import DataError
from mri_gan.synth.foreign.containers import is_tensors
from mri_gan.synth.foreign.taking import ONLY, Imported, Taker, Weights, is_size, stylegan2_shape

UNUSED = (r"\.kernel$", r"^noises\.")


def is_stylegan2_port(value: Any) -> bool:
    """Whether this is what such a checkpoint holds."""
    ema = value.get("g_ema") if isinstance(value, dict) else None
    return is_tensors(ema) and "conv1.conv.modulation.weight" in ema


def read_stylegan2_port(value: dict[str, Any], what: str) -> Imported:
    """Generator, its average and the critic, where they are there."""
    notes = ["the fixed noise images of the file are left out: noise is drawn by seed here"]
    taker = Taker(value["g_ema"], f"{what}: g_ema")
    widths = widths_of(taker)
    depth = len(taker.numbers(r"style\.(\d+)\.weight"))
    channels, latent_dim = taker.take("to_rgb1.bias").shape[1], len(taker.take("style.1.bias"))
    model = stylegan2_shape(taker.what, widths, channels, latent_dim, depth)
    g_ema = generator_weights(taker, list(widths), depth)
    average = value.get("latent_avg")
    if isinstance(average, Tensor):
        g_ema["w_avg"] = Taker({"latent_avg": average.reshape(-1)}, what).take(
            "latent_avg", latent_dim
        )
    g = d = None
    if is_tensors(value.get("g")):
        g = generator_weights(Taker(value["g"], f"{what}: g"), list(widths), depth)
    if is_tensors(value.get("d")):
        d = critic_weights(Taker(value["d"], f"{what}: d"), list(widths))
    return Imported(model, g_ema, g, d, notes=tuple(notes))


def widths_of(taker: Taker) -> dict[int, int]:
    """The width at each resolution."""
    pairs = len(taker.numbers(r"convs\.(\d+)\.conv\.weight")) // 2
    sizes = [4 << i for i in range(pairs + 1)]
    if not is_size(sizes):
        raise DataError(f"{taker.what}: has {pairs} pairs of layers", ONLY)
    names = ["conv1", *(f"convs.{2 * i + 1}" for i in range(pairs))]
    return {r: taker.take(f"{n}.conv.weight").shape[1] for r, n in zip(sizes, names, strict=True)}


def generator_weights(taker: Taker, sizes: list[int], depth: int) -> Weights:
    """Their generator's tensors under our names and in our shapes."""
    out: Weights = {}
    for i in range(depth):
        for name in ("weight", "bias"):
            out[f"mapping.layers.{i}.{name}"] = taker.take(f"style.{i + 1}.{name}")
    out["synthesis.blocks.4.constant"] = taker.take("input.input")[0]
    for i, r in enumerate(sizes):
        ours = f"synthesis.blocks.{r}"
        if i:
            _styled(taker, out, f"convs.{2 * i - 2}", f"{ours}.conv0")
        _styled(taker, out, f"convs.{2 * i - 1}" if i else "conv1", f"{ours}.conv1")
        image = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        _modulated(taker, out, image, f"{ours}.to_image")
        out[f"{ours}.to_image.bias"] = taker.take(f"{image}.bias").flatten()
    taker.finish(UNUSED)
    return out


def _styled(taker: Taker, out: Weights, theirs: str, ours: str) -> None:
    _modulated(taker, out, theirs, ours)
    out[f"{ours}.noise_strength"] = taker.take(f"{theirs}.noise.weight", 1)[0]
    out[f"{ours}.bias"] = taker.take(f"{theirs}.activate.bias").flatten()


def _modulated(taker: Taker, out: Weights, theirs: str, ours: str) -> None:
    out[f"{ours}.weight"] = taker.take(f"{theirs}.conv.weight")[0]
    for name in ("weight", "bias"):
        out[f"{ours}.affine.{name}"] = taker.take(f"{theirs}.conv.modulation.{name}")


def critic_weights(taker: Taker, sizes: list[int]) -> Weights:
    """Their critic's tensors under our names: blocks run from the largest size down."""
    out: Weights = {}
    _pair(taker, out, "convs.0", "from_image", 0)
    for i, r in enumerate(sizes[:0:-1], start=1):
        _pair(taker, out, f"convs.{i}.conv1", f"blocks.{r}.conv0", 0)
        _pair(taker, out, f"convs.{i}.conv2", f"blocks.{r}.conv1", 1)
        out[f"blocks.{r}.skip.weight"] = taker.take(f"convs.{i}.skip.1.weight")
    _pair(taker, out, "final_conv", "blocks.4.conv", 0)
    for i in (0, 1):
        for name in ("weight", "bias"):
            out[f"blocks.4.dense{i}.{name}"] = taker.take(f"final_linear.{i}.{name}")
    taker.finish(UNUSED)
    return out


def _pair(taker: Taker, out: Weights, theirs: str, ours: str, first: int) -> None:
    """A convolution without bias, and the bias of the rectifier behind it."""
    out[f"{ours}.weight"] = taker.take(f"{theirs}.{first}.weight")
    out[f"{ours}.bias"] = taker.take(f"{theirs}.{first + 1}.bias").flatten()
