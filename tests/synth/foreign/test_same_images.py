"""Imported networks draw what the equations say of the weights in their own names and shapes.

The references here are written from the papers alone, with zeros inserted between pixels and one
kernel for each image, and read the foreign tensors directly.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from phantoms import ada_pickles, foreign
from torch import Tensor

from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.layers import broadcast_styles
from mri_gan.synth.foreign.bring import read_foreign, to_channels
from mri_gan.synth.foreign.taking import Imported

CLOSE = 1e-4  # of images that are scaled to -1..1
N = 3


def dense(x: Tensor, weight: Tensor, bias: Tensor, lr: float = 1.0) -> Tensor:
    return x @ (weight * lr / math.sqrt(weight.shape[1])).T + bias * lr


def activate(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def insert_zeros(x: Tensor, length: int) -> Tensor:
    out = x.new_zeros(*x.shape[:2], length, length)
    out[:, :, ::2, ::2] = x
    return out


def fir(x: Tensor, before: int, after: int, gain: float) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 64 * gain
    padded = F.pad(x, (before, after, before, after))
    return torch.cat([F.conv2d(c[:, None], kernel[None, None]) for c in padded.unbind(1)], dim=1)


def modulated(x: Tensor, kernel: Tensor, style: Tensor, up: bool, demodulate: bool) -> Tensor:
    """Karras et al. 2020, equations 1 and 3, image by image."""
    rows = []
    for image, s in zip(x, style, strict=True):
        k = kernel / math.sqrt(kernel[0].numel()) * s[None, :, None, None]
        if demodulate:
            k = k / (k.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = insert_zeros(image[None], 2 * image.shape[-1] - 1)
            rows.append(fir(F.conv2d(wide, k.flip(2, 3), padding=2), 1, 1, 4))
        else:
            rows.append(F.conv2d(image[None], k, padding=kernel.shape[-1] // 2))
    return torch.cat(rows)


# (kernel, affine weight, affine bias, bias, noise strength) of a layer by name
Layer = Callable[[str], tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]


def reference_stylegan2(
    constant: Tensor,
    layer: Layer,
    names: Sequence[tuple[str, str, str]],
    w: Tensor,
    noise: Sequence[Tensor],
) -> Tensor:
    """Karras et al. 2020, figures 2d and 7b; names are (up, same size, image) for each size."""

    def styled(x: Tensor, name: str, images: Tensor, up: bool) -> Tensor:
        kernel, a_weight, a_bias, bias, strength = layer(name)
        x = modulated(x, kernel, dense(w, a_weight, a_bias), up, demodulate=True)
        return activate(x + images * strength + bias.reshape(1, -1, 1, 1)).clamp(-256, 256)

    x, image, left = constant.expand(len(w), -1, -1, -1), None, list(noise)
    for up, same, to_image in names:
        if up:
            x = styled(x, up, left.pop(0), up=True)
        x = styled(x, same, left.pop(0), up=False)
        kernel, a_weight, a_bias, bias, _ = layer(to_image)
        added = modulated(x, kernel, dense(w, a_weight, a_bias), False, False)
        added = added + bias.reshape(1, -1, 1, 1)
        if image is not None:
            added = added + fir(insert_zeros(image, 2 * image.shape[-1]), 2, 1, 4)
        image = added
    assert image is not None
    return image


def ours(
    found: Imported, z: Tensor, noise: Sequence[Tensor] | None, condition: Tensor | None = None
) -> Tensor:
    net = build_generator(found.model).eval().requires_grad_(False)
    net.load_state_dict({"w_avg": net.w_avg, **found.g_ema})
    size = found.model.max_size
    ws = broadcast_styles(net.map(z, condition), net.num_layers(size))
    images: Tensor = net.synthesis(ws, resolution=size, noise=noise)
    return images


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference after scaling both so that the reference spans -1..1."""
    assert b.std() > 0
    return float((a - b).abs().max() / b.abs().max())


def noise_for(found: Imported) -> list[Tensor]:
    rng = torch.Generator().manual_seed(7)
    shapes = build_generator(found.model).noise_shapes(N, found.model.max_size)
    return [torch.randn(s, generator=rng) for s in shapes]


def latents(width: int = 12) -> Tensor:
    return torch.randn(N, width, generator=torch.Generator().manual_seed(5))


