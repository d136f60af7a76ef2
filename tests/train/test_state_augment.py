"""The probability of augmentation follows the scores of real images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mri_gan.config import TrainConfig
from mri_gan.schedule import Phase
from mri_gan.train.parallel import Step, World
from mri_gan.train.state import (
    CEILING,
    AugmentState,
    RMSprop,
    adapt,
    build_optimiser,
    colour_channels,
    signs_of,
    start_augmenting,
    step_if_finite,
    view_of,
)

CONFIG = TrainConfig(max_size=8, loss="r1", augment="ada", ada_kimg=1.0, batch=10)
PHASE = Phase(8, 1.0, 10, 1e-3)
STEP = Step(CONFIG, PHASE, 0)
CPU = torch.device("cpu")


def adapted(scores: list[float], steps: int, p: float = 0.0) -> AugmentState:
    state = start_augmenting(replace(CONFIG, augment_p=p), CPU)
    for _ in range(steps):
        adapt(state, STEP, signs_of(CONFIG, torch.tensor(scores)))
    return state


def test_a_sure_critic_raises_p_by_the_images_seen() -> None:
    """All signs positive: above the target of 0.6.  40 images of 1000 in every 4 steps."""
    assert float(adapted([3.0, 0.1], 3).p) == 0
    assert float(adapted([3.0, 0.1], 4).p) == pytest.approx(0.04)
    assert float(adapted([3.0, 0.1], 9).p) == pytest.approx(0.08)


def test_an_unsure_critic_lowers_it_to_no_less_than_zero() -> None:
    signs_mean_half = [1.0, 1.0, 1.0, -1.0]
    assert float(adapted(signs_mean_half, 4, p=0.5).p) == pytest.approx(0.46)
    assert float(adapted(signs_mean_half, 100, p=0.5).p) == 0


def test_p_stays_below_where_augmentations_leak() -> None:
    assert float(adapted([1.0], 400).p) == pytest.approx(CEILING)


def test_a_fixed_p_stays() -> None:
    config = replace(CONFIG, augment="fixed", augment_p=0.3)
    state = start_augmenting(config, CPU)
    for _ in range(8):
        stats = adapt(state, Step(config, PHASE, 0), signs_of(config, torch.ones(10)))
    assert float(stats["augment_p"]) == pytest.approx(0.3)


def test_without_augmentation_the_critic_sees_the_images_themselves() -> None:
    config = replace(CONFIG, augment="none")
    view = view_of(start_augmenting(config, CPU), Step(config, PHASE, 0), "real")
    images = torch.randn(10, 1, 8, 8)
    assert view(images) is images


def test_a_view_repeats_and_depends_on_purpose_and_progress() -> None:
    config = replace(CONFIG, augment="fixed", augment_p=0.9)
    state, images = start_augmenting(config, CPU), torch.randn(10, 1, 8, 8)
    view = view_of(state, Step(config, PHASE, 0), "real")
    assert torch.equal(view(images), view(images))
    assert torch.equal(view(images), view_of(state, Step(config, PHASE, 0), "real")(images))
    for purpose, nimg in (("fake", 0), ("real", 10)):
        other = view_of(state, Step(config, PHASE, nimg), purpose)(images)
        assert not torch.allclose(view(images), other)


def test_images_are_mirrored_only_with_flip() -> None:
    """A spiral of nine pixels: turned and moved it stays one, mirrored it winds the other way."""
    spiral = torch.tensor([[1.0, 2, 3], [8, 9, 4], [7, 6, 5]])
    turned = [spiral.rot90(k) for k in range(4)]
    images = torch.zeros(200, 1, 32, 32)
    images[:, 0, 14:17, 14:17] = spiral
    for flip in (False, True):
        config = replace(CONFIG, augment="fixed", augment_p=0.9, augment_kinds="blit", flip=flip)
        phase = Phase(32, 1.0, 200, 1e-3)
        view = view_of(start_augmenting(config, CPU), Step(config, phase, 0), "real")
        mirrored = 0
        for picture in view(images)[:, 0]:
            row, column = divmod(int(picture.argmax()), 32)  # the nine in the middle
            found = picture[row - 1 : row + 2, column - 1 : column + 2]
            mirrored += not any(torch.equal(found, one) for one in turned)
        assert mirrored > 50 if flip else mirrored == 0


def test_processes_see_their_rows_of_the_same_augmentations() -> None:
    config = replace(CONFIG, augment="fixed", augment_p=0.9)
    state, images = start_augmenting(config, CPU), torch.randn(10, 1, 8, 8)
    whole = view_of(state, Step(config, PHASE, 0), "real")(images)
    second = view_of(state, Step(config, PHASE, 0, World(1, 2)), "real")(images[5:])
    torch.testing.assert_close(second, whole[5:])


def test_masks_have_no_colour() -> None:
    config = replace(CONFIG, channels=2, channel_names=("image", "mask"))
    assert colour_channels(config) == 1
    assert colour_channels(replace(config, channel_names=())) == 2


class TestOptimisers:
    def test_of_the_papers(self) -> None:
        layer = torch.nn.Linear(2, 2)
        for choices, betas in (
            ({}, (0.0, 0.99)),
            ({"arch": "dcgan", "loss": "logistic"}, (0.5, 0.999)),
            ({"arch": "dcgan", "loss": "wgan-gp"}, (0.0, 0.9)),
        ):
            made = build_optimiser(layer, TrainConfig.from_dict(choices))
            assert made.param_groups[0]["betas"] == betas
        assert isinstance(build_optimiser(layer, TrainConfig(loss="wgan-clip")), RMSprop)

    def test_rmsprop_equals_torchs(self) -> None:
        layers = [torch.nn.Linear(3, 2) for _ in range(2)]
        layers[1].load_state_dict(layers[0].state_dict())
        ours = RMSprop(layers[0].parameters(), lr=0.01)
        theirs = torch.optim.RMSprop(layers[1].parameters(), lr=0.01)
        for i in range(4):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(i))
            for layer, optimiser in zip(layers, (ours, theirs), strict=True):
                optimiser.zero_grad()
                layer(x).square().sum().backward()
                step_if_finite(optimiser) if optimiser is ours else optimiser.step()
        torch.testing.assert_close(layers[0].weight, layers[1].weight)

    def test_rmsprop_leaves_out_what_is_not_finite(self) -> None:
        layer = torch.nn.Linear(3, 2)
        optimiser = RMSprop(layer.parameters(), lr=0.01)
        layer(torch.ones(1, 3)).sum().backward()
        step_if_finite(optimiser)
        before = layer.weight.detach().clone()
        mean = optimiser.state[layer.weight]["square_avg"].clone()
        layer.weight.grad = torch.full_like(layer.weight, float("nan"))
        assert float(step_if_finite(optimiser)) == 1
        assert torch.equal(layer.weight, before)
        assert torch.equal(optimiser.state[layer.weight]["square_avg"], mean)
