"""The building blocks, against their two-step forms, scipy and numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.nets.convolution import (
    binomial_kernel,
    blur,
    downsample_mean2,
    fold_downsampling,
    fold_upsampling,
    upsample_nearest2,
)
from mri_gan.nets.layers import (
    Blur,
    DownConv2d,
    EqualConv2d,
    EqualLinear,
    NoiseInjection,
    UpConv2d,
    keep_kernels,
    minibatch_stddev,
    pixel_norm,
)
from mri_gan.nets.stylegan import AdaIN, adaptive_instance_norm


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


TOLERANCES = [(torch.float32, 1e-5), (torch.float64, 1e-12)]


class TestFoldedConvolutions:
    @pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
    @pytest.mark.parametrize("size", [(4, 4), (8, 8), (5, 7)])
    def test_up_equals_doubling_then_convolution(
        self, dtype: torch.dtype, tolerance: float, size: tuple[int, int]
    ) -> None:
        x, kernel = normal(2, 3, *size, dtype=dtype), normal(6, 3, 3, 3, seed=1, dtype=dtype)
        two_steps = F.conv2d(upsample_nearest2(x), kernel, padding=1)
        folded = F.conv_transpose2d(x, fold_upsampling(kernel), stride=2, padding=1)
        torch.testing.assert_close(folded, two_steps, atol=tolerance, rtol=tolerance)

    @pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
    @pytest.mark.parametrize("size", [(4, 4), (8, 8), (6, 10)])
    def test_down_equals_convolution_then_mean(
        self, dtype: torch.dtype, tolerance: float, size: tuple[int, int]
    ) -> None:
        x, kernel = normal(2, 3, *size, dtype=dtype), normal(6, 3, 3, 3, seed=1, dtype=dtype)
        two_steps = downsample_mean2(F.conv2d(x, kernel, padding=1))
        folded = F.conv2d(x, fold_downsampling(kernel), stride=2, padding=1)
        torch.testing.assert_close(folded, two_steps, atol=tolerance, rtol=tolerance)

    def test_layers_apply_fan_in_of_the_3x3_kernel_and_a_bias(self) -> None:
        x = normal(2, 4, 8, 8, dtype=torch.float64)
        up, down = UpConv2d(4, 6).double(), DownConv2d(4, 6).double()
        scale = math.sqrt(2 / (4 * 9))
        with torch.no_grad():
            assert up.bias is not None
            assert down.bias is not None
            up.bias.fill_(1)
            down.bias.fill_(2)
        wide = F.conv2d(upsample_nearest2(x), up.weight * scale, padding=1) + 1
        small = downsample_mean2(F.conv2d(x, down.weight * scale, padding=1)) + 2
        torch.testing.assert_close(up(x), wide, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(down(x), small, atol=1e-12, rtol=1e-12)

    def test_a_network_that_keeps_its_kernels_gives_the_two_step_form_from_then_on(self) -> None:
        x = normal(1, 4, 16, 16, dtype=torch.float64)
        up, conv = UpConv2d(4, 6).double(), EqualConv2d(4, 6, bias=False).double()
        keep_kernels(torch.nn.ModuleList([up, conv]))
        scale = math.sqrt(2 / (4 * 9))
        wide = F.conv2d(upsample_nearest2(x), up.weight * scale, padding=1)
        same = F.conv2d(x, conv.weight * scale, padding=1)
        with torch.no_grad():
            for _ in range(2):
                torch.testing.assert_close(up(x), wide, atol=1e-12, rtol=1e-12)
                torch.testing.assert_close(conv(x), same, atol=1e-12, rtol=1e-12)
                for layer in (up, conv):
                    layer.weight.zero_()  # not looked at again

    def test_gradients_of_the_kernel_equal_the_two_step_form(self) -> None:
        x = normal(2, 3, 8, 8, dtype=torch.float64)
        kernel = normal(5, 3, 3, 3, seed=1, dtype=torch.float64).requires_grad_()
        folded = F.conv2d(x, fold_downsampling(kernel), stride=2, padding=1)
        two_steps = downsample_mean2(F.conv2d(x, kernel, padding=1))
        of_folded = torch.autograd.grad(folded.square().sum(), kernel)
        of_two_steps = torch.autograd.grad(two_steps.square().sum(), kernel)
        torch.testing.assert_close(of_folded, of_two_steps)


class TestResampling:
    def test_doubling_repeats_and_halving_averages(self) -> None:
        x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
        doubled = upsample_nearest2(x)
        assert doubled[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6], [3, 3, 6, 6]]
        assert downsample_mean2(x).item() == 3.0
        assert torch.equal(downsample_mean2(doubled), x)

    def test_blur_equals_scipy_with_a_zero_border(self) -> None:
        x = normal(2, 3, 7, 9, dtype=torch.float64)
        taps = np.array([1.0, 2.0, 1.0]) / 4
        expected = x.numpy()
        for axis in (2, 3):
            expected = scipy.ndimage.correlate1d(expected, taps, axis, mode="constant", cval=0.0)
        np.testing.assert_allclose(blur(x).numpy(), expected, atol=1e-14)

    def test_blur_darkens_the_border_as_documented(self) -> None:
        out = blur(torch.ones(1, 1, 4, 4))[0, 0]
        assert out[1, 1] == 1
        assert out[0, 1] == 1 - 1 / 4
        assert out[0, 0] == 1 - 7 / 16

    def test_layer_function_and_kept_kernel_agree(self) -> None:
        x = normal(2, 3, 8, 8)
        assert torch.equal(Blur()(x), blur(x))
        assert torch.equal(blur(x, binomial_kernel()), blur(x))
        assert not Blur().state_dict()

    def test_blur_may_be_differentiated_twice(self) -> None:
        x = normal(1, 2, 4, 5, dtype=torch.float64).requires_grad_()

        def squared(x: Tensor) -> Tensor:
            return blur(x).square()

        assert torch.autograd.gradcheck(squared, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(squared, x, fast_mode=True)

    def test_gradient_of_blur_equals_that_of_the_convolution(self) -> None:
        x = normal(2, 3, 6, 5).requires_grad_()
        kernel = binomial_kernel().expand(3, 1, 3, 3)
        plain = F.conv2d(x, kernel, padding=1, groups=3).square().sum()
        of_plain = torch.autograd.grad(plain, x)
        torch.testing.assert_close(torch.autograd.grad(blur(x).square().sum(), x), of_plain)
        functional = torch.func.grad(lambda x: blur(x).square().sum())(x.detach())
        torch.testing.assert_close(functional, of_plain[0])


class TestEqualisedLearningRate:
    def test_stored_weights_have_unit_variance(self) -> None:
        torch.manual_seed(0)
        assert EqualConv2d(64, 64, 3).weight.std().item() == pytest.approx(1, rel=0.02)
        slow = EqualLinear(256, 256, lr_multiplier=0.01)
        assert slow.weight.std().item() == pytest.approx(100, rel=0.02)

    @pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
    def test_linear_keeps_unit_variance(self, lr_multiplier: float) -> None:
        torch.manual_seed(0)
        layer = EqualLinear(256, 256, gain=1.0, lr_multiplier=lr_multiplier)
        assert layer(normal(256, 256, seed=1)).var().item() == pytest.approx(1, rel=0.05)

    @pytest.mark.parametrize("kernel_px", [1, 3])
    def test_convolution_keeps_unit_variance(self, kernel_px: int) -> None:
        torch.manual_seed(0)
        x = normal(8, 64, 16, 16, seed=1)
        inside = EqualConv2d(64, 64, kernel_px, gain=1.0)(x)[..., 1:-1, 1:-1]
        assert inside.var().item() == pytest.approx(1, rel=0.05)

    def test_default_gain_makes_up_for_the_rectifier(self) -> None:
        torch.manual_seed(0)
        out = F.leaky_relu(EqualLinear(512, 512)(normal(256, 512, seed=1)), 0.2)
        assert out.square().mean().item() == pytest.approx(1 + 0.2**2, rel=0.05)

    def test_multiplier_slows_a_step_down_but_keeps_the_bias(self) -> None:
        layer = EqualLinear(4, 4, lr_multiplier=0.01, bias_init=1.0)
        before = layer(torch.zeros(1, 4))
        torch.testing.assert_close(before, torch.ones(1, 4))
        with torch.no_grad():
            layer.bias.add_(1)
        torch.testing.assert_close(layer(torch.zeros(1, 4)), before + 0.01)


class TestNormalisation:
    def test_pixel_norm_gives_unit_mean_square(self) -> None:
        for shape in [(3, 16), (2, 16, 4, 4)]:
            mean_square = pixel_norm(7 * normal(*shape)).square().mean(dim=1)
            torch.testing.assert_close(mean_square, torch.ones_like(mean_square))

    @pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
    def test_adain_sets_mean_and_deviation_of_each_channel(self, order: Any) -> None:
        x = (3 * normal(4, 5, 16, 16, dtype=torch.float64) + 2).contiguous(memory_format=order)
        scale = normal(4, 5, seed=1, dtype=torch.float64).abs()
        shift = normal(4, 5, seed=2, dtype=torch.float64)
        std, mean = torch.std_mean(adaptive_instance_norm(x, scale, shift), (2, 3), correction=0)
        torch.testing.assert_close(mean, shift, atol=1e-12, rtol=0)
        torch.testing.assert_close(std, scale, atol=0, rtol=1e-5)

    def test_adain_layer_starts_at_scale_one_shift_zero(self) -> None:
        layer = AdaIN(5, latent_dim=8)
        out = layer(4 * normal(2, 5, 16, 16) - 1, torch.zeros(2, 8))
        std, mean = torch.std_mean(out, (2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros(2, 5), atol=1e-5, rtol=0)
        torch.testing.assert_close(std, torch.ones(2, 5), atol=1e-5, rtol=0)

    def test_adain_of_a_constant_channel_is_its_shift(self) -> None:
        out = adaptive_instance_norm(torch.full((1, 1, 4, 4), 3.0), torch.ones(1, 1), torch.ones(1))
        torch.testing.assert_close(out, torch.ones(1, 1, 4, 4), atol=1e-4, rtol=0)


class TestNoiseInjection:
    def test_does_nothing_at_the_start(self) -> None:
        x = normal(2, 3, 4, 4)
        assert torch.equal(NoiseInjection(3)(x, normal(2, 1, 4, 4, seed=1)), x)

    def test_adds_one_image_with_a_strength_per_channel(self) -> None:
        layer, x, noise = NoiseInjection(3), normal(2, 3, 4, 4), normal(2, 1, 4, 4, seed=1)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([0.0, 1.0, -2.0]))
        expected = torch.cat([x[:, :1], x[:, 1:2] + noise, x[:, 2:] - 2 * noise], dim=1)
        torch.testing.assert_close(layer(x, noise), expected)
        assert torch.equal(layer(x, None), x)


def stddev_channel_by_hand(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    """Compute the statistic image by image, straight from its description."""
    n = len(x)
    group = next(size for size in (4, 3, 2, 1) if n % size == 0)
    stride = n // group
    values = []
    for i in range(n):
        members = [x[j] for j in range(n) if j % stride == i % stride]
        assert len(members) == group
        values.append(float(np.mean(np.sqrt(np.var(members, axis=0) + 1e-8))))
    return values


class TestMinibatchStddev:
    @pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 9, 12])
    def test_equals_numpy(self, n: int) -> None:
        x = normal(n, 3, 4, 4, dtype=torch.float64)
        out = minibatch_stddev(x)
        assert out.shape == (n, 4, 4, 4)
        assert torch.equal(out[:, :3], x)
        expected = np.broadcast_to(
            np.array(stddev_channel_by_hand(x.numpy()))[:, None, None], (n, 4, 4)
        )
        np.testing.assert_allclose(out[:, 3].numpy(), expected, rtol=1e-12)

    def test_parts_never_share_a_group(self) -> None:
        real, fake = normal(6, 3, 4, 4), 5 * normal(6, 3, 4, 4, seed=1)
        together = minibatch_stddev(torch.cat([real, fake]), parts=2)
        apart = torch.cat([minibatch_stddev(real), minibatch_stddev(fake)])
        torch.testing.assert_close(together, apart)

    def test_refuses_unequal_parts(self) -> None:
        with pytest.raises(ValueError, match="5 images"):
            minibatch_stddev(normal(5, 1, 4, 4), parts=2)
