"""Path lengths, against a closed form and finite differences."""

from __future__ import annotations

import pytest
import torch
from finite_differences import slopes_along
from torch import Tensor

from mri_gan.config import TrainConfig
from mri_gan.nets.stylegan2 import Generator
from mri_gan.schedule import Phase
from mri_gan.train.parallel import Step
from mri_gan.train.state import build_state
from mri_gan.train.step import add_path_gradients, path_due, path_lengths


def normal(*shape: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=made, dtype=torch.float64)


def test_of_a_linear_synthesis_has_a_closed_form() -> None:
    """images = A w for each layer: the length is |A^T y| / sqrt(pixels), the same in each."""
    a, y = normal(16, 5), normal(3, 1, 4, 4, seed=1)
    ws = normal(3, 2, 5, seed=2).requires_grad_()
    images = (ws @ a.T).sum(dim=1).view(3, 1, 4, 4)
    expected = (y.flatten(1) @ a).norm(dim=1) / 4
    torch.testing.assert_close(path_lengths(images, ws, y), expected)


def test_a_scaled_orthogonal_map_has_its_scale_on_average() -> None:
    """Equation 4 is least where the Jacobian is orthogonal up to a scale; its length tells it."""
    q, _ = torch.linalg.qr(normal(64, 8))
    ws = normal(4000, 1, 8, seed=2).requires_grad_()
    images = (3 * ws[:, 0] @ q.T).view(-1, 1, 8, 8)
    lengths = path_lengths(images, ws, normal(4000, 1, 8, 8, seed=1))
    # The norm of 8 normal numbers is 2.74 on average, over the root of 64 pixels.
    assert lengths.mean().item() == pytest.approx(3 * 2.7415 / 8, rel=0.02)


def test_gradients_of_the_penalty_equal_finite_differences() -> None:
    torch.manual_seed(0)
    net = Generator(max_resolution=8, capacity=1 / 64, latent_dim=6, mapping_depth=1).double()
    ws, y = normal(2, 4, 6), normal(2, 1, 8, 8, seed=1)
    parameters: list[Tensor] = list(net.synthesis.parameters())
    direction = [normal(*p.shape, seed=3 + i) for i, p in enumerate(parameters)]

    def penalty() -> Tensor:
        w = ws.clone().requires_grad_()
        return (path_lengths(net.synthesis(w, resolution=8), w, y) - 0.5).square().mean()

    slope, measured = slopes_along(penalty, parameters, direction)
    assert abs(slope) > 1e-4
    assert measured == pytest.approx(slope, rel=1e-5)


def test_is_due_every_few_steps_of_the_generator() -> None:
    config = TrainConfig(
        arch="stylegan2", max_size=8, batch=4, path_weight=2.0, path_every=2, n_critic=2
    )
    due = [path_due(config, nimg) for nimg in range(4, 64, 8)]  # every second step is of G
    assert due == [True, False, True, False, True, False, True, False]
    assert not path_due(TrainConfig(), 0)


def test_lengths_that_are_not_finite_leave_the_mean_of_lengths_as_it_is() -> None:
    config = TrainConfig(
        arch="stylegan2", max_size=8, capacity=1 / 64, latent_dim=8, batch=4, path_weight=2.0
    )
    state = build_state(config, torch.device("cpu"))
    step = Step(config, Phase(8, 1.0, 4, 1e-3), 0)
    add_path_gradients(state, step)
    before = state.path_mean.clone()
    assert before > 0
    with torch.no_grad():
        next(state.g.synthesis.parameters()).fill_(float("nan"))
    assert not add_path_gradients(state, step)["path_length"].isfinite()
    assert torch.equal(state.path_mean, before)
