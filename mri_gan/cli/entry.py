"""Where `mrigan` starts; imports little, so that Ctrl-C during other imports is handled too."""

import os
import signal
import sys
from types import FrameType
from typing import Any

from mri_gan.errors import Interrupted

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Run the command line."""
    try:
        _handle(_interrupt)
        _print_anything()
        from mri_gan.cli.main import cli

        cli(prog_name="mrigan")
    except Interrupted as error:
        print(f"mrigan: stopped: {say_again(sys.argv)}", file=sys.stderr)
        sys.exit(128 + error.signum)
    except BrokenPipeError:  # `mrigan info S | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        # All is done. Python gives these signals back to the system while it ends, and a
        # late one would make a finished command look as if it had been killed.
        _handle(signal.SIG_IGN)


def say_again(words: list[str]) -> str:
    """What the command that was stopped does when it is run again."""
    if {"prepare", "train", "generate"}.intersection(words[1:2]):
        return "run the same command again to continue"
    return "the same command begins anew"


def _print_anything() -> None:
    """Have output that a terminal's encoding lacks spelled out, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _handle(handler: Any) -> None:
    """Set what the stop signals do, but for those ignored from the start, as `nohup` does."""
    for name in STOP_SIGNALS:
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, handler)


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise Interrupted(signum)
