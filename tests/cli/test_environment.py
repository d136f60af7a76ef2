"""Every option of every command can be given by the environment, and by one rule."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mri_gan.cli.environment import find_variable, join_names
from mri_gan.cli.main import COMMANDS, cli
from mri_gan.cli.options import options_of


def run(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, [*map(str, words)], env=environment, prog_name="mrigan")


def command_named(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_given_by_the_variable_of_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = command_named(name)
    context = click.Context(command)
    for flag, option in options_of(command).items():
        # Earlier versions took the name of the parameter.
        for variable in (join_names(name, flag), join_names(name, str(option.name))):
            with monkeypatch.context() as one:
                one.setenv(variable, "1")
                # Older versions of click already read a switch here.
                assert option.value_from_envvar(context) in ("1", ["1"], "True")
                assert find_variable(option) == variable


def test_no_variable_gives_two_options() -> None:
    given = [
        variable
        for name in COMMANDS
        for option in options_of(command_named(name)).values()
        for variable in option.envvar or ()
    ]
    assert len(given) == len(set(given)) > 200


@pytest.mark.usefixtures("unmeasured")
def test_a_run_takes_options_by_the_names_of_its_help(store: Path, tmp_path: Path) -> None:
    levels = tmp_path / "levels.tsv"
    levels.write_text("size\tfade\tstay\tbatch\tlr\n8\t0\t100\t4\t0.001\n")
    given = {"SCHEDULE": str(levels), "EVAL_EVERY": "5", "SNAP": "5", "MIXING": "1"}
    variables = {f"MRIGAN_TRAIN_{name}": value for name, value in given.items()}
    done = run("train", store, "--init-size", 8, "--max-size", 8, "--dry-run", "-q", **variables)
    assert done.exit_code == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert settings["mixing"] is True
    assert [level["size"] for level in settings["schedule"]] == [8]


def test_a_flag_and_a_required_option_come_from_the_environment(
    store: Path, tmp_path: Path
) -> None:
    done = run("info", store, MRIGAN_INFO_JSON="1")
    assert json.loads(done.stdout)["slices"] > 0
    done = run("export", store, "--out", tmp_path / "png", MRIGAN_EXPORT_FORMAT="png")
    assert done.exit_code == 0, done.stderr
    assert any((tmp_path / "png").rglob("*.png"))


@pytest.mark.parametrize(
    ("command", "wrong", "hint"),
    [
        ("train", "EVAL_EVRY", "did you mean MRIGAN_TRAIN_EVAL_EVERY?"),
        ("train", "SAVE_EVERY", "see mrigan train --help"),
        ("train", "NO_JUDGE", "set MRIGAN_TRAIN_JUDGE to false"),
        ("train", "STORE", "see mrigan train --help"),
        ("generate", "PSY", "did you mean MRIGAN_GENERATE_PSI?"),
        ("export", "FORMT", "did you mean MRIGAN_EXPORT_FORMAT?"),
        ("export-model", "OUTT", "did you mean MRIGAN_EXPORT_MODEL_OUT?"),
    ],
)
def test_a_misspelt_variable_is_refused_by_every_command(
    command: str, wrong: str, hint: str
) -> None:
    """Before anything else is wrong; but whoever asks for help gets it."""
    variable = join_names(command, wrong)
    done = run(command, "here", **{variable: "1"})
    assert (done.exit_code, done.stderr) == (2, f"mrigan: {variable}: no such option: {hint}\n")
    assert run(command, "--help", **{variable: "1"}).exit_code == 0


@pytest.mark.parametrize(
    ("command", "variable", "meant"),
    [
        ("generate", "MRIGAN_GENERAT_PSI", "MRIGAN_GENERATE_PSI"),
        ("train", "MRIGAN_TRIAN_MAX_SIZE", "MRIGAN_TRAIN_MAX_SIZE"),
        ("export-model", "MRIGAN_EXPOT_MODEL_OUT", "MRIGAN_EXPORT_MODEL_OUT"),
        ("train", "MRIGAN_GENERAT_PSI", ""),
        ("generate", "MRIGAN_GENERAT_PSY", ""),
        ("generate", "MRIGAN_PSI", ""),
        ("test", "MRIGAN_HOME_OUT", ""),
    ],
)
def test_a_misspelt_command_in_a_variable_is_told_where_an_option_follows(
    command: str, variable: str, meant: str
) -> None:
    """A warning and no more: the variable may be of a program of the user's own."""
    done = run(command, "here", **{variable: "1"})
    said = f"warning: {variable}: no such command: did you mean {meant}?\n"
    assert (said in done.stderr) == bool(meant)
    assert ("warning" in done.stderr) == bool(meant)
    assert "no such option" not in done.stderr


def test_a_variable_of_another_command_is_left_alone(store: Path) -> None:
    done = run("info", store, MRIGAN_TRAIN_KIMGG="1", MRIGAN_INFO="1", MRIGAN_HOME="/here")
    assert done.exit_code == 0, done.stderr
    done = run("export", "NOPE", "--format", "png", "--out", "x", MRIGAN_EXPORT_MODEL_OUT="a.onnx")
    assert "no such store" in done.stderr
