"""DCGAN, as figure 1 and section 3 of its paper describe it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mri_gan.nets.dcgan import Critic, Generator, widths_of


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_widths_at_64_px_are_those_of_figure_1() -> None:
    assert widths_of(64, 1.0) == {4: 1024, 8: 512, 16: 256, 32: 128}
    assert widths_of(256, 1.0) == {4: 1024, 8: 1024, 16: 1024, 32: 512, 64: 256, 128: 128}
    assert widths_of(8, 1.0) == {4: 128}
    assert widths_of(16, 1 / 64) == {4: 4, 8: 4}


def test_parameters_at_64_px() -> None:
    """The sums over the layers of figure 1 with 4x4 kernels, counted by hand."""
    with torch.device("meta"):
        generator, critic = Generator(image_channels=3), Critic(image_channels=3)
    kernels = 16 * (100 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    norms = 2 * (1024 + 512 + 256 + 128)
    assert count_parameters(generator) == kernels + norms + 3
    kernels = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024 + 1024)
    assert count_parameters(critic) == kernels + 2 * (256 + 512 + 1024) + 128 + 1


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_shapes(size: int, norm: str) -> None:
    generator = Generator(max_resolution=size, capacity=1 / 64, latent_dim=8)
    critic = Critic(max_resolution=size, capacity=1 / 64, critic_norm=norm)
    images = generator(normal(4, 8), resolution=size)
    assert images.shape == (4, 1, size, size)
    assert images.abs().max() <= 1
    assert critic(images).shape == (4,)


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_shapes_of_large_sizes(size: int) -> None:
    with torch.device("meta"):
        images = Generator(max_resolution=size)(torch.empty(2, 100), resolution=size)
        assert images.shape == (2, 1, size, size)
        assert Critic(max_resolution=size)(images).shape == (2,)


def test_latents_become_uniform() -> None:
    uniform = Generator(capacity=1 / 64).map(normal(1000, 100)).flatten()
    counts = torch.histc(uniform, bins=10, min=-1, max=1) / uniform.numel()
    torch.testing.assert_close(counts, torch.full((10,), 0.1), atol=0.005, rtol=0)


def test_weights_start_as_in_section_4() -> None:
    torch.manual_seed(0)
    generator, critic = Generator(capacity=1 / 8), Critic(capacity=1 / 8)
    for net in (generator, critic):
        for name, parameter in net.named_parameters():
            if parameter.ndim == 4:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name
            elif "norms" in name and name.endswith("weight"):
                assert parameter.mean().item() == pytest.approx(1, abs=0.02), name


def test_in_evaluation_an_image_ignores_its_batch_mates() -> None:
    torch.manual_seed(0)
    generator = Generator(max_resolution=16, capacity=1 / 32, latent_dim=8)
    z = normal(5, 8)
    generator(z, resolution=16)
    generator.eval()
    alone, together = generator(z[3:4], resolution=16), generator(z, resolution=16)
    torch.testing.assert_close(alone, together[3:4])


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_joined_batches_score_as_two_passes(norm: str) -> None:
    torch.manual_seed(0)
    critic = Critic(max_resolution=16, capacity=1 / 32, critic_norm=norm)
    real, fake = normal(4, 1, 16, 16), 3 * normal(4, 1, 16, 16, seed=2)
    together = critic(torch.cat([real, fake]), parts=2)
    torch.testing.assert_close(together, torch.cat([critic(real), critic(fake)]))
    with pytest.raises(ValueError, match="3 images"):
        critic(real[:3], parts=2)


def test_with_layer_norm_a_score_depends_on_its_own_image_alone() -> None:
    torch.manual_seed(0)
    images = normal(4, 1, 16, 16).requires_grad_()
    for norm, mixes in (("batch", True), ("layer", False)):
        critic = Critic(max_resolution=16, capacity=1 / 32, critic_norm=norm)
        (gradient,) = torch.autograd.grad(critic(images)[0], images)
        assert bool(gradient[1:].abs().sum() > 0) is mixes


def test_the_critic_may_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    critic = Critic(max_resolution=8, capacity=1 / 32, critic_norm="layer").double()
    images = normal(2, 1, 8, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(critic, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(critic, images, fast_mode=True)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="does not grow"):
        Generator(capacity=1 / 64)(normal(2, 100), resolution=32)
    with pytest.raises(ValueError, match="does not grow"):
        Critic(capacity=1 / 64)(normal(2, 1, 32, 32))