ADA_NAMES = [
    ("", "synthesis.b4.conv1", "synthesis.b4.torgb"),
    *((f"synthesis.b{r}.conv0", f"synthesis.b{r}.conv1", f"synthesis.b{r}.torgb") for r in (8, 16)),
]


def ada_images(
    state: foreign.State, z: Tensor, noise: Sequence[Tensor], condition: Tensor | None
) -> Tensor:
    def layer(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        strength = state.get(f"{name}.noise_strength", torch.zeros(()))
        affine = state[f"{name}.affine.weight"], state[f"{name}.affine.bias"]
        return state[f"{name}.weight"], *affine, state[f"{name}.bias"], strength

    w = unit(z)
    if condition is not None:
        embedded = dense(condition, state["mapping.embed.weight"], state["mapping.embed.bias"])
        w = torch.cat([w, unit(embedded)], dim=1)
    for i in range(2):
        w = activate(dense(w, state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"], 0.01))
    return reference_stylegan2(state["synthesis.b4.const"][None], layer, ADA_NAMES, w, noise)


@pytest.mark.parametrize(
    ("protocol", "core", "old_torch", "classes"),
    [
        (0, "_core", False, 0),
        (1, "core", False, 3),
        (2, "core", True, 0),
        (3, "core", True, 3),
        (4, "core", False, 3),
        (4, "_core", False, 0),
        (5, "core", False, 0),
        (5, "_core", False, 3),
    ],
)
def test_a_stylegan2_ada_pickle(
    tmp_path: Path, protocol: int, core: str, old_torch: bool, classes: int
) -> None:
    value, states = ada_pickles.snapshot(classes)
    ada_pickles.save_networks(tmp_path / "net.pkl", value, protocol, core, old_torch)
    found = read_foreign(tmp_path / "net.pkl")
    condition = torch.eye(3) if classes else None
    noise = noise_for(found)
    assert found.conditions.dim == classes
    drawn = ours(found, latents(), noise, condition)
    assert difference(drawn, ada_images(states["G_ema"], latents(), noise, condition)) < CLOSE
    assert found.g is not None
    assert found.d is not None


STATE_DICTS: dict[str, Callable[[dict[str, foreign.State]], object]] = {
    "all": lambda states: states,
    "the generator alone": lambda states: states["G_ema"],
    "several processes": lambda states: {f"module.{k}": v for k, v in states["G_ema"].items()},
    "other names": lambda states: {
        "model": {"generator": states["G"], "generator_ema": states["G_ema"], "critic": states["D"]}
    },
    "of Lightning": lambda states: {
        "state_dict": {f"{n}.{k}": v for n, state in states.items() for k, v in state.items()}
    },
}
ALONE = [STATE_DICTS["the generator alone"], STATE_DICTS["several processes"]]


@pytest.mark.parametrize("chosen", STATE_DICTS.values(), ids=STATE_DICTS)
def test_state_dicts_of_stylegan2_ada(
    tmp_path: Path, chosen: Callable[[dict[str, foreign.State]], object]
) -> None:
    _, states = ada_pickles.snapshot()
    save(tmp_path / "net.pt", chosen(states))
    found = read_foreign(tmp_path / "net.pt")
    noise = noise_for(found)
    drawn = ours(found, latents(), noise)
    assert difference(drawn, ada_images(states["G_ema"], latents(), noise, None)) < CLOSE
    assert found.model.clamp == 256
    assert (found.g is None) == (found.d is None) == (chosen in ALONE)


@pytest.mark.parametrize("wrap", [lambda v: {"nets": v}, lambda v: {"nets": {"best": v["G_ema"]}}])
def test_a_pickle_whose_networks_are_deeper(
    tmp_path: Path, wrap: Callable[[dict[str, object]], object]
) -> None:
    value, states = ada_pickles.snapshot()
    ada_pickles.save_networks(tmp_path / "net.pkl", wrap(value))
    found = read_foreign(tmp_path / "net.pkl")
    noise = noise_for(found)
    drawn = ours(found, latents(), noise)
    assert difference(drawn, ada_images(states["G_ema"], latents(), noise, None)) < CLOSE


def test_a_copy_of_those_programs_inside_another_package(tmp_path: Path) -> None:
    value, states = ada_pickles.snapshot()
    ada_pickles.save_networks(tmp_path / "net.pkl", value, protocol=3)
    data = (tmp_path / "net.pkl").read_bytes()
    for module in (b"torch_utils.persistence", b"dnnlib.util"):
        assert b"c" + module in data
        data = data.replace(b"c" + module, b"csrc.stylegan." + module)
    (tmp_path / "net.pkl").write_bytes(data)
    found = read_foreign(tmp_path / "net.pkl")
    noise = noise_for(found)
    drawn = ours(found, latents(), noise)
    assert difference(drawn, ada_images(states["G_ema"], latents(), noise, None)) < CLOSE


def test_widths_that_are_no_powers_of_two(tmp_path: Path) -> None:
    widths = {4: 40, 8: 23, 16: 11}  # min(187 // r, 40), and 184 to 186 as well
    states = ada_pickles.save_ada_pickle(tmp_path / "net.pkl", widths=widths)
    found = read_foreign(tmp_path / "net.pkl")
    assert found.model.channel_base in range(184, 188)
    noise = noise_for(found)
    drawn = ours(found, latents(), noise)
    assert difference(drawn, ada_images(states["G_ema"], latents(), noise, None)) < CLOSE


def test_half_precision_tensors_are_the_numbers_they_hold(tmp_path: Path) -> None:
    value, states = ada_pickles.snapshot()
    value["G_ema"].half()
    ada_pickles.save_networks(tmp_path / "net.pkl", value)
    found = read_foreign(tmp_path / "net.pkl")
    halved = {name: tensor.half().float() for name, tensor in states["G_ema"].items()}
    noise = noise_for(found)
    drawn = ours(found, latents(), noise)
    assert difference(drawn, ada_images(halved, latents(), noise, None)) < CLOSE


def test_another_learning_rate_of_the_mapping_goes_into_its_weights(tmp_path: Path) -> None:
    value, states = ada_pickles.snapshot()
    scaled = dict(states["G_ema"])
    for i in range(2):
        layer = value["G_ema"].get_submodule(f"mapping.fc{i}")
        layer.weight_gain, layer.bias_gain = 2 * layer.weight_gain, 0.02
        scaled |= {
            f"mapping.fc{i}.{k}": 2 * scaled[f"mapping.fc{i}.{k}"] for k in ("weight", "bias")
        }
    ada_pickles.save_networks(tmp_path / "net.pkl", value)
    found = read_foreign(tmp_path / "net.pkl")
    noise = noise_for(found)
    drawn = ours(found, latents(), noise)
    assert difference(drawn, ada_images(scaled, latents(), noise, None)) < CLOSE


PORT_FILES: dict[str, Callable[[foreign.State], object]] = {
    "a checkpoint": lambda state: {"g_ema": state, "args": Namespace(size=16), "g_optim": {}},
    "several processes": lambda state: {"g_ema": {f"module.{k}": v for k, v in state.items()}},
    "compiled": lambda state: {"g_ema": {f"_orig_mod.{k}": v for k, v in state.items()}},
    "the generator alone": lambda state: state,
    "alone, several processes": lambda state: {f"module.{k}": v for k, v in state.items()},
    "no average": lambda state: {"g": state},
    "an average under another name": lambda state: {
        "state_dict": {f"generator_ema.{k}": v for k, v in state.items()}
        | {f"generator.{k}": 0 * v for k, v in state.items()}
    },
    "a state dict inside a part": lambda state: {"g_ema": {"state_dict": state}},
    "a decoder beside an encoder": lambda state: {
        "state_dict": {"encoder.w": torch.ones(1)} | {f"decoder.{k}": v for k, v in state.items()}
    },
}


@pytest.mark.parametrize("wrapped", PORT_FILES.values(), ids=PORT_FILES)
def test_the_common_port_of_stylegan2(
    tmp_path: Path, wrapped: Callable[[foreign.State], object]
) -> None:
    state = foreign.port2_generator(1)
    names = [
        ("", "conv1", "to_rgb1"),
        ("convs.0", "convs.1", "to_rgbs.0"),
        ("convs.2", "convs.3", "to_rgbs.1"),
    ]

    def layer(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        affine = state[f"{name}.conv.modulation.weight"], state[f"{name}.conv.modulation.bias"]
        kernel = state[f"{name}.conv.weight"][0]
        if name.startswith("to_rgb"):
            return kernel, *affine, state[f"{name}.bias"], torch.zeros(())
        return kernel, *affine, state[f"{name}.activate.bias"], state[f"{name}.noise.weight"]

    w = unit(latents())
    for i in range(1, 9):
        w = activate(dense(w, state[f"style.{i}.weight"], state[f"style.{i}.bias"], 0.01))
    save(tmp_path / "port.pt", wrapped(state))
    found = read_foreign(tmp_path / "port.pt")
    noise = noise_for(found)
    expected = reference_stylegan2(state["input.input"], layer, names, w, noise)
    assert difference(ours(found, latents(), noise), expected) < CLOSE


def save(path: Path, value: object, new: bool = True) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=new)


def equal(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A dense layer of the progressive port: He's constant everywhere."""
    return x @ (weight * math.sqrt(2 / weight.shape[1])).T + bias


def port1_images(state: foreign.State, z: Tensor, noise: Sequence[Tensor], size: int) -> Tensor:
    """Karras et al. 2019, figure 1b, in the port's order: convolution and bias, blur, noise."""
    w = unit(z)
    for i in (1, 3, 5):
        w = equal(w, state[f"style.{i}.linear.weight_orig"], state[f"style.{i}.linear.bias"])
        w = torch.where(w > 0, w, 0.2 * w)
    x = torch.zeros(0)
    for i in range(size.bit_length() - 2):
        name = f"generator.progression.{i}"
        x = (
            port1_grow(state, name, x)
            if i
            else state[f"{name}.conv1.input"].expand(len(z), -1, -1, -1)
        )
        x = port1_style(state, name, 1, x, w, noise[i])
        kernel = state[f"{name}.conv2.conv.weight_orig"]
        bias = state[f"{name}.conv2.conv.bias"]
        x = F.conv2d(x, kernel * math.sqrt(2 / kernel[0].numel()), bias, padding=1)
        x = port1_style(state, name, 2, x, w, noise[i])
    kernel = state[f"generator.to_rgb.{i}.conv.weight_orig"]
    kernel = kernel * math.sqrt(2 / kernel.shape[1])
    return F.conv2d(x, kernel, state[f"generator.to_rgb.{i}.conv.bias"])


def port1_grow(state: foreign.State, name: str, x: Tensor) -> Tensor:
    fused = state.get(f"{name}.conv1.0.weight")
    if fused is not None:  # [in, out, 3, 3], its four shifts averaged, then transposed
        kernel = fused * math.sqrt(2 / (fused.shape[0] * 9))
        shifts = [(a, 1 - a, b, 1 - b) for a in (0, 1) for b in (0, 1)]
        wide = torch.stack([F.pad(kernel, shift) for shift in shifts]).mean(0)
        x = F.conv_transpose2d(x, wide, state[f"{name}.conv1.0.bias"], stride=2, padding=1)
    else:
        kernel = state[f"{name}.conv1.1.conv.weight_orig"]
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        kernel = kernel * math.sqrt(2 / kernel[0].numel())
        x = F.conv2d(x, kernel, state[f"{name}.conv1.1.conv.bias"], padding=1)
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    smooth = torch.outer(taps, taps)[None, None]
    return torch.cat([F.conv2d(c[:, None], smooth, padding=1) for c in x.unbind(1)], dim=1)


def port1_style(
    state: foreign.State, name: str, k: int, x: Tensor, w: Tensor, noise: Tensor
) -> Tensor:
    strength = state[f"{name}.noise{k}.weight_orig"]
    x = x + strength * math.sqrt(2 / strength.shape[1]) * noise
    x = torch.where(x > 0, x, 0.2 * x)
    linear = f"{name}.adain{k}.style.linear"
    gamma, beta = equal(w, state[f"{linear}.weight_orig"], state[f"{linear}.bias"]).chunk(2, 1)
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    return gamma[:, :, None, None] * (x - mean) / (var + 1e-5).sqrt() + beta[:, :, None, None]


@pytest.mark.parametrize(("trained", "wrapped"), [(16, False), (64, True), (128, True)])
def test_the_common_port_of_the_progressive_stylegan(
    tmp_path: Path, trained: int, wrapped: bool
) -> None:
    state = foreign.port1_generator(1, trained)
    save(
        tmp_path / "p.model",
        {"g_running": state, "discriminator": {"a": 1}} if wrapped else state,
        wrapped,
    )
    found = read_foreign(tmp_path / "p.model")
    assert found.model.max_size == trained
    rng = torch.Generator().manual_seed(3)
    one_each = [
        torch.randn(N, 1, 4 << i, 4 << i, generator=rng) for i in range(trained.bit_length() - 2)
    ]
    twice = [image for image in one_each for _ in range(2)]
    expected = port1_images(state, latents(), one_each, trained)
    assert difference(ours(found, latents(), twice), expected) < CLOSE


def reference_scores(
    state: foreign.State, images: Tensor, condition: Tensor | None = None
) -> Tensor:
    """The residual critic in the names of the pickles.  Karras et al. 2020, figure 7c."""

    def conv(x: Tensor, name: str, down: bool = False) -> Tensor:
        kernel, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
        side = kernel.shape[-1]
        x = fir(x, 2, 2, 1) if down and side == 3 else fir(x, 1, 1, 1) if down else x
        padding = 0 if down else side // 2
        x = F.conv2d(x, kernel / math.sqrt(kernel[0].numel()), bias, padding=padding)
        x = x[:, :, ::2, ::2] if down else x
        return x if bias is None else activate(x)

    x = conv(images, f"b{images.shape[-1]}.fromrgb")
    while x.shape[-1] > 4:
        name = f"b{x.shape[-1]}"
        skip = conv(x, f"{name}.skip", down=True)
        x = (conv(conv(x, f"{name}.conv0"), f"{name}.conv1", down=True) + skip) / math.sqrt(2)
    spread = (x.var(0, correction=0) + 1e-8).sqrt().mean()
    x = conv(torch.cat([x, spread.expand(len(x), 1, 4, 4)], 1), "b4.conv")
    x = activate(dense(x.flatten(1), state["b4.fc.weight"], state["b4.fc.bias"]))
    x = dense(x, state["b4.out.weight"], state["b4.out.bias"])
    if condition is None:
        return x[:, 0]
    w = unit(dense(condition, state["mapping.embed.weight"], state["mapping.embed.bias"]))
    for i in range(8):
        w = activate(dense(w, state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"], 0.01))
    return (x * w).sum(1) / math.sqrt(w.shape[1])


@pytest.mark.parametrize("kind", ["pickle", "port", "classes"])
def test_critics_give_the_same_scores(tmp_path: Path, kind: str) -> None:
    path, classes = tmp_path / "file", 3 if kind == "classes" else 0
    if kind != "port":
        ada_pickles.save_ada_pickle(path, classes=classes)
    else:
        save(path, {"g_ema": foreign.port2_generator(1), "d": foreign.port2_critic(2)})
    found = read_foreign(path)
    assert found.d is not None
    net = build_critic(found.model).requires_grad_(False)
    net.load_state_dict(found.d)
    images = torch.randn(N, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    condition = torch.eye(3) if classes else None
    state = foreign.ada_critic(2, classes=classes)
    drawn = net(images, condition=condition)
    assert difference(drawn, reference_scores(state, images, condition)) < CLOSE


def test_one_channel_is_the_mean_of_three_and_scored_as_grey(tmp_path: Path) -> None:
    ada_pickles.save_ada_pickle(tmp_path / "net.pkl")
    colour = read_foreign(tmp_path / "net.pkl")
    grey = to_channels(colour, 1)
    noise = noise_for(colour)
    three, one = (ours(f, latents(), noise) for f in (colour, grey))
    assert difference(one, three.mean(1, keepdim=True)) < CLOSE
    assert grey.d is not None
    assert colour.d is not None
    critics = [build_critic(f.model).requires_grad_(False) for f in (colour, grey)]
    for critic, weights in zip(critics, (colour.d, grey.d), strict=True):
        critic.load_state_dict(weights)
    image = torch.randn(N, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    assert difference(critics[1](image), critics[0](image.expand(-1, 3, -1, -1))) < CLOSE
    assert replace(grey.model, channels=3) == colour.model
