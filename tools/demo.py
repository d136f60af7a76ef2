"""The main job from scans to synthetic slices, on the data that ships with the repository.

Runs the three commands a user would type, prints them, and ends with the pictures to open.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click

from mri_gan.config import METRICS, read_metrics

ROOT = Path(__file__).resolve().parent.parent
VOLUME = ROOT / "data" / "demo" / "mni152_t1_1mm.nii.gz"
MINUTES = 4
ENOUGH_KIMG = 8  # at 4 the samples were still white blobs


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "build" / "demo")
@click.option("--minutes", type=float, default=MINUTES, help="Train shorter or longer.")
def main(out: Path, minutes: float) -> None:
    """Prepare, train and test on the MNI152 average brain; about five minutes on two cores."""
    start = time.perf_counter()
    store, run = out / "store", out / "run"
    mrigan("prepare", VOLUME, "--out", store, "--plane", "axial")
    mrigan(*train_words(store, run, minutes))
    mrigan(
        "test",
        run,
        "--size",
        "64",
        "--figure",
        "samples",
        "--cols",
        "6",
        "--rows",
        "4",
        "--out",
        out,
    )
    if short := explain_blobs(run, store, minutes):
        click.echo(f"\n{short}")
    click.echo(f"\nDone in {time.perf_counter() - start:.0f} s. Open these pictures:")
    pictures = {
        store / "preview.png": "real slices in the store",
        run / "reals.png": "real slices at the size that was trained",
        out / "samples-64px.png": "synthetic slices",
        run / "samples": "the same latents as training went on",
        run / "loss.png": "the losses",
    }
    for path, meaning in pictures.items():
        click.echo(f"  {path}  {meaning}")
    command = command_path()
    if shutil.which("mrigan") is None and command.exists():
        click.echo(
            f"\nThe command is {command}; `source {command.with_name('activate')}` lets you type "
            "mrigan in this terminal."
        )


def command_path() -> Path:
    """The command of this very installation."""
    return Path(sys.executable).with_name("mrigan")


def train_words(store: Path, run: Path, minutes: float) -> tuple[object, ...]:
    """The command that trains, and continues."""
    length = ("--minutes", minutes, "--no-judge")  # one person: nobody is held out
    return ("train", store, "--preset", "laptop", *length, "--snap", 4, "--out", run)


def explain_blobs(run: Path, store: Path, minutes: float) -> str:
    """Why the samples of a slow machine show no brains, and the command that goes on."""
    shown = max((line["nimg"] for line in read_metrics(run / METRICS)), default=0) / 1000
    if shown >= ENOUGH_KIMG:
        return ""
    words = map(str, train_words(store, run, minutes))
    times = f" (about {ENOUGH_KIMG / shown - 1:.0f} times)" if 0 < shown < ENOUGH_KIMG / 2 else ""
    return (
        f"This machine trained on {shown:.1f} thousand images in {minutes:g} minutes; brains are "
        f"recognisable from about {ENOUGH_KIMG} thousand on. To continue{times}:\n"
        f"  {command_path()} {shlex.join(words)}"
    )


def mrigan(*arguments: object) -> None:
    """Run one command of this very installation, shown as a user would type it."""
    words = [str(argument) for argument in arguments]
    click.echo(f"\n$ mrigan {shlex.join(words)}")
    done = subprocess.run([sys.executable, "-m", "mri_gan", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
