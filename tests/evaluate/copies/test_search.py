"""A copy is found among all slices however it lies, and laid on its original again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms.heads import SLICES, draw_heads
from scipy.ndimage import affine_transform

from mri_gan.evaluate.copies.search import NOBODY, PEOPLE, Search, pick_best, pose_matrices, warp

HEADS = draw_heads(12, seed=1)
GROUPS = torch.arange(len(HEADS)) // SLICES


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(torch.from_numpy(HEADS * 255).round().byte(), GROUPS)


def turn(image: np.ndarray, degrees: float, scale: float, dy: float, dx: float) -> torch.Tensor:
    """As scipy turns a picture around its middle."""
    angle, middle = np.deg2rad(degrees), (image.shape[-1] - 1) / 2
    shape = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    offset = middle - shape @ np.array([middle + dy, middle + dx])
    return torch.from_numpy(affine_transform(image, shape, offset, order=1))[None]


@pytest.mark.parametrize(
    ("degrees", "scale", "dy", "dx", "mirrored"),
    [(0, 1, 0, 0, False), (10, 0.9, 0, 0, False), (-7, 1.1, 5, -7, False), (9, 1, 0, 3, True)],
)
def test_a_moved_slice_is_found_and_laid_back(
    search: Search, degrees: float, scale: float, dy: float, dx: float, mirrored: bool
) -> None:
    original = HEADS[21]
    picture = turn(original[:, ::-1] if mirrored else original, degrees, scale, dy, dx)
    found = search.find(picture, torch.tensor([NOBODY]))
    place = found.rows[0].tolist().index(21)
    back = warp(picture, found.poses[0, place][None])[0].numpy()
    inner = (slice(12, -12), slice(12, -12))
    assert np.corrcoef(back[inner].ravel(), original[inner].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("side", [(slice(None), slice(0, 32)), (slice(32, None), slice(None))])
def test_half_of_a_slice_is_found(search: Search, side: tuple[slice, slice]) -> None:
    made = draw_heads(1, seed=9)[0].copy()
    made[side] = HEADS[30][side]
    found = search.find(torch.from_numpy(made)[None], torch.tensor([NOBODY]))
    assert 30 in found.rows[0]


def test_a_persons_own_slices_are_no_candidates(search: Search) -> None:
    found = search.find(torch.from_numpy(HEADS[:8]), GROUPS[:8])
    assert not (GROUPS[found.rows] == GROUPS[:8, None]).any()


def test_several_people_are_among_the_candidates(search: Search) -> None:
    found = search.find(torch.from_numpy(HEADS[:6]), torch.full((6,), NOBODY))
    people = GROUPS[found.rows]
    assert min(len(set(row)) for row in people.tolist()) >= PEOPLE


def test_the_best_of_each_person_comes_before_a_persons_second() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.9, 0.2, 0.1, 0.85]])
    persons = torch.tensor([[0, 0, 0, 1, 2, 0]])  # one slice of person 0 was found twice
    assert pick_best(scores, persons, 2, 3).tolist() == [[0, 3, 2]]
    assert pick_best(scores, persons, 3, 3).tolist() == [[0, 3, 4]]


def test_a_quarter_turn_is_that_of_numpy() -> None:
    image = torch.from_numpy(HEADS[0])
    poses = pose_matrices(torch.tensor([[1.0, 1.0, np.pi / 2, 1.0]]))
    assert np.allclose(
        warp(image[None], poses)[0], np.rot90(HEADS[0], -1), atol=1e-4
    ) or np.allclose(warp(image[None], poses)[0], np.rot90(HEADS[0]), atol=1e-4)
