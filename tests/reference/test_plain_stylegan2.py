"""The plain StyleGAN2, written from the equations, draws and scores what ours does."""

from __future__ import annotations

import pytest
import torch
from plain_stylegan2 import PlainCritic2, PlainGenerator2
from torch import nn

from mri_gan.config import ModelConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.layers import draw_noise

MODEL = ModelConfig(arch="stylegan2", capacity=1 / 32, latent_dim=16, mapping_depth=3)
TOLERANCES = [(torch.float32, 1e-4), (torch.float64, 1e-11)]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill(net: nn.Module) -> None:
    """Give every parameter its own numbers, so that no bias or noise strength stays zero."""
    source = rng(7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=source))


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize(("size", "channels"), [(8, 3), (32, 1)])
@pytest.mark.parametrize("n", [1, 4])
def test_equal_weights_draw_and_score_the_same(
    dtype: torch.dtype, tolerance: float, size: int, channels: int, n: int
) -> None:
    torch.manual_seed(0)
    model = ModelConfig.from_dict({**MODEL.to_dict(), "max_size": size, "channels": channels})
    ours, critic = build_generator(model).to(dtype), build_critic(model).to(dtype)
    plain, plain_critic = PlainGenerator2(model).to(dtype), PlainCritic2(model).to(dtype)
    fill(ours)
    fill(critic)
    plain.load_state_dict(ours.state_dict())
    plain_critic.load_state_dict(critic.state_dict())
    z = torch.randn(n, 16, generator=rng(), dtype=dtype)
    noise = draw_noise(ours.noise_shapes(n, size), rng(1), dtype=dtype)
    images = ours(z, resolution=size, noise=noise)
    ws = plain.mapping(z)[:, None].repeat(1, ours.num_layers(size), 1)
    torch.testing.assert_close(images, plain.synthesis(ws, noise), rtol=tolerance, atol=tolerance)
    scores = critic(images)
    torch.testing.assert_close(scores, plain_critic(images), rtol=tolerance, atol=tolerance)
