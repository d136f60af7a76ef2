"""The state of a run: what it begins with, and what a checkpoint keeps of it."""

from __future__ import annotations

import torch

from mri_gan.config import TrainConfig
from mri_gan.train.state import build_state, restore_side_state, side_state

CPU = torch.device("cpu")
CONFIG = TrainConfig(arch="dcgan", loss="logistic", max_size=8, capacity=1 / 64, latent_dim=8)


def test_what_a_checkpoint_keeps_besides_networks_is_taken_back() -> None:
    state, fresh = build_state(CONFIG, CPU), build_state(CONFIG, CPU)
    state.attempt, state.suspect, state.augment.steps = 2, 1, 3
    state.augment.p.fill_(0.25)
    state.augment.signs.fill_(1.5)
    state.path_mean.fill_(7.0)
    kept = side_state(state)
    state.augment.p.fill_(0.5)  # what is trained on afterwards is not in it
    restore_side_state(fresh, kept)
    assert (fresh.attempt, fresh.suspect, fresh.augment.steps) == (2, 1, 3)
    assert [float(x) for x in (fresh.augment.p, fresh.augment.signs)] == [0.25, 1.5]
    assert float(fresh.path_mean) == 7.0


def test_the_running_mean_draws_each_image_for_itself() -> None:
    """With the kept statistics of batch normalisation: a batch's own would mix its images."""
    mean = build_state(CONFIG, CPU).g_ema
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    together, alone = mean(z, resolution=8), mean(z[:2], resolution=8)
    torch.testing.assert_close(together[:2], alone)
    assert not any(weight.requires_grad for weight in mean.parameters())
