"""Checkpoints of the common PyTorch port of the progressive StyleGAN.

`generator.progression.N`, `generator.to_rgb.N` and `style.N`, alone or under `g_running`,
`generator` and `discriminator`. Names and shapes as people quote them in its issues; the equations
are those of Karras et al. 2018 and 2019. Where it differs from our networks:

- its equalised weights are scaled by sqrt(2 / fan in) everywhere, ours by 1 / sqrt(fan in) where no
  rectifier follows: the stored weights take the difference;
- its mapping has no learning-rate factor in the weights: they are divided by ours;
- it adds the bias of a growing layer before the blur, so it fades along the border: our networks
  do the same with (`ModelConfig.blur_bias`);
- from 128 px it may double and convolve in one transposed kernel, which is mirrored and has a
  quarter of the weight: both are turned into ours;
- it uses one noise image for both layers of a block, which is a matter of the noise given;
- its critic is wider than the paper's where the width changes: it cannot be mapped.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mri_gan.config import LEVELS, ModelConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.layers import channels_at
from mri_gan.synth.foreign.taking import ONLY, Imported, Taker, Weights, find_network

MAPPING_LR = 0.01  # of our mapping network, within its weights
ROOT2 = math.sqrt(2)
UNUSED = (r"\.conv1\.[12]\.weight(_flip)?$",)  # the blur
FIRST = "generator.progression.0.conv1.input"
CRITIC_NOTE = (
    "the file's critic is left out: where the width changes its layers are wider than the paper's, "
    "and its spread is that of the whole batch"
)


def is_stylegan_port(value: Any) -> bool:
    """Whether this is what such a checkpoint holds."""
    return find_network(value, FIRST) is not None


def read_stylegan_port(value: Any, what: str, size: int | None = None) -> Imported:
    """Its generator up to `size`, by default the largest size that has been trained."""
    name, weights = find_network(value, FIRST) or ("", {})
    taker = Taker(weights, f"{what}: {name}" if name else what)
    sizes = [4 << i for i in taker.numbers(r"generator\.progression\.(\d+)\.conv2\.conv\.bias")]
    if size is not None and (size not in sizes or size not in LEVELS):
        known = ", ".join(str(r) for r in sizes if r in LEVELS)
        raise UsageError(f"--size {size}: not in {what}", f"choose one of {known}")
    largest = size or max([r for r in sizes if is_trained(taker, r)], default=0)
    if largest < LEVELS[0]:
        raise DataError(f"{what}: no level of it looks trained", "name one with --size")
    model = shape_of(taker, largest)
    g_ema = generator_weights(taker, model)
    notes = []
    if size is None and largest < sizes[-1]:
        notes.append(f"levels above {largest} px have not been trained and are left out")
    if isinstance(value.get("discriminator"), dict):
        notes.append(CRITIC_NOTE)
    return Imported(model, g_ema, notes=tuple(notes))


def is_trained(taker: Taker, size: int) -> bool:
    """Whether a level has moved from its start, where biases and noise are zero."""
    index = size.bit_length() - 3
    names = (f"progression.{index}.conv2.conv.bias", f"to_rgb.{index}.conv.bias")
    return any(bool(taker.take_tensor(f"generator.{name}").any()) for name in names)


def shape_of(taker: Taker, largest: int) -> ModelConfig:
    """The configuration of a generator that grows to a size."""
    widths = {
        4 << i: len(taker.take_tensor(f"generator.progression.{i}.conv2.conv.bias"))
        for i in range(largest.bit_length() - 2)
    }
    capacity = widths[4] / channels_at(4)
    if any(channels_at(r, capacity) != width for r, width in widths.items()):
        raise DataError(f"{taker.what}: its widths {widths} follow no known rule", ONLY)
    return ModelConfig(
        max_size=largest,
        channels=len(taker.take_tensor("generator.to_rgb.0.conv.bias")),
        capacity=capacity,
        latent_dim=len(taker.take_tensor("style.1.linear.bias")),
        mapping_depth=len(taker.numbers(r"style\.(\d+)\.linear\.bias")),
        blur_bias=True,
    )


def generator_weights(taker: Taker, model: ModelConfig) -> Weights:
    """Its generator's tensors under our names, in our shapes and scales."""
    out: Weights = {}
    for i in range(model.mapping_depth):
        theirs, ours = f"style.{2 * i + 1}.linear", f"mapping.layers.{i}"
        out[f"{ours}.weight"] = taker.take_tensor(f"{theirs}.weight_orig") / MAPPING_LR
        out[f"{ours}.bias"] = taker.take_tensor(f"{theirs}.bias") / MAPPING_LR
    levels = model.max_size.bit_length() - 2
    for i in range(levels):
        _block(taker, out, f"generator.progression.{i}", f"synthesis.blocks.{4 << i}", i == 0)
        image, ours = f"generator.to_rgb.{i}.conv", f"synthesis.to_image.{4 << i}"
        out[f"{ours}.weight"] = taker.take_tensor(f"{image}.weight_orig") * ROOT2
        out[f"{ours}.bias"] = taker.take_tensor(f"{image}.bias")
    beyond = "|".join(str(i) for i in range(levels, 9)) or "none"
    taker.finish((*UNUSED, rf"^generator\.(progression|to_rgb)\.({beyond})\."))
    return out


def _block(taker: Taker, out: Weights, theirs: str, ours: str, is_first: bool) -> None:
    """One resolution."""
    if is_first:
        out[f"{ours}.constant"] = taker.take_tensor(f"{theirs}.conv1.input")[0]
        bias = torch.zeros(len(out[f"{ours}.constant"]))
    else:
        out[f"{ours}.conv0.weight"], bias = _growing(taker, f"{theirs}.conv1")
    out[f"{ours}.style0.bias"] = bias
    out[f"{ours}.conv1.weight"] = taker.take_tensor(f"{theirs}.conv2.conv.weight_orig")
    out[f"{ours}.style1.bias"] = taker.take_tensor(f"{theirs}.conv2.conv.bias")
    for i in (0, 1):
        strength = taker.take_tensor(f"{theirs}.noise{i + 1}.weight_orig").flatten()
        out[f"{ours}.style{i}.noise.weight"] = strength * math.sqrt(2 / len(strength))
        affine, adain = f"{ours}.style{i}.adain.affine", f"{theirs}.adain{i + 1}.style.linear"
        out[f"{affine}.weight"] = taker.take_tensor(f"{adain}.weight_orig") * ROOT2
        out[f"{affine}.bias"] = taker.take_tensor(f"{adain}.bias")


def _growing(taker: Taker, theirs: str) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the layer that doubles: nearest and convolution, or both in one."""
    if f"{theirs}.0.weight" in taker:
        fused = taker.take_tensor(f"{theirs}.0.weight")  # [in, out, 3, 3]
        return fused.transpose(0, 1).flip(2, 3) / 4, taker.take_tensor(f"{theirs}.0.bias")
    conv = f"{theirs}.1.conv"
    return taker.take_tensor(f"{conv}.weight_orig"), taker.take_tensor(f"{conv}.bias")
