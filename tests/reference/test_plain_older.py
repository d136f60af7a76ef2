"""ProGAN and DCGAN draw and score what their papers' equations say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_older import draw_dcgan, draw_progan, score_dcgan, score_progan
from torch import Tensor

from mri_gan.config import ModelConfig
from mri_gan.nets.build import build_critic, build_generator

BASE: dict[str, Any] = {"max_size": 16, "capacity": 1 / 64, "latent_dim": 6, "channels": 2}
CONDITIONS = [0, 3]


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(arch: str, condition_dim: int, **values: Any) -> tuple[Any, Any, Tensor | None]:
    """Both networks in double precision with no weight at a round number, and a condition."""
    model = ModelConfig(**BASE, arch=arch, condition_dim=condition_dim, **values)
    nets = build_generator(model).double(), build_critic(model).double()
    with torch.no_grad():
        for net in nets:
            for number, weight in enumerate(net.parameters()):
                weight.add_(0.2 * normal(*weight.shape, seed=number))
    return *nets, normal(8, condition_dim) if condition_dim else None


@pytest.mark.parametrize("condition_dim", CONDITIONS)
@pytest.mark.parametrize(("size", "alpha"), [(8, 1.0), (16, 0.4), (16, 1.0)])
def test_progan(condition_dim: int, size: int, alpha: float) -> None:
    g, d, condition = build("progan", condition_dim)
    z, images = normal(8, 6), normal(8, 2, size, size)
    drawn = g(z, resolution=size, alpha=alpha, condition=condition)
    expected = draw_progan(dict(g.state_dict()), z, size, alpha, condition)
    torch.testing.assert_close(drawn, expected, rtol=1e-9, atol=1e-9)
    scores = d(images, alpha=alpha, condition=condition)
    expected = score_progan(dict(d.state_dict()), images, alpha, condition)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("condition_dim", CONDITIONS)
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_dcgan(condition_dim: int, norm: str) -> None:
    g, d, condition = build("dcgan", condition_dim, critic_norm=norm)
    z, images = normal(8, 6), normal(8, 2, 16, 16)
    drawn = g(z, resolution=16, condition=condition)
    expected = draw_dcgan(dict(g.state_dict()), z, 16, condition)
    torch.testing.assert_close(drawn, expected, rtol=1e-9, atol=1e-9)
    scores = d(images, condition=condition)
    expected = score_dcgan(dict(d.state_dict()), images, norm, condition)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)
