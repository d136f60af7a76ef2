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
@click.argument("ckpt", type=options.PATH)
@options.setting(
    "--method",
    click.Choice(["sefa", "pca", "both"]),
    "both",
    "From the style layers' weights (sefa) or from w itself (pca).",
)
@options.setting("--count", int, 6, "Number of directions of each method.")
@options.setting("--reach", float, 3.0, "Standard deviations in each direction.")
@click.option("--sweeps", is_flag=True, help="Also write an animation of each direction.")
@drawing.shared()
@options.seed
@options.path("--out", "Folder  [default: beside the checkpoint].")
@options.device
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    method: str,
    count: int,
    reach: float,
    sweeps: bool,
    how: drawing.How,
    seed: int,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the directions along which a checkpoint or run folder CKPT varies most.

    Writes a strip of pictures for each, and all vectors as directions.npz. Only stylegan and
    stylegan2 have directions.
    """
    from mri_gan.files import make_folder
    from mri_gan.pictures import Shows, save_png
    from mri_gan.synth import directions
    from mri_gan.synth.walk import save_animation

    require(0 < reach <= 100, f"--reach {reach}", "give standard deviations above 0")
    hand = how.load(ckpt)
    trained, look = hand.trained, hand.look
    names = directions.METHODS if method == "both" else (method,)
    found = [directions.find_directions(hand, name, count) for name in names]
    folder = out or trained.path.parent
    make_folder(folder)
    written = [folder / "directions.npz"]
    directions.save_directions(written[0], found)
    for one in found:
        written.append(folder / f"{one.method}-{look.size}px.png")
        strips = directions.draw_strips(hand, one, seed, reach)
        save_png(written[-1], strips, Shows.SYNTHETIC, trained.nimg)
        for i in range(count if sweeps else 0):
            written.append(folder / f"{one.method}-{i + 1:02d}-{look.size}px.gif")
            frames, captions = directions.draw_sweep(hand, one, i, seed, reach)
            shows, channels = Shows.SYNTHETIC, trained.channel_names
            save_animation(written[-1], frames.numpy(), 12, shows, captions, hand.edges, channels)
    weights = {one.method: [round(float(x), 6) for x in one.weight] for one in found}
    options.report_files(written, as_json, quiet, weights=weights)
