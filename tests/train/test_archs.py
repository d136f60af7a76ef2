"""Every architecture trains, stops and goes on, and its checkpoints can be drawn from."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.config import ARCHS, METRICS, TrainConfig, read_metrics
from mri_gan.errors import Stopped, UsageError
from mri_gan.files import StopSignal
from mri_gan.nets.build import DrawSettings, draw_seeds
from mri_gan.schedule import Phase, stages, total_images
from mri_gan.synth.sample import load_trained
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Progress, Run, RunOptions
from mri_gan.train.state import build_state
from mri_gan.train.step import train_step

BASE = TrainConfig(max_size=16, phase=24, batch=8, capacity=1 / 64, latent_dim=8, lr=1e-3)
OPTIONS = RunOptions(snap_kimg=0.024, keep=100)
CHOICES: dict[str, dict[str, Any]] = {
    "dcgan": {"arch": "dcgan", "loss": "logistic"},
    "dcgan-wgan": {"arch": "dcgan", "loss": "wgan-clip", "n_critic": 2},
    "dcgan-gp": {"arch": "dcgan", "loss": "wgan-gp", "n_critic": 2},
    "progan": {"arch": "progan"},
    "stylegan2": {
        "arch": "stylegan2",
        "loss": "r1",
        "gp_weight": None,
        "penalty_every": 3,
        "path_weight": 2.0,
        "path_every": 2,
        "mixing": True,
        "augment": "ada",
        "ada_kimg": 0.1,
        "channel_names": ("image",),
    },
    "fastgan": {
        "arch": "fastgan",
        "critic": "both",
        "wavelets": True,
        "loss": "relativistic",
        "share_fakes": True,
        "augment": "fixed",
        "augment_p": 0.5,
        "augment_kinds": "tone",
    },
    "stylegan-features": {"critic": "features", "loss": "hinge", "mixing": True},
    "progan-both": {"arch": "progan", "critic": "both", "loss": "relativistic"},
    "stylegan-fixed": {"loss": "logistic", "augment": "fixed", "augment_p": 0.5, "mixing": True},
}


def config_of(name: str) -> TrainConfig:
    return replace(BASE, **CHOICES[name])


def newest(run: Path) -> Path:
    return list_checkpoints(run)[0]


@pytest.mark.parametrize("name", CHOICES)
def test_trains_stops_and_goes_on_to_the_same_bits(store: Path, tmp_path: Path, name: str) -> None:
    config, stop = config_of(name), StopSignal()

    def on_step(progress: Progress) -> None:
        if progress.nimg >= 40:
            stop.signum = signal.SIGTERM

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    train(Run(store, whole, config, OPTIONS))
    with pytest.raises(Stopped):
        train(Run(store, cut, config, OPTIONS, stop=stop, on_step=on_step))
    train(Run(store, cut, config, OPTIONS))
    assert newest(cut).name == newest(whole).name == "ckpt-000000072.pt"
    ended, expected = (load_checkpoint(newest(run)).state for run in (cut, whole))
    assert digest(ended) == digest(expected)
    trained = load_trained(whole)
    images = draw_seeds(trained.generator, range(3), DrawSettings(16))
    assert images.shape == (3, 1, 16, 16)
    lines = read_metrics(whole / METRICS)
    assert all(line["skipped"] == 0 for line in lines)


def test_only_growing_architectures_pass_through_smaller_sizes() -> None:
    grown = {arch: tuple(s.size for s in stages(replace(BASE, arch=arch))) for arch in ARCHS}
    assert grown.pop("progan") == grown.pop("stylegan") == (8, 16)
    assert grown == {"dcgan": (16,), "stylegan2": (16,), "fastgan": (16,)}


def test_all_architectures_see_as_many_images() -> None:
    assert {total_images(replace(BASE, arch=arch)) for arch in ARCHS} == {72}


@pytest.mark.parametrize("name", ["stylegan2", "stylegan-fixed"])
def test_what_augmentation_and_path_length_gather_is_in_the_checkpoint(
    store: Path, tmp_path: Path, name: str
) -> None:
    train(Run(store, tmp_path, config_of(name), OPTIONS))
    state = load_checkpoint(newest(tmp_path)).state
    assert 0 <= float(state["augment_p"]) <= 0.8
    assert (float(state["path_mean"]) > 0) == (name == "stylegan2")
    line = read_metrics(tmp_path / METRICS)[-1]
    assert line["augment_p"] is not None


def test_batch_statistics_reach_the_running_mean_of_the_generator() -> None:
    config = config_of("dcgan")
    state = build_state(config, torch.device("cpu"))
    images = torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
    for _ in range(3):
        train_step(state, config, Phase(16, 1.0, 8, 1e-3), images)
    norms = [net.get_submodule("synthesis.norms.4") for net in (state.g, state.g_ema)]
    assert not torch.equal(norms[1].running_mean, torch.zeros(4))  # type: ignore[arg-type]
    assert state.g.training
    assert not state.g_ema.training


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"arch": "vae"}, "--arch vae"),
        ({"arch": "dcgan", "mixing": True}, "no styles to mix"),
        ({"arch": "progan", "path_weight": 2.0}, "no styles"),
        ({"augment": "ada"}, "--loss wgan-gp"),
        ({"augment": "fixed", "loss": "r1", "augment_p": 1.0}, "leak"),
        ({"augment_kinds": "blit,swirl"}, "swirl"),
    ],
)
def test_what_does_not_go_together_is_refused(choices: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replace(BASE, **choices)
