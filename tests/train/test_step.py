"""One training step, and what it may and may not change."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mri_gan.conditions import build_conditions
from mri_gan.config import LOSS_NAMES, PRECISIONS, TrainConfig
from mri_gan.schedule import Phase
from mri_gan.train import step
from mri_gan.train.parallel import Step
from mri_gan.train.state import TrainState, build_state, step_if_finite
from mri_gan.train.step import draw_crossover, ema_decay, to_network_range, train_step

CONFIG = TrainConfig(max_size=16, capacity=1 / 64, latent_dim=8, batch=4, mixing=True)
PHASE = Phase(resolution=16, alpha=0.5, batch=4, lr=1e-3)
CPU = torch.device("cpu")


def images(seed: int = 0, size: int = 16) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (4, 1, size, size), dtype=torch.uint8, generator=rng)


def weights(state: TrainState) -> dict[str, torch.Tensor]:
    nets = {"g": state.g, "d": state.d, "ema": state.g_ema}
    return {
        f"{net}.{name}": value.clone()
        for net, module in nets.items()
        for name, value in module.state_dict().items()
    }


def run(steps: int) -> TrainState:
    state = build_state(CONFIG, CPU)
    for i in range(steps):
        train_step(state, CONFIG, PHASE, images(i))
    return state


def test_initial_weights_are_a_function_of_the_seed() -> None:
    torch.manual_seed(1)
    first = weights(build_state(CONFIG, CPU))
    torch.manual_seed(2)
    second = weights(build_state(CONFIG, CPU))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights(build_state(replace(CONFIG, seed=1), CPU))
    assert not torch.equal(first["g.mapping.layers.0.weight"], other["g.mapping.layers.0.weight"])


def test_steps_are_deterministic_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = weights(run(3)), weights(run(3))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_counts_its_images_and_moves_all_three_networks() -> None:
    start, state = weights(build_state(CONFIG, CPU)), run(2)
    moved = {
        name.split(".")[0]
        for name, value in weights(state).items()
        if not torch.equal(value, start[name])
    }
    assert state.nimg == 8
    assert moved == {"g", "d", "ema"}


def test_blocks_not_yet_reached_do_not_move() -> None:
    """Nor does their running mean, where weights of another run differ from it."""
    state = build_state(CONFIG, CPU)
    with torch.no_grad():
        for weight in state.g.parameters():
            weight.add_(0.1)
    start = weights(state)
    train_step(state, CONFIG, Phase(8, 1.0, 4, 1e-3), images(size=8))
    now = weights(state)
    for name in now:
        if ".16." in name:
            assert torch.equal(now[name], start[name]), name


def test_a_step_learns_at_the_rate_of_its_phase() -> None:
    state = build_state(CONFIG, CPU)
    train_step(state, CONFIG, replace(PHASE, lr=7e-4), images())
    assert [o.param_groups[0]["lr"] for o in (state.g_opt, state.d_opt)] == [7e-4, 7e-4]


def test_the_generator_waits_for_n_critic_steps() -> None:
    config = replace(CONFIG, n_critic=3)
    state = build_state(config, CPU)
    stepped = ["g_loss" in train_step(state, config, PHASE, images(i)) for i in range(6)]
    assert stepped == [False, False, True, False, False, True]


def test_a_gradient_that_is_not_finite_never_reaches_weights_or_moments() -> None:
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(layer.parameters(), betas=(0.0, 0.99), fused=True)
    layer(torch.ones(1, 3)).sum().backward()
    step_if_finite(optimiser)
    before = [p.clone() for p in layer.parameters()]
    moments = [optimiser.state[p]["exp_avg_sq"].clone() for p in layer.parameters()]
    for bad in (float("nan"), float("inf")):
        layer.weight.grad = torch.full_like(layer.weight, bad)
        step_if_finite(optimiser)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), before, strict=True))
    for p, moment in zip(layer.parameters(), moments, strict=True):
        assert torch.equal(optimiser.state[p]["exp_avg_sq"], moment)
        assert float(optimiser.state[p]["step"]) == 1
    layer.weight.grad = torch.ones_like(layer.weight)
    step_if_finite(optimiser)
    assert not torch.equal(layer.weight, before[0])


def test_an_update_left_out_leaves_the_mean_of_styles_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, clean = run(1), step.draw_fakes

    def draw(*args: Any) -> step.Drawn:
        images, w = clean(*args)
        return images * float("nan"), w

    monkeypatch.setattr(step, "draw_fakes", draw)
    before = state.g.w_avg.clone()
    assert before.abs().max() > 0
    assert float(train_step(state, CONFIG, PHASE, images(1))["g_skipped"]) == 1
    assert torch.equal(state.g.w_avg, before)


@pytest.mark.parametrize("loss", ["wgan-gp", "r1"])
def test_a_penalty_of_weight_0_is_none(loss: str) -> None:
    config = replace(CONFIG, loss=loss, gp_weight=0.0)
    stats = train_step(build_state(config, CPU), config, PHASE, images())
    assert float(stats["penalty"]) == 0


@pytest.mark.parametrize(("dtype", "top"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_black_is_minus_one_and_white_is_one(dtype: torch.dtype, top: int) -> None:
    grey = torch.tensor([0, top]).to(dtype).reshape(1, 1, 1, 2)
    real = to_network_range(grey, Step(CONFIG, Phase(8, 1.0, 1, 0), 0))
    assert real.flatten().tolist() == [-1.0, 1.0]


def test_real_images_fade_with_their_level() -> None:
    whole = to_network_range(images(), Step(CONFIG, Phase(16, 1.0, 4, 0), 0))
    coarse = to_network_range(images(), Step(CONFIG, Phase(16, 0.0, 4, 0), 0))
    half = to_network_range(images(), Step(CONFIG, Phase(16, 0.5, 4, 0), 0))
    blocks = whole.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    assert torch.allclose(coarse[..., ::2, ::2], blocks, atol=1e-6)
    assert torch.allclose(half, (whole + coarse) / 2, atol=1e-6)


def test_images_are_mirrored_only_when_asked() -> None:
    config = replace(CONFIG, flip=True)
    phase = Phase(16, 1.0, 4, 0)
    plain = to_network_range(images(), Step(CONFIG, phase, 0))
    flipped = [to_network_range(images(), Step(config, phase, nimg)) for nimg in range(0, 40, 4)]
    mirrored = [
        torch.equal(a, b.flip(-1)) for batch in flipped for a, b in zip(batch, plain, strict=True)
    ]
    same = [torch.equal(a, b) for batch in flipped for a, b in zip(batch, plain, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 8 <= sum(mirrored) <= 32
    assert torch.equal(to_network_range(images(), Step(CONFIG, phase, 4)), plain)


def test_the_running_mean_has_its_half_life_in_images() -> None:
    assert ema_decay(batch=10_000, nimg=10**7) == pytest.approx(0.5)
    assert ema_decay(batch=100, nimg=10**7) ** 100 == pytest.approx(0.5)
    assert ema_decay(batch=50, nimg=1000) == pytest.approx(0.5)  # ramp: a twentieth of the run
    assert ema_decay(batch=16, nimg=0) == 0


def test_nine_images_in_ten_mix_styles_each_at_a_layer_of_its_own() -> None:
    crossover = draw_crossover(4000, 6, torch.Generator().manual_seed(0))
    share = float((crossover < 6).float().mean())
    assert share == pytest.approx(0.9, abs=0.02)
    assert set(crossover.tolist()) == {1, 2, 3, 4, 5, 6}


CONDITIONAL = replace(
    CONFIG, conditions=build_conditions(["group"], [{"group": "a"}, {"group": "b"}])
)


def test_conditions_reach_both_networks() -> None:
    vectors = F.one_hot(torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0]])).float()
    ends = []
    for shown, asked in ((0, 0), (1, 0), (0, 1)):
        state = build_state(CONDITIONAL, CPU)
        conditions = torch.stack([vectors[shown], vectors[asked]])
        train_step(state, CONDITIONAL, PHASE, images(), conditions=conditions)
        ends.append(weights(state))
    straight, other_shown, other_asked = ends
    assert any(not torch.equal(straight[n], other_shown[n]) for n in straight if n[0] == "d")
    assert all(torch.equal(straight[n], other_asked[n]) for n in straight if n[0] == "d")
    assert any(not torch.equal(straight[n], other_asked[n]) for n in straight if n[0] == "g")


def test_a_conditional_network_without_conditions_is_an_error() -> None:
    with pytest.raises(ValueError, match="condition"):
        train_step(build_state(CONDITIONAL, CPU), CONDITIONAL, PHASE, images())


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raise where the host asks the device for a value, which would stall a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError("a value was fetched from the device")
        return func(*args, **(kwargs or {}))


def test_the_watch_for_waiting_sees_it() -> None:
    with pytest.raises(AssertionError), NoWaiting():  # type: ignore[no-untyped-call]
        float(torch.ones(()))


@pytest.mark.parametrize("loss", LOSS_NAMES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_step_waits_for_the_device(loss: str, precision: str) -> None:
    config = replace(CONDITIONAL, loss=loss, precision=precision, flip=True)
    state = build_state(config, CPU)
    conditions = F.one_hot(torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0]])).float()
    for alpha in (0.5, 1.0):
        phase = replace(PHASE, alpha=alpha)
        with NoWaiting():  # type: ignore[no-untyped-call]
            stats = train_step(state, config, phase, images(), conditions=conditions)
        assert all(torch.isfinite(value) for value in stats.values())
