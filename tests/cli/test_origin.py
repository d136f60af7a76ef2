"""A wrong value is blamed on the file or variable that it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mri_gan.cli.main import cli

LEVELS = "choose one of 8, 16, 32, 64, 128, 256, 512, 1024"


def run(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, [*map(str, words)], env=environment, prog_name="mrigan")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch = 0", "batch = 0: 0 is not in the range 1<=x<=4096. See: mrigan train --help"),
        ('[train]\nlr = "x"', "lr = \"x\": 'x' is not a number. See: mrigan train --help"),
        ("capacity = 9", "capacity = 9: give a number above 0, up to 4"),
        ("max_size = 65", f"max-size = 65 is not a level: {LEVELS}"),
        (
            'arch = "dcgan"\nmixing = true',
            "mixing = true: --mixing: dcgan has no styles to mix: leave it out",
        ),
    ],
)
def test_a_wrong_value_of_a_file_is_named_with_the_file(
    store: Path, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    done = run("train", store, "--config", file, "--dry-run")
    assert (done.exit_code, done.stderr) == (2, f"mrigan: in {file}: {said}\n")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BATCH", "0", "0: 0 is not in the range 1<=x<=4096. See: mrigan train --help"),
        ("CAPACITY", "9", "9: give a number above 0, up to 4"),
        ("DEVICE", "tpu", "tpu is not available here: try --device cpu"),
    ],
)
def test_a_wrong_value_of_the_environment_is_named_with_its_variable(
    store: Path, name: str, value: str, said: str
) -> None:
    variable = f"MRIGAN_TRAIN_{name}"
    done = run("train", store, "--dry-run", **{variable: value})
    assert (done.exit_code, done.stderr) == (2, f"mrigan: {variable}={said}\n")


def test_commands_without_a_file_of_options_name_a_variable_too(tmp_path: Path) -> None:
    done = run("walk", tmp_path, "--out", tmp_path / "a.gif", MRIGAN_WALK_SEEDS="9-2")
    assert done.stderr.startswith("mrigan: MRIGAN_WALK_SEEDS=9-2: --seeds: 9-2 runs backwards")


def test_the_command_line_is_blamed_for_what_it_gave(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("capacity = 9")
    words = ("train", store, "--config", file, "--capacity", "8", "--dry-run")
    done = run(*words, MRIGAN_TRAIN_CAPACITY="7")
    assert done.stderr == "mrigan: --capacity 8.0: give a number above 0, up to 4\n"
    done = run("train", store, "--batch", "0", "--dry-run", MRIGAN_TRAIN_CAPACITY="7")
    assert done.stderr.startswith("mrigan: Invalid value for '--batch': 0 is not in the range")
