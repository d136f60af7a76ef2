"""Pictures of styles that `mrigan project` found: drawn again, mixed, and walked between.

What is drawn from them looks like the images that were projected, which may be scans of people, so
every file is marked as a likeness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mri_gan.config import require
from mri_gan.errors import DataError, UsageError
from mri_gan.files import explain_os_error, make_folder, one_line, write_bytes
from mri_gan.greys import to_stored
from mri_gan.pictures import Shows
from mri_gan.synth.figures import Drawing, default_crossover
from mri_gan.synth.generate import png_bytes
from mri_gan.synth.sample import synthesise

HINT = "give a projection.npz that `mrigan project` wrote for this model and --size"


@dataclass(frozen=True)
class Projected:
    """What was found for one image: styles [L, D], and noise images [1, 1, r, r]."""

    ws: Tensor
    noise: tuple[Tensor, ...]


def load_projections(files: Sequence[Path], drawing: Drawing) -> list[Projected]:
    """The styles and noise of each file.

    Raises DataError for a file that is none, UsageError for one of another model or size.
    """
    return [load_projection(path, drawing) for path in files]


def load_projection(path: Path, drawing: Drawing) -> Projected:
    """One of them."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = sorted(name for name in arrays.files if name.startswith("noise_"))
            ws = torch.from_numpy(arrays["ws"].astype(np.float32))
            noise = [torch.from_numpy(arrays[name].astype(np.float32)) for name in names]
    except OSError as error:
        raise explain_os_error(error, path) from error
    except Exception as error:  # numpy and zipfile let many types through for damaged files
        raise DataError(f"{path}: not a projection ({one_line(error)})", HINT) from error
    net, look = drawing.trained.generator, drawing.look
    shapes = [shape[2:] for shape in net.noise_shapes(1, look.px)] if noise else []
    fits = tuple(ws.shape) == (net.num_layers(look.px), len(net.w_avg))
    if not fits or [tuple(image.shape) for image in noise] != shapes or not ws.isfinite().all():
        raise UsageError(f"{path}: does not fit {drawing.trained.path} at {look.size} px", HINT)
    device = net.w_avg.device
    return Projected(ws.to(device), tuple(image[None, None].to(device) for image in noise))


@torch.no_grad()
def draw_projections(drawing: Drawing, found: Sequence[Projected]) -> Tensor:
    """One image each [N, C, size, size], drawn one by one as when they were found."""
    net, look = drawing.trained.generator, drawing.look
    images = [
        synthesise(
            net,
            one.ws[None],
            [look.noise * image for image in one.noise] if look.noise else None,
            look,
        ).cpu()
        for one in found
    ]
    return torch.cat(images)


def between(a: Projected, b: Projected, part: float) -> Projected:
    """Styles on the straight line, noise on the circle that keeps its strength; 0 is a, 1 is b."""
    turn = part * math.pi / 2
    pairs = zip(a.noise, b.noise, strict=False)
    noise = tuple(math.cos(turn) * x + math.sin(turn) * y for x, y in pairs)
    return Projected(torch.lerp(a.ws, b.ws, part), noise)


def walk_projections(
    drawing: Drawing, found: Sequence[Projected], steps: int, loop: bool
) -> Tensor:
    """Frames [F, C, size, size] from each to the next, `steps` for each leg, and the last."""
    require(len(found) > 1, "a walk needs two projections or more", "give --styles twice")
    require(2 <= steps <= 10_000, f"--steps {steps}", "give 2 to 10,000")
    ends = [*found[1:], found[0]] if loop else found[1:]
    legs = [
        between(a, b, i / steps) for a, b in zip(found, ends, strict=False) for i in range(steps)
    ]
    return draw_projections(drawing, legs if loop else [*legs, found[-1]])


def mix_projections(
    drawing: Drawing, found: Sequence[Projected], crossover: int | None
) -> Image.Image:
    """A table: coarse styles of the top row, fine styles of the left column, noise of the row."""
    layers = len(found[0].ws)
    first = default_crossover(layers) if crossover is None else crossover
    images = draw_projections(drawing, found)
    rows = [torch.full_like(images[:1], -1), images]
    for side, fine in zip(images, found, strict=True):
        mixed = [
            Projected(torch.cat([coarse.ws[:first], fine.ws[first:]]), fine.noise)
            for coarse in found
        ]
        rows += [side[None], draw_projections(drawing, mixed)]
    return drawing.sheet(torch.cat(rows), len(found) + 1)


def write_projections(drawing: Drawing, files: Sequence[Path], out: Path, depth: int) -> list[Path]:
    """One PNG for each file, `style000000.png` and on; the names of files may name people."""
    make_folder(out)
    images = to_stored(draw_projections(drawing, load_projections(files, drawing)).numpy(), depth)
    facts = {"generator": drawing.trained.digest, "made by": "projection of a given image"}
    written = [out / f"style{number:06d}.png" for number in range(len(images))]
    for path, image in zip(written, images, strict=True):
        pixels = image if len(image) == 3 else image[:1]
        write_bytes(path, png_bytes(pixels, facts, Shows.LIKENESS))
    return written
