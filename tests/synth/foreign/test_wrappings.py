"""One network in files as programs and people keep them: the same weights are read from each."""

from __future__ import annotations

import collections
import datetime
import enum
import pickle
import types
import zipfile
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from phantoms import foreign
from torch import nn

from mri_gan.errors import DataError
from mri_gan.synth.foreign.bring import read_foreign

NET = foreign.port2_generator(1)


class Layer(nn.Module):
    """A part of a network, of a class that only its own program has."""


class Setting(enum.Enum):
    """A program's own setting."""

    FIRST = 1


class Settings(dict[str, Any]):
    """As Lightning keeps what a network was built with."""


def as_module(state: foreign.State) -> nn.Module:
    """A network with these tensors; the filters and noise images are buffers, as in the port."""
    top = Layer()
    for name, tensor in state.items():
        *path, last = name.split(".")
        part: nn.Module = top
        for step in path:
            if step not in part._modules:
                part.add_module(step, Layer())
            part = part.get_submodule(step)
        if last == "kernel" or path == ["noises"]:
            part.register_buffer(last, tensor)
        else:
            part.register_parameter(last, nn.Parameter(tensor))
    part.register_buffer("made_anew", torch.ones(1), persistent=False)
    return top


def of_lightning() -> dict[str, Any]:
    named = {f"g_ema.{name}": tensor for name, tensor in NET.items()}
    return {
        "state_dict": named | {f"G.{name}": 0 * tensor for name, tensor in NET.items()},
        "hyper_parameters": Settings(lr=0.002),
        "callbacks": {Layer: {"best": torch.ones(())}, ("a", 1): 2},
        "lr_schedulers": [{"milestones": collections.Counter([3, 4])}],
    }


# Those that torch can save: older ones have no storage of uint16.
ODD_KINDS = (torch.complex64, *([torch.uint16] if torch.__version__ >= "2.5" else []))
OBJECTS: dict[str, Any] = {
    "a namespace": types.SimpleNamespace(mode=Setting.FIRST),
    "functions and classes": Namespace(act=nn.functional.relu, layer=nn.ReLU, kind=int),
    "containers": [collections.deque([1]), collections.defaultdict(list, {"a": [1]})],
    "numbers": [complex(1, 2), slice(1, 2), range(3), np.random.default_rng(0)],
    "a date": datetime.datetime(2026, 1, 1),
    "odd tensors": [torch.zeros(3, dtype=kind) for kind in ODD_KINDS],
    "a sparse tensor": torch.eye(3).to_sparse(),
}


def beside(name: str) -> dict[str, Any]:
    return {"g_ema": NET, "x": OBJECTS[name]}


FILES: dict[str, Callable[[], object]] = {
    **{f"beside {name}": partial(beside, name) for name in OBJECTS},
    "a whole network": lambda: as_module(NET),
    "whole networks": lambda: {"g": as_module(foreign.port2_generator(2)), "g_ema": as_module(NET)},
    "a whole network of several processes": lambda: nn.DataParallel(as_module(NET)),
    "Lightning": of_lightning,
}


ARRAYS: dict[str, Callable[[], object]] = {
    "arrays": lambda: {"g_ema": {k: v.numpy() for k, v in NET.items()}},
    "arrays of the other byte order": lambda: {k: v.numpy().astype(">f4") for k, v in NET.items()},
    "columns first": lambda: {k: np.asfortranarray(v.numpy()) for k, v in NET.items()},
    "a list of networks": lambda: [{"epoch": 3}, NET],
}


def equal_to_plain(path: Path) -> bool:
    plain = path.with_name("plain.pt")
    torch.save({"g_ema": NET}, plain)
    found, expected = (read_foreign(p).g_ema for p in (path, plain))
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in found
    )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "older form"])
def test_objects_of_other_programs_do_not_hide_the_network(
    tmp_path: Path, name: str, new: bool
) -> None:
    torch.save(FILES[name](), tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    assert equal_to_plain(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("protocol", [2, 5])
def test_numpy_arrays_are_weights_too(tmp_path: Path, name: str, protocol: int) -> None:
    value = ARRAYS[name]()
    if protocol == 2 and isinstance(value, list):
        torch.save(value, tmp_path / "a.pt")
    else:
        (tmp_path / "a.pt").write_bytes(pickle.dumps(value, protocol))
    assert equal_to_plain(tmp_path / "a.pt")


@pytest.mark.parametrize("prefix", ["", "g_ema.", "module."])
def test_safetensors(tmp_path: Path, prefix: str) -> None:
    named = {f"{prefix}{name}": tensor.clone() for name, tensor in NET.items()}
    safetensors.torch.save_file(named, tmp_path / "a.safetensors", {"format": "pt"})
    assert equal_to_plain(tmp_path / "a.safetensors")


def test_safetensors_whose_first_byte_is_that_of_another_kind(tmp_path: Path) -> None:
    named = {name: tensor.clone() for name, tensor in NET.items()}
    files = (safetensors.torch.save(named, {"format": "pt" + i * "."}) for i in range(256))
    (tmp_path / "a.pt").write_bytes(next(data for data in files if data[0] == 8))
    assert equal_to_plain(tmp_path / "a.pt")


def test_damaged_safetensors_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.ones(3)})[:-1])
    with pytest.raises(DataError, match=r"a.safetensors: damaged"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\x89HDF\r\n\x1a\n", "as Keras writes it"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"\x1f\x8b\x08\x00", "packed by gzip"),
        (b"\x93NUMPY\x01\x00", "an array of numpy"),
        (b"\x08\x07\x12\x07pytorch", "looks like ONNX"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_foreign(tmp_path / "a.pt")


def test_an_npz_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weight=np.ones(3))
    with pytest.raises(DataError, match="is an npz of numpy"):
        read_foreign(tmp_path / "a.npz")


def test_a_program_is_named_although_it_is_compressed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"a/{name}", pickle.dumps(None))
    with pytest.raises(DataError, match="is a TorchScript program"):
        read_foreign(tmp_path / "a.pt")
