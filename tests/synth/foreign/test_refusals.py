"""Files of other programs that cannot be taken, whole or in part: the reason is the true one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantoms import ada_pickles, foreign

from mri_gan.errors import DataError
from mri_gan.synth.foreign.bring import build_checkpoint, read_foreign
from mri_gan.synth.foreign.taking import Imported


def save(path: Path, value: Any, protocol: int = 4, core: str = "core") -> Path:
    ada_pickles.save_networks(path, value, protocol, core)
    return path


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """A good snapshot with something else in it."""
    value, _ = ada_pickles.snapshot()
    change(value)
    return value


def rename(value: dict[str, Any], kind: str) -> None:
    for _, part in value["G_ema"].named_modules():
        if hasattr(part, "architecture"):
            part.architecture = kind


def other_filter(value: dict[str, Any]) -> None:
    block = value["G_ema"].get_submodule("synthesis.b8")
    block.resample_filter = torch.ones(4, 4) / 16


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "StyleGAN3's own layers, with numpy arrays": (
        lambda: {"G": None, "D": None, "G_ema": ada_pickles.build_alias_free()},
        "StyleGAN3's own architecture",
    ),
    "TensorFlow": (ada_pickles.tensorflow_networks, "for TensorFlow"),
    "no network": (
        lambda: {"G_ema": None, "weight_gain": 1 / np.sqrt(512)},
        "holds no generator of a known program",
    ),
    "a critic alone": (
        lambda: ada_pickles.build_critic(foreign.ada_critic(2)),
        "is a critic, not a generator",
    ),
    "another generator": (
        lambda: {"G_ema": ada_pickles.grow({"a.weight": torch.ones(2, 2)}, "Generator")},
        "not of StyleGAN2's architecture",
    ),
    "a residual generator": (lambda: changed(lambda v: rename(v, "resnet")), "of kind resnet"),
    "another filter": (lambda: changed(other_filter), "another filter than [1 3 3 1]"),
    "another rectifier": (
        lambda: changed(
            lambda v: setattr(v["G_ema"].get_submodule("synthesis.b8.conv0"), "activation", "relu")
        ),
        "synthesis.b8.conv0 has the activation relu",
    ),
}


@pytest.mark.parametrize(("protocol", "core"), [(2, "core"), (4, "_core"), (5, "core")])
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_is_not_ours_is_refused_by_its_architecture(
    tmp_path: Path, name: str, core: str, protocol: int
) -> None:
    make, says = REFUSED[name]
    with pytest.raises(DataError) as caught:
        read_foreign(save(tmp_path / "net.pkl", make(), protocol, core))
    assert says in str(caught.value)
    assert not {"numpy", "run", "damaged"} & set(str(caught.value).split())


WIDER = {4: 32, 8: 32, 16: 16}


def without_spread(inputs: int) -> foreign.State:
    """A critic whose last convolution sees another number of channels."""
    return foreign.ada_critic(2) | {"b4.conv.weight": torch.ones(16, inputs, 3, 3)}


LEFT_OUT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a critic of another shape": (
        lambda v: v.update(D=ada_pickles.build_critic(foreign.ada_critic(2), "orig")),
        "D, the critic, is left out: {file}: D: is of kind orig, not resnet",
    ),
    "a critic of another size": (
        lambda v: v.update(D=ada_pickles.build_critic(foreign.ada_critic(2, {4: 9, 8: 9}))),
        "D, the critic, is left out: {file}: D: has no tensor b16.fromrgb.weight",
    ),
    "a wider critic": (
        lambda v: v.update(D=ada_pickles.build_critic(foreign.ada_critic(2, WIDER))),
        "the critic is left out: blocks.16.conv0.bias is (16,), not (8,) here",
    ),
    "a critic without the spread of a batch": (
        lambda v: v.update(D=ada_pickles.build_critic(without_spread(16))),
        "the critic is left out: blocks.4.conv.weight is (16, 16, 3, 3), not (16, 17, 3, 3) here",
    ),
    "a critic with two channels of spread": (
        lambda v: v.update(D=ada_pickles.build_critic(without_spread(18))),
        "the critic is left out: blocks.4.conv.weight is (16, 18, 3, 3), not (16, 17, 3, 3) here",
    ),
    "a critic of classes beside a generator without": (
        lambda v: v.update(D=ada_pickles.build_critic(foreign.ada_critic(2, classes=3))),
        "D, the critic, is left out: {file}: D: 18 tensors have no place here, such as "
        "mapping.embed.weight",
    ),
    "a wider generator beside its average": (
        lambda v: v.update(G=ada_pickles.build_generator(foreign.ada_generator(1, WIDER))),
        "g is left out: synthesis.blocks.16.conv0.affine.bias is (32,), not (16,) here",
    ),
    "a critic that is not finite": (
        lambda v: v["D"].get_submodule("b8.conv0").weight.data.fill_(torch.nan),
        "D, the critic, is left out: {file}: D: b8.conv0.weight is not finite",
    ),
    "a generator beside its average": (
        lambda v: v["G"].get_submodule("mapping.fc1").weight.data.fill_(torch.inf),
        "G is left out: {file}: G: mapping.fc1.weight is not finite",
    ),
    "a critic that sees whole batches": (
        lambda v: setattr(v["D"].b4.mbstd, "group_size", None),
        "its critic sees the spread of whole batches, ours of groups of 4",
    ),
    "no average": (
        lambda v: v.update(G_ema=None),
        "the file has no running average of its generator: G is drawn from",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_good_is_taken_and_what_is_left_is_said(tmp_path: Path, name: str) -> None:
    change, says = LEFT_OUT[name]
    path = save(tmp_path / "net.pkl", changed(change))
    found = read_foreign(path)
    assert says.format(file=path) in found.notes
    assert (found.d is None) == ("left out" in says and "critic" in name)
    build_checkpoint(found)


def of_port(path: Path, **parts: Any) -> Imported:
    torch.save({"g_ema": foreign.port2_generator(1), **parts}, path)
    return read_foreign(path)


def test_a_bad_critic_of_the_port_does_not_lose_its_generator(tmp_path: Path) -> None:
    short = {k: v for k, v in foreign.port2_critic(2).items() if "skip" not in k}
    for critic in (short, {"a": torch.ones(1)}, {}, torch.ones(3), "a name"):
        found = of_port(tmp_path / "port.pt", d=critic)
        assert found.d is None
        assert any("d, the critic, is left out" in note for note in found.notes)
    assert of_port(tmp_path / "port.pt", d=foreign.port2_critic(2)).d is not None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"d": foreign.port2_critic(2)}, "a critic of StyleGAN2, but no generator"),
        (foreign.ada_critic(2), "is a critic, not a generator"),
        ({"GAN": {"S.net.0.weight": torch.ones(2, 2)}}, "is of the package stylegan2_pytorch"),
        ({"synthesis.input.weight": torch.ones(2, 2)}, "StyleGAN3's own architecture"),
        ({"g_ema": foreign.port2_generator(1) | {"iwt.ll": torch.ones(2, 2)}}, "is a SWAGAN"),
        ({"g": {"synthesis.early_layer.const": torch.ones(2)}}, "is of a StyleGAN of GenForce"),
        (foreign.ada_generator(1, depth=0), "has no layers between z and w"),
        (foreign.ada_generator(1) | {"mapping.fc0.bias": torch.ones(5)}, r"a.pt: mapping.layers.0"),
        ({"netG": {"main.0.weight": torch.ones(2)}}, "is a DCGAN as PyTorch's tutorial builds it"),
        ({"GAN": {"G.initial_conv.0.weight": torch.ones(2)}}, "of the package lightweight_gan"),
        ({"g": {"module.init.init.0.weight_orig": torch.ones(2)}}, "is a FastGAN of another"),
        ({"fc.weight": torch.ones(2)}, "no generator of a known program"),
        ({"g_ema": {"fc.weight": torch.ones(2, device="meta")}}, "tensors of a kind that is not"),
    ],
)
def test_a_state_dict_of_another_network_is_named(
    tmp_path: Path, value: dict[str, Any], says: str
) -> None:
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(DataError, match=says):
        read_foreign(tmp_path / "a.pt")


def test_a_mean_of_another_length_is_left_out(tmp_path: Path) -> None:
    found = of_port(tmp_path / "port.pt", latent_avg=torch.ones(5))
    assert "w_avg" not in found.g_ema
    assert any("latent_avg is left out" in note for note in found.notes)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numbers_and_arrays_of_numpy_are_read_as_data(tmp_path: Path, protocol: int) -> None:
    from mri_gan.synth.foreign.containers import read_weights

    values: dict[str, Any] = {
        "f8": np.float64(0.1),
        "f4": np.float32(0.1),
        "i8": np.int64(-3),
        "bool": np.bool_(True),
        "text": np.str_("a\N{LATIN SMALL LETTER E WITH ACUTE}"),
        "array": np.arange(6, dtype="<i2").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">f4"),
        "view": np.broadcast_to(np.asarray(36), [2]),
        "empty": np.zeros((0, 3)),
        "bytes": b"",
    }
    read = read_weights(
        save(tmp_path / "a.pkl", {**values, "bytearray": bytearray(b"\x00\xff")}, protocol)
    )
    for name, value in values.items():
        assert np.array_equal(read[name], value)
    assert bytes(read["bytearray"]) == b"\x00\xff"
    assert type(read["f8"]) is float
    assert type(read["i8"]) is int


@pytest.mark.parametrize(
    "value", [np.array([print]), np.array([(1, 2.0)], "i4,f8"), np.datetime64("2026-01-01")]
)
def test_arrays_of_objects_are_not_read(tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": value}))
    with pytest.raises(DataError, match=r"a part cannot be read|calls builtins.print"):
        read_foreign(tmp_path / "a.pkl")


class Unknown:
    """An object of a program's own class."""


def test_an_unknown_object_of_a_good_file_is_named_without_alarm(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": Unknown()}))
    with pytest.raises(DataError, match=r"holds an object of .*Unknown, which is not known here"):
        read_foreign(tmp_path / "a.pkl")


def test_a_call_that_reaches_out_of_the_file_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    with pytest.raises(DataError, match=r"calls posix\.system.*do not use this file"):
        read_foreign(tmp_path / "a.pkl")
