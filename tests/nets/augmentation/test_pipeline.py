"""Augmentations, against scikit-image, scipy and numpy; and that they do not leak."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.transform
import torch
from torch import Tensor

from mri_gan.nets.augmentation.colour import (
    band_gains,
    colour_matrix,
    cut_out,
    filter_bands,
    recolour,
)
from mri_gan.nets.augmentation.geometry import (
    SYM6,
    blit,
    mirrored,
    rotation,
    scaling,
    translation,
    warp,
)
from mri_gan.nets.augmentation.pipeline import KINDS, Draws, augment, draw_augmentations


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def smooth_image(size: int = 32) -> Tensor:
    """A picture without fine detail, far from symmetric, dark along its border: [1, 1, S, S]."""
    y, x = np.mgrid[:size, :size] / size
    picture = np.exp(-(((x - 0.4) / 0.12) ** 2) - ((y - 0.55) / 0.08) ** 2)
    picture += 0.7 * np.exp(-(((x - 0.65) / 0.07) ** 2) - ((y - 0.4) / 0.1) ** 2)
    return torch.from_numpy(picture)[None, None]


def no() -> Tensor:
    return torch.tensor([False])


def shift_of(x: int, y: int) -> Tensor:
    return torch.tensor([[x, y]])


class TestBlitting:
    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
    @pytest.mark.parametrize("mirror", [False, True])
    def test_equals_numpy(self, turns: int, mirror: bool) -> None:
        x = normal(1, 2, 6, 6)
        out = blit(x, torch.tensor([mirror]), torch.tensor([turns]), shift_of(1, -2))
        expected = x[0].numpy()[..., ::-1] if mirror else x[0].numpy()
        expected = np.rot90(expected, turns, axes=(1, 2))
        padded = np.pad(expected, [(0, 0), (2, 2), (2, 2)], mode="symmetric")
        assert np.array_equal(out[0].numpy(), padded[:, 4:10, 1:7])

    def test_turns_and_mirrors_are_undone_exactly(self) -> None:
        x, still = normal(4, 1, 8, 8), torch.zeros(4, 2, dtype=torch.long)
        turns, mirror = torch.arange(4), torch.tensor([True, False, True, False])
        there = blit(x, mirror, turns, still)
        unturned = blit(there, torch.zeros(4, dtype=torch.bool), -turns, still)
        assert torch.equal(blit(unturned, mirror, torch.zeros_like(turns), still), x)

    def test_reflection_reaches_any_distance(self) -> None:
        line = torch.arange(-7, 11)
        expected = np.pad(np.arange(3), (7, 8), mode="symmetric")
        assert mirrored(line, 3).tolist() == expected.tolist()


class TestWarping:
    def test_a_rotation_turns_the_x_axis_to_the_y_axis(self) -> None:
        turned = rotation(torch.tensor([math.pi / 2])) @ torch.tensor([1.0, 0.0, 1.0])
        torch.testing.assert_close(turned, torch.tensor([[0.0, 1.0, 1.0]]))

    def test_the_filter_is_orthonormal_to_its_shifts(self) -> None:
        h = np.array(SYM6)
        for k in range(1, 6):
            assert abs(float(h[2 * k :] @ h[: 12 - 2 * k])) < 1e-11
        assert float(h @ h) == pytest.approx(1)
        assert float(h.sum()) == pytest.approx(math.sqrt(2))

    @pytest.mark.parametrize("size", [8, 13, 32])
    def test_the_identity_gives_the_images(self, size: int) -> None:
        x = normal(2, 3, size, size)
        still = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
        torch.testing.assert_close(warp(x, still), x, atol=1e-9, rtol=0)

    @pytest.mark.parametrize(
        "forward",
        [
            rotation(torch.tensor([0.4])),
            rotation(torch.tensor([math.pi])),
            scaling(torch.tensor([1.2]), torch.tensor([0.85])),
            translation(torch.tensor([2.3]), torch.tensor([-1.6])),
            translation(torch.tensor([1.5]), torch.tensor([0.0]))
            @ rotation(torch.tensor([-0.7]))
            @ scaling(torch.tensor([0.9]), torch.tensor([0.9])),
        ],
        ids=["turn", "half", "stretch", "move", "all"],
    )
    def test_equals_scikit_image_and_scipy(self, forward: Tensor) -> None:
        x = smooth_image()
        inverse = torch.linalg.inv(forward.double())
        out = warp(x, inverse)[0, 0].numpy()
        to_centre = translation(*torch.full((2, 1), -15.5, dtype=torch.float64))
        from_centre = translation(*torch.full((2, 1), 15.5, dtype=torch.float64))
        matrix = (from_centre @ inverse @ to_centre)[0].numpy()  # (x, y, 1), target to source
        by_skimage = skimage.transform.warp(x[0, 0].numpy(), matrix, order=3, mode="symmetric")
        swapped = matrix[[1, 0]][:, [1, 0, 2]]  # scipy counts (y, x)
        by_scipy = scipy.ndimage.affine_transform(
            x[0, 0].numpy(), swapped[:, :2], swapped[:, 2], order=3, mode="reflect"
        )
        assert np.abs(by_skimage - x[0, 0].numpy()).max() > 0.1
        assert np.abs(out - by_skimage).max() < 0.03
        assert np.abs(out - by_scipy).max() < 0.03

    def test_a_half_turn_equals_the_blitted_one_for_smooth_images(self) -> None:
        x = smooth_image()
        turned = warp(x, rotation(torch.tensor([math.pi], dtype=torch.float64)))
        torch.testing.assert_close(turned, x.flip(2, 3), atol=0.03, rtol=0)


def by_matrix(**changes: Tensor) -> Callable[[Tensor], Tensor]:
    neutral = {
        "brightness": torch.zeros(1),
        "contrast": torch.ones(1),
        "invert_luma": no(),
        "hue": torch.zeros(1),
        "saturation": torch.ones(1),
    }

    def change(images: Tensor) -> Tensor:
        return recolour(images, colour_matrix(images.shape[1], **{**neutral, **changes}))

    return change


class TestColour:
    @pytest.mark.parametrize("channels", [1, 2, 3, 5])
    def test_neutral_changes_nothing(self, channels: int) -> None:
        x = normal(1, channels, 4, 4)
        torch.testing.assert_close(by_matrix()(x), x, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("channels", [1, 2, 3, 5])
    def test_brightness_adds_and_contrast_multiplies(self, channels: int) -> None:
        x = normal(1, channels, 4, 4)
        out = by_matrix(brightness=torch.tensor([0.3]), contrast=torch.tensor([1.5]))(x)
        torch.testing.assert_close(out, (x + 0.3) * 1.5, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("channels", [1, 2, 3, 5])
    def test_inverting_light_and_dark_keeps_differences_of_channels(self, channels: int) -> None:
        x = normal(1, channels, 4, 4)
        out = by_matrix(invert_luma=~no())(x)
        mean = x.mean(dim=1, keepdim=True)
        torch.testing.assert_close(out, x - 2 * mean, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("channels", [2, 3, 5])
    def test_saturation_stretches_what_is_not_grey(self, channels: int) -> None:
        x = normal(1, channels, 4, 4)
        out = by_matrix(saturation=torch.tensor([0.0]))(x)
        grey = x.mean(dim=1, keepdim=True).expand_as(x)
        torch.testing.assert_close(out, grey, atol=1e-6, rtol=0)

    def test_hue_turns_about_the_grey_axis(self) -> None:
        """A third of a turn sends red to green to blue, as in the hue of scikit-image."""
        red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
        turned = by_matrix(hue=torch.tensor([2 * math.pi / 3]))(red)
        assert turned.flatten().tolist() == pytest.approx([0, 1, 0], abs=1e-6)
        hues = [skimage.color.rgb2hsv(c.flatten().clamp(0, 1).numpy())[0] for c in (red, turned)]
        assert hues[1] - hues[0] == pytest.approx(1 / 3)
        x = normal(1, 3, 4, 4)
        some = by_matrix(hue=torch.tensor([0.8]))(x)
        torch.testing.assert_close(some.mean(1), x.mean(1), atol=1e-6, rtol=0)
        torch.testing.assert_close(some.square().sum(1), x.square().sum(1), atol=1e-5, rtol=0)

    def test_one_channel_has_no_hue_and_no_saturation(self) -> None:
        x = normal(1, 1, 4, 4)
        out = by_matrix(hue=torch.tensor([1.0]), saturation=torch.tensor([0.1]))(x)
        torch.testing.assert_close(out, x, atol=1e-6, rtol=0)


class TestBands:
    def test_gains_of_one_give_the_images(self) -> None:
        x = normal(2, 3, 16, 16)
        out = filter_bands(x, torch.ones(2, 4))
        torch.testing.assert_close(out, x, atol=1e-12, rtol=0)

    @pytest.mark.parametrize(("band", "cycles"), [(0, 1), (1, 6), (2, 12), (3, 30)])
    def test_each_band_holds_its_octave(self, band: int, cycles: int) -> None:
        """Cosines of `cycles` half waves over 32 px: their own gain removes most of them."""
        position = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
        wave = torch.cos(math.pi * cycles * position).expand(1, 1, 32, 32)
        gains = torch.ones(1, 4)
        gains[0, band] = 0
        if band:  # along the other axis the wave is constant, in band 0
            assert filter_bands(wave, gains).abs().mean() < 0.45 * wave.abs().mean()
        else:
            assert filter_bands(wave, gains).abs().mean() < 0.01

    def test_lowest_band_equals_scipys_repeated_filter(self) -> None:
        root = math.sqrt(3)
        taps = np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * math.sqrt(2))
        half = np.convolve(taps, taps[::-1]) / 2
        expected = x = normal(1, 1, 32, 32).numpy()
        for axis in (2, 3):
            for spacing in (1, 2, 4):
                spread = np.zeros(6 * spacing + 1)
                spread[::spacing] = half
                expected = scipy.ndimage.correlate1d(expected, spread, axis, mode="reflect")
        out = filter_bands(torch.from_numpy(x), torch.tensor([[1.0, 0, 0, 0]]))
        np.testing.assert_allclose(out.numpy(), expected, atol=1e-12)

    def test_gains_keep_the_power_of_natural_images(self) -> None:
        factors = torch.ones(1, 4)
        torch.testing.assert_close(band_gains(factors), factors)
        factors[0, 3] = 3.0
        power = torch.tensor([10.0, 1, 1, 1]) / 13
        assert (power * band_gains(factors).square()).sum().item() == pytest.approx(1)


def test_cutout_is_a_square_of_half_the_width() -> None:
    x = torch.ones(2, 2, 8, 8)
    centre = torch.tensor([[0.5, 0.25], [0.5, 0.5]])
    out = cut_out(x, centre, torch.tensor([True, False]))
    assert torch.equal(out[1], x[1])
    assert (out[0] == 0).sum() == 2 * 4 * 4
    assert (out[0, :, :4, 2:6] == 0).all()


class TestPipeline:
    @pytest.mark.parametrize("p", [0.0, torch.tensor(0.0)])
    def test_without_probability_nothing_changes_but_rounding(self, p: float | Tensor) -> None:
        x = normal(4, 2, 16, 16)
        draws = draw_augmentations(4, p, rng(), size=16, channels=2, kinds=KINDS)
        torch.testing.assert_close(augment(x, draws), x, atol=1e-6, rtol=0)
        draws = draw_augmentations(4, p, rng(), size=16, channels=2, kinds=("blit", "geometry"))
        assert torch.equal(augment(x, draws), x)

    def test_with_probability_one_every_image_changes(self) -> None:
        x = normal(8, 1, 16, 16)
        for kind in KINDS:
            draws = draw_augmentations(8, 1.0, rng(), size=16, channels=1, kinds=(kind,))
            changed = (augment(x, draws) - x).abs().amax(dim=(1, 2, 3)) > 1e-6
            assert changed.float().mean() >= 0.75, kind  # a quarter of the turns turn by nothing

    def test_left_and_right_are_exchanged_only_when_asked(self) -> None:
        for mirror in (False, True):
            draws = draw_augmentations(64, 1.0, rng(), size=8, channels=1, mirror=mirror)
            assert draws.blit is not None
            assert draws.inverse is not None
            assert bool(draws.blit[0].any()) is mirror
            assert (torch.linalg.det(draws.inverse) > 0).all()  # no reflection hides there

    def test_masks_move_with_their_image_and_keep_their_values(self) -> None:
        image = smooth_image(16).expand(8, -1, -1, -1)
        both = torch.cat([image, image], dim=1)
        draws = draw_augmentations(8, 1.0, rng(), size=16, channels=1, kinds=KINDS[:5])
        out = augment(both, draws, colour_channels=1)
        assert not torch.allclose(out[:, 0], out[:, 1], atol=0.1)
        moved = Draws(blit=draws.blit, inverse=draws.inverse, warped=draws.warped)
        torch.testing.assert_close(out[:, 1:], augment(image, moved))

    def test_rows_of_the_draws_are_what_the_whole_batch_gets(self) -> None:
        x = normal(6, 1, 8, 8)
        draws = draw_augmentations(6, 0.8, rng(), size=8, channels=1, kinds=KINDS)
        some = augment(x[[1, 4]], draws.rows(torch.tensor([1, 4])))
        torch.testing.assert_close(some, augment(x, draws)[[1, 4]])

    def test_unknown_kinds_are_refused(self) -> None:
        with pytest.raises(ValueError, match="swirl"):
            draw_augmentations(1, 0.5, rng(), size=8, channels=1, kinds=("swirl",))

    def test_may_be_differentiated_twice(self) -> None:
        x = normal(2, 1, 8, 8).requires_grad_()
        draws = draw_augmentations(2, 1.0, rng(3), size=8, channels=1, kinds=KINDS)
        assert torch.autograd.gradcheck(lambda x: augment(x, draws), x, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda x: augment(x, draws).square(), x, fast_mode=True)


class TestLeaking:
    """Karras et al. 2020b, section 2.2 and appendix C: p < 1 keeps the distribution recoverable.

    The toy: an arrow in one of four orientations.  Turning by a random multiple of 90 degrees
    with probability p is a linear operator on the four frequencies of orientations,
    (1 - p) 1 + p / 4, whose inverse exists for p < 1 alone.
    """

    TRUE = torch.tensor([0.6, 0.3, 0.1, 0.0], dtype=torch.float64)

    def observe(self, p: float, frequencies: Tensor, n: int = 40_000) -> Tensor:
        """Frequencies of orientations behind the pipeline's turns."""
        arrow = torch.zeros(4, 1, 4, 4)
        for k in range(4):
            arrow[k] = torch.rot90(torch.eye(4)[:1].T @ torch.ones(1, 4), k).T[None]
        kind = torch.multinomial(frequencies, n, replacement=True, generator=rng(1))
        draws = draw_augmentations(n, p, rng(2), size=4, channels=1, kinds=("blit",))
        assert draws.blit is not None
        mirror, turns, shift = draws.blit
        out = blit(arrow[kind], mirror, turns, torch.zeros_like(shift))
        match = torch.einsum("nchw,kchw->nk", out, arrow).argmax(dim=1)
        return torch.bincount(match, minlength=4).double() / n

    def operator(self, p: float) -> Tensor:
        return (1 - p) * torch.eye(4, dtype=torch.float64) + p / 4

    @pytest.mark.parametrize("p", [0.3, 0.8])
    def test_below_one_the_distribution_is_recovered(self, p: float) -> None:
        seen = self.observe(p, self.TRUE)
        torch.testing.assert_close(seen, self.operator(p) @ self.TRUE, atol=0.01, rtol=0)
        recovered = torch.linalg.solve(self.operator(p), seen)
        torch.testing.assert_close(recovered, self.TRUE, atol=0.01 / (1 - p), rtol=0)

    def test_equal_augmented_distributions_come_from_equal_ones_only_below_one(self) -> None:
        other = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
        assert (self.observe(0.8, self.TRUE) - self.observe(0.8, other)).abs().max() > 0.05
        at_one = self.observe(1.0, self.TRUE) - self.observe(1.0, other)
        assert at_one.abs().max() < 0.02
        assert torch.linalg.matrix_rank(self.operator(1.0)) == 1
