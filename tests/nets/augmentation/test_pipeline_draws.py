"""How strong the drawn augmentations are: Karras et al. 2020b, appendix B, in many draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mri_gan.nets.augmentation.pipeline import Draws, draw_augmentations

N = 20_000


def draw(kind: str, p: float | Tensor = 1.0, n: int = N, size: int = 64, **choices: Any) -> Draws:
    rng = torch.Generator().manual_seed(0)
    return draw_augmentations(n, p, rng, size=size, kinds=(kind,), **{"channels": 1, **choices})


def spread(values: Tensor) -> Any:
    """The root mean square, with a tolerance of four deviations of its estimate."""
    return pytest.approx(values.square().mean().sqrt().item(), rel=4 / (2 * N) ** 0.5)


def share(of: Tensor) -> Any:
    return pytest.approx(of.float().mean().item(), abs=0.015)


def linear_part(draws: Draws) -> Tensor:
    assert draws.inverse is not None
    return draws.inverse[:, :2, :2].double()


def test_turns_are_a_quarter_each_and_shifts_an_eighth_of_the_width() -> None:
    blit = draw("blit", mirror=True).blit
    assert blit is not None
    mirrored, turns, shift = blit
    assert share(mirrored) == 0.5
    for quarter in range(4):
        assert share(turns == quarter) == 0.25
    assert (int(shift.min()), int(shift.max())) == (-8, 8)
    assert share(shift[:, 0] > 4) == 3.5 / 16  # above 4.5 of -8 to 8, as they are rounded


def test_scales_stretches_and_moves_of_the_geometry() -> None:
    """The inverse of one scale, one stretch that keeps areas, and turns, which change neither."""
    draws = draw("geometry")
    inverse, areas = linear_part(draws), torch.linalg.det(linear_part(draws))
    wide, narrow = torch.linalg.svdvals(inverse).unbind(1)
    assert spread(-areas.log2() / 2) == 0.2
    assert spread((wide / narrow).log2() / 2) == 0.2
    assert draws.inverse is not None
    moved = -torch.linalg.solve(inverse, draws.inverse[:, :2, 2:].double())
    assert spread(moved.flatten()) == 0.125 * 64


@pytest.mark.parametrize("p", [0.36, torch.tensor(0.36)])
def test_images_are_turned_with_the_probability_of_all_else(p: float | Tensor) -> None:
    """Of two turns, before and after the stretch, one happens at least; seen where none is."""
    inverse = linear_part(draw("geometry", p))
    wide, narrow = torch.linalg.svdvals(inverse).unbind(1)
    plain = inverse[wide / narrow < 1 + 1e-5]
    assert share(plain[:, 1, 0].abs() > 1e-4) == 0.36


def test_an_image_is_warped_where_its_matrix_is_not_the_identity() -> None:
    draws = draw("geometry", 0.1)
    assert draws.inverse is not None
    assert draws.warped is not None
    differs = ((draws.inverse - torch.eye(3)).abs() > 1e-7).flatten(1).any(1)
    assert torch.equal(draws.warped, differs)


def test_brightness_contrast_and_inversion_of_grey() -> None:
    matrix = draw("colour").colour
    assert matrix is not None
    factor, offset = matrix[:, 0, 0], matrix[:, 0, 1]
    assert spread(factor.abs().log2()) == 0.5
    assert spread(offset / factor) == 0.2
    assert share(factor < 0) == 0.5


def test_saturation_of_colour() -> None:
    """Along grey a matrix stretches by the contrast; its volume has the saturation twice."""
    matrix = draw("colour", channels=3).colour
    assert matrix is not None
    square = matrix[:, :, :3].double()
    contrast = (square @ torch.ones(3).double() / 3**0.5).norm(dim=1)
    saturation = (torch.linalg.det(square).abs().log2() - contrast.log2()) / 2 - contrast.log2()
    assert spread(saturation) == 1.0


def test_tone_keeps_black_but_for_its_brightness() -> None:
    matrix = draw("tone").tone
    assert matrix is not None
    factor, offset = matrix[:, 0, 0], matrix[:, 0, 1]
    assert spread(factor.log2()) == 0.2
    assert spread(offset - factor + 1) == 0.1  # what -1 becomes, less -1


def test_bands_are_amplified_and_noise_is_added() -> None:
    """Gains keep the power of usual images, so their ratios are what is drawn."""
    gains, noise = draw("filter").bands, draw("noise", n=4000, size=16).noise
    assert gains is not None
    assert noise is not None
    assert spread((gains[:, 0] / gains[:, 1]).log2() / 2**0.5) == 1.0
    strength = noise.flatten(1).square().mean(1).sqrt()  # |N(0, 0.1)|, whose mean is 0.1 / 1.2533
    assert strength.mean().item() == pytest.approx(0.0798, rel=0.05)


def test_each_happens_with_its_probability() -> None:
    tone, bands, cutout = draw("tone", 0.25).tone, draw("filter", 0.25).bands, draw("cutout", 0.25)
    assert tone is not None
    assert bands is not None
    assert cutout.cutout is not None
    assert share(tone[:, 0, 0] != 1) == 0.25
    assert share((bands != 1).any(1)) == pytest.approx(1 - 0.75**4, abs=0.015)
    assert share(cutout.cutout[1]) == 0.25
