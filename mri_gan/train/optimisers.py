"""The optimisers of the papers, and steps that a gradient which is not finite does not take."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.train.parallel import gradients

ADAM_BETAS = (0.0, 0.99)  # Karras 2018, appendix A.1
ADAM_EPS = 1e-8
DCGAN_BETAS = (0.5, 0.999)  # Radford 2016, section 4
DCGAN_GP_BETAS = (0.0, 0.9)  # Gulrajani 2017, algorithm 1
RMSPROP_ALPHA = 0.99  # the usual one: Arjovsky 2017 names none


class RMSprop(torch.optim.Optimizer):
    """RMSprop that leaves a step out when `found_inf` is 1, as torch's fused Adam does.

    Nothing waits for the device.  Tieleman and Hinton 2012; for Wasserstein GANs: Arjovsky et al.
    2017, algorithm 1.
    """

    found_inf: Tensor

    def __init__(self, parameters: Any, lr: float = 1e-3, eps: float = 1e-8) -> None:
        super().__init__(parameters, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        take = 1 - self.found_inf
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["square_avg"] = torch.zeros_like(weight)
                gradient = weight.grad.nan_to_num(0.0, 0.0, 0.0)
                mean: Tensor = state["square_avg"]
                mean.lerp_(gradient.square(), (1 - RMSPROP_ALPHA) * take)
                weight.sub_(group["lr"] * take * gradient / (mean.sqrt() + group["eps"]))


def build_optimiser(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """What the paper of this architecture and loss uses; each step sets the learning rate."""
    if config.loss == "wgan-clip":
        return RMSprop(net.parameters())
    betas = ADAM_BETAS
    if config.arch == "dcgan":
        betas = DCGAN_GP_BETAS if config.loss == "wgan-gp" else DCGAN_BETAS
    return torch.optim.Adam(net.parameters(), betas=betas, eps=ADAM_EPS, fused=True)


@torch.no_grad()
def match_order(optimiser: torch.optim.Optimizer) -> None:
    """Lay what an optimiser remembers of each weight out as the weight is.

    The fused Adam goes through both as they lie in memory, and a checkpoint from another device
    or version may have them in another order of axes.
    """
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.stride() != weight.stride() and value.dim():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def step_if_finite(optimiser: torch.optim.Optimizer) -> Tensor:
    """An optimiser step, unless a gradient is not finite: then weights and moments stay.

    Decided on the device: the optimisers leave out the step when `found_inf` is 1, which is also
    what this returns.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norms = torch.stack(torch._foreach_norm(gradients(parameters)))
    found = (~torch.isfinite(norms).all()).to(torch.float32)
    optimiser.found_inf = found  # type: ignore[attr-defined]
    optimiser.step()
    return found


@torch.no_grad()
def clip_weights(net: nn.Module, limit: float) -> None:
    """Keep every weight within +-limit (Arjovsky et al. 2017, algorithm 1, line 7)."""
    for weight in net.parameters():
        weight.clamp_(-limit, limit)
