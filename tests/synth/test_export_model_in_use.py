"""Packages in the programs that they are for, medigan and MONAI, each in its own process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.nets.build import DrawSettings, draw_images
from mri_gan.synth.export_model import write_model
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import load_trained

MODEL = "00000_MRIGAN_MRI_SLICE_FULL"


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    config = replace(SMALL, arch="stylegan2", max_size=16)
    path = save_untrained(tmp_path_factory.mktemp("run"), config, alpha=1.0)
    return Drawing(load_trained(path), DrawSettings(16, psi=1.0))


def run(folder: Path, program: str) -> None:
    """A Python program in a folder; its warnings are its own affair."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path.insert(0, '.')\n{program}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def pictures(folder: Path) -> dict[str, bytes]:
    """The pixels of all PNGs in a folder by their name."""
    found = sorted(folder.rglob("*.png"))
    return {path.name: np.asarray(Image.open(path)).tobytes() for path in found}


@pytest.fixture
def medigan(drawing: Drawing, tmp_path: Path) -> Path:
    """A folder in which medigan finds the model in its catalogue and on the disk."""
    package = tmp_path / "models" / MODEL / "mrigan_model"
    write_model(drawing, "medigan", package)
    (tmp_path / "config").mkdir()
    shutil.move(package / "metadata.json", tmp_path / "config" / "global.json")
    return tmp_path


@pytest.mark.slow
def test_medigan_draws_each_picture_once(medigan: Path, drawing: Drawing) -> None:
    run(
        medigan,
        "from medigan import Generators\n"
        "generators = Generators()\n"
        f"draw = lambda **k: generators.generate(model_id='{MODEL}', **k)\n"
        "draw(num_samples=70, output_path='default')\n"
        "draw(num_samples=70, output_path='zero', seed=0)\n"
        "draw(num_samples=40, output_path='zero_again', seed=0)\n"
        "draw(num_samples=40, output_path='one', seed=1)\n"
        "import numpy\n"
        "images = draw(num_samples=3, save_images=False, seed=0)\n"
        "numpy.save('images.npy', images)",
    )
    default, zero, again, one = (
        set(pictures(medigan / name).values()) for name in ("default", "zero", "zero_again", "one")
    )
    assert [len(default), len(zero), len(again), len(one)] == [70, 70, 40, 40]
    assert again < zero
    assert not zero & one
    ws = drawing.layered(drawing.w(range(3)))
    wanted = draw_images(drawing.trained.generator, ws, [0] * 3, drawing.look).clamp(-1, 1).numpy()
    images = np.load(medigan / "images.npy")
    assert np.abs(images / 127.5 - 1 - wanted[:, 0]).max() < 0.01


@pytest.mark.slow
def test_monai_checks_the_bundle_and_writes_its_pictures(drawing: Drawing, tmp_path: Path) -> None:
    write_model(drawing, "monai", tmp_path)
    run(
        tmp_path,
        "import json\n"
        "from monai.bundle import ConfigWorkflow, verify_net_in_out\n"
        "verify_net_in_out(net_id='network_def', meta_file='configs/metadata.json',\n"
        "    config_file='configs/inference.json', device='cpu')\n"
        "for seed in (0, 100):\n"
        "    flow = ConfigWorkflow('configs/inference.json', workflow_type='infer', seed=seed,\n"
        "        output_dir=f'eval{seed}', num_images=5)\n"
        "    flow.initialize()\n"
        "    missing = flow.check_properties()\n"
        "    assert not missing, missing\n"
        "    flow.run()\n"
        "    flow.finalize()",
    )
    first, second = (pictures(tmp_path / name) for name in ("eval0", "eval100"))
    assert len(first) == len(second) == 5
    assert len({*first.values(), *second.values()}) == 10
    ws = drawing.layered(drawing.w(range(1)))
    wanted = (
        draw_images(drawing.trained.generator, ws, [0], drawing.look).clamp(-1, 1).numpy()[0, 0]
    )
    (path,) = (tmp_path / "eval0").rglob("0_synthetic.png")
    assert np.abs(np.asarray(Image.open(path)) / 127.5 - 1 - wanted).max() < 0.02


def test_the_metadata_names_what_the_package_needs(drawing: Drawing, tmp_path: Path) -> None:
    write_model(drawing, "monai", tmp_path)
    metadata = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    assert "pytorch-ignite" in metadata["required_packages_version"]
