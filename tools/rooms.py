"""Files, lines, and the modules that one PNG slice and one training run pass.

Example: python tools/rooms.py
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click
import numpy as np
from PIL import Image

PACKAGE = Path(__file__).parents[1] / "mri_gan"


def modules_called(work: Callable[[], object]) -> list[str]:
    """The modules of the package whose functions are called, in the order of the first call."""
    seen: dict[str, None] = {}

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(PACKAGE)) and not is_importing(frame):
            seen.setdefault(str(Path(path).relative_to(PACKAGE).with_suffix("")))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(seen)


def is_importing(frame: FrameType | None) -> bool:
    """Whether a call is part of importing a module, which is not a visit."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename.startswith(str(PACKAGE)):
            return True
        if code.co_filename.startswith("<frozen importlib"):  # sets a module as an attribute
            return True
        frame = frame.f_back
    return False


def run_command(*arguments: str) -> None:
    """Run one command of `mrigan` in this process."""
    from mri_gan.cli.main import cli

    cli(list(arguments), standalone_mode=False)


def write_slices(folder: Path, people: int = 12) -> Path:
    """PNG slices of nobody: 4 for each of some people."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for person in range(people):
        for number in range(4):
            grey = rng.integers(0, 255, (64, 64), dtype=np.uint8)
            Image.fromarray(grey).save(folder / f"p{person:02}_slice_{number}.png")
    return folder


@click.command()
def main() -> None:
    """Print the size of the package and the modules that its two walks pass."""
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    lines = sum(len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py"))
    click.echo(f"{len(files)} modules, {lines} lines")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slices, store, run = write_slices(folder / "slices"), folder / "STORE", folder / "RUN"
        prepare = ["prepare", str(slices), "--out", str(store), "--workers", "0", "--quiet"]
        passed = modules_called(lambda: run_command(*prepare))
        ingest = [module for module in passed if module.startswith("ingest/")]
        click.echo(f"a PNG slice: {len(ingest)} of ingest: {', '.join(ingest)}")
        click.echo(f"  in all {len(passed)}: {', '.join(passed)}")
        train = ["train", str(store), "--out", str(run), "--max-size", "16", "--phase", "16"]
        train += ["--batch", "4", "--capacity", "tiny", "--latent-dim", "8", "--quiet"]
        passed = modules_called(lambda: run_command(*train))
        click.echo(f"a training run: {len(passed)}: {', '.join(passed)}")


if __name__ == "__main__":
    main()
