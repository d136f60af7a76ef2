"""StyleGAN2's parts, as its paper describes them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mri_gan.nets.layers import broadcast_styles, draw_noise, mix_styles
from mri_gan.nets.modulation import (
    StyledConv,
    ToImage,
    demodulation,
    modulated_conv2d,
    normalise,
)
from mri_gan.nets.stylegan2 import (
    ActivatedConv,
    Critic,
    Generator,
    Mapping,
    ResidualBlock,
    widths_of,
)

DIM = 16


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build(size: int = 16, channels: int = 1) -> tuple[Generator, Critic]:
    torch.manual_seed(0)
    generator = Generator(
        max_resolution=size,
        image_channels=channels,
        capacity=1 / 32,
        latent_dim=DIM,
        mapping_depth=2,
    )
    critic = Critic(max_resolution=size, image_channels=channels, capacity=1 / 32)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return generator, critic


class TestSizes:
    def test_parameters_at_1024_px_are_those_of_configuration_f(self) -> None:
        """30.37 M and 29.01 M: the sums over the layers of Karras et al. 2020, figure 7."""
        with torch.device("meta"):
            generator = Generator(max_resolution=1024, image_channels=3)
            critic = Critic(max_resolution=1024, image_channels=3)
        assert count_parameters(generator.mapping) == 2_101_248
        assert count_parameters(generator) == 30_370_060
        assert count_parameters(critic) == 29_012_513

    def test_widths_are_those_of_configuration_f(self) -> None:
        sizes = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
        widths = [512, 512, 512, 512, 512, 256, 128, 64, 32]
        assert widths_of(1024, 1.0, 32768, 512) == dict(zip(sizes, widths, strict=True))
        assert widths_of(8, 0.5, 64, 12) == {4: 8, 8: 4}

    @pytest.mark.parametrize("size", [4, 8, 16, 32, 64])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_shapes_at_every_size(self, size: int, channels: int) -> None:
        generator, critic = build(size, channels)
        noise = draw_noise(generator.noise_shapes(4, size), torch.Generator().manual_seed(0))
        assert len(noise) == generator.num_layers(size) - 1
        images = generator(normal(4, DIM), resolution=size, noise=noise)
        assert images.shape == (4, channels, size, size)
        assert critic(images).shape == (4,)

    @pytest.mark.parametrize("size", [128, 256, 512, 1024])
    def test_shapes_of_large_sizes(self, size: int) -> None:
        with torch.device("meta"):
            generator = Generator(max_resolution=size, latent_dim=DIM)
            critic = Critic(max_resolution=size)
            images = generator(torch.empty(2, DIM), resolution=size)
            assert images.shape == (2, 1, size, size)
            assert critic(images).shape == (2,)


def one_by_one(
    x: torch.Tensor,
    kernel: torch.Tensor,
    style: torch.Tensor,
    demodulate: bool = True,
    up: bool = False,
) -> torch.Tensor:
    """Image by image, with the kernel of equations 1 and 3 written out."""
    drawn = []
    for i in range(len(x)):
        own = kernel * style[i][None, :, None, None]  # equation 1
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()  # equation 3
        if up:
            turned = own.transpose(0, 1)
            drawn.append(torch.nn.functional.conv_transpose2d(x[i : i + 1], turned, stride=2))
        else:
            px = kernel.shape[-1] // 2
            drawn.append(torch.nn.functional.conv2d(x[i : i + 1], own, padding=px))
    return torch.cat(drawn)


class TestModulation:
    @pytest.mark.parametrize("up", [False, True])
    @pytest.mark.parametrize("demodulate", [False, True])
    def test_it_is_the_equations(self, up: bool, demodulate: bool) -> None:
        x, style = normal(3, 4, 5, 5, dtype=torch.float64), normal(3, 4, seed=1).double()
        kernel = normal(6, 4, 3, 3, seed=2).double()
        factor = demodulation(kernel, style) if demodulate else None
        out = modulated_conv2d(x, kernel, style, factor, up=up)
        torch.testing.assert_close(out, one_by_one(x, kernel, style, demodulate, up))

    def test_demodulation_does_not_depend_on_the_order_of_axes_in_memory(self) -> None:
        kernel, style = normal(6, 4, 3, 3), normal(3, 4, seed=1)
        turned = kernel.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(
            demodulation(turned.transpose(0, 1), style), demodulation(kernel, style)
        )

    def test_demodulated_outputs_have_unit_variance_whatever_the_style(self) -> None:
        x, kernel = normal(4, 64, 32, 32), normal(64, 64, 3, 3, seed=1)
        style = 50 * normal(4, 64, seed=2)
        out = modulated_conv2d(x, kernel, style, demodulation(kernel, style))
        variance = out[..., 1:-1, 1:-1].var(dim=(2, 3))
        assert variance.mean().item() == pytest.approx(1, rel=0.02)

    @pytest.mark.parametrize("up", [False, True])
    def test_a_layer_starts_with_unit_variance(self, up: bool) -> None:
        """Before the rectifier; with its gain, the mean square after it is near 1."""
        torch.manual_seed(0)
        layer = StyledConv(64, 64, DIM, up=up)
        x = normal(8, 64, 32, 32, seed=1)
        inside = layer(x, normal(8, DIM, seed=2), None)[..., 2:-2, 2:-2]
        # E[lrelu(x)^2] = (1 + 0.2^2) / 2 for x from N(0, 1), times the gain squared.  Smoothing
        # a doubled image leaves 400 / 64^2 * 4 of its variance: (1 9 9 1 ..) summed.
        smoothing = (20 / 64) ** 2 * 16 / 4 if up else 1.0
        assert inside.square().mean().item() == pytest.approx(1.04 * smoothing, rel=0.6 * up + 0.05)

    def test_the_layer_is_noise_bias_rectifier_gain_in_this_order(self) -> None:
        torch.manual_seed(0)
        layer = StyledConv(4, 6, DIM)
        with torch.no_grad():
            layer.noise_strength.fill_(0.7)
            layer.bias.copy_(normal(6, seed=5))
        x, w, noise = normal(2, 4, 8, 8), normal(2, DIM, seed=1), normal(2, 1, 8, 8, seed=2)
        kernel, style = layer.weight * layer.scale, layer.affine(w)
        plain = one_by_one(x, kernel, style)
        plain = plain + 0.7 * noise + layer.bias[:, None, None]
        expected = torch.nn.functional.leaky_relu(plain, 0.2) * math.sqrt(2)
        torch.testing.assert_close(layer(x, w, noise), expected)
        wide, large = normal(1, 4, 8, 8, seed=3), normal(1, 4, 32, 32, seed=3)
        # With a border of zeros a larger image has the same pixels.
        padded = torch.zeros_like(large)
        padded[..., 8:16, 8:16] = wide
        alone, within = layer(wide, w[:1], None), layer(padded, w[:1], None)[..., 8:16, 8:16]
        torch.testing.assert_close(within, alone)
        torch.testing.assert_close(layer(x, w, noise, 0.5), expected.clamp(-0.5, 0.5))

    def test_normalised_kernels_and_styles_draw_the_same(self) -> None:
        kernel, style = 1e3 * normal(6, 4, 3, 3), 1e3 * normal(3, 4, seed=1)
        small, smaller = normalise(kernel, style)
        assert smaller.abs().amax(dim=1).tolist() == pytest.approx([1, 1, 1])
        assert small.abs().max().item() == pytest.approx(1 / 6)
        x = normal(3, 4, 5, 5, seed=2)
        torch.testing.assert_close(
            modulated_conv2d(x, small, smaller, demodulation(small, smaller)),
            modulated_conv2d(x, kernel, style, demodulation(kernel, style)),
        )

    def test_the_image_layer_does_not_demodulate(self) -> None:
        torch.manual_seed(0)
        layer = ToImage(4, 2, DIM)
        x, w = normal(3, 4, 5, 5), normal(3, DIM, seed=1)
        style = layer.affine(w) / 2
        expected = one_by_one(x, layer.weight, style, demodulate=False)
        torch.testing.assert_close(layer(x, w), expected)


def test_a_condition_is_projected_on_the_features_over_the_root_of_their_width() -> None:
    """Karras et al. 2020b, appendix D.1, after Miyato and Koyama 2018, equation 3."""
    torch.manual_seed(0)
    critic, seen = Critic(max_resolution=8, capacity=1 / 32, condition_dim=3), list[Tensor]()
    assert critic.mapping is not None
    hook = critic.blocks["4"].register_forward_hook(lambda *a: seen.append(a[2]))
    condition = torch.eye(3)[[0, 1, 2, 0]]
    scores, directions = (
        critic(normal(4, 1, 8, 8), condition=condition),
        critic.mapping(torch.empty(4, 0), condition),
    )
    hook.remove()
    assert seen[0].shape == directions.shape == (4, 16)
    torch.testing.assert_close(scores, torch.einsum("nc,nc->n", seen[0], directions) / 4)


class TestClamp:
    """Karras et al. 2020b, appendix D.1: no activation leaves +-clamp, before the residual gain."""

    LIMIT = 0.05  # which all layers reach, with weights ten times as large

    def largest(self, net: nn.Module, images: Tensor) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, module in net.named_modules():
            if isinstance(module, StyledConv | ToImage | ActivatedConv):

                def note(_module: Any, _inputs: Any, out: Tensor, name: str = name) -> None:
                    found[name] = out.abs().max().item()

                module.register_forward_hook(note)
        with torch.no_grad():
            for weight in net.parameters():
                weight.mul_(10)
        net(images, resolution=16) if isinstance(net, Generator) else net(images)
        return found

    def test_every_layer_of_the_generator_keeps_it(self) -> None:
        generator = Generator(
            max_resolution=16, capacity=1 / 32, latent_dim=DIM, mapping_depth=2, clamp=self.LIMIT
        )
        found = self.largest(generator, normal(4, DIM))
        assert len(found) == 8  # 4, 8 and 16 px: a second convolution in all but the first
        assert list(found.values()) == pytest.approx([self.LIMIT] * 8)

    def test_every_layer_of_the_critic_keeps_it(self) -> None:
        critic = Critic(max_resolution=16, capacity=1 / 32, clamp=self.LIMIT)
        found = self.largest(critic, normal(4, 1, 16, 16))
        branches = ("blocks.16.conv1", "blocks.8.conv1")
        gains = {name: math.sqrt(0.5) if name in branches else 1.0 for name in found}
        assert len(found) == 6
        assert found == pytest.approx({name: self.LIMIT * gain for name, gain in gains.items()})


class TestNetworks:
    def test_each_layer_of_the_mapping_keeps_unit_mean_square(self) -> None:
        torch.manual_seed(0)
        mapping = Mapping(256, 4, 0)
        for layer in mapping.layers:
            square = layer(normal(512, 256, seed=1)).square().mean().item()
            assert square == pytest.approx(1.04, rel=0.1)  # 1 + 0.2^2
        torch.testing.assert_close(mapping(normal(4, 256)), mapping(7 * normal(4, 256)))

    def test_a_residual_block_keeps_the_variance_of_smooth_images(self) -> None:
        torch.manual_seed(0)
        x = normal(8, 64, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
        out = ResidualBlock(64, 64)(x, 0.0)
        assert 0.3 < out.square().mean().item() < 1.5

    def test_styles_reach_their_own_layers(self) -> None:
        """The last style colours the largest image only: it adds, and no feature changes."""
        generator, _ = build()
        w_a, w_b = normal(2, DIM), normal(2, DIM, seed=1)
        pure = generator.synthesis(broadcast_styles(w_a, 6), resolution=16)
        mixed = generator.synthesis(mix_styles(w_a, w_b, 5, 6), resolution=16)
        block: Any = generator.synthesis.get_submodule("blocks.16")
        seen: list[Tensor] = []
        hook = block.conv1.register_forward_hook(lambda *a: seen.append(a[2]))
        generator.synthesis(broadcast_styles(w_a, 6), resolution=16)
        hook.remove()
        change = block.to_image(seen[0], w_b) - block.to_image(seen[0], w_a)
        torch.testing.assert_close(mixed - pure, change, atol=1e-5, rtol=1e-4)

    def test_joined_batches_score_as_two_passes(self) -> None:
        _, critic = build()
        real, fake = normal(4, 1, 16, 16), 3 * normal(4, 1, 16, 16, seed=1)
        together = critic(torch.cat([real, fake]), parts=2)
        torch.testing.assert_close(together, torch.cat([critic(real), critic(fake)]))

    def test_half_precision_draws_nearly_the_same(self) -> None:
        generator, critic = build(64)
        z = normal(4, DIM)
        noise = draw_noise(generator.noise_shapes(4, 64), torch.Generator().manual_seed(0))
        exact = generator(z, resolution=64, noise=noise)
        with torch.autocast("cpu", torch.bfloat16):
            rough = generator(z, resolution=64, noise=noise)
            scores = critic(exact)
        assert rough.dtype == scores.dtype == torch.float32
        assert (rough - exact).abs().mean() < 0.03 * exact.std()
        assert (scores - critic(exact)).abs().max() < 0.1

    def test_low_blocks_stay_exact_in_half_precision(self) -> None:
        generator, _ = build(64)
        dtypes: dict[str, torch.dtype] = {}
        for name, block in generator.synthesis.get_submodule("blocks").named_children():
            block.get_submodule("conv1").register_forward_hook(
                lambda _m, _i, out, name=name: dtypes.update({name: out.dtype})
            )
        with torch.autocast("cpu", torch.bfloat16):
            generator(normal(2, DIM), resolution=64)
        low = [name for name, dtype in dtypes.items() if dtype == torch.bfloat16]
        assert low == ["8", "16", "32", "64"]

    @pytest.mark.parametrize("size", [8, 128])
    def test_other_sizes_and_fades_are_refused(self, size: int) -> None:
        generator, critic = build()
        with pytest.raises(ValueError, match="does not grow"):
            generator(normal(2, DIM), resolution=size)
        with pytest.raises(ValueError, match="does not grow"):
            critic(normal(2, 1, size, size))
        with pytest.raises(ValueError, match="does not grow"):
            critic(normal(2, 1, 16, 16), alpha=0.5)

    def test_styles_and_noise_for_another_size_are_refused(self) -> None:
        generator, _ = build()
        with pytest.raises(ValueError, match="6 style and 5 noise"):
            generator.synthesis(normal(2, 4, DIM), resolution=16)


class TestSecondDerivatives:
    """Everything that R1 (critic, by images) and the path length (synthesis, by w) need."""

    def test_of_the_critic(self) -> None:
        _, critic = build(8)
        images = normal(4, 1, 8, 8, dtype=torch.float64).requires_grad_()
        critic = critic.double()
        assert torch.autograd.gradcheck(critic, images, fast_mode=True)
        assert torch.autograd.gradgradcheck(critic, images, fast_mode=True)

    @pytest.mark.parametrize("n", [1, 3])
    def test_of_the_synthesis(self, n: int) -> None:
        generator = build(8)[0].double()
        ws = normal(n, 4, DIM, dtype=torch.float64).requires_grad_()
        noise = [
            layer.double()
            for layer in draw_noise(generator.noise_shapes(n, 8), torch.Generator().manual_seed(0))
        ]

        def draw(ws: Tensor) -> Tensor:
            images: Tensor = generator.synthesis(ws, resolution=8, noise=noise)
            return images

        assert torch.autograd.gradcheck(draw, ws, fast_mode=True)
        assert torch.autograd.gradgradcheck(draw, ws, fast_mode=True)
