"""Directions: eigenvectors as numpy finds them, planted ones found, moves along them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms.models import save_untrained

from mri_gan.nets.build import DrawSettings
from mri_gan.pictures import LINE_PX
from mri_gan.synth.directions import (
    SAMPLES,
    Directions,
    draw_strips,
    draw_sweep,
    factorise,
    find_directions,
    fix_signs,
    move_along,
    principal,
    save_directions,
    style_weights,
)
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import load_trained


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    trained = load_trained(save_untrained(tmp_path_factory.mktemp("run"), alpha=1.0))
    return Drawing(trained, DrawSettings(16))


def test_factors_are_the_right_singular_vectors() -> None:
    a = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    values, vectors = factorise(a)
    _, singular, rows = np.linalg.svd(a.numpy())
    assert np.allclose(values, singular**2, rtol=1e-4)
    assert np.allclose(fix_signs(vectors), fix_signs(torch.from_numpy(rows)), atol=1e-4)


def test_principal_components_find_a_planted_direction() -> None:
    rng = torch.Generator().manual_seed(0)
    planted = torch.nn.functional.normalize(torch.randn(8, generator=rng), dim=0)
    rows = 0.1 * torch.randn(2000, 8, generator=rng)
    rows = rows + 3 * torch.randn(2000, 1, generator=rng) * planted
    values, vectors = principal(rows - rows.mean(0))
    assert abs(float(vectors[0] @ planted)) > 0.999
    assert float(values[0]) == pytest.approx(9, rel=0.1)


def test_style_weights_are_those_up_to_the_size_each_row_of_length_one(drawing: Drawing) -> None:
    net = drawing.trained.generator
    assert len(style_weights(net, 32)) > len(style_weights(net, 16))
    assert torch.allclose(style_weights(net, 16).norm(dim=1), torch.tensor(1.0))


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_are_orthonormal_and_repeatable(drawing: Drawing, method: str) -> None:
    found, again = (find_directions(drawing, method, 4) for _ in range(2))
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(4), atol=1e-5)
    assert torch.equal(found.vectors, again.vectors)
    assert (found.weight.diff() <= 0).all()
    assert (found.spread > 0).all()


def test_weights_are_shares_of_the_variance_along_all_directions(drawing: Drawing) -> None:
    found, w = (
        find_directions(drawing, "pca", 2),
        drawing.w(range(SAMPLES), psi=1.0).double().numpy(),
    )
    values = np.linalg.eigvalsh(np.cov(w, rowvar=False))[::-1]
    assert found.weight.tolist() == pytest.approx((values[:2] / values.sum()).tolist(), rel=1e-3)
    assert found.spread.tolist() == pytest.approx(np.sqrt(values[:2]).tolist(), rel=1e-3)


def test_a_move_is_so_many_standard_deviations_along_its_vector(drawing: Drawing) -> None:
    found = find_directions(drawing, "pca", 2)
    w = move_along(drawing, found, 1, 7, torch.tensor([0.0, 2.0]))
    assert torch.equal(w[:1], drawing.w([7]))
    along = (w[1] - w[0]) @ found.vectors[1]
    assert float(along) == pytest.approx(2 * float(found.spread[1]), rel=1e-4)


def test_the_middle_of_a_strip_is_the_seed_itself_and_a_sweep_closes(drawing: Drawing) -> None:
    found = find_directions(drawing, "sefa", 2)
    note = 2 * LINE_PX  # of what moves, and psi
    assert draw_strips(drawing, found, 7, 3.0).size == (7 * 130 + 2, 2 * 144 + 2 + note)
    frames, captions = draw_sweep(drawing, found, 0, 7, 2.0)
    assert len(frames) == 30
    assert torch.equal(frames[1], frames[29])
    assert (len(captions), captions[0], captions[15]) == (30, "sefa 1: -2.0 sd", "sefa 1: +2.0 sd")


def test_all_vectors_are_kept(tmp_path: Path) -> None:
    one = Directions("sefa", torch.eye(3), torch.ones(3), torch.ones(3) / 3)
    save_directions(tmp_path / "d.npz", [one])
    with np.load(tmp_path / "d.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["sefa_vectors"], np.eye(3))
