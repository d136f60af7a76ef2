"""Files of other programs with random weights: their names, their shapes, nothing of theirs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]
BINOMIAL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
WIDTHS2 = {4: 16, 8: 16, 16: 8}  # min(128 / r, 16)
WIDTHS1 = {4: 8, 8: 8, 16: 8, 32: 8, 64: 4, 128: 4}  # a sixty-fourth of the paper's, at least 4


class Draw:
    """Random tensors in a row, the same on every run."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
        return shift + scale * torch.randn(shape, generator=self.rng)


def ada_generator(
    seed: int, widths: Mapping[int, int] = WIDTHS2, w: int = 12, depth: int = 2, classes: int = 0
) -> State:
    """G in the names of the StyleGAN2-ADA repository, three channels."""
    draw, out = Draw(seed), State()
    out["mapping.w_avg"] = draw(w)
    if classes:
        out["mapping.embed.weight"], out["mapping.embed.bias"] = draw(w, classes), draw(w)
    for i in range(depth):
        inputs = w * 2 if classes and i == 0 else w
        out[f"mapping.fc{i}.weight"], out[f"mapping.fc{i}.bias"] = (
            draw(w, inputs, scale=100),
            draw(w),
        )
    for r, width in widths.items():
        if r == 4:
            out["synthesis.b4.const"] = draw(width, 4, 4)
        out[f"synthesis.b{r}.resample_filter"] = BINOMIAL
        for conv in ("conv1",) if r == 4 else ("conv0", "conv1"):
            inputs = widths[r // 2] if conv == "conv0" else width
            name = f"synthesis.b{r}.{conv}"
            out[f"{name}.weight"], out[f"{name}.bias"] = draw(width, inputs, 3, 3), draw(width)
            out[f"{name}.noise_strength"] = draw().reshape(())
            out[f"{name}.noise_const"] = draw(r, r)
            out[f"{name}.affine.weight"] = draw(inputs, w)
            out[f"{name}.affine.bias"] = draw(inputs, scale=0.1, shift=1.0)
        name = f"synthesis.b{r}.torgb"
        out[f"{name}.weight"], out[f"{name}.bias"] = draw(3, width, 1, 1), draw(3, scale=0.1)
        out[f"{name}.affine.weight"] = draw(width, w)
        out[f"{name}.affine.bias"] = draw(width, scale=0.1, shift=1.0)
    return out


def ada_critic(seed: int, widths: Mapping[int, int] = WIDTHS2, classes: int = 0) -> State:
    """D in the names of the StyleGAN2-ADA repository; with classes, a mapping of them as well."""
    draw, out = Draw(seed), State()
    size = max(widths)
    out[f"b{size}.fromrgb.weight"] = draw(widths[size], 3, 1, 1)
    out[f"b{size}.fromrgb.bias"] = draw(widths[size], scale=0.1)
    for r in sorted(widths, reverse=True)[:-1]:
        n, m = widths[r], widths[r // 2]
        out[f"b{r}.conv0.weight"], out[f"b{r}.conv0.bias"] = draw(n, n, 3, 3), draw(n, scale=0.1)
        out[f"b{r}.conv1.weight"], out[f"b{r}.conv1.bias"] = draw(m, n, 3, 3), draw(m, scale=0.1)
        out[f"b{r}.skip.weight"] = draw(m, n, 1, 1)
        out[f"b{r}.resample_filter"] = BINOMIAL
    n = widths[4]
    out["b4.conv.weight"], out["b4.conv.bias"] = draw(n, n + 1, 3, 3), draw(n, scale=0.1)
    out["b4.fc.weight"], out["b4.fc.bias"] = draw(n, n * 16), draw(n, scale=0.1)
    scores = n if classes else 1
    out["b4.out.weight"], out["b4.out.bias"] = draw(scores, n), draw(scores)
    if classes:
        out["mapping.embed.weight"], out["mapping.embed.bias"] = draw(n, classes), draw(n)
    for i in range(8 if classes else 0):
        out[f"mapping.fc{i}.weight"] = draw(n, n, scale=100)
        out[f"mapping.fc{i}.bias"] = draw(n)
    return out


def port2_generator(seed: int, widths: Mapping[int, int] = WIDTHS2, w: int = 12) -> State:
    """g of the common PyTorch port of StyleGAN2, three channels, eight mapping layers."""
    draw, out = Draw(seed), State()
    for i in range(1, 9):
        out[f"style.{i}.weight"], out[f"style.{i}.bias"] = draw(w, w, scale=100), draw(w)
    out["input.input"] = draw(1, widths[4], 4, 4)
    layers = [("conv1", 4, 4, 4)]
    images = [("to_rgb1", 4)]
    for i, r in enumerate(r for r in widths if r > 4):
        layers += [(f"convs.{2 * i}", r // 2, r, r), (f"convs.{2 * i + 1}", r, r, r)]
        images.append((f"to_rgbs.{i}", r))
        out[f"convs.{2 * i}.conv.blur.kernel"] = BINOMIAL
        out[f"to_rgbs.{i}.upsample.kernel"] = BINOMIAL
    for number, (name, before, after, px) in enumerate(layers):
        n, m = widths[before], widths[after]
        out[f"{name}.conv.weight"] = draw(1, m, n, 3, 3)
        out[f"{name}.conv.modulation.weight"] = draw(n, w)
        out[f"{name}.conv.modulation.bias"] = draw(n, scale=0.1, shift=1.0)
        out[f"{name}.noise.weight"], out[f"{name}.activate.bias"] = draw(1), draw(m)
        out[f"noises.noise_{number}"] = draw(1, 1, px, px)
    for name, r in images:
        out[f"{name}.conv.weight"] = draw(1, 3, widths[r], 1, 1)
        out[f"{name}.conv.modulation.weight"] = draw(widths[r], w)
        out[f"{name}.conv.modulation.bias"] = draw(widths[r], scale=0.1, shift=1.0)
        out[f"{name}.bias"] = draw(1, 3, 1, 1, scale=0.1)
    return out


def port2_critic(seed: int, widths: Mapping[int, int] = WIDTHS2) -> State:
    """d of the common PyTorch port of StyleGAN2: the same numbers as `ada_critic`, other names."""
    theirs, size = ada_critic(seed, widths), max(widths)
    out = {"convs.0.0.weight": theirs[f"b{size}.fromrgb.weight"]}
    out["convs.0.1.bias"] = theirs[f"b{size}.fromrgb.bias"]
    for i, r in enumerate(sorted(widths, reverse=True)[:-1], start=1):
        for part, first in (("conv0", "conv1.0"), ("conv1", "conv2.1")):
            stem, number = first.split(".")
            out[f"convs.{i}.{first}.weight"] = theirs[f"b{r}.{part}.weight"]
            out[f"convs.{i}.{stem}.{int(number) + 1}.bias"] = theirs[f"b{r}.{part}.bias"]
        out[f"convs.{i}.conv2.0.kernel"] = out[f"convs.{i}.skip.0.kernel"] = BINOMIAL
        out[f"convs.{i}.skip.1.weight"] = theirs[f"b{r}.skip.weight"]
    out["final_conv.0.weight"] = theirs["b4.conv.weight"]
    out["final_conv.1.bias"] = theirs["b4.conv.bias"]
    for i, name in enumerate(("fc", "out")):
        for kind in ("weight", "bias"):
            out[f"final_linear.{i}.{kind}"] = theirs[f"b4.{name}.{kind}"]
    return out


def port1_generator(
    seed: int, trained: int = 128, widths: Mapping[int, int] = WIDTHS1, w: int = 12, depth: int = 3
) -> State:
    """The generator of the common PyTorch port of the progressive StyleGAN.

    Fused layers from 128 px; levels above `trained` as they are initialised.
    """
    draw, out = Draw(seed), State()
    for i in range(depth):
        out[f"style.{2 * i + 1}.linear.weight_orig"] = draw(w, w)
        out[f"style.{2 * i + 1}.linear.bias"] = draw(w)
    for i, (r, n) in enumerate(widths.items()):
        block, live = f"generator.progression.{i}", float(r <= trained)
        before = widths[r // 2] if i else n
        if i == 0:
            out[f"{block}.conv1.input"] = draw(1, n, 4, 4)
        elif r >= 128:
            out[f"{block}.conv1.0.weight"] = draw(before, n, 3, 3)
            out[f"{block}.conv1.0.bias"] = draw(n, scale=live)
            out[f"{block}.conv1.1.weight"] = out[f"{block}.conv1.1.weight_flip"] = draw(n, 1, 3, 3)
        else:
            out[f"{block}.conv1.1.conv.weight_orig"] = draw(n, before, 3, 3)
            out[f"{block}.conv1.1.conv.bias"] = draw(n, scale=live)
            out[f"{block}.conv1.2.weight"] = out[f"{block}.conv1.2.weight_flip"] = draw(n, 1, 3, 3)
        out[f"{block}.conv2.conv.weight_orig"] = draw(n, n, 3, 3)
        out[f"{block}.conv2.conv.bias"] = draw(n, scale=live)
        for k in (1, 2):
            out[f"{block}.noise{k}.weight_orig"] = draw(1, n, 1, 1, scale=live)
            out[f"{block}.adain{k}.style.linear.weight_orig"] = draw(2 * n, w)
            out[f"{block}.adain{k}.style.linear.bias"] = draw(2 * n)
        out[f"generator.to_rgb.{i}.conv.weight_orig"] = draw(3, n, 1, 1)
        out[f"generator.to_rgb.{i}.conv.bias"] = draw(3, scale=0.1 * live)
    return out
