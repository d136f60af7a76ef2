"""The yardstick for speed is the same network, and its training step the same step."""

from __future__ import annotations

import pytest
import torch
from plain_step import build_plain_state, plain_train_step
from plain_stylegan import PlainCritic, PlainGenerator
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.layers import draw_noise
from mri_gan.schedule import Phase
from mri_gan.train.state import build_state
from mri_gan.train.step import train_step

CONFIG = TrainConfig(max_size=32, capacity=1 / 32, latent_dim=16, batch=4)
TOLERANCES = [(torch.float32, 1e-4), (torch.float64, 1e-10)]
SHAPES = [(8, 0.5), (8, 1.0), (32, 0.5), (32, 1.0)]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill(net: nn.Module) -> None:
    """Give every parameter its own numbers, so that no bias or noise strength stays zero."""
    source = rng(7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=source))


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm().clamp_min(1e-12))


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize(("resolution", "alpha"), SHAPES)
def test_equal_weights_draw_equal_images(
    dtype: torch.dtype, tolerance: float, resolution: int, alpha: float
) -> None:
    ours, plain = build_generator(CONFIG.model).to(dtype), PlainGenerator(CONFIG.model).to(dtype)
    fill(ours)
    plain.load_state_dict(ours.state_dict())
    z = torch.randn(4, CONFIG.latent_dim, generator=rng(), dtype=dtype)
    noise = draw_noise(ours.noise_shapes(4, resolution), rng(1), dtype=dtype)
    expected = ours(z, resolution=resolution, alpha=alpha, noise=noise)
    images = plain(z, resolution, alpha, noise)
    assert images.shape == (4, 1, resolution, resolution)
    torch.testing.assert_close(images, expected, rtol=tolerance, atol=tolerance)
    ws = torch.randn(4, len(noise), CONFIG.latent_dim, generator=rng(2), dtype=dtype)
    mixed = ours.synthesis(ws, resolution=resolution, alpha=alpha, noise=noise)
    own_styles = plain.synthesis(ws, resolution, alpha, noise)
    torch.testing.assert_close(own_styles, mixed, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize(("resolution", "alpha"), SHAPES)
def test_equal_weights_give_equal_scores(
    dtype: torch.dtype, tolerance: float, resolution: int, alpha: float
) -> None:
    ours, plain = build_critic(CONFIG.model).to(dtype), PlainCritic(CONFIG.model).to(dtype)
    fill(ours)
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(4, 1, resolution, resolution, generator=rng(), dtype=dtype)
    scores = plain(images, alpha)
    assert scores.shape == (4,)
    torch.testing.assert_close(scores, ours(images, alpha=alpha), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("resolution", "alpha"), SHAPES)
def test_one_step_gives_equal_losses_gradients_and_weights(resolution: int, alpha: float) -> None:
    ours = build_state(CONFIG, torch.device("cpu"))
    fill(ours.g)
    fill(ours.d)
    plain = build_plain_state(CONFIG, ours)
    phase = Phase(resolution, alpha, batch=4, lr=1e-3)
    shape = (4, 1, resolution, resolution)
    images = torch.randint(0, 256, shape, generator=rng(), dtype=torch.uint8)
    expected = train_step(ours, CONFIG, phase, images)
    stats = plain_train_step(plain, CONFIG, phase, images)
    for name, value in stats.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    for net, twin in ((plain.g, ours.g), (plain.d, ours.d)):
        twins = dict(twin.named_parameters())
        for name, parameter in net.named_parameters():
            gradient = twins[name].grad
            assert (parameter.grad is None) == (gradient is None), name
            if parameter.grad is not None and gradient is not None:
                assert relative_error(parameter.grad, gradient) < 1e-3, name
    assert plain.nimg == ours.nimg
    torch.testing.assert_close(plain.g.w_avg, ours.g.w_avg)


def test_both_sides_know_the_same_parameters() -> None:
    for ours, plain in (
        (build_generator(CONFIG.model), PlainGenerator(CONFIG.model)),
        (build_critic(CONFIG.model), PlainCritic(CONFIG.model)),
    ):
        names = {name: value.shape for name, value in ours.state_dict().items()}
        assert names == {name: value.shape for name, value in plain.state_dict().items()}
