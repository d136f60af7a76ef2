"""Projection: comes near what the network can draw, by the schedule of the paper."""

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from phantoms.models import save_untrained
from PIL import Image

from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import DrawSettings
from mri_gan.pictures import Shows, say_edges
from mri_gan.synth.figures import Drawing
from mri_gan.synth.project import (
    Effort,
    Projection,
    correlation,
    critic_features,
    draw_projection,
    fit,
    network_features,
    normalise_,
    project,
    read_target,
    root_mean_square,
    save_projection,
    set_rate,
    shake,
    statistics,
)
from mri_gan.synth.sample import load_trained

EFFORT = Effort(steps=60)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    trained = load_trained(save_untrained(tmp_path_factory.mktemp("run"), alpha=1.0))
    return Drawing(trained, DrawSettings(16, psi=1.0))


def far(drawing: Drawing, found: Projection, target: torch.Tensor) -> float:
    return root_mean_square(found.image.numpy(), target[0].numpy())


@pytest.mark.parametrize("space", ["w", "w+"])
def test_an_image_of_the_network_itself_is_found(drawing: Drawing, space: str) -> None:
    target = drawing.images(drawing.w([11]), [11])
    mean, _ = statistics(drawing)
    start = drawing.images(mean[0], [0])[0]
    found = project(drawing, target, critic_features(drawing, "cpu"), replace(EFFORT, space=space))
    assert far(drawing, found, target) < 0.6 * root_mean_square(start.numpy(), target[0].numpy())
    assert found.ws.shape == (1, 6, 16)
    assert (found.ws.std(dim=1) > 0).any() == (space == "w+")


def test_the_same_input_gives_the_same_bits_and_another_seed_does_not(drawing: Drawing) -> None:
    target = drawing.images(drawing.w([11]), [11])
    few = replace(EFFORT, steps=4)
    a, b, c = (project(drawing, target, None, replace(few, seed=s)) for s in (0, 0, 1))
    assert torch.equal(a.ws, b.ws)
    assert a.losses == b.losses
    assert not torch.equal(a.ws, c.ws)


def test_the_result_is_what_its_styles_and_noise_draw(drawing: Drawing) -> None:
    target = drawing.images(drawing.w([11]), [11])
    found = project(drawing, target, None, replace(EFFORT, steps=3))
    net = drawing.trained.generator
    assert torch.equal(net.synthesis(found.ws, resolution=16, noise=found.noise)[0], found.image)


def test_the_rate_rises_stays_and_falls(drawing: Drawing) -> None:
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    rates = []
    for step in range(100):
        set_rate(optimiser, Effort(steps=100, lr=1.0), step)
        rates.append(optimiser.param_groups[0]["lr"])
    assert 0 < rates[0] < rates[3] < 1
    assert rates[10:75] == pytest.approx([1.0] * 65)
    assert rates[75:] == sorted(rates[75:], reverse=True)
    assert rates[-1] < 0.01


def test_the_noise_on_w_fades_over_three_quarters() -> None:
    assert [shake(step, 100) > 0 for step in (0, 74, 75, 99)] == [True, True, False, False]
    assert shake(0, 100) == pytest.approx(0.05)


def test_white_noise_has_little_correlation_and_a_ramp_much() -> None:
    white = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(-1.7, 1.7, 32).expand(1, 1, 32, 32)
    assert correlation(white) < 0.1 < correlation(ramp)
    noise = [3 * ramp.clone() + 5]
    normalise_(noise)
    assert float(noise[0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(noise[0].square().mean()) == pytest.approx(1, rel=1e-4)


def test_a_network_of_the_users_own_gives_the_features(drawing: Drawing, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.trace(torch.nn.Conv2d(3, 2, 3), torch.zeros(1, 3, 8, 8))  # type: ignore[no-untyped-call]
        torch.jit.save(network, str(tmp_path / "net.pt"))
    features = network_features(tmp_path / "net.pt", "cpu")
    assert features(torch.zeros(1, 1, 16, 16))[0].shape == (1, 2, 14, 14)
    (tmp_path / "bad.pt").write_text("no network")
    with pytest.raises(DataError, match="TorchScript"):
        network_features(tmp_path / "bad.pt", "cpu")


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": 0.0}, {"space": "z"}])
def test_efforts_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Effort(**wrong)  # type: ignore[arg-type]


RAMP = np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize("depth", [8, 16])
def test_targets_of_8_and_16_bits_are_alike(tmp_path: Path, depth: int) -> None:
    white = 2**depth - 1
    pixels = np.round(RAMP * white).astype(np.uint8 if depth == 8 else np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    target = read_target(tmp_path / "a.png", 8, 1)
    assert np.abs(target.numpy()[0, 0] - (2 * RAMP - 1)).max() < 0.01


def test_a_target_is_padded_to_a_square_with_black() -> None:
    target = fit(torch.ones(1, 4, 8), 8, 1)
    assert target[0, 0, :, 0].tolist() == [-1, -1, 1, 1, 1, 1, -1, -1]


def test_colour_becomes_grey_and_grey_colour(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "c.png")
    luma = 76 / 255  # of red by ITU-R 601, 0.299, in 8 bits
    mean = float(read_target(tmp_path / "c.png", 8, 1).mean())
    assert mean == pytest.approx(2 * luma - 1, abs=1e-4)
    Image.new("L", (8, 8), 255).save(tmp_path / "g.png")
    assert read_target(tmp_path / "g.png", 8, 3).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: (unreadable image|the file is empty)"):
        read_target(tmp_path / "a.png", 8, 1)
    with pytest.raises(DataError, match=r"b\.png: No such file"):
        read_target(tmp_path / "b.png", 8, 1)


def test_picture_result_and_numbers_are_kept(drawing: Drawing, tmp_path: Path) -> None:
    target = drawing.images(drawing.w([11]), [11])
    found = project(drawing, target, None, replace(EFFORT, steps=2))
    draw_projection(tmp_path / "p.png", target[0].numpy(), found.image.numpy(), found.losses)
    save_projection(tmp_path, found, drawing.trained)
    with Image.open(io.BytesIO((tmp_path / "result.png").read_bytes())) as image:
        assert image.info["Comment"].startswith("LIKENESS: drawn by a generative network")
    with np.load(tmp_path / "projection.npz", allow_pickle=False) as kept:
        assert kept["ws"].shape == (6, 16)
        assert kept["noise_05"].shape == (16, 16)
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (1400, 400)
        assert picture.info["Comment"].startswith("BOTH: scans of people")


def test_the_picture_says_what_it_shows_and_which_side_is_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    save = Figure.savefig

    def note(self: Figure, *rest: Any, **more: Any) -> None:
        figures.append(self)
        save(self, *rest, **more)

    monkeypatch.setattr(Figure, "savefig", note)
    image = np.zeros((1, 8, 8), np.float32)
    draw_projection(tmp_path / "p.png", image, image, [1.0, 0.5], ("R", "L"))
    target, drawn, difference, way, bar = figures[0].axes
    for panel, letters in ((target, []), (drawn, ["R", "L"]), (difference, [])):
        assert [text.get_text() for text in panel.texts] == letters
    sides = say_edges(("R", "L"), "the synthetic picture")
    assert figures[0].get_supxlabel() == f"{Shows.BOTH.value}; {sides}"
    assert bar.get_ylabel() == "synthetic less target, grey levels of 255"
    assert way.get_ylabel() == "distance, no unit"
