"""How a GPU is set up, as far as a machine without one can tell."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mri_gan.config import TrainConfig
from mri_gan.schedule import Phase
from mri_gan.train.state import TrainState, build_state, lay_out, prepare_device, to_device
from mri_gan.train.step import train_step

CONFIG = TrainConfig(max_size=16, capacity=1 / 32, latent_dim=8, batch=4, mixing=True)
CPU = torch.device("cpu")


@pytest.fixture
def flags() -> Iterator[None]:
    """Puts torch's global switches back."""
    before = (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[:2]
    torch.backends.cudnn.benchmark = before[2]


@pytest.mark.usefixtures("flags")
@pytest.mark.parametrize(("precision", "reduced"), [("fp32", False), ("bf16", True)])
def test_float32_is_float32_on_a_gpu(precision: str, reduced: bool) -> None:
    prepare_device(precision, "cuda:0")
    assert torch.backends.cudnn.allow_tf32 is reduced
    assert torch.backends.cuda.matmul.allow_tf32 is reduced
    assert torch.backends.cudnn.benchmark


@pytest.mark.usefixtures("flags")
def test_a_cpu_run_changes_no_switch() -> None:
    torch.backends.cudnn.benchmark = False
    prepare_device("bf16", "cpu")
    assert not torch.backends.cudnn.benchmark


def test_a_batch_comes_to_the_cpu_without_a_copy() -> None:
    array = np.zeros((2, 1, 8, 8), np.uint8)
    tensor = to_device(array, "cpu")
    array[0, 0, 0, 0] = 7
    assert tensor[0, 0, 0, 0] == 7


def step(state: TrainState) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8, generator=rng)
    train_step(state, CONFIG, Phase(16, 0.5, 4, 1e-3), images)
    gradients = {f"g.{n}": p.grad for n, p in state.g.named_parameters()}
    gradients |= {f"d.{n}": p.grad for n, p in state.d.named_parameters()}
    return {name: grad for name, grad in gradients.items() if grad is not None}


def test_channels_innermost_gives_the_same_gradients() -> None:
    plain, turned = build_state(CONFIG, CPU), build_state(CONFIG, CPU)
    for net in (turned.g, turned.d, turned.g_ema):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    expected, found = step(plain), step(turned)
    assert expected.keys() == found.keys()
    # A bias before instance normalisation has no gradient but rounding: one scale for all.
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-2, atol=1e-4 * largest), name


def test_activations_stay_in_the_order_of_the_weights() -> None:
    state = build_state(CONFIG, CPU)
    state.g.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    orders: list[bool] = []

    def look(_module: object, _inputs: object, out: torch.Tensor) -> None:
        orders.append(out.is_contiguous(memory_format=torch.channels_last))

    for name, module in state.g.named_modules():
        if name.endswith("adain"):
            module.register_forward_hook(look)
    state.g(torch.randn(4, 8), resolution=16)
    assert len(orders) == 6
    assert all(orders[1:])  # the first follows the learned constant


def test_a_cpu_keeps_its_order() -> None:
    net = torch.nn.Conv2d(8, 8, 3)
    lay_out(net, TrainConfig(precision="bf16"), CPU)
    assert net.weight.is_contiguous()


def one_step(config: TrainConfig, innermost: bool) -> dict[str, torch.Tensor]:
    """Every gradient of a step with R1 and path length, and the layout of StyleGAN2 on a CPU."""
    state = build_state(config, CPU)
    kernels = [p for net in (state.g, state.d) for p in net.parameters() if p.dim() == 4]
    assert not all(kernel.is_contiguous() for kernel in kernels)
    if not innermost:
        for kernel in kernels:
            kernel.data = kernel.data.contiguous()
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8, generator=rng)
    train_step(state, config, Phase(32, 1.0, 4, 1e-3), images)
    named = [*state.g.named_parameters("g"), *state.d.named_parameters("d")]
    return {name: p.grad for name, p in named if p.grad is not None}


def test_stylegan2_has_the_same_gradients_in_the_order_that_is_quick_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mri_gan.nets.convolution.PAYS_FROM", 0)  # these kernels are small
    config = TrainConfig(
        arch="stylegan2",
        loss="r1",
        max_size=32,
        capacity=1 / 64,
        latent_dim=8,
        batch=4,
        gp_weight=10.0,
        path_weight=2.0,
    )
    expected, found = one_step(config, False), one_step(config, True)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-4 * scale), name
