"""Exports draw what the network draws, and say where they come from."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from phantoms.models import SMALL, save_untrained
from torch import Tensor

from mri_gan.cli.use import export_model
from mri_gan.conditions import Column, Conditions
from mri_gan.config import ModelConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import DrawSettings, build_generator, draw_images, latents
from mri_gan.synth.export_model import (
    CARD,
    FORMATS,
    Frozen,
    check,
    examples,
    explain_old_torch,
    model_card,
    write_model,
)
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import load_trained

QUICK = {("dcgan", "torch-export"), ("dcgan", "onnx"), ("progan", "torch-export")}


def drawing_of(folder: Path, arch: str = "stylegan") -> Drawing:
    config = replace(SMALL, arch=arch, max_size=16)
    return Drawing(load_trained(save_untrained(folder, config, alpha=1.0)), DrawSettings(16))


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    return drawing_of(tmp_path_factory.mktemp("run"))


def test_the_command_lists_the_formats_there_are() -> None:
    assert export_model.FORMATS == FORMATS


# Making an ONNX or torch.export program takes many seconds: two run always, all by `make faults`.
PROGRAMS = [
    pytest.param(arch, format_, marks=[] if quick else [pytest.mark.slow])
    for arch in ("dcgan", "progan", "stylegan", "stylegan2", "fastgan")
    for format_ in ("torchscript", "torch-export", "onnx")
    for quick in [format_ == "torchscript" or (arch, format_) in QUICK]
]


def read_origin(path: Path) -> dict[str, str]:
    """What a program's file says of itself, by another library's eyes."""
    if path.suffix == ".onnx":
        return {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("mrigan.json"))
        said: dict[str, str] = json.loads(archive.read(name))
    return said


def load_program(path: Path) -> Callable[[Tensor], NDArray[Any]]:
    """A program as its own runtime runs it."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda z: np.asarray(session.run(None, {"z": z.numpy()})[0])
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return lambda z: np.asarray(module(z).detach().numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.load(path)  # type: ignore[no-untyped-call]
    return lambda z: np.asarray(program(z).detach().numpy())


@pytest.mark.filterwarnings("ignore:You are using .torch.load:FutureWarning")  # torch 2.4.0
@pytest.mark.parametrize(("arch", "format_"), PROGRAMS)
def test_programs_draw_the_same_images_for_any_number_of_latents(
    tmp_path: Path, arch: str, format_: str
) -> None:
    drawing = drawing_of(tmp_path / "run", arch)
    try:
        model, card = write_model(drawing, format_, tmp_path / "out")
    except UsageError as error:
        if torch.__version__ >= "2.13" or "install a newer torch" not in str(error):
            raise
        return
    assert card.name == CARD
    assert read_origin(model)["shows"].startswith("SYNTHETIC")
    assert read_origin(model)["generator_digest"] == drawing.trained.digest
    program = load_program(model)
    for count in (1, 3, 32):
        ws = drawing.layered(drawing.w(range(count)))
        wanted = draw_images(drawing.trained.generator, ws, [0] * count, drawing.look).numpy()
        found = program(latents(range(count), drawing.trained.generator.latent_dim, "cpu"))
        assert np.abs(found - wanted).max() < 1e-4 * max(1, np.abs(wanted).max())
        assert len({image.tobytes() for image in found}) == count


def test_an_exporter_that_fails_is_one_line() -> None:
    said = pytest.raises(UsageError, match=r"as ONNX \(no such node\).*newer torch")
    with said, explain_old_torch("ONNX"):
        raise RuntimeError("no such node\nand much more")


def test_a_program_that_draws_something_else_is_refused(drawing: Drawing) -> None:
    frozen = Frozen(drawing)
    check(frozen, lambda z: frozen(z).numpy(), "itself")
    largest = float(frozen(examples(frozen, 3)).abs().max())
    check(frozen, lambda z: frozen(z).numpy() + 5e-5 * max(1, largest), "rounded")
    with pytest.raises(DataError, match="differ"):
        check(frozen, lambda z: frozen(z).numpy() + 1e-3 * max(1, largest), "another")


def test_a_young_network_whose_images_reach_far_is_judged_by_their_size(drawing: Drawing) -> None:
    class Wide(Frozen):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return 50 * super().forward(z)

    wide = Wide(drawing)
    check(wide, lambda z: (wide(z) * (1 + 5e-5)).numpy(), "in half the tolerance")


def test_safetensors_hold_weights_and_shape(drawing: Drawing, tmp_path: Path) -> None:
    import safetensors

    write_model(drawing, "safetensors", tmp_path)
    with safetensors.safe_open(tmp_path / "generator.safetensors", "pt") as kept:
        facts = kept.metadata()
        weights = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 - no dict
    net = build_generator(ModelConfig.from_dict(json.loads(facts["model"])))
    net.load_state_dict(weights)
    assert facts["generator_digest"] == drawing.trained.digest
    assert facts["shows"].startswith("SYNTHETIC")


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
    expected = frozen(examples(frozen, 2)).clamp(-1, 1).numpy()[1, 0]
    assert np.abs(images[1] / 127.5 - 1 - expected).max() < 0.01
    assert len(list((tmp_path / "images").iterdir())) == 2
    (entry,) = json.loads((tmp_path / "metadata.json").read_text()).values()
    assert set(entry) == {"execution", "selection", "description"}


@pytest.mark.parametrize("arch", ["stylegan", "dcgan"])
def test_a_monai_bundle_has_its_files_and_its_network_runs(tmp_path: Path, arch: str) -> None:
    write_model(drawing_of(tmp_path / "run", arch), "monai", tmp_path)
    metadata = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["spatial_shape"] == [16, 16]
    assert inference["network_def"].startswith("$torch.jit.load(@bundle_root + '/models/model.ts'")
    assert metadata["network_data_format"]["outputs"]["pred"]["value_range"] == [-1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.load(str(tmp_path / "models" / "model.ts"))  # type: ignore[no-untyped-call]
    images = program(100 * torch.randn(5, 1, 16, generator=torch.Generator().manual_seed(0)))
    assert images.shape == (5, 1, 16, 16)
    assert images.abs().max() <= 1


def test_the_card_is_filled_from_the_run(drawing: Drawing, tmp_path: Path) -> None:
    write_model(drawing, "torchscript", tmp_path)
    card = (tmp_path / CARD).read_text()
    for part in (drawing.trained.digest, "1,000 real images", "SYNTHETIC", "mrigan audit"):
        assert part in card


def test_the_card_says_what_goes_in_and_what_comes_out(drawing: Drawing, tmp_path: Path) -> None:
    write_model(drawing, "torchscript", tmp_path)
    card = (tmp_path / CARD).read_text()
    (dim,) = map(int, re.findall(r"z \[N, (\d+)\], from a standard normal", card))
    (shape,) = re.findall(r"\[N, (\d+, \d+, \d+)\], from about -1, black, to 1", card)
    drawn = load_program(tmp_path / "generator.pt")(torch.zeros(2, dim))
    assert drawn.shape[1:] == tuple(map(int, shape.split(",")))


def test_what_a_conditional_network_is_given_is_named(drawing: Drawing) -> None:
    assert "pipeline_tag" in model_card(drawing)
    names = tuple(Column(name, values=("a", "b")) for name in ("group", "side"))
    trained = replace(drawing.trained, conditions=Conditions(names))
    said = model_card(replace(drawing, trained=trained))
    assert "16 px slices (image), conditional on group and side, trained on" in said
    assert '"16px", "conditional on group", "conditional on side"' in said
    assert "pipeline_tag" not in said
