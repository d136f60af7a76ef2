"""What a run takes, told beforehand."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from mri_gan.config import ARCHS, TrainConfig, defaults_of
from mri_gan.train.cost import PROCESS_BYTES, count_parameters, estimate, level_seconds
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import build_state

CONFIG = TrainConfig(max_size=16, phase=16, batch=8, capacity=1 / 16, latent_dim=16)


def test_parameters_and_checkpoints_are_counted_exactly(store: Path, tmp_path: Path) -> None:
    needs = estimate(CONFIG, 3, "cpu", with_time=False)
    state = build_state(CONFIG, torch.device("cpu"))
    assert needs.generator == count_parameters(state.g)
    assert needs.critic == count_parameters(state.d)
    size = train(Run(store, tmp_path, CONFIG, RunOptions(snap_kimg=1))).stat().st_size
    assert size == pytest.approx(needs.checkpoint_bytes, rel=0.15)  # and names, shapes, alignment
    assert needs.disk_bytes == 6 * needs.checkpoint_bytes  # 3 newest, 1 new, 2 levels


def test_more_is_remembered_for_more_and_larger_images_and_with_a_penalty() -> None:
    def memory(**change: object) -> int:
        return estimate(replace(CONFIG, **change), 3, "cpu", False).memory_bytes  # type: ignore[arg-type]

    assert memory() > PROCESS_BYTES
    assert memory(batch=32) > memory()
    assert memory(max_size=64) > memory()
    assert memory(loss="hinge") < memory(loss="r1") < memory(loss="wgan-gp")


def test_the_time_is_the_sum_over_levels_and_grows_with_the_images() -> None:
    short = level_seconds(replace(CONFIG, phase=1000), "cpu")
    assert len(short) == 2
    assert all(seconds > 0 for seconds in short)
    assert len(level_seconds(replace(CONFIG, phase=1000, kimg=0.9), "cpu")) == 1


@pytest.mark.parametrize("arch", ARCHS)
def test_every_architecture_can_be_tried(arch: str) -> None:
    small = {"arch": arch, "max_size": 8, "phase": 8, "batch": 4, "capacity": 1 / 64}
    needs = estimate(TrainConfig(**(defaults_of(arch) | small)), 3, "cpu")
    assert min(asdict(needs).values()) > 0
