"""Checkpoints of the first versions, made here from one of today: they go on, or say what to do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mri_gan.checkpoint import Start, digest, list_checkpoints, load_checkpoint
from mri_gan.config import CONFIG as CONFIG_FILE
from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.synth.sample import load_trained
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions

# The settings that existed when checkpoints were first written, and what of a state was kept.
# Later ones came with defaults that do what was done before.
FIRST_SETTINGS = (
    *("batch", "capacity", "channels", "drift", "flip", "gp_weight", "init_size", "kimg"),
    *("latent_dim", "lr", "max_size", "mixing", "n_critic", "phase", "sched", "seed"),
)
FIRST_STATE = ("g", "d", "g_ema", "g_opt", "d_opt")
SECOND_SETTINGS = (*FIRST_SETTINGS, "loss", "clip", "penalty_every", "precision")
SECOND_STATE = (*FIRST_STATE, "attempt")  # with the rollback
LAYOUTS = {"first": (FIRST_SETTINGS, FIRST_STATE), "second": (SECOND_SETTINGS, SECOND_STATE)}

CONFIG = TrainConfig(max_size=16, phase=16, batch=8, capacity=1 / 64, latent_dim=8, mixing=True)
HALF = replace(CONFIG, kimg=0.024)


def age(path: Path, layout: str) -> None:
    """Write a checkpoint again as that version did."""
    settings, parts = LAYOUTS[layout]
    payload = torch.load(path, weights_only=True)
    del payload["digest"]
    payload["config"] = {name: payload["config"][name] for name in settings}
    payload["state"] = {name: payload["state"][name] for name in parts}
    torch.save({**payload, "digest": digest(payload)}, path)


def run_of(store: Path, folder: Path, config: TrainConfig, transfer: bool = False) -> Run:
    return Run(store, folder, config, RunOptions(snap_kimg=1, transfer=transfer))


@pytest.fixture(scope="module")
def half(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in its middle."""
    folder = tmp_path_factory.mktemp("half")
    train(run_of(store, folder, HALF))
    return folder


@pytest.fixture(params=LAYOUTS)
def old(request: pytest.FixtureRequest, half: Path, tmp_path: Path) -> Path:
    """The same as a version of that time would have left it."""
    folder = shutil.copytree(half, tmp_path / "old")
    age(list_checkpoints(folder)[0], request.param)
    return folder


@pytest.fixture(scope="module")
def straight(store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The end of a run that nothing happened to."""
    last = train(run_of(store, tmp_path_factory.mktemp("straight"), CONFIG))
    return digest(load_checkpoint(last).state)


def test_a_run_goes_on_to_the_same_bits(store: Path, old: Path, straight: str) -> None:
    last = load_checkpoint(train(run_of(store, old, CONFIG)))
    assert last.nimg == 48
    assert digest(last.state) == straight


def test_its_generator_is_read(half: Path, old: Path) -> None:
    now, then = (load_trained(folder).generator.state_dict() for folder in (half, old))
    assert all(torch.equal(now[name], then[name]) for name in now)


def test_other_data_are_told(store: Path, old: Path) -> None:
    path = list_checkpoints(old)[0]
    payload = torch.load(path, weights_only=True) | {"data": "of a store of that time"}
    del payload["digest"]
    torch.save({**payload, "digest": digest(payload)}, path)
    with pytest.raises(UsageError, match="the training data") as error:
        train(run_of(store, old, CONFIG))
    assert "--ckpt with --transfer" in str(error.value)


def test_its_weights_start_another_run(store: Path, old: Path, tmp_path: Path) -> None:
    """From the folder, which means its newest checkpoint."""
    other = replace(CONFIG, max_size=8, phase=8)
    last = train(run_of(store, tmp_path / "new", other, transfer=True), Start(old))
    assert load_checkpoint(last).nimg == 8


def test_a_run_goes_on_with_defaults_of_when_it_began(store: Path, tmp_path: Path) -> None:
    """Gamma was 1 where it is 2.5 now, the half-life of the mean 2 kimg: the command continues."""
    light = replace(CONFIG, arch="fastgan", mixing=False, loss="r3gan", gp_weight=1.0, kimg=0.016)
    light = replace(light, ema_kimg=2.0)
    train(run_of(store, tmp_path, light))
    today = replace(light, gp_weight=2.5, ema_kimg=0.4, kimg=0.032)
    last = load_checkpoint(train(run_of(store, tmp_path, today)))
    found = last.config
    assert (last.nimg, found.gp_weight, found.ema_kimg) == (32, 1.0, 2.0)
    with pytest.raises(UsageError, match="gp_weight was"):
        train(run_of(store, tmp_path, replace(today, gp_weight=3.0)))
    typed = replace(run_of(store, tmp_path, today), given=["gp_weight"])
    with pytest.raises(UsageError, match=r"gp_weight was 1\.0, now 2\.5"):
        train(typed)


def test_a_critic_without_bands_goes_on_without_them(store: Path, tmp_path: Path) -> None:
    """Bands came later, as a default that no earlier command line had named."""
    light = replace(CONFIG, arch="fastgan", mixing=False, loss="logistic", gp_weight=0.0)
    before = replace(light, kimg=0.016)
    straight, old = tmp_path / "straight", tmp_path / "old"
    for folder in (straight, old):
        train(run_of(store, folder, before))
    settings = json.loads((old / CONFIG_FILE).read_text())
    del settings["settings"]["wavelets"]
    (old / CONFIG_FILE).write_text(json.dumps(settings))
    last = load_checkpoint(train(run_of(store, old, replace(light, wavelets=True))))
    assert not last.config.wavelets
    assert digest(last.state) == digest(
        load_checkpoint(train(run_of(store, straight, light))).state
    )
