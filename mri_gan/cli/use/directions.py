"""`mrigan directions`: what a generator can change, found without labels."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing
from mri_gan.config import require

EPILOG = """\b
Examples:
  mrigan directions RUN --out directions
  mrigan directions RUN --method pca --count 10 --sweeps --seed 7 --out directions
"""


@click.command("directions", epilog=EPILOG)
@click.argument("ckpt", type=click.Path(path_type=Path))
@click.option(
    "--method",
    type=click.Choice(["sefa", "pca", "both"]),
    default="both",
    show_default=True,
    help="From the style layers' weights (sefa) or from w itself (pca).",
)
@click.option(
    "--count", type=int, default=6, show_default=True, help="Number of directions of each method."
)
@click.option(
    "--reach",
    type=float,
    default=3.0,
    show_default=True,
    help="Standard deviations in each direction.",
)
@click.option("--sweeps", is_flag=True, help="Also write an animation of each direction.")
@drawing.size
@drawing.psi
@drawing.noise
@drawing.condition
@options.seed
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder  [default: beside the checkpoint].",
)
@drawing.device
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    method: str,
    count: int,
    reach: float,
    sweeps: bool,
    size: int | None,
    psi: float,
    noise: float,
    condition: str | None,
    seed: int,
    out: Path | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the directions along which a checkpoint or run folder CKPT varies most.

    Writes a strip of pictures for each, and all vectors as directions.npz.
    """
    from mri_gan.files import make_folder
    from mri_gan.pictures import Shows, save_png
    from mri_gan.synth import directions
    from mri_gan.synth.figures import Drawing
    from mri_gan.synth.walk import save_animation

    require(0 < reach <= 100, f"--reach {reach}", "give standard deviations above 0")
    trained, look = drawing.load(ckpt, size, psi, noise, device)
    hand = Drawing(trained, look, condition)
    names = directions.METHODS if method == "both" else (method,)
    found = [directions.find_directions(hand, name, count) for name in names]
    folder = out or trained.path.parent
    make_folder(folder)
    written = [folder / "directions.npz"]
    directions.save_directions(written[0], found)
    for one in found:
        written.append(folder / f"{one.method}-{look.size}px.png")
        save_png(written[-1], directions.strips(hand, one, seed, reach), Shows.SYNTHETIC)
        for i in range(count if sweeps else 0):
            written.append(folder / f"{one.method}-{i:02d}-{look.size}px.gif")
            frames = directions.sweep(hand, one, i, seed, reach).numpy()
            save_animation(written[-1], frames, look.size, 12)
    if as_json:
        weights = {one.method: [round(float(x), 6) for x in one.weight] for one in found}
        options.print_json({"files": [str(path) for path in written], "weights": weights})
    elif not quiet:
        for path in written:
            click.echo(path)
