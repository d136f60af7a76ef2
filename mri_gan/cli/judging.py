"""What `evaluate`, `audit` and `utility` share: their options, and opening what they compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options

if TYPE_CHECKING:
    from mri_gan.store.reader import StoreReader
    from mri_gan.synth.sample import Trained

Command = Callable[..., Any]
OPTIONS = (
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        required=True,
        help="The store that the model was trained on.",
    ),
    click.option("--size", type=int, default=None, help="Pixels  [default: the largest trained]."),
    click.option(
        "--psi", type=float, default=1.0, show_default=True, help="Truncation; 1 is none."
    ),
    click.option(
        "--noise", type=float, default=1.0, show_default=True, help="Strength of the noise."
    ),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps."),
    options.seed,
    options.as_json,
    options.quiet,
)


def shared(command: Command) -> Command:
    """The options that all three commands have."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def open_fakes(
    ckpt: Path, store: StoreReader, size: int | None, device: str
) -> tuple[Trained, int, float]:
    """A checkpoint that fits the store, the size to draw and its fade-in weight.

    Raises DataError or UsageError where the two do not go together.
    """
    from mri_gan.evaluate.images import check_fit
    from mri_gan.synth.sample import alpha_for, load_trained

    trained = load_trained(ckpt, device)
    size = trained.size if size is None else size
    alpha = alpha_for(trained, size)
    check_fit(trained, store, size)
    return trained, size, alpha


def describe_model(trained: Trained) -> dict[str, Any]:
    """What the results say of the checkpoint: names only, since a path can tell who works here."""
    from mri_gan.files import digest_file

    return {
        "run": trained.path.resolve().parent.name,
        "file": trained.path.name,
        "sha256": digest_file(trained.path),
        "nimg": trained.nimg,
    }


def describe_store(store: StoreReader) -> dict[str, Any]:
    """What the results say of the store."""
    return {
        "name": store.folder.resolve().name,
        "digest": store.digest,
        "depth": int(store.header["depth"]),
    }


def write_results(folder: Path, name: str, results: dict[str, Any]) -> Path:
    """The results as `NAME.json` in a folder that is made where needed."""
    from mri_gan.files import make_folder, write_text

    make_folder(folder)
    write_text(folder / name, json.dumps(results, indent=2) + "\n")
    return folder / name
