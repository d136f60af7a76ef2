"""Where the `mrigan` command starts: so little that Ctrl-C during the imports is handled too."""

import os
import sys


def main() -> None:
    """Run the command line."""
    try:
        from mri_gan.cli.main import cli

        cli(prog_name="mrigan")
    except KeyboardInterrupt:
        print("mrigan: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `mrigan info S | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
