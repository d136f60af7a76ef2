"""Conditions reach the generator and the critic of every architecture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mri_gan.config import ModelConfig
from mri_gan.nets.build import GENERATORS, build_critic, build_generator

MODEL = ModelConfig(max_size=16, capacity=1 / 32, latent_dim=8, condition_dim=3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=list(GENERATORS))
def model(request: pytest.FixtureRequest) -> ModelConfig:
    torch.manual_seed(0)
    return replace(MODEL, arch=request.param)


def test_a_condition_changes_images_and_scores(model: ModelConfig) -> None:
    generator, critic = build_generator(model).eval(), build_critic(model)
    z, one, other = normal(4, 8), normal(4, 3, seed=1), normal(4, 3, seed=2)
    first, second = (generator(z, resolution=16, condition=c) for c in (one, other))
    assert first.shape == (4, 1, 16, 16)
    assert not torch.allclose(first, second)
    scores = [critic(first.detach(), condition=c) for c in (one, other)]
    assert scores[0].shape[0] == 4  # some critics score several parts of an image
    assert not torch.allclose(*scores)


def test_conditions_get_gradients_in_both_networks(model: ModelConfig) -> None:
    generator, critic = build_generator(model), build_critic(model)
    condition = normal(4, 3).requires_grad_()
    images = generator(normal(4, 8), resolution=16, condition=condition)
    critic(images, condition=condition).sum().backward()
    assert condition.grad is not None
    assert condition.grad.abs().sum() > 0


def test_a_missing_or_unwanted_condition_is_refused(model: ModelConfig) -> None:
    with pytest.raises(ValueError, match="condition"):
        build_generator(model).map(normal(4, 8))
    with pytest.raises(ValueError, match="condition"):
        build_critic(model)(normal(4, 1, 16, 16), condition=normal(4, 2))
    plain = replace(model, condition_dim=0)
    with pytest.raises(ValueError, match="condition"):
        build_generator(plain).map(normal(4, 8), normal(4, 3))
    with pytest.raises(ValueError, match="condition"):
        build_critic(plain)(normal(4, 1, 16, 16), condition=normal(4, 3))


def test_a_condition_without_entries_is_none(model: ModelConfig) -> None:
    plain = build_generator(replace(model, condition_dim=0)).eval()
    assert torch.equal(plain.map(normal(4, 8), normal(4, 0)), plain.map(normal(4, 8)))
