"""What `mrigan train --dry-run` says of each architecture, beside what a run then took.

Each runs twice in a process of its own, on the same store with the laptop preset made short: once
to tell and once to train.  Time is that of the steps without start, pictures and checkpoints;
memory is the most that the process held.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from mri_gan.checkpoint import list_checkpoints
from mri_gan.config import ARCHS, METRICS, read_metrics

ROW = "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}"
MIB = 2**20


@click.command()
@click.argument("store", type=click.Path(path_type=Path, exists=True))
@click.option("--phase", default=160, show_default=True, help="Images of fade-in and of stay.")
@click.option("--arch", "archs", multiple=True, type=click.Choice(ARCHS), help="[default: all]")
@click.option("--threads", default=1, show_default=True)
def main(store: Path, phase: int, archs: tuple[str, ...], threads: int) -> None:
    """Print said and seen seconds, memory and checkpoint size for each architecture on STORE."""
    click.echo(ROW.format("", "s said", "seen", "MiB said", "seen", "ckpt MiB", "seen"))
    for arch in archs or ARCHS:
        words = ["train", str(store), "--preset", "laptop", "--arch", arch, "--phase", str(phase)]
        words += ["--threads", str(threads), "--snap", "1000", "--quiet"]
        with tempfile.TemporaryDirectory() as folder:
            needs = json.loads(mrigan(*words, "--dry-run")[0])["needs"]
            _, peak = mrigan(*words, "--out", folder)
            spent = sum(line["seconds"] for line in read_metrics(Path(folder) / METRICS))
            size = list_checkpoints(Path(folder))[0].stat().st_size
        told = (needs["seconds"], needs["memory_bytes"] / MIB, needs["checkpoint_bytes"] / MIB)
        seen = (spent, peak / MIB, size / MIB)
        cells = [f"{x:.1f}" for pair in zip(told, seen, strict=True) for x in pair]
        click.echo(ROW.format(arch, *cells))


def mrigan(*words: str) -> tuple[str, int]:
    """What a command printed, and the most memory in bytes that it held."""
    command = [sys.executable, "-m", "mri_gan", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with {process.returncode}")
    return printed, used.ru_maxrss * 1024


if __name__ == "__main__":
    main()
