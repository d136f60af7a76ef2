"""Checkpoints of small networks with random weights, as if they had been trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mri_gan.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mri_gan.config import TrainConfig
from mri_gan.train.state import build_state

SMALL = TrainConfig(max_size=32, capacity=1 / 32, latent_dim=16)


def save_untrained(
    run: Path, config: TrainConfig = SMALL, resolution: int = 16, alpha: float = 0.5
) -> Path:
    """A checkpoint file in the folder `run`; noise and the mean style are visible in its images."""
    state = build_state(config, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in state.g_ema.named_parameters():
            if "noise" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=rng))
        state.g_ema.w_avg.normal_(generator=rng)
    run.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(run, 1000)
    parts: dict[str, Any] = {
        "g": state.g.state_dict(),
        "d": state.d.state_dict(),
        "g_ema": state.g_ema.state_dict(),
    }
    save_checkpoint(path, Checkpoint(config, 1000, resolution, alpha, "digest", parts))
    return path
