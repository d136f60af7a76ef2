"""Learned features: EfficientNet-Lite0 without unpickling, and a TorchScript file of the user's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mri_gan.config import EFFICIENTNETS
from mri_gan.errors import DataError, UsageError
from mri_gan.evaluate.features import load_efficientnet, load_torchscript

IMAGES = np.random.default_rng(0).random((3, 32, 32), np.float32)


class Means(nn.Module):
    """A stand-in for an Inception: channel means and deviations of uint8 images."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        x = images.float()
        if not return_features:
            return torch.zeros(len(x), 7)
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


class Writes(nn.Module):
    """What a hostile file may do: TorchScript can save tensors to any path."""

    def forward(self, images: Tensor) -> Tensor:
        x = torch.from_file("stolen.bin", True, 4)
        return images.float().mean((2, 3)) + x.sum()


class Square(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float()


class Fails(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float().reshape(7, 13, 1)


def save(module: nn.Module, path: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # torch.jit is told to be old
        torch.jit.script(module).save(str(path))  # type: ignore[no-untyped-call]
    return path


def test_a_file_gives_features_of_uint8_rgb(tmp_path: Path) -> None:
    features = load_torchscript(save(Means(), tmp_path / "means.pt"))
    assert (features.name, features.dimensions) == ("means", 6)
    found = features.extract(IMAGES)
    grey = np.floor(IMAGES * 255 + 0.5)
    assert found[:, :3] == pytest.approx(np.tile(grey.mean((1, 2))[:, None], 3), rel=1e-5)


@pytest.mark.parametrize(
    ("module", "says"),
    [(Square(), "one row for each image"), (Fails(), "failed on images"), (Writes(), "from_file")],
)
def test_a_file_that_does_something_else_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: nn.Module, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(module, tmp_path / "net.pt")
    with pytest.raises(DataError, match=says) as caught:
        load_torchscript(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "stolen.bin").exists()


def test_what_is_no_torchscript_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    (tmp_path / "text.pt").write_text("text")
    for name in ("weights.pt", "text.pt"):
        with pytest.raises(DataError, match="not a TorchScript file"):
            load_torchscript(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        load_torchscript(tmp_path / "none.pt")


@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_efficientnet_gives_1280_numbers_and_tells_images_apart(name: str) -> None:
    features = load_efficientnet(name=name)
    assert features.name == name
    found = features.extract(np.stack([IMAGES[0], IMAGES[0], 1 - IMAGES[1]]))
    assert found.shape == (3, 1280)
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.1


def test_efficientnet_weights_are_loaded_without_unpickling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    plain = torch.load

    def load(*args: Any, **options: Any) -> Any:
        seen.append(options.get("weights_only"))
        return plain(*args, **options)

    monkeypatch.setattr(torch, "load", load)
    load_efficientnet()
    assert seen == [True]


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UsageError, match=r"mrigan\[features\]"):
        load_efficientnet()
