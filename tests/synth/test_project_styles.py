"""Projected images are drawn again as they were found, mixed, and walked between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.cli.main import cli
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import DrawSettings
from mri_gan.pictures import Shows
from mri_gan.synth.figures import Drawing
from mri_gan.synth.project import (
    Projected,
    between,
    draw_projections,
    load_projection,
    walk_projections,
)
from mri_gan.synth.sample import load_trained


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = replace(SMALL, arch="stylegan2", max_size=16)
    return save_untrained(tmp_path_factory.mktemp("run"), config, alpha=1.0)


@pytest.fixture(scope="module")
def drawing(run: Path) -> Drawing:
    return Drawing(load_trained(run), DrawSettings(16))


@pytest.fixture(scope="module")
def files(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What `mrigan project` leaves of two pictures."""
    folder = tmp_path_factory.mktemp("found")
    found = []
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        words = ("--ckpt", run, "--steps", 3, "--space", "w+", "--out", folder / str(i))
        done = mrigan("project", folder / f"{i}.png", *words)
        assert done.exit_code == 0, done.stderr
        found.append(folder / str(i) / "projection.npz")
    return found


def grey(path: Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        return np.array(picture)


def mark(path: Path) -> str:
    with Image.open(path) as picture:
        return str(picture.info["Comment"])


def test_a_projection_is_drawn_again_as_it_was_found(
    files: list[Path], run: Path, tmp_path: Path
) -> None:
    words = [word for path in files for word in ("--styles", path)]
    done = mrigan("generate", run, *words, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    for i, path in enumerate(files):
        drawn = tmp_path / f"style{i:06d}.png"
        assert np.array_equal(grey(drawn), grey(path.parent / "result.png"))
        assert mark(drawn) == Shows.LIKENESS.value


def test_a_walk_begins_and_ends_at_what_was_found(files: list[Path], drawing: Drawing) -> None:
    found = [load_projection(path, drawing) for path in files]
    frames = walk_projections(drawing, found, steps=4, loop=False)
    ends = draw_projections(drawing, found)
    assert len(frames) == 5
    assert torch.equal(frames[0], ends[0])
    assert torch.allclose(frames[-1], ends[1], atol=1e-5)
    assert len(walk_projections(drawing, found, steps=4, loop=True)) == 8


def test_noise_keeps_its_strength_between_two_projections() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = (
        Projected(torch.zeros(1, 1), (torch.randn(1, 1, 64, 64, generator=rng),)) for _ in range(2)
    )
    assert float(between(a, b, 0.5).noise[0].std()) == pytest.approx(1, abs=0.05)


def test_the_commands_take_projections(files: list[Path], run: Path, tmp_path: Path) -> None:
    words = [word for path in files for word in ("--styles", path)]
    done = mrigan("walk", run, *words, "--steps", 3, "--out", tmp_path / "walk.png")
    assert done.exit_code == 0, done.stderr
    with Image.open(tmp_path / "walk.png") as picture:
        assert getattr(picture, "n_frames", 1) == 4
    done = mrigan("test", run, *words, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    for name in ("projected-16px.png", "projected-mixing-16px.png"):
        assert mark(tmp_path / name) == Shows.LIKENESS.value


def test_what_does_not_fit_is_one_line(files: list[Path], drawing: Drawing, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not a projection")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "objects.npz", ws=np.array([print], object))
    good = dict(np.load(files[0]))
    np.savez(tmp_path / "complex.npz", **good | {"ws": good["ws"] * 1j})
    for number, value in enumerate((np.nan, np.inf, 1e300)):
        spoilt = {"noise_00": np.full(good["noise_00"].shape, value)}
        np.savez(tmp_path / f"not finite {number}.npz", **good | spoilt)
    spoilt_files = [path.name for path in tmp_path.glob("*.npz")]
    assert len(spoilt_files) == 7
    for name in spoilt_files:
        with pytest.raises(DataError, match="not a projection"):
            load_projection(tmp_path / name, drawing)
    with pytest.raises(DataError, match="No such file"):
        load_projection(tmp_path / "none.npz", drawing)
    with pytest.raises(UsageError, match="does not fit"):
        load_projection(files[0], replace(drawing, look=DrawSettings(8)))


@pytest.mark.parametrize("words", [[], ["--seeds", "0", "--styles", "{file}"]])
def test_seeds_or_styles_are_given_once(
    files: list[Path], run: Path, tmp_path: Path, words: list[str]
) -> None:
    told = [word.format(file=files[0]) for word in words]
    done = mrigan("generate", run, *told, "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "give --seeds" in done.stderr
