"""`--freeze-critic`: the largest levels of a critic stay as --ckpt has them, the rest learns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mri_gan.checkpoint import Start, list_checkpoints, load_checkpoint
from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import build_state

SMALL = TrainConfig(max_size=16, phase=24, batch=8, capacity=1 / 64, latent_dim=8)
# What stays with two levels kept, by the first parts of the names; 16 px is the largest level.
KEPT = {
    "stylegan": {"blocks.16", "blocks.8", "from_image.16", "from_image.8"},
    "progan": {"blocks.16", "blocks.8", "from_image.16", "from_image.8"},
    "stylegan2": {"blocks.16", "blocks.8", "from_image.weight", "from_image.bias"},
}


def changed(store: Path, folder: Path, config: TrainConfig) -> dict[str, bool]:
    """Whether each weight of the critic is another after training on from another run's."""
    first, second = folder / "first", folder / "second"
    for path in (first, second):
        path.mkdir(parents=True)
    train(Run(store, first, replace(config, freeze_critic=0)))
    options = RunOptions(transfer=True)
    train(Run(store, second, replace(config, seed=1, lr=2e-3), options), Start(first))
    before, after = (load_checkpoint(list_checkpoints(p)[0]).state["d"] for p in (first, second))
    return {name: not torch.equal(before[name], after[name]) for name in before}


@pytest.mark.parametrize("arch", KEPT)
def test_the_largest_levels_stay_and_the_others_learn(
    store: Path, tmp_path: Path, arch: str
) -> None:
    config = replace(SMALL, arch=arch, freeze_critic=2)
    found = changed(store, tmp_path, config)
    names = {name: ".".join(name.split(".")[:2]) for name in found}
    assert {names[n] for n, moved in found.items() if not moved} - KEPT[arch] <= {"from_image.4"}
    assert {names[n] for n, moved in found.items() if moved} & KEPT[arch] == set()
    assert found["blocks.4.dense1.weight"]


def test_weights_that_stay_are_not_clipped_either(store: Path, tmp_path: Path) -> None:
    config = replace(SMALL, loss="wgan-clip", clip=1e-4, freeze_critic=2)
    first = tmp_path / "first"
    first.mkdir()
    train(Run(store, first, replace(config, loss="hinge", freeze_critic=0)))
    second = tmp_path / "second"
    second.mkdir()
    train(Run(store, second, replace(config, seed=1), RunOptions(transfer=True)), Start(first))
    before, after = (load_checkpoint(list_checkpoints(p)[0]).state["d"] for p in (first, second))
    assert torch.equal(before["blocks.16.conv0.weight"], after["blocks.16.conv0.weight"])
    assert float(after["blocks.4.dense1.weight"].abs().max()) <= 1.0001e-4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"freeze_critic": 2, "max_size": 8}, "2: this critic has 1 level that can"),
        ({"freeze_critic": 3}, "3: this critic has 2 levels"),
        ({"freeze_critic": 8}, "8: this critic has 2 levels"),
        ({"freeze_critic": 1, "arch": "fastgan"}, "1: this critic has 0 levels"),
    ],
)
def test_more_levels_than_there_are_is_a_mistake(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build_state(replace(SMALL, **options), torch.device("cpu"))


def test_with_critics_on_features_it_is_refused() -> None:
    with pytest.raises(UsageError, match="--freeze-critic with --critic features"):
        replace(SMALL, critic="features", loss="hinge", freeze_critic=1)
