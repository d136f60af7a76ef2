"""`mrigan walk`: a moving picture through what a model can draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing
from mri_gan.config import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mri_gan.pictures import Shows
    from mri_gan.synth.figures import Drawing
    from mri_gan.synth.walk import Walk

EPILOG = """\b
Examples:
  mrigan walk RUN --seeds 0-3 --loop --out walk.gif
  mrigan walk RUN --seeds 5,9 --space z --steps 48 --out walk.png
  mrigan walk RUN --seeds 7 --sweep age --out ageing.gif
  mrigan walk RUN --styles a/projection.npz --styles b/projection.npz --out between.gif
"""


@click.command("walk", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH)
@options.setting("--seeds", str, "0-3", "Seeds to visit: 0-3,9.")
@options.path("--out", "File to write: .gif, or .png for an animated PNG.", required=True)
@options.setting("--steps", int, 24, "Frames between two seeds.")
@options.setting(
    "--space",
    click.Choice(["w", "z"]),
    "w",
    "Straight lines in w, or great circles in z; always z where a network has no styles.",
)
@click.option("--loop", is_flag=True, help="Return to the start, without a pause.")
@options.setting("--sweep", str, None, "Vary this number of the condition through its range.")
@options.setting("--fps", float, 12, "Frames per second.")
@drawing.styles
@drawing.shared()
@options.device
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    seeds: str,
    out: Path,
    steps: int,
    space: str,
    loop: bool,
    sweep: str | None,
    fps: float,
    styles: tuple[Path, ...],
    how: drawing.How,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write an animation from seed to seed of a checkpoint or run folder CKPT.

    The noise stays the same throughout, so that grain does not flicker. With --styles the walk goes
    from one projected image to the next, through w of every layer and the noise that was found.
    """
    from mri_gan.files import make_folder
    from mri_gan.synth.sample import parse_seeds
    from mri_gan.synth.walk import Walk, check_suffix, describe, fit_walk, save_animation
    from mri_gan.values import say_count

    check_suffix(out)
    require(
        not styles or (space == "w" and sweep is None),
        "--styles walks in w only",
        "leave --space and --sweep out",
    )
    walk = Walk(tuple(parse_seeds(seeds)), steps, space, loop, sweep)
    hand = how.load(ckpt)
    walk = fit_walk(walk, hand.trained.generator)
    make_folder(out.parent)
    frames, captions, shows = _draw_frames(hand, walk, styles)
    save_animation(out, frames, fps, shows, captions, hand.edges, hand.trained.channel_names)
    if as_json:
        options.print_json({"files": [str(out)], "frames": len(frames), "size": hand.look.size})
    elif not quiet:
        through = f"{say_count(len(frames), 'frame')} in {walk.space}"
        click.echo(f"{out}: {through if styles else describe(walk, len(frames))}")


def _draw_frames(
    hand: Drawing, walk: Walk, styles: Sequence[Path]
) -> tuple[NDArray[Any], list[str], Shows]:
    """The frames [F, C, H, W], what stands below each, and what they show."""
    from mri_gan.pictures import Shows
    from mri_gan.synth.project import load_projection, walk_projections
    from mri_gan.synth.walk import caption_frames, caption_legs, walk_frames

    if not styles:
        return walk_frames(hand, walk).numpy(), caption_frames(hand, walk), Shows.SYNTHETIC
    found = [load_projection(path, hand) for path in styles]
    frames = walk_projections(hand, found, walk.steps, walk.loop).numpy()
    captions = caption_legs("image", range(1, len(found) + 1), walk.steps, walk.loop)
    return frames, captions, Shows.LIKENESS
