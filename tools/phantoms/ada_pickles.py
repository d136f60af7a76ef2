"""Network pickles as the programs of StyleGAN2-ADA and StyleGAN3 write them.

What such a file holds is known from its opcodes; none of those programs' code is here. Every module
is a real `torch.nn.Module` whose class says, when it is pickled, to be rebuilt by
`torch_utils.persistence._reconstruct_persistent_obj` from one dictionary: type, version, the
source of its module, its class's name, and its `__dict__`. That has torch's own parts (parameters,
buffers, modules, hooks) and the class's: numpy numbers for gains, numpy arrays in StyleGAN3, lists,
texts, None. Tensors are pickled by themselves, each with a torch file of its storage inside.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from phantoms.foreign import BINOMIAL, WIDTHS2, State, ada_critic, ada_generator

SOURCE = "raise SystemExit('the source of a module was run')"
BUFFERS = ("w_avg", "noise_const", "resample_filter", "freqs", "phases", "transform", "up_filter")
NEWER = (  # what torch 2 keeps in a module and torch 1.7 did not
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_is_full_backward_hook",
)


def _stand_in(module: str, name: str, base: type | None = None) -> Any:
    """A function or class that says it is at home in a module that is not installed."""
    home = STAND_INS.setdefault(module, types.ModuleType(module))
    thing = type(name, (base,), {"__module__": module}) if base else (lambda *_: None)
    thing.__module__, thing.__name__, thing.__qualname__ = module, name, name
    setattr(home, name, thing)
    return thing


STAND_INS = {name: types.ModuleType(name) for name in ("torch_utils", "dnnlib", "dnnlib.tflib")}
EasyDict = _stand_in("dnnlib.util", "EasyDict", dict)
TensorFlowNetwork = _stand_in("dnnlib.tflib.network", "Network", object)
RECONSTRUCT = _stand_in("torch_utils.persistence", "_reconstruct_persistent_obj")
# The spellings of numpy's own modules that the installed version does not write.
OTHER_NUMPY = {
    core: {
        name: _stand_in(f"numpy.{core}.{module}", name)
        for module, name in (
            ("multiarray", "scalar"),
            ("multiarray", "_reconstruct"),
            ("numeric", "_frombuffer"),
        )
    }
    for core in ("core", "_core")[: 1 if np.__version__ >= "2" else 2]
}


class Part(nn.Module):
    """A module of one of those programs: tensors by their names, and plain attributes."""

    def __init__(self, kind: str, **attributes: Any) -> None:
        super().__init__()
        self.kind = kind
        for name, value in attributes.items():
            setattr(self, name, value)


def grow(state: Mapping[str, Tensor], kind: str) -> Any:
    """A tree of modules with the tensors of a state dict, each with what such layers keep."""
    root = Part(kind)
    for name, tensor in state.items():
        *path, last = name.split(".")
        part: Any = root
        for step in path:
            if step not in part._modules:
                part.add_module(step, Part("Part"))
            part = part._modules[step]
        if last in BUFFERS or last.endswith("_filter"):
            part.register_buffer(last, tensor.clone())
        else:
            part.register_parameter(last, nn.Parameter(tensor.clone()))
    for path, part in root.named_modules():
        _describe(path.rpartition(".")[2], part)
    return root


def _describe(name: str, part: Any) -> None:
    """The attributes of a layer of that name."""
    weight = getattr(part, "weight", None)
    if isinstance(weight, Tensor) and weight.ndim == 4:
        part.in_channels, part.out_channels = weight.shape[1], weight.shape[0]
        part.activation = "linear" if name == "skip" else "lrelu"
        part.up, part.down, part.conv_clamp = 1, 1, 256
        part.padding = [weight.shape[-1] // 2] * 4
        part.weight_gain = 1 / np.sqrt(weight[0].numel())  # a numpy number
        part.act_gain = np.sqrt(2)
        if name.startswith("conv") and "resample_filter" not in part._buffers:
            part.register_buffer("resample_filter", BINOMIAL.clone())
        # Weights of low-precision blocks lie with channels innermost.
        part.weight = nn.Parameter(weight.detach().to(memory_format=torch.channels_last))
        if name == "torgb":
            del part.activation, part.act_gain
    elif isinstance(weight, Tensor):
        learning = 0.01 if name.startswith("fc") and name != "fc" else 1
        part.activation = "lrelu" if name.startswith("fc") else "linear"
        part.weight_gain = learning / np.sqrt(weight.shape[1])
        part.bias_gain = learning
    if name == "mbstd":
        part.group_size, part.num_channels = 4, 1


def build_generator(state: State, classes: int = 0, clamp: int | None = 256) -> Any:
    """G of a state dict in the names of StyleGAN2-ADA."""
    root = grow(state, "Generator")
    w_dim, size = state["mapping.w_avg"].numel(), max(_sizes(state, "synthesis.b"))
    shape = {"c_dim": classes, "w_dim": w_dim, "img_resolution": size, "img_channels": 3}
    for name, value in {"z_dim": w_dim, "num_ws": 6, **shape}.items():
        setattr(root, name, value)
    root._init_args, root._init_kwargs = (), {**shape, "z_dim": w_dim, "mapping_kwargs": EasyDict()}
    for path, part in root.named_modules():
        if path.startswith("synthesis.b") and path.count(".") == 1:
            part.architecture, part.use_fp16, part.channels_last = "skip", size >= 8, size >= 8
            part.in_channels, part.is_last, part.num_conv = 0, f"b{size}" in path, 2
        if hasattr(part, "conv_clamp"):
            part.conv_clamp = clamp
    mapping = root.mapping
    mapping.w_avg_beta, mapping.num_layers = 0.995, 2
    root.synthesis.block_resolutions = _sizes(state, "synthesis.b")
    return root


def _sizes(state: State, prefix: str) -> list[int]:
    found = {name.removeprefix(prefix).partition(".")[0] for name in state if name[:11] == prefix}
    return sorted(int(size) for size in found if size.isdecimal())


def build_critic(state: State, architecture: str = "resnet") -> Any:
    """D of a state dict in the names of StyleGAN2-ADA."""
    root = grow(state, "Discriminator")
    for path, part in list(root.named_modules()):
        if path.startswith("b") and "." not in path:
            part.architecture, part.resolution = architecture, int(path[1:])
    last = root.b4
    last.add_module("mbstd", Part("MinibatchStdLayer", group_size=4, num_channels=1))
    return root


def build_augment_pipe() -> Any:
    """The augmentation that a file of StyleGAN2-ADA has beside its networks."""
    pipe: Any = Part("AugmentPipe", xflip=1.0, rotate_max=1.0, imgfilter_bands=[1, 1, 1, 1])
    pipe.brightness_std, pipe.noise_std = np.float64(0.2), np.float32(0.1)
    pipe.register_buffer("p", torch.tensor(0.25))
    pipe.register_buffer("Hz_geom", torch.ones(12))
    pipe.register_buffer("Hz_fbank", torch.ones(4, 9))
    return pipe


def build_alias_free() -> Any:
    """G of StyleGAN3's own architecture, in outline."""
    draw = torch.Generator().manual_seed(1)
    state = {
        "synthesis.input.freqs": torch.randn(8, 2, generator=draw),
        "synthesis.input.phases": torch.randn(8, generator=draw),
        "synthesis.input.transform": torch.eye(3),
        "synthesis.input.weight": torch.randn(8, 8, generator=draw),
        "synthesis.L0_36_8.weight": torch.randn(8, 8, 1, 1, generator=draw),
        "synthesis.L0_36_8.up_filter": torch.ones(12),
        "mapping.w_avg": torch.zeros(12),
        "mapping.fc0.weight": torch.randn(12, 12, generator=draw),
        "mapping.fc0.bias": torch.zeros(12),
    }
    root = grow(state, "Generator")
    synthesis = root.synthesis
    for part in (synthesis.input, synthesis.L0_36_8):
        part.size = np.broadcast_to(np.asarray(36), [2])
        part.in_size, part.sampling_rate = np.array([36, 36]), np.float64(16)
        part.bandwidths = np.exp2(np.linspace(0, 4, 3))
    return root


