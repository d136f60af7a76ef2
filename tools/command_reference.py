"""Every command with all its options as one Markdown page and as manual pages, as `--help` has it.

Example: python tools/command_reference.py --out build/commands.md --man build/man
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from mri_gan import __version__
from mri_gan.cli.main import COMMANDS, LazyGroup, cli


def build_page() -> str:
    """The help of the group and of every command."""
    parts = ["# Commands"]
    for command, context in list_commands():
        name = context.command_path
        parts += [f"## {name}"] if command is not cli else []
        parts.append(_help_of(command, context))
    return "\n\n".join(parts) + "\n"


def list_commands() -> list[tuple[click.Command, click.Context]]:
    """The group, then its commands, each with the context of its help."""
    group = LazyGroup()
    context = click.Context(cli, info_name="mrigan", **cli.context_settings)
    found: list[tuple[click.Command, click.Context]] = [(cli, context)]
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        found.append((command, click.Context(command, context, name)))
    return found


def manual_page(command: click.Command, context: click.Context) -> str:
    """One manual page in the language of man(7)."""
    name = context.command_path.replace(" ", "-")
    title = f'.TH "{name.upper()}" 1 "" "mrigan {__version__}" "mrigan"'
    usage = " ".join(command.collect_usage_pieces(context))
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    lines = [title, ".SH NAME", f"{name} \\- {_roff(paragraphs[0])}"]
    lines += [".SH SYNOPSIS", f".B {context.command_path}", _roff(usage), ".SH DESCRIPTION"]
    lines += [f".PP\n{_roff(text)}" for text in paragraphs]
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    options = [
        f".TP\n.B {_roff(flags)}\n{_roff(text)}" for flags, text in filter(None, records) if text
    ]
    lines += [".SH OPTIONS", *options]
    if command is cli:
        named = [f".TP\n.B {name}\n{_roff(text)}" for name, (_, text) in COMMANDS.items()]
        lines += [".SH COMMANDS", *named]
    if command.epilog:
        examples = command.epilog.replace("\b", "").strip().splitlines()[1:]
        lines += [".SH EXAMPLES", ".nf", *(_roff(line.strip()) for line in examples), ".fi"]
    return "\n".join(lines) + "\n"


def _definitions(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f".TP\n.B {_roff(term)}\n{_roff(text)}" for term, text in pairs]


def _roff(text: str) -> str:
    """Text as man(7) takes it: a backslash, a hyphen and a leading dot would be commands."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in ".'" else line for line in escaped.splitlines())


def _help_of(command: click.Command, context: click.Context) -> str:
    context.max_content_width = 100
    return f"```text\n{command.get_help(context).rstrip()}\n```"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--man", type=click.Path(path_type=Path), help="Folder of manual pages.")
def main(out: Path, man: Path | None) -> None:
    """Write the page, and a manual page for each command."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(build_page(), encoding="utf-8")
    click.echo(str(out))
    if man:
        man.mkdir(parents=True, exist_ok=True)
        for command, context in list_commands():
            path = man / f"{context.command_path.replace(' ', '-')}.1"
            path.write_text(manual_page(command, context), encoding="utf-8")
        click.echo(str(man))


if __name__ == "__main__":
    main()
