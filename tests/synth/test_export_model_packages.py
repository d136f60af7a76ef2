"""Exports draw what the network draws, and say where they come from."""

from __future__ import annotations

import importlib.util
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms.models import SMALL, save_untrained

from mri_gan.cli.use import export_model
from mri_gan.config import ModelConfig
from mri_gan.errors import DataError
from mri_gan.nets.build import build_generator
from mri_gan.synth.export_model import CARD, FORMATS, Frozen, check, example, write_model
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import Look, load_trained


def drawing_of(folder: Path, arch: str = "stylegan") -> Drawing:
    config = replace(SMALL, arch=arch, max_size=16)
    return Drawing(load_trained(save_untrained(folder, config, alpha=1.0)), Look(16))


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    return drawing_of(tmp_path_factory.mktemp("run"))


def test_the_command_lists_the_formats_there_are() -> None:
    assert export_model.FORMATS == FORMATS


@pytest.mark.parametrize("arch", ["dcgan", "progan", "stylegan", "stylegan2"])
@pytest.mark.parametrize("format_", ["torchscript", "onnx"])
def test_programs_draw_the_same_images(tmp_path: Path, arch: str, format_: str) -> None:
    written = write_model(drawing_of(tmp_path / "run", arch), format_, tmp_path / "out")
    assert [path.suffix for path in written] == [
        ".pt" if format_ == "torchscript" else ".onnx",
        ".md",
    ]
    assert all(path.stat().st_size > 100 for path in written)


def test_a_program_that_draws_something_else_is_refused(drawing: Drawing) -> None:
    frozen = Frozen(drawing)
    check(frozen, lambda z: frozen(z).numpy(), "itself")
    with pytest.raises(DataError, match="differ"):
        check(frozen, lambda z: frozen(z).numpy() + 1e-3, "another")


def test_safetensors_hold_weights_and_shape(drawing: Drawing, tmp_path: Path) -> None:
    import safetensors

    write_model(drawing, "safetensors", tmp_path)
    with safetensors.safe_open(tmp_path / "generator.safetensors", "pt") as kept:
        facts = kept.metadata()
        weights = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 - no dict
    net = build_generator(ModelConfig.from_dict(json.loads(facts["model"])))
    net.load_state_dict(weights)
    assert facts["generator_digest"] == drawing.trained.digest


def test_a_medigan_package_generates(drawing: Drawing, tmp_path: Path) -> None:
    write_model(drawing, "medigan", tmp_path)
    spec = importlib.util.spec_from_file_location("package", tmp_path / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    model = str(tmp_path / "generator.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        images = package.generate(model, 2, "", save_images=False)
        package.generate(model, 2, str(tmp_path / "images"), save_images=True)
    frozen = Frozen(drawing)
    expected = frozen(example(frozen, 1)).clamp(-1, 1).numpy()[0, 0]
    assert np.abs(images[1] / 127.5 - 1 - expected).max() < 0.01
    assert len(list((tmp_path / "images").iterdir())) == 2
    (entry,) = json.loads((tmp_path / "metadata.json").read_text()).values()
    assert set(entry) == {"execution", "selection", "description"}


def test_a_monai_bundle_has_its_files_and_its_network_runs(
    drawing: Drawing, tmp_path: Path
) -> None:
    write_model(drawing, "monai", tmp_path)
    metadata = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["spatial_shape"] == [16, 16]
    assert inference["network_def"].startswith("$torch.jit.load(@bundle_root + '/models/model.ts'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.load(str(tmp_path / "models" / "model.ts"))  # type: ignore[no-untyped-call]
    assert program(torch.zeros(1, 16)).shape == (1, 1, 16, 16)


def test_the_card_is_filled_from_the_run(drawing: Drawing, tmp_path: Path) -> None:
    write_model(drawing, "torchscript", tmp_path)
    card = (tmp_path / CARD).read_text()
    for part in (drawing.trained.digest, "1,000 real images", "SYNTHETIC", "mrigan audit"):
        assert part in card