def tensorflow_networks() -> tuple[Any, Any, Any]:
    """What the pickles of the programs for TensorFlow hold."""
    networks = (TensorFlowNetwork(), TensorFlowNetwork(), TensorFlowNetwork())
    for network in networks:
        network.version, network.static_kwargs = 4, EasyDict(a=1)
        network.variables = [("w", np.ones(3, np.float32))]
    return networks


class _Pickler(pickle.Pickler):
    """Writes modules as persistent classes, and numpy's values in the spelling of a version."""

    def __init__(self, stream: io.BytesIO, protocol: int, core: str, drop: tuple[str, ...]) -> None:
        super().__init__(stream, protocol)
        self.protocol, self.core, self.drop, self.source = protocol, core, drop, SOURCE

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Part):
            state = {k: v for k, v in value.__dict__.items() if k not in self.drop}
            meta = {"type": "class", "version": 6, "module_src": self.source}
            return RECONSTRUCT, ({**meta, "class_name": state.pop("kind"), "state": state},)
        if isinstance(value, np.ndarray | np.generic) and self.core in OTHER_NUMPY:
            reduced: Any = value.__reduce_ex__(self.protocol)
            return OTHER_NUMPY[self.core][reduced[0].__name__], *reduced[1:]
        return NotImplemented


def save_networks(
    path: Path,
    networks: Any,
    protocol: int = 4,
    core: str = "core",  # numpy's spelling of where its numbers are made: `core`, or `_core`
    old_torch: bool = False,
    source: str = SOURCE,
) -> None:
    """Pickle what holds Parts."""
    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, STAND_INS):
        pickler = _Pickler(stream, protocol, core, NEWER if old_torch else ())
        pickler.source = source
        pickler.dump(networks)
    path.write_bytes(stream.getvalue())


def snapshot(
    classes: int = 0, critic: State | None = None, **shape: Any
) -> tuple[dict[str, Any], dict[str, State]]:
    """What a snapshot of StyleGAN2-ADA holds, and the state dicts of its networks."""
    states = {
        name: ada_generator(i, classes=classes, **shape) for i, name in enumerate(("G", "G_ema"))
    }
    states["D"] = critic or ada_critic(2, shape.get("widths", WIDTHS2), classes)
    value: dict[str, Any] = {
        "training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "max_size": 9},
        "G": build_generator(states["G"], classes),
        "D": build_critic(states["D"]),
        "G_ema": build_generator(states["G_ema"], classes),
        "augment_pipe": build_augment_pipe(),
    }
    return value, states


def save_ada_pickle(path: Path, source: str = SOURCE, **shape: Any) -> dict[str, State]:
    """A snapshot as a file; returns the state dicts of its networks."""
    value, states = snapshot(**shape)
    save_networks(path, value, source=source)
    return states
