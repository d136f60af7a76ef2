"""Configurations are checked when made, frozen after, and survive JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from mri_gan.conditions import Column, Conditions, build_conditions
from mri_gan.config import (
    LEVELS,
    ModelConfig,
    Stage,
    TrainConfig,
    check_stages,
    critic_norm,
    defaults_of,
    differences,
    starting_settings,
)
from mri_gan.errors import UsageError
from mri_gan.files import read_json
from mri_gan.ingest.options import PrepareConfig

CONFIGS = (PrepareConfig, ModelConfig, TrainConfig)


def test_levels_double_from_8_to_1024() -> None:
    assert LEVELS == (8, 16, 32, 64, 128, 256, 512, 1024)


@pytest.mark.parametrize(
    "config",
    [
        PrepareConfig(plane="coronal", window=(1.0, 99.0), split=(70, 20, 10), depth=16),
        ModelConfig(max_size=64, channels=3),
        TrainConfig(max_size=32, batch=8, mixing=True),
    ],
)
def test_json_round_trip_gives_an_equal_config(config: Any) -> None:
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("kind", CONFIGS)
def test_unknown_names_are_refused(kind: Any) -> None:
    with pytest.raises(UsageError, match="colour"):
        kind.from_dict({"colour": 1})


@pytest.mark.parametrize("kind", CONFIGS)
def test_missing_names_take_their_defaults(kind: Any) -> None:
    assert kind.from_dict({}) == kind()


@pytest.mark.parametrize("kind", CONFIGS)
def test_configs_cannot_be_changed_after_they_are_made(kind: Any) -> None:
    config = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(kind)[0].name, None)


@pytest.mark.parametrize(
    ("choice", "option"),
    [
        ({"plane": "oblique"}, "--plane"),
        ({"fit": "squeeze"}, "--fit"),
        ({"depth": 12}, "--depth"),
        ({"min_foreground": 1.0}, "--min-foreground"),
        ({"min_foreground": -0.1}, "--min-foreground"),
        ({"window": (99.0, 1.0)}, "--window"),
        ({"window": (0.0, 101.0)}, "--window"),
        ({"window": (float("nan"), 99.0)}, "--window"),
        ({"split": (80, 10, 5)}, "--split"),
        ({"split": (0, 50, 50)}, "--split"),
        ({"split": (120, -10, -10)}, "--split"),
    ],
)
def test_prepare_refuses_nonsense_and_names_the_option(choice: Any, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        PrepareConfig(**choice)


@pytest.mark.parametrize(
    ("choice", "option"),
    [
        ({"init_size": 12}, "--init-size"),
        ({"max_size": 2048}, "--max-size"),
        ({"init_size": 64, "max_size": 32}, "--init-size"),
        ({"phase": 0}, "--phase"),
        ({"kimg": -1.0}, "--kimg"),
        ({"batch": -1}, "--batch"),
        ({"lr": -1e-3}, "--lr"),
        ({"n_critic": 0}, "--n-critic"),
        ({"capacity": 0.0}, "--capacity"),
        ({"channels": 0}, "channels"),
    ],
)
def test_train_refuses_nonsense_and_names_the_option(choice: Any, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        TrainConfig(**choice)


@pytest.mark.parametrize("choice", [{"max_size": 100}, {"latent_dim": 0}, {"mapping_depth": 0}])
def test_model_refuses_nonsense(choice: Any) -> None:
    with pytest.raises(UsageError):
        ModelConfig(**choice)


def test_train_config_shapes_its_networks() -> None:
    config = TrainConfig(max_size=64, channels=3, capacity=0.5, latent_dim=128)
    assert config.model == ModelConfig(max_size=64, channels=3, capacity=0.5, latent_dim=128)


def test_differences_name_each_changed_setting_only() -> None:
    before, now = PrepareConfig().to_dict(), PrepareConfig(depth=16).to_dict()
    assert differences(before, now) == ["depth was 8, now 16"]


def test_a_capacity_with_a_name_is_called_by_it() -> None:
    assert differences({"capacity": 0.0625}, {"capacity": 0.125}) == [
        "capacity was tiny (0.0625), now small (0.125)"
    ]
    assert differences({"capacity": 1}, {"capacity": 0.3}) == ["capacity was full (1), now 0.3"]


def test_conditions_that_differ_are_named_by_their_columns() -> None:
    before = Conditions((Column("group", ("a", "b")), Column("age", (), 41.0, 0.8, 40.0, 42.0)))
    configs = (TrainConfig(conditions=before), TrainConfig())
    changed = differences(*(config.to_dict() for config in configs))
    assert changed == ["conditions was group (a, b), age, now none"]


def test_a_run_of_an_earlier_version_goes_on_though_it_has_no_strata() -> None:
    spec = build_conditions(["group"], [{"group": "a"}, {"group": "b"}])
    now = TrainConfig(conditions=spec).to_dict()
    earlier = TrainConfig(conditions=Conditions(spec.columns)).to_dict()
    del earlier["conditions"]["strata"]
    assert differences(earlier, now) == []


def test_what_the_schedule_decides_is_named_so_and_never_0() -> None:
    """Earlier versions wrote 0 where a setting followed the schedule."""
    old = TrainConfig.from_dict(TrainConfig().to_dict() | {"lr": 0.0, "batch": 0, "kimg": 0.0})
    assert (old.lr, old.batch, old.kimg) == (None, None, None)
    changed = differences(old.to_dict(), TrainConfig(lr=0.5).to_dict())
    assert changed == ["lr was by the schedule, now 0.5"]
    assert TrainConfig.from_dict({"channel_base": 0}) == TrainConfig(channel_base=32768)


def test_read_json_gives_the_object(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"depth": 16}')
    assert read_json(tmp_path / "a.json") == {"depth": 16}


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_read_json_names_the_file_that_is_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.json"):
        read_json(tmp_path / "bad.json")


def test_read_json_names_the_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json"):
        read_json(tmp_path / "gone.json")


def test_settings_that_are_new_differ_from_none() -> None:
    assert differences({}, {"clip": 0.5}) == ["clip was by the schedule, now 0.5"]


def test_certain_augmentation_is_refused_since_it_leaks() -> None:
    with pytest.raises(UsageError, match="at 1 augmentations leak"):
        TrainConfig(loss="r1", augment="fixed", augment_p=1.0)


@pytest.mark.parametrize("sizes", [(8, 32), (16, 8), (8, 8)])
def test_levels_of_a_schedule_double(sizes: tuple[int, int]) -> None:
    stages = (Stage(sizes[0], 0, 100, 4), Stage(sizes[1], 100, 100, 4))
    with pytest.raises(UsageError, match="twice the size"):
        check_stages(stages)


@pytest.mark.parametrize(
    ("arch", "loss", "norm"),
    [
        ("dcgan", "wgan-gp", "layer"),  # Gulrajani et al. 2017, section 4
        ("dcgan", "r1", "layer"),
        ("dcgan", "logistic", "batch"),
        ("stylegan", "wgan-gp", "batch"),
    ],
)
def test_penalties_on_single_scores_forbid_to_mix_images(arch: str, loss: str, norm: str) -> None:
    assert critic_norm(arch, loss) == norm


def test_a_loss_brings_the_settings_of_its_paper() -> None:
    clipped = defaults_of("stylegan", "wgan-clip")  # Arjovsky et al. 2017, algorithm 1
    assert (clipped["n_critic"], clipped["lr"]) == (5, 5e-5)
    penalised = defaults_of("dcgan", "wgan-gp")  # Gulrajani et al. 2017, algorithm 1
    assert (penalised["n_critic"], penalised["lr"], penalised["batch"]) == (5, 1e-4, 64)


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp", "logistic"])
def test_another_loss_does_not_keep_the_lazy_penalty_of_the_architecture(loss: str) -> None:
    assert {"gp_weight", "penalty_every"} & set(defaults_of("stylegan2", loss)) == set()
    assert defaults_of("stylegan2")["penalty_every"] == 16  # Karras et al. 2020, appendix B


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("lr", "1e-3"),
        ("lr", float("nan")),
        ("batch", 1.5),
        ("batch", True),
        ("mixing", 1),
        ("arch", None),
        ("channel_names", ["T1", 2]),
        ("pixel_mm", float("inf")),
        ("latent_dim", 10**9),
        ("mapping_depth", 65),
        ("channel_max", 0),
        ("drift", -1.0),
    ],
)
def test_a_setting_of_another_kind_is_named(name: str, odd: object) -> None:
    good = TrainConfig(channel_names=("T1",), pixel_mm=1, lr=1).to_dict()
    assert TrainConfig.from_dict(good).pixel_mm == 1
    with pytest.raises(UsageError, match=name.replace("_", ".")):
        TrainConfig.from_dict(good | {name: odd})


def test_a_preset_has_a_length_where_the_user_gives_none() -> None:
    """25 thousand images: the run that docs/results.md shows."""
    assert starting_settings("laptop", None, given=("capacity", "batch"))["kimg"] == 25.0


@pytest.mark.parametrize("name", ["kimg", "phase", "schedule", "schedule_file", "minutes"])
def test_a_length_of_the_user_replaces_that_of_the_preset(name: str) -> None:
    assert "kimg" not in starting_settings("laptop", None, given=("capacity", name))
