"""FastGAN's light generator, as its paper describes it, against a plain formulation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets.fastgan import Generator, UpConvolution, widths_of


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_shapes_and_range(size: int) -> None:
    generator = Generator(max_resolution=size, image_channels=2, capacity=1 / 128, latent_dim=8)
    images = generator(normal(2, 8), resolution=size)
    assert images.shape == (2, 2, size, size)
    assert images.abs().max() <= 1


def test_widths_are_multiples_of_eight_and_never_fewer() -> None:
    assert widths_of(64, 0.25) == {4: 256, 8: 256, 16: 128, 32: 64, 64: 32}
    assert widths_of(128, 0.25)[128] == 24
    assert set(widths_of(256, 1e-3).values()) == {8}


def test_doubling_convolution_is_nearest_neighbour_then_convolution() -> None:
    torch.manual_seed(0)
    block = UpConvolution(3, 5)
    x = normal(2, 3, 6, 6)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), block.weight, padding=1)
    torch.testing.assert_close(block.lead(x), plain)


def test_whole_network_is_the_one_written_plainly() -> None:
    """Layer by layer with torch's own functions; figure 3 of the paper."""
    torch.manual_seed(0)
    generator = Generator(max_resolution=128, capacity=1 / 128, latent_dim=8).eval()
    s: Any = generator.synthesis
    for norm in s.modules():
        if isinstance(norm, nn.BatchNorm2d):  # which would change nothing as it begins
            for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
                nn.init.uniform_(values, 0.5, 1.5)  # type: ignore[arg-type]
    z = normal(3, 8)

    def normalised(x: Tensor, norm: nn.Module) -> Tensor:
        parts = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.leaky_relu(F.batch_norm(x, *parts), 0.2)  # type: ignore[arg-type]

    x = z / z.square().mean(1, keepdim=True).sqrt()
    x = normalised(F.conv_transpose2d(x[:, :, None, None], s.first.weight), s.first_norm)
    drawn = {4: x}
    for r in (8, 16, 32, 64, 128):
        layers = list(s.blocks[str(r)])
        assert len(layers) == (2 if r in (8, 32, 128) else 1)
        x = F.interpolate(x, scale_factor=2)
        for layer in layers:
            x = normalised(F.conv2d(x, layer.weight, padding=1), layer.norm)
        if r >= 64:
            excitation = s.excitations[str(r)]
            gate = F.conv2d(F.adaptive_avg_pool2d(drawn[r // 16], 4), excitation.gather.weight)
            x = x * F.conv2d(F.silu(gate), excitation.scale.weight).sigmoid()
        drawn[r] = x
    plain = F.conv2d(x, s.to_image.weight, s.to_image.bias, padding=1).tanh()
    torch.testing.assert_close(generator(z, resolution=128), plain)


def test_small_sizes_have_nothing_to_excite() -> None:
    assert not Generator(max_resolution=32, capacity=1 / 64).synthesis.excitations


def test_conditions_are_part_of_the_latent() -> None:
    generator = Generator(max_resolution=8, capacity=1 / 64, latent_dim=8, condition_dim=3).eval()
    z = normal(1, 8).expand(2, -1)
    images = generator(z, resolution=8, condition=torch.eye(3)[:2])
    assert (images[0] - images[1]).abs().max() > 1e-3


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="does not grow"):
        Generator(max_resolution=16, capacity=1 / 64)(normal(1, 128), resolution=8)
    with pytest.raises(ValueError, match="48 px"):
        Generator(max_resolution=48)
