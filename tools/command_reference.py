"""Every command with all its options as one Markdown page, from the same source as `--help`.

Example: python tools/command_reference.py --out build/commands.md
"""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli.main import COMMANDS, LazyGroup, cli


def build_page() -> str:
    """The help of the group and of every command."""
    group = LazyGroup()
    context = click.Context(cli, info_name="mrigan", **cli.context_settings)
    parts = ["# Commands", _help_of(cli, context)]
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        parts += [f"## mrigan {name}", _help_of(command, click.Context(command, context, name))]
    return "\n\n".join(parts) + "\n"


def _help_of(command: click.Command, context: click.Context) -> str:
    context.max_content_width = 100
    return f"```text\n{command.get_help(context).rstrip()}\n```"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(out: Path) -> None:
    """Write the page."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(build_page(), encoding="utf-8")
    click.echo(str(out))


if __name__ == "__main__":
    main()
