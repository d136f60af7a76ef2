"""Critics on frozen features: what is frozen, what is trained, and what the scores depend on."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets.feature_critic import (
    SPREADS,
    STAGE_ENDS,
    Critic,
    FrozenFeatures,
    JointCritic,
    PixelCritic,
    RandomMixing,
    SmallCritic,
    split_bands,
)
from mri_gan.nets.stylegan import Critic as OwnCritic
from mri_gan.pretrained import load_pretrained

NETWORK = load_pretrained("efficientnet-lite0")


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


def critic(size: int = 32, **choices: int) -> Critic:
    torch.manual_seed(0)
    return Critic(NETWORK, max_resolution=size, **choices)


def test_features_are_those_of_the_network_itself() -> None:
    """At the network's own size, layer by layer with its own modules."""
    images = normal(2, 1, 224, 224)
    x = ((images + 1) * 127.5 - 127) / 128  # its pixels: (grey - 127) / 128
    x = F.relu6(NETWORK._bn0(NETWORK._conv_stem(x.expand(-1, 3, -1, -1))))
    theirs = []
    for i, block in enumerate(NETWORK._blocks):
        x = block(x)
        if i + 1 in STAGE_ENDS:
            theirs.append(x)
    for ours, expected in zip(FrozenFeatures(NETWORK)(images), theirs, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("size", [8, 32, 64, 128, 256])
def test_scores_are_of_four_scales_and_sixteen_parts(size: int) -> None:
    assert critic(size)(normal(2, 1, size, size)).shape == (2, 64)


def test_smaller_images_are_enlarged_so_that_a_growing_generator_keeps_its_critics() -> None:
    judge = critic(64).eval()
    images = normal(2, 1, 16, 16)
    enlarged = F.interpolate(images, (64, 64), mode="bilinear")
    torch.testing.assert_close(judge(images), judge(enlarged))


def test_a_critic_of_small_images_judges_them_at_64_px() -> None:
    judge, larger, images = critic(32).eval(), critic(64).eval(), normal(2, 1, 32, 32)
    larger.load_state_dict(judge.state_dict())
    enlarged = F.interpolate(images, (64, 64), mode="bilinear")
    torch.testing.assert_close(judge(images), larger(enlarged))


def test_gradients_reach_the_small_critics_and_the_images_alone() -> None:
    judge, images = critic(), normal(2, 1, 32, 32).requires_grad_()
    before = {name: b.clone() for name, b in judge.features.named_buffers()}
    judge.train()(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    trained = {name for name, p in judge.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in judge.named_parameters()}
    assert {name.split(".")[0] for name in trained} == {"critics"}
    after = dict(judge.features.named_buffers())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_frozen_network_is_in_no_checkpoint_and_the_mixing_is() -> None:
    names = critic().state_dict().keys()
    assert {name.split(".")[0] for name in names} == {"mixing", "critics"}
    assert {name for name in names if name.startswith("mixing")} == {
        *(f"mixing.channels{i}" for i in range(4)),
        *(f"mixing.scales{i}" for i in range(3)),
        "mixing.spreads",
    }


def test_mixing_goes_from_the_coarsest_scale_to_the_finest() -> None:
    torch.manual_seed(0)
    mixing = RandomMixing([2, 3, 4])
    features = [normal(1, 2, 16, 16), normal(1, 3, 8, 8), normal(1, 4, 4, 4)]
    fine, middle, coarse = (
        F.conv2d(x, mixing.get_buffer(f"channels{i}")) for i, x in enumerate(features)
    )

    def summed(x: Tensor, below: Tensor, name: str) -> Tensor:
        x = x + F.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
        return F.conv2d(x, mixing.get_buffer(name), padding=1)

    middle = summed(middle, coarse, "scales1")
    plain = (summed(fine, middle, "scales0"), middle, coarse)
    for ours, expected, spread in zip(mixing(features), plain, SPREADS[:3], strict=True):
        torch.testing.assert_close(ours, expected / spread)


def test_every_layer_of_a_small_critic_has_a_spectral_norm_of_one() -> None:
    """Against the largest singular value of the kernel as a matrix; Miyato et al. 2018, 2.1."""
    torch.manual_seed(0)
    small = SmallCritic(16)
    with torch.no_grad():
        for _ in range(200):
            small(normal(4, 64, 16, 16), parts=1)
    layers = [m for m in small.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 4
    for layer in small.eval().modules():
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
            assert largest.item() == pytest.approx(1, abs=1e-3)


def test_parts_do_not_see_each_other() -> None:
    judge = critic().eval()
    a, b = normal(4, 1, 32, 32), normal(4, 1, 32, 32, seed=2)
    both = judge(torch.cat([a, b]), parts=2)
    torch.testing.assert_close(both, torch.cat([judge(a), judge(b)]), atol=1e-4, rtol=1e-4)


def test_images_of_a_batch_that_are_alike_are_noticed() -> None:
    judge = critic().eval()
    images = normal(4, 1, 32, 32)
    alike = images[:1].expand(4, -1, -1, -1)
    assert (judge(images)[0] - judge(alike)[0]).abs().max() > 1e-4


def test_every_channel_counts() -> None:
    judge, images = critic(image_channels=3).eval(), normal(2, 3, 32, 32)
    for channel in range(3):
        other = images.clone()
        other[:, channel] = -1
        assert (judge(images) - judge(other)).abs().max() > 1e-4


def test_a_condition_moves_the_scores() -> None:
    judge, images = critic(condition_dim=2).eval(), normal(2, 1, 32, 32)
    scores = [judge(images, condition=row.expand(2, -1)) for row in torch.eye(2)]
    assert (scores[0] - scores[1]).abs().max() > 1e-4


def test_scores_are_float32_under_autocast() -> None:
    judge, images = critic().eval(), normal(2, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        low = judge(images.bfloat16().float())
    assert low.dtype == torch.float32


def test_the_ordinary_critic_beside_it_weighs_as_one_scale() -> None:
    own, features = OwnCritic(max_resolution=32, capacity=1 / 64), critic()
    both, images = JointCritic(own, features).eval(), normal(2, 1, 32, 32)
    scores = both(images)
    torch.testing.assert_close(scores[:, :64], features.eval()(images))
    torch.testing.assert_close(scores[:, 64:], own(images)[:, None].expand(-1, 16))


@pytest.mark.parametrize("wavelets", [False, True])
@pytest.mark.parametrize("size", [8, 64, 256])
def test_the_critic_of_pixels_scores_sixteen_parts(size: int, wavelets: bool) -> None:
    judge = PixelCritic(max_resolution=size, image_channels=2, condition_dim=3, wavelets=wavelets)
    assert judge(normal(2, 2, size, size), condition=torch.eye(3)[:2]).shape == (2, 16)
    with pytest.raises(ValueError, match="does not grow"):
        judge(normal(2, 2, 2 * size, 2 * size))


def test_bands_are_those_of_haar() -> None:
    """Against the outer products of (1, 1) and (1, -1), over the root of 2 each, by convolution."""
    images = normal(2, 3, 64, 64)
    low, high = torch.tensor([1.0, 1.0]) / 2**0.5, torch.tensor([1.0, -1.0]) / 2**0.5
    pairs = [(low, low), (low, high), (high, low), (high, high)]
    spreads = [2.0, 1.3 / 8, 1.3 / 8, 0.6 / 8]  # a mean of greys is half of the orthonormal band
    for i, ((rows, columns), spread) in enumerate(zip(pairs, spreads, strict=True)):
        kernel = (rows[:, None] * columns)[None, None].expand(3, 1, 2, 2)
        plain = F.conv2d(images, kernel, stride=2, groups=3) / spread
        torch.testing.assert_close(split_bands(images)[:, 3 * i : 3 * i + 3], plain)


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="not square"):
        critic()(normal(1, 1, 32, 16))


def test_inputs_of_the_trained_layers_give_the_scores_of_the_images() -> None:
    images = normal(4, 1, 32, 32)
    own = OwnCritic(max_resolution=32, capacity=1 / 32)
    fine = PixelCritic(max_resolution=32, wavelets=True)
    for judge in (critic(), own, fine, JointCritic(own, critic()), JointCritic(fine, critic())):
        inputs = judge.eval().trained_inputs(images)
        torch.testing.assert_close(judge.score_inputs(inputs), judge(images))


def test_small_critics_are_given_values_of_about_one() -> None:
    """Discs, bright on black, as slices are: each scale within a factor of two."""
    line = torch.linspace(-1, 1, 64)
    radius = (line[:, None] ** 2 + line**2).sqrt()
    discs = torch.stack([((radius < r) * 1.5 - 1)[None] for r in (0.4, 0.5, 0.6, 0.7)])
    for x in critic(64).trained_inputs(discs):
        assert 0.5 < x.std().item() < 2


def test_checkpoints_of_earlier_versions_keep_their_critics() -> None:
    """They were given features as they are, and their mixing has no spreads."""
    judge = critic()
    state = {k: v for k, v in judge.state_dict().items() if k != "mixing.spreads"}
    earlier = critic()
    earlier.load_state_dict(state)
    images = normal(2, 1, 32, 32)
    now, then = judge.trained_inputs(images), earlier.trained_inputs(images)
    for ours, theirs, spread in zip(now, then, SPREADS, strict=True):
        torch.testing.assert_close(ours * spread, theirs)
