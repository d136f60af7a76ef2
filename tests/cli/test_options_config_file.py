"""Options from a file and from the environment, and the file that a command leaves behind."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.cli.main import cli
from mri_gan.store.reader import StoreReader


def run(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, [*map(str, words)], env=environment, prog_name="mrigan")


def settings(store: Path, *words: object, **environment: str) -> Any:
    """The settings that `train` would use."""
    done = run("train", store, *words, "--dry-run", "--quiet", **environment)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["settings"]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("spelling", ["max-size", "max_size"])
def test_a_file_gives_options_and_the_command_line_wins(
    store: Path, tmp_path: Path, spelling: str
) -> None:
    text = f"{spelling} = 32\nkimg = 7.5\nmixing = true\ncapacity = 'tiny'\n"
    file = write(tmp_path / "run.toml", text)
    found = settings(store, "--config", file, "--kimg", "2")
    assert (found["max_size"], found["kimg"], found["mixing"]) == (32, 2.0, True)
    assert found["capacity"] == 1 / 16


@pytest.mark.usefixtures("unmeasured")
def test_an_architecture_in_a_file_brings_its_defaults_and_loses_to_the_command_line(
    store: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "run.toml", "arch = 'stylegan2'\nmax-size = 32\n")
    found = settings(store, "--config", file)
    assert (found["arch"], found["loss"], found["batch"]) == ("stylegan2", "r1", 32)
    found = settings(store, "--config", file, "--arch", "dcgan")
    assert (found["arch"], found["loss"], found["batch"]) == ("dcgan", "logistic", 128)
    found = settings(store, "--loss", "hinge", "--config", file)
    assert (found["arch"], found["loss"]) == ("stylegan2", "hinge")


@pytest.mark.usefixtures("unmeasured")
def test_one_file_serves_several_commands(store: Path, tmp_path: Path) -> None:
    text = "[prepare]\nevery = 2\n[train]\nmax-size = 16\n"
    assert settings(store, "--config", write(tmp_path / "a.toml", text))["max_size"] == 16


@pytest.mark.usefixtures("unmeasured")
def test_the_environment_gives_options_too(store: Path) -> None:
    found = settings(store, MRIGAN_TRAIN_MAX_SIZE="16", MRIGAN_TRAIN_ARCH="stylegan2")
    assert (found["max_size"], found["loss"]) == (16, "r1")


def test_a_tilde_is_the_home_folder_also_where_no_shell_has_seen_it(
    store: Path, tmp_path: Path
) -> None:
    home = str(store.parent)
    file = write(tmp_path / "a.toml", f"labels = '~/{store.name}.tsv'\ncondition = ['age']\n")
    done = run("train", f"~/{store.name}", "--config", file, "--dry-run", HOME=home)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"mrigan: {store}.tsv: No such file")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max-sise = 3", "did you mean max-size?"),
        ("no-mixing = true", "unknown option no-mixing of train: set mixing to false"),
        ("= 3", "cannot be read as TOML"),
        ("kimg = 'many'", "many"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(store: Path, tmp_path: Path, text: str, said: str) -> None:
    done = run("train", store, "--config", write(tmp_path / "a.toml", text), "--dry-run")
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_store_is_prepared_again_from_the_file_beside_it(oasis_zip: Path, tmp_path: Path) -> None:
    words = ("--workers", 0, "--quiet", "--split", "60,20,20", "--fit", "crop", "--seed", 3)
    assert run("prepare", oasis_zip, "--out", tmp_path / "A", *words).exit_code == 0
    kept = tomllib.loads((tmp_path / "A" / "prepare.toml").read_text())
    assert kept == {"workers": 0, "split": "60,20,20", "fit": "crop", "seed": 3}
    again = ("--config", tmp_path / "A" / "prepare.toml", "--quiet")
    assert run("prepare", oasis_zip, "--out", tmp_path / "B", *again).exit_code == 0
    with StoreReader(tmp_path / "A") as first, StoreReader(tmp_path / "B") as second:
        assert first.header["options"] == second.header["options"]
        assert first.digest == second.digest


def test_a_file_that_the_written_options_do_not_name_must_be_given_again(
    oasis_zip: Path, tmp_path: Path
) -> None:
    """Without the file of splits, people of the test split would be trained on."""
    first, again = tmp_path / "A", tmp_path / "B"
    assert run("prepare", oasis_zip, "--out", first).exit_code == 0
    splits = ("--split-file", first / "splits.tsv")
    assert run("prepare", oasis_zip, "--out", again, *splits).exit_code == 0
    config = ("--config", again / "prepare.toml", "--out", tmp_path / "C")
    refused = run("prepare", oasis_zip, *config)
    assert refused.exit_code == 2
    assert "made with --split-file, whose file it does not name: give --split" in refused.stderr
    assert run("prepare", oasis_zip, *config, *splits).exit_code == 0
    missing = run("prepare", oasis_zip, "--config", tmp_path / "no.toml", "--out", tmp_path / "D")
    assert "no.toml: no such file: check the spelling" in missing.stderr


def test_a_run_is_done_again_from_the_file_in_its_folder(store: Path, tmp_path: Path) -> None:
    words = ("--max-size", 16, "--phase", 16, "--capacity", 1 / 64, "--latent-dim", 8, "--seed", 5)
    assert run("train", store, *words, "--out", tmp_path / "A", "--quiet").exit_code == 0
    again = ("--config", tmp_path / "A" / "train.toml", "--quiet")
    assert run("train", store, *again, "--out", tmp_path / "B").exit_code == 0
    first, second = (
        json.loads((tmp_path / name / "config.json").read_text())["settings"] for name in "AB"
    )
    assert first == second


def test_a_run_is_done_again_from_its_command_line(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a file and the environment gave is part of it; STORE and RUN stand for the folders."""
    (tmp_path / "Erika's scans").symlink_to(store)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my run.toml", "latent-dim = 8\ncapacity = 'tiny'\nmixing = true\n")
    words: tuple[object, ...] = ("--arch", "stylegan2", "--loss", "wgan-gp", "--max-size", 8)
    words += ("--lr", 0.00123456789012345, "--gp-weight", 9.87654321, "--no-mixing", "--batch=4")
    words += ("--kimg", 0.012)
    given = ("./Erika's scans/", *words, "--config", "my run.toml", "--out", "a run")
    environment = {"MRIGAN_TRAIN_DRIFT": "1.23456789e-4", "MRIGAN_TRAIN_FLIP": "0"}
    done = run("train", *given, "-q", **environment)
    assert done.exit_code == 0, done.stderr
    kept = json.loads((tmp_path / "a run" / "config.json").read_text())
    again = {"STORE": str(store), "RUN": "b run"}
    done = run(*(again.get(word, word) for word in kept["command"][1:]))
    assert done.exit_code == 0, done.stderr
    first, second = (
        load_checkpoint(list_checkpoints(tmp_path / f"{name} run")[0]) for name in "ab"
    )
    assert first.config == second.config
    assert (first.config.loss, first.config.gp_weight) == ("wgan-gp", 9.87654321)
    assert (first.config.drift, first.config.latent_dim) == (1.23456789e-4, 8)
    assert digest(first.state) == digest(second.state)
