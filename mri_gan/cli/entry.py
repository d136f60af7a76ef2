"""Where the `mrigan` command starts: so little that Ctrl-C during the imports is handled too."""

import os
import signal
import sys
from types import FrameType

from mri_gan.errors import Interrupted

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Run the command line."""
    try:
        for name in STOP_SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _interrupt)
        from mri_gan.cli.main import cli

        cli(prog_name="mrigan")
    except Interrupted as error:
        print("mrigan: stopped: run the same command again to continue", file=sys.stderr)
        sys.exit(128 + error.signum)
    except BrokenPipeError:  # `mrigan info S | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise Interrupted(signum)
