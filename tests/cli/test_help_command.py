"""Every command explains itself, and its options are the fields of its configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mri_gan import __version__
from mri_gan.cli import options
from mri_gan.cli.main import COMMANDS, cli
from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.ingest.options import PrepareConfig


def command_named(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, click.Command)
    return command


def options_of(name: str) -> dict[str, click.Option]:
    return {p.name: p for p in command_named(name).params if isinstance(p, click.Option) and p.name}


def default_of(command: str, option: str) -> Any:
    """What an option is when it is not given: `unset` flags are False."""
    return options_of(command)[option].get_default(click.Context(command_named(command)))


def fields_of(config: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


# Options that decide how a command works, not what it arrives at.
PREPARE_MANNERS = {
    "strict",
    "people_file",  # as the file of splits, it decides through the plan
    "config",
    "out",
    "workers",
    "engine",
    "shard",
    "overwrite",
    "id_key",
    "split_file",
    "dry_run",
    "as_json",
    "quiet",
}
TRAIN_MANNERS = {
    "config",
    "out",
    "ckpt",
    "preset",
    "transfer",
    "device",
    "timeout",
    "threads",
    "ahead",
    "snap_kimg",
    "keep",
    "minutes",
    "judge",
    "eval_kimg",
    "tensorboard",
    "schedule_file",  # read into the field `schedule`
    "condition_names",  # and a table of labels become the field `conditions`
    "labels",
    "dry_run",
    "as_json",
    "quiet",
}
# Options that take several words, or none.
LISTS = {"include", "exclude", "contrast", "channels", "also", "volume"}
# Fields that no option sets, because the data decides them.
TRAIN_FROM_STORE = {"channels", "channel_names", "pixel_mm", "scan_mm"}
TRAIN_FROM_FILES = {"schedule", "conditions"}
TRAIN_FROM_CRITIC = {"critic_features", "features_digest", "features_licence"}
TRAIN_FROM_MACHINE = {"layout"}  # measured
TRAIN_FROM_WEIGHTS = {"channel_max", "clamp", "blur_bias"}  # of networks made elsewhere


def test_every_option_of_prepare_that_shapes_the_store_is_a_field() -> None:
    assert set(options_of("prepare")) - PREPARE_MANNERS == fields_of(PrepareConfig)


def test_every_option_of_train_that_shapes_the_weights_is_a_field() -> None:
    shaping = set(options_of("train")) - TRAIN_MANNERS
    elsewhere = TRAIN_FROM_STORE | TRAIN_FROM_FILES | TRAIN_FROM_CRITIC | TRAIN_FROM_WEIGHTS
    elsewhere |= TRAIN_FROM_MACHINE
    assert shaping == fields_of(TrainConfig) - elsewhere


@pytest.mark.parametrize(
    ("name", "config", "computed"),
    [
        ("prepare", PrepareConfig(), {"window", "split", "depth", "landmarks"} | LISTS),
        ("train", TrainConfig(), {"max_size", "capacity", "precision"}),
    ],
)
def test_defaults_of_options_are_those_of_the_fields(
    name: str, config: Any, computed: set[str]
) -> None:
    """But for those that are written otherwise on the command line."""
    for option in set(options_of(name)) & fields_of(config) - computed:
        default, field = default_of(name, option), getattr(config, option)
        unset_flag = options_of(name)[option].is_flag and not default
        assert (False if unset_flag else default) == field, option


def test_defaults_written_as_text_mean_the_same() -> None:
    config = PrepareConfig()
    assert tuple(map(float, default_of("prepare", "window").split(","))) == config.window
    assert tuple(map(int, default_of("prepare", "split").split(","))) == config.split
    assert int(default_of("prepare", "depth")) == config.depth


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_names_the_command(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="mrigan")
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Example")
    assert f"mrigan {name} " in examples


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    assert [o.name for o in options_of(name).values() if not o.help] == []


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"explore"}))  # which reports nothing
def test_every_command_that_reports_does_so_for_programs(name: str) -> None:
    assert "--json" in options_of(name)["as_json"].opts


@pytest.mark.parametrize("name", COMMANDS)
def test_the_name_in_the_list_is_the_name_of_the_command(name: str) -> None:
    assert command_named(name).name == name


def test_examples_use_only_options_that_exist() -> None:
    for name in COMMANDS:
        known = {flag for option in options_of(name).values() for flag in option.opts}
        lines = (command_named(name).epilog or "").splitlines()
        used = {w for line in lines for w in line.partition("#")[0].split() if w.startswith("--")}
        assert used <= known, name


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_group_lists_every_command_and_an_example(flag: str) -> None:
    result = CliRunner().invoke(cli, [flag], prog_name="mrigan")
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in result.stdout
        assert text in result.stdout
    assert "Example" in result.stdout


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(cli, ["--version"], prog_name="mrigan")
    assert result.stdout == f"mrigan, version {__version__}\n"


@pytest.mark.parametrize("word", ["bogus", "--bogus"])
def test_an_unknown_command_or_option_is_named_in_one_line(word: str) -> None:
    result = CliRunner().invoke(cli, [word], prog_name="mrigan")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert word in result.stderr


def test_the_bare_command_shows_its_help() -> None:
    result = CliRunner().invoke(cli, [], prog_name="mrigan")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: mrigan ")


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("prepair", "prepare")])
def test_a_mistyped_command_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [typed], prog_name="mrigan")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert f"Did you mean {meant}?" in result.stderr


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [
        ("train", "--max-sise", " Did you mean '--max-size'?"),
        ("train", "--images", ""),
        ("train", "--save-every", ""),
        ("prepare", "--bogus", ""),
        ("train", "-z", ""),
    ],
)
def test_only_an_option_that_is_alike_is_suggested(command: str, typed: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [command, "x", typed, "3"], prog_name="mrigan")
    said = f"mrigan: No such option '{typed}'.{meant} See: mrigan {command} --help\n"
    assert (result.exit_code, result.stderr) == (2, said)


@pytest.mark.parametrize("flag", ["--epochs", "--iterations"])
def test_who_counts_in_epochs_is_answered_with_images(flag: str) -> None:
    result = CliRunner().invoke(cli, ["train", "STORE", flag, "3"], prog_name="mrigan")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "--kimg" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_device_that_is_there(name: str) -> None:
    device = options_of(name).get("device")
    assert device is None or device.default == "auto"


def test_a_device_is_picked_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert options.pick_device("auto") == "cpu"
    assert options.pick_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="--device tpu is not available"):
        options.pick_device("tpu")


def test_auto_is_the_gpu_of_the_process_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torchrun gives each process on a machine its number as LOCAL_RANK."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.empty", lambda *_, device: device)  # as if it were there
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert [options.pick_device(name) for name in ("auto", "cuda", "cpu")] == [
        "cuda:0",
        "cuda:0",
        "cpu",
    ]
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert options.pick_device("auto") == "cuda:3"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("test", "Only stylegan and stylegan2 have mixing, matrix, truncation and noise."),
        ("directions", "Only stylegan and stylegan2 have directions."),
        ("generate", "Truncation, where a network has styles; 1 is none."),
        ("generate", "Strength of a stylegan's noise; 0 shows the anatomy alone."),
        ("train", "Mirror training slices at random, which swaps left and right"),
        ("train", "Kinds of augmentation; also possible: tone, filter, noise, cutout."),
    ],
)
def test_help_says_what_an_option_is_and_which_networks_have_it(command: str, said: str) -> None:
    help_text = CliRunner().invoke(cli, [command, "--help"]).stdout
    assert said in " ".join(help_text.split())
