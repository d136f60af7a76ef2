"""Likeness by tiles: a correlation of detail that gamma, brightness and half a picture leave."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms.heads import draw_heads
from scipy.ndimage import gaussian_filter

from mri_gan.evaluate.copies.bands import blur, half, to_working_size
from mri_gan.evaluate.copies.tiles import (
    compare_tiles,
    match_histogram,
    mean_whole,
    pool_tiles,
    stand_out,
)

HEADS = torch.from_numpy(draw_heads(3, seed=1))
OTHERS = torch.from_numpy(draw_heads(3, seed=2))
CEILING = float(np.arctanh(0.9999))


def test_a_slice_is_wholly_like_itself_and_not_like_others() -> None:
    same, strange = compare_tiles(HEADS, HEADS), compare_tiles(OTHERS, HEADS)
    for view in ("halves", "whole"):
        assert same[view].tolist() == pytest.approx([CEILING] * len(HEADS), abs=1e-3)
        assert strange[view].max() < 1


def test_brightness_and_gamma_change_little() -> None:
    for changed in (0.5 * HEADS + 0.2, HEADS**2):
        assert compare_tiles(changed, HEADS)["halves"].min() > 2


def test_half_a_copy_counts_in_halves_only() -> None:
    part = half(64, 2)
    found = compare_tiles(part * HEADS + (1 - part) * OTHERS, HEADS)
    assert found["halves"].min() > 2
    assert found["whole"].max() < 1.5


def test_a_blurred_copy_counts_in_the_whole() -> None:
    assert compare_tiles(blur(HEADS, 1.0), HEADS)["whole"].min() > 2


def test_a_copy_blurred_by_2_px_counts_in_the_soft_view() -> None:
    blurred = blur(HEADS, 2.0)
    found = compare_tiles(blurred, HEADS)["soft"]
    assert (found > compare_tiles(blurred, OTHERS)["soft"] + 1).all()


def noisy(images: torch.Tensor, deviation: float) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(5))
    return (images + deviation * noise).clamp(0, 1)


def test_a_noisy_copy_counts_more_than_a_stranger_with_as_much_noise() -> None:
    copies, strangers = (compare_tiles(noisy(x, 0.05), HEADS)["halves"] for x in (HEADS, OTHERS))
    assert (copies - strangers).min() > 0.3


def test_a_picture_stands_out_by_its_likeness_above_that_to_the_next_people() -> None:
    likeness = torch.tensor([[0.9, 0.5, 1.5, 0.1, 0.3], [0.2, -torch.inf, 0.4, 0.3, -torch.inf]])
    persons = torch.tensor([[0, 1, 0, 2, 3], [0, 1, 2, 3, 1]])
    # The first picture: person 0 with 1.5, then 0.5 and 0.3; the second: 0.4, 0.3 and 0.2.
    assert stand_out(likeness, persons, 2).tolist() == pytest.approx([1.5 - 0.4, 0.4 - 0.25])
    assert stand_out(likeness, persons, 0).tolist() == pytest.approx([1.5, 0.4])


def test_blur_is_that_of_scipy() -> None:
    expected = gaussian_filter(HEADS.numpy(), (0, 2.0, 2.0), mode="nearest", truncate=3)
    assert np.allclose(blur(HEADS, 2.0), expected, atol=1e-5)


def test_tiles_are_means_of_squares_of_16_px() -> None:
    images = HEADS[:1].numpy()
    expected = [
        [images[0, y : y + 16, x : x + 16].mean() for x in range(0, 49, 8)] for y in range(0, 49, 8)
    ]
    assert np.allclose(pool_tiles(HEADS[:1])[0], expected, atol=1e-6)


def test_a_matched_picture_has_the_values_of_the_other_in_its_own_order() -> None:
    matched = match_histogram(HEADS, OTHERS.flatten(1).sort(1).values)
    assert torch.equal(matched.flatten(1).sort(1).values, OTHERS.flatten(1).sort(1).values)
    order = HEADS[0].flatten().argsort()
    assert (matched[0].flatten()[order].diff() >= 0).all()


def test_tiles_without_structure_do_not_count() -> None:
    tiles, energy = torch.zeros(1, 7, 7), torch.zeros(1, 7, 7)
    tiles[0, 3, 3], energy[0, 3, 3] = 0.5, 1.0
    assert mean_whole(tiles, energy).item() == pytest.approx(np.arctanh(0.5))


@pytest.mark.parametrize("size", [16, 32, 128])
def test_any_size_comes_to_64_px(size: int) -> None:
    images = torch.rand(2, size, size)
    assert to_working_size(images).shape == (2, 64, 64)
    assert to_working_size(images).mean() == pytest.approx(float(images.mean()), abs=0.02)
