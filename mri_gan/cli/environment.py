"""Options from the environment: `MRIGAN_TRAIN_MAX_SIZE=64` is `mrigan train --max-size 64`.

Every option of every command has a variable, `MRIGAN_<COMMAND>_<OPTION>`; only `--help` and
`--version` have none, since a command that is given them does no work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from mri_gan.cli.options import explain_unknown, options_of
from mri_gan.errors import UsageError
from mri_gan.values import find_near


def join_names(*names: str) -> str:
    """("train", "max-size") -> 'MRIGAN_TRAIN_MAX_SIZE'."""
    return "_".join(("mrigan", *names)).replace("-", "_").upper()


def name_variables(command: click.Command) -> None:
    """Let every option of a command be given by its variable.

    Also by one with the name of the option's parameter, as in earlier versions.
    """
    for flag, option in options_of(command).items():
        names = (flag, str(option.name))
        option.envvar = list(dict.fromkeys(join_names(str(command.name), name) for name in names))


def find_variable(option: click.Parameter) -> str:
    """The variable that gives an option at this moment."""
    return next(name for name in option.envvar or () if os.environ.get(name))


def refuse_unknown(command: click.Command, commands: Iterable[str]) -> None:
    """Raise UsageError for a variable of this command that is none of its options, as by a typo.

    MRIGAN_EXPORT_MODEL_OUT is of `export-model`, not of `export`: the longest of the `commands`.
    Of one whose command is misspelt there is a warning: it may belong to another program.
    """
    prefixes = [f"{join_names(name)}_" for name in commands]
    own = f"{join_names(str(command.name))}_"
    known = {name for option in options_of(command).values() for name in option.envvar or ()}
    for name in sorted(name for name in os.environ if name.startswith(join_names(""))):
        of = max(filter(name.startswith, prefixes), key=len, default="")
        if of == own and name not in known:
            raise UsageError(f"{name}: no such option", _explain(name.removeprefix(own), command))
        if not of and (meant := _find_meant(name, command, known, commands)):
            click.echo(f"warning: {name}: no such command: did you mean {meant}?", err=True)


def _find_meant(
    name: str, command: click.Command, known: Iterable[str], commands: Iterable[str]
) -> str:
    """MRIGAN_GENERATE_PSI for MRIGAN_GENERAT_PSI: an option after a word nearest to this command.

    Empty for others: MRIGAN_HOME is somebody else's.
    """
    for variable in sorted(known, key=len, reverse=True):
        option = variable.removeprefix(join_names(str(command.name), ""))
        word = name.removeprefix(join_names("")).removesuffix(f"_{option}")
        said = word.lower().replace("_", "-")
        if name == join_names(word, option) and find_near(said, commands) == command.name:
            return variable
    return ""


def _explain(rest: str, command: click.Command) -> str:
    """What to set in place of a variable that ends in `rest`."""
    name = rest.lower().replace("_", "-")
    return explain_unknown(name, command, lambda flag: join_names(str(command.name), flag))
