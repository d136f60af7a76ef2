"""The losses, against closed forms and finite differences."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from finite_differences import slopes_along
from torch import Tensor

from mri_gan.config import (
    AUGMENTABLE_LOSSES,
    BY_SIZE_LOSSES,
    LOSS_NAMES,
    PENALISED_LOSSES,
)
from mri_gan.nets.stylegan import Critic
from mri_gan.train.step import (
    LOSSES,
    gradient_penalty,
    hinge_critic_loss,
    logistic_critic_loss,
    logistic_generator_loss,
    r1_penalty,
    relativistic_critic_loss,
    relativistic_generator_loss,
    wgan_critic_loss,
    wgan_generator_loss,
    zero_centred_penalty,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=made, dtype=torch.float64)


def uniform(n: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.rand((n, 1, 1, 1), generator=made, dtype=torch.float64)


@pytest.fixture
def critic() -> Critic:
    """The smallest critic for 8 px, in double precision."""
    torch.manual_seed(0)
    return Critic(max_resolution=8, capacity=0.01).double()


class TestScores:
    def test_critic_minimises_fake_minus_real(self) -> None:
        real, fake = torch.tensor([1.0, 3.0]), torch.tensor([5.0, 6.0, 7.0])
        assert wgan_critic_loss(real, fake, drift=0.0).item() == 6.0 - 2.0

    def test_drift_is_the_mean_square_of_real_scores_only(self) -> None:
        real, fake = torch.tensor([1.0, 3.0]), torch.tensor([5.0, 6.0, 7.0])
        assert wgan_critic_loss(real, fake, drift=0.5).item() == 4.0 + 0.5 * 5.0
        by_default = wgan_critic_loss(real, fake) - wgan_critic_loss(real, fake, drift=0.0)
        assert by_default.item() == pytest.approx(1e-3 * 5.0, rel=1e-3)

    def test_generator_maximises_fake_scores(self) -> None:
        assert wgan_generator_loss(torch.tensor([5.0, 6.0, 7.0])).item() == -6.0

    def test_half_precision_scores_are_widened(self) -> None:
        scores = torch.full((3,), 300.0, dtype=torch.float16)  # 300 squared overflows
        assert wgan_critic_loss(scores, scores).item() == pytest.approx(90.0)
        assert wgan_generator_loss(scores).dtype == torch.float32


class TestGradientPenalty:
    @pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
    def test_of_a_linear_critic_has_a_closed_form(self, length: float) -> None:
        direction = normal(1, 1, 8, 8)
        a: Tensor = direction * (length / torch.linalg.vector_norm(direction))

        def linear(images: Tensor) -> Tensor:
            return (images * a).sum(dim=(1, 2, 3))

        penalty = gradient_penalty(
            linear, normal(4, 1, 8, 8, seed=1), normal(4, 1, 8, 8, seed=2), uniform(4)
        )
        assert penalty.shape == ()
        assert penalty.item() == pytest.approx(10 * (length - 1) ** 2, abs=1e-12)

    def test_is_taken_between_real_and_fake(self) -> None:
        seen: list[Tensor] = []

        def remember(images: Tensor) -> Tensor:
            seen.append(images.detach())
            return images.square().sum(dim=(1, 2, 3))

        real, fake = normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1)
        mix = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1)
        gradient_penalty(remember, real, fake, mix)
        torch.testing.assert_close(
            seen[0], torch.stack([real[0], 0.75 * real[1] + 0.25 * fake[1], fake[2]])
        )

    def test_does_not_reach_the_images(self, critic: Critic) -> None:
        real, fake = normal(2, 1, 8, 8).requires_grad_(), normal(2, 1, 8, 8).requires_grad_()
        gradient_penalty(critic, real, fake, uniform(2)).backward()  # type: ignore[no-untyped-call]
        assert real.grad is None
        assert fake.grad is None

    def test_of_a_flat_critic_has_finite_gradients(self) -> None:
        strength = torch.zeros((), dtype=torch.float64, requires_grad=True)

        def flat(images: Tensor) -> Tensor:
            return strength * images.sum(dim=(1, 2, 3))

        images = normal(2, 1, 4, 4)
        penalty = gradient_penalty(flat, images, images, uniform(2))
        (gradient,) = torch.autograd.grad(penalty, strength)
        assert penalty.item() == 10.0
        assert gradient.isfinite()

    @pytest.mark.parametrize("alpha", [0.4, 1.0])
    def test_gradients_for_the_critic_equal_finite_differences(
        self, critic: Critic, alpha: float
    ) -> None:
        """Along one random direction through all parameters of the full network at 8 px."""
        real, fake = normal(4, 1, 8, 8, seed=1), normal(4, 1, 8, 8, seed=2)
        parameters: list[Tensor] = list(critic.parameters())
        direction = [normal(*p.shape, seed=3 + i) for i, p in enumerate(parameters)]

        def penalty() -> Tensor:
            return gradient_penalty(partial(critic, alpha=alpha), real, fake, uniform(4))

        slope, measured = slopes_along(penalty, parameters, direction)
        assert abs(slope) > 1e-3
        assert measured == pytest.approx(slope, rel=1e-5)

    def test_critic_may_be_differentiated_twice(self, critic: Critic) -> None:
        images = normal(4, 1, 8, 8).requires_grad_()
        assert torch.autograd.gradcheck(critic, images, fast_mode=True)
        assert torch.autograd.gradgradcheck(critic, images, fast_mode=True)


def test_logistic_losses_are_cross_entropies_of_logits() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    expected = F.binary_cross_entropy_with_logits(real, torch.ones(2))
    expected += F.binary_cross_entropy_with_logits(fake, torch.zeros(2))
    torch.testing.assert_close(logistic_critic_loss(real, fake), expected)
    torch.testing.assert_close(
        logistic_generator_loss(fake), F.binary_cross_entropy_with_logits(fake, torch.ones(2))
    )


def test_hinge_loss_ignores_scores_beyond_the_margin() -> None:
    assert float(hinge_critic_loss(torch.tensor([1.0, 5.0]), torch.tensor([-1.0, -9.0]))) == 0
    assert float(hinge_critic_loss(torch.tensor([0.5]), torch.tensor([0.0]))) == 1.5


def test_r1_of_a_linear_critic_is_half_gamma_times_its_squared_norm() -> None:
    a = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    real = torch.zeros(5, 1, 4, 4, dtype=torch.float64)
    penalty = r1_penalty(lambda x: (x * a).sum((1, 2, 3)), real, weight=10.0)
    torch.testing.assert_close(penalty, 5 * a.square().sum())
    assert not real.requires_grad


def test_every_loss_name_of_the_configuration_has_a_loss() -> None:
    assert tuple(LOSSES) == LOSS_NAMES


def test_relativistic_losses_are_cross_entropies_of_pairs() -> None:
    """-log sigmoid(real - fake) pair by pair, and its mirror image for the generator."""
    real, fake = normal(5), normal(5, seed=1)
    critic = -torch.log(torch.sigmoid(real - fake)).mean()
    generator = -torch.log(torch.sigmoid(fake - real)).mean()
    torch.testing.assert_close(relativistic_critic_loss(real, fake), critic)
    torch.testing.assert_close(relativistic_generator_loss(fake, real), generator)


def test_zero_centred_penalty_is_r1_and_r2_of_the_mean_score_at_all_places() -> None:
    """Two critics with 16 places each, linear in two inputs: their gradients are the weights."""
    a, b = normal(16, 6), normal(16, 3, seed=1)
    x, y = (normal(8, n, seed=n).requires_grad_() for n in (6, 3))
    scores = torch.cat([x @ a.T, y @ b.T], 1)
    r1 = 3.0 / 2 * (a.mean(0).square().sum() + b.mean(0).square().sum())
    torch.testing.assert_close(zero_centred_penalty(scores, [x, y], 3.0), 2 * r1)
    single = zero_centred_penalty(x @ a[0], [x], 3.0)
    torch.testing.assert_close(single, 3.0 * a[0].square().sum())


def test_what_the_settings_know_of_losses_is_what_the_step_does() -> None:
    """A loss that a list lacks would lose augmentation, or its layer norm, without a word."""
    assert tuple(LOSSES) == LOSS_NAMES
    assert {name for name in LOSSES if LOSSES[name].penalty != "none"} == set(PENALISED_LOSSES)
    assert set(AUGMENTABLE_LOSSES) == {name for name in LOSSES if not name.startswith("wgan")}
    zero_centred = {name for name in LOSSES if LOSSES[name].penalty in ("r1", "zero-centred")}
    assert zero_centred == set(BY_SIZE_LOSSES)
