"""Options that all commands share which draw from a checkpoint, and loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mri_gan.cli import options
from mri_gan.config import require

if TYPE_CHECKING:
    from mri_gan.synth.figures import Drawing

SIZE = options.setting(
    "--size", int, None, "Pixels; smaller images are shrunk  [default: the largest trained]."
)
PSI = options.setting("--psi", float, 0.7, "Truncation, where a network has styles; 1 is none.")
NOISE = options.setting(
    "--noise", float, 1.0, "Strength of a stylegan's noise; 0 shows the anatomy alone."
)
CONDITION = options.setting(
    "--condition",
    str,
    None,
    "Labels to draw, for a model trained with them; may be repeated  [default: as in training].",
    metavar="NAME=VALUE,..",
    multiple=True,
    callback=lambda _ctx, _param, given: ",".join(given) or None,
)
styles = options.path(
    "--styles",
    "A projection.npz of `mrigan project` in place of seeds; may be repeated.",
    multiple=True,
)


PICTURES = {".png", ".jpg", ".jpeg", ".pdf", ".svg", ".tif", ".tiff", ".gif"}


def require_folder(out: Path | None) -> None:
    """Raise UsageError where the folder to be is named like a picture."""
    require(
        out is None or out.is_dir() or out.suffix.lower() not in PICTURES,
        f"--out {out}: names a picture, but several PNG files are written",
        f"name a folder, such as --out {out and out.with_suffix('')}",
    )


@dataclass(frozen=True)
class How:
    """How a command draws, by its options."""

    size: int | None  # px; None: the largest trained
    noise: float
    condition: str | None
    psi: float = 1.0
    device: str = "cpu"

    def load(self, ckpt: Path, psi: float | None = None) -> Drawing:
        """The generator of a checkpoint or run folder, ready to draw."""
        from mri_gan.synth.figures import Drawing
        from mri_gan.synth.sample import load_trained, only_styled, settings_to_draw

        psi = self.psi if psi is None else psi
        trained = load_trained(ckpt, self.device)
        look = settings_to_draw(trained, self.size, psi, self.noise)
        hand = Drawing(trained, look, self.condition)
        if not trained.generator.has_styles:
            _warn_unused("psi", psi, only_styled("have styles", trained))
        if not hand.has_noise:
            _warn_unused("noise", self.noise, only_styled("add noise", trained))
        return hand


def _warn_unused(name: str, value: float, reason: str) -> None:
    """Say that an option of the command line changes nothing for this network."""
    given = click.get_current_context().get_parameter_source(name)
    if given is ParameterSource.COMMANDLINE:
        click.echo(f"warning: --{name} {value:g} changes nothing: {reason}", err=True)


def shared(psi: bool = True) -> options.Decorator:
    """The options about drawing, with or without `--psi`; with `--device` they arrive as `how`."""
    return options.gathered("how", How, SIZE, *([PSI] if psi else []), NOISE, CONDITION)
