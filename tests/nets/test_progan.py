"""The progressive generator, as table 2 of its paper describes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mri_gan.nets.convolution import upsample_nearest2
from mri_gan.nets.progan import Generator
from mri_gan.nets.stylegan import Critic


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(max_resolution=64, capacity=0.05, latent_dim=16)


def test_parameters_at_1024_px_are_those_published() -> None:
    """23.1 M each in Karras et al. 2018, table 2, of which each network grows its own images.

    The table counts the network at 1024 px alone; ours keeps the image layers of all sizes.
    """
    with torch.device("meta"):
        generator = Generator(max_resolution=1024, image_channels=3)
        critic = Critic(max_resolution=1024, image_channels=3, blur=False)
    layers = generator.synthesis.get_submodule("to_image").named_children()
    extra = sum(count_parameters(layer) for size, layer in layers if size != "1024")
    assert count_parameters(generator) - extra == 23_071_507
    assert count_parameters(generator) == 23_079_115
    assert count_parameters(critic) == 23_087_249


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_shape(generator: Generator, resolution: int, alpha: float) -> None:
    images = generator(normal(2, 16), resolution=resolution, alpha=alpha)
    assert images.shape == (2, 1, resolution, resolution)
    assert images.isfinite().all()


@pytest.mark.parametrize("resolution", [128, 256, 512, 1024])
def test_shape_of_large_sizes(resolution: int) -> None:
    with torch.device("meta"):
        made = Generator(max_resolution=resolution, image_channels=3)
        assert made(torch.empty(2, 512), resolution=resolution).shape[1:] == (
            3,
            resolution,
            resolution,
        )


def test_the_first_layer_is_a_4x4_convolution_that_sees_one_pixel(generator: Generator) -> None:
    block = generator.synthesis.get_submodule("blocks.4")
    z, seen = normal(3, 16), []
    hook = block.get_submodule("conv1").register_forward_pre_hook(lambda _m, x: seen.append(x[0]))
    block(z)
    hook.remove()
    spread: Any = block.get_submodule("spread")
    full = torch.nn.functional.conv2d(
        z[:, :, None, None],
        spread.kernel().flip(2, 3),
        spread.bias,
        padding=3,
    )
    rectified = torch.nn.functional.leaky_relu(full, 0.2)
    expected = rectified / (rectified.square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(seen[0], expected)


def test_scale_of_z_does_not_matter(generator: Generator) -> None:
    z = normal(2, 16)
    torch.testing.assert_close(generator(z, resolution=8), generator(5 * z, resolution=8))


def test_features_have_unit_mean_square_at_every_pixel(generator: Generator) -> None:
    seen: list[Tensor] = []
    for block in generator.synthesis.get_submodule("blocks").children():
        block.register_forward_hook(lambda _m, _x, out: seen.append(out))
    generator(normal(2, 16), resolution=64)
    assert len(seen) == 5
    for features in seen:
        square = features.square().mean(dim=1)
        torch.testing.assert_close(square, torch.ones_like(square), atol=1e-4, rtol=0)


def test_the_critic_starts_with_unit_variance_and_no_blur() -> None:
    torch.manual_seed(0)
    critic = Critic(max_resolution=16, capacity=0.25, blur=False)
    block: Any = critic.blocks["16"]
    x = normal(4, 128, 16, 16)
    features: Tensor = block.conv0(x)
    assert features[..., 1:-1, 1:-1].var().item() == pytest.approx(2, rel=0.1)
    inner = torch.nn.functional.leaky_relu(features, 0.2)
    halved = torch.nn.functional.avg_pool2d(
        torch.nn.functional.conv2d(
            inner,
            block.conv1.kernel(),
            block.conv1.bias,
            padding=1,
        ),
        2,
    )
    torch.testing.assert_close(block(x), torch.nn.functional.leaky_relu(halved, 0.2))


def test_alpha_zero_is_the_lower_image_doubled(generator: Generator) -> None:
    z = normal(2, 16)
    faded = generator(z, resolution=32, alpha=0.0)
    torch.testing.assert_close(faded, upsample_nearest2(generator(z, resolution=16)))


def test_several_styles_or_noise_are_refused(generator: Generator) -> None:
    assert generator.noise_shapes(2, 64) == []
    assert not generator.has_styles
    with pytest.raises(ValueError, match="one latent"):
        generator.synthesis(normal(2, 2, 16), resolution=8)
