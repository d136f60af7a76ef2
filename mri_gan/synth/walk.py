"""Animations: a path through the latents, or a sweep of a number of the condition."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.conditions import Column, Conditions
from mri_gan.config import require, require_one_of
from mri_gan.errors import UsageError
from mri_gan.files import write_bytes
from mri_gan.nets.build import latents, styles_of_latents
from mri_gan.nets.layers import GeneratorNet
from mri_gan.pictures import (
    Shows,
    add_lines,
    add_mark,
    build_tile,
    magnification,
    mark_edges,
    png_text,
    sheet_pixels,
    wrap_label,
)
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import describe_rows, encode_rows, labels_of
from mri_gan.values import say_count

SPACES = ("w", "z")
SUFFIXES = (".gif", ".png", ".apng")
MOST_FRAMES = 10_000

Stop = TypeVar("Stop")
Between = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Walk:
    """Which way, how many frames from one seed to the next, and whether it ends where it began."""

    seeds: tuple[int, ...]
    steps: int = 24
    space: str = "w"
    loop: bool = False
    sweep: str | None = None  # the number to run through instead

    def __post_init__(self) -> None:
        require_one_of("--space", self.space, SPACES)
        require(2 <= self.steps <= MOST_FRAMES, f"--steps {self.steps}", f"give 2 to {MOST_FRAMES}")
        require(
            self.sweep is not None or len(self.seeds) > 1,
            "a walk needs two seeds or more",
            "give --seeds 0-3, or --sweep a number the model was trained with",
        )
        legs = max(1, len(self.seeds))
        require(
            legs * self.steps <= MOST_FRAMES,
            f"more than {MOST_FRAMES:,} frames",
            "give fewer seeds or steps",
        )


def check_suffix(path: Path) -> None:
    """Raise UsageError unless the name ends as one of the formats does."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{path}: no animation is called so",
            "end its name in .png (animated PNG, lossless) or .gif; ffmpeg makes an MP4 of either",
        )


def fit_walk(walk: Walk, generator: GeneratorNet) -> Walk:
    """The walk as this network can take it: without styles there is no w, so the way is in z."""
    return walk if generator.has_styles else replace(walk, space="z")


def walk_frames(drawing: Drawing, walk: Walk) -> Tensor:
    """The frames [F, C, size, size]; the noise stays the same in all of them."""
    w = sweep_styles(drawing, walk) if walk.sweep else path_styles(drawing, walk)
    return drawing.images(w, [walk.seeds[0]] * len(w))


def path_styles(drawing: Drawing, walk: Walk) -> Tensor:
    """w along the way through all seeds [F, D].

    In z along great circles, as latents are normalised, mapped afterwards; in w along straight
    lines (Karras et al. 2019, section 4.1).
    """
    if walk.space == "w":
        return frames_through(drawing.w(walk.seeds), walk.steps, walk.loop, lerp)
    generator = drawing.trained.generator
    z = latents(walk.seeds, generator.latent_dim, generator.w_avg.device)
    rows = drawing.conditions(walk.seeds)
    conditions = None if rows is None else frames_through(rows, walk.steps, walk.loop, lerp)
    zs = frames_through(z, walk.steps, walk.loop, slerp)
    return styles_of_latents(generator, zs, drawing.look.psi, conditions)


def sweep_styles(drawing: Drawing, walk: Walk) -> Tensor:
    """w of every seed with one number of the condition running from its least to its largest."""
    rows, generator = sweep_conditions(drawing, walk), drawing.trained.generator
    z = latents(walk.seeds, generator.latent_dim, "cpu")
    zs = z.repeat_interleave(walk.steps, 0).to(generator.w_avg.device)
    return styles_of_latents(generator, zs, drawing.look.psi, rows)


def sweep_conditions(drawing: Drawing, walk: Walk) -> Tensor:
    """The condition of every frame [F, K]: a seed keeps its labels but for the number that runs."""
    spec = drawing.trained.conditions
    column = find_column(spec, walk.sweep or "")
    values = [value_at(column, part) for part in sweep_parts(walk.steps, walk.loop)]
    kept = labels_of(spec, drawing.condition, walk.seeds)
    return encode_rows(spec, [{**own, column.name: value} for own in kept for value in values])


def frames_through(points: Tensor, steps: int, loop: bool, between: Between) -> Tensor:
    """Frames through all points: `steps` from each to the next, and the last or the first again.

    A loop leaves the first point out at its end, so that it can be repeated without a halt.
    """
    ends = torch.cat([points[1:], points[:1]]) if loop else points[1:]
    part = (torch.arange(steps, device=points.device) / steps)[:, None]  # [T, 1]
    legs = [between(a, b, part) for a, b in zip(points, ends, strict=False)]
    return torch.cat(legs if loop else [*legs, points[-1:]])


def list_legs(stops: Sequence[Stop], steps: int, loop: bool) -> list[tuple[Stop, Stop, float]]:
    """The same frames of any stops: from which one to which, and how far."""
    ends = [*stops[1:], stops[0]] if loop else stops[1:]
    pairs = zip(stops, ends, strict=False)
    legs = [(a, b, i / steps) for a, b in pairs for i in range(steps)]
    return legs if loop else [*legs, (stops[-1], stops[-1], 0.0)]


def lerp(a: Tensor, b: Tensor, part: Tensor) -> Tensor:
    """Along the straight line: two [D], part [T, 1] -> [T, D]."""
    return torch.lerp(a.expand(len(part), -1), b.expand(len(part), -1), part)


def slerp(a: Tensor, b: Tensor, part: Tensor) -> Tensor:
    """Along the great circle, with the length between those of the ends.  Shoemake 1985."""
    length_a, length_b = a.norm(), b.norm()
    cosine = torch.dot(a, b) / (length_a * length_b)
    angle = torch.acos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-4:
        return lerp(a, b, part)
    unit = ((1 - part) * angle).sin() * a / length_a + (part * angle).sin() * b / length_b
    turned: Tensor = unit / angle.sin() * torch.lerp(length_a, length_b, part)
    return turned


def sweep_parts(steps: int, loop: bool) -> list[float]:
    """0 to 1 in `steps`; in a loop there and back, slow at the ends."""
    if not loop:
        return [i / (steps - 1) for i in range(steps)]
    return [(1 - math.cos(2 * math.pi * i / steps)) / 2 for i in range(steps)]


def find_column(spec: Conditions, name: str) -> Column:
    """The number of that name; raises UsageError, naming those there are."""
    numbers = {column.name: column for column in spec.columns if not column.is_class}
    if name not in numbers:
        known = f"choose from {', '.join(numbers)}" if numbers else ""
        if any(column.name == name for column in spec.columns):
            raise UsageError(
                f"--sweep {name}: is a class, not a number",
                known or f"walk from seed to seed, or generate --condition {name}=...",
            )
        raise UsageError(
            f"--sweep {name}: not a number among the model's conditions",
            known or f"there is none: leave --sweep out, or train with --condition {name}",
        )
    return numbers[name]


def value_at(column: Column, part: float) -> float:
    """A number at a part of its range."""
    return column.low + (column.high - column.low) * part


def save_animation(
    path: Path,
    images: NDArray[Any],
    fps: float,
    shows: Shows = Shows.SYNTHETIC,
    captions: Sequence[str] = (),
    edges: Sequence[str] = (),
    channels: Sequence[str] = (),
) -> None:
    """[F, C, H, W] of -1..1 as an endlessly repeated GIF or animated PNG, marked.

    Below each frame stand its caption and what it shows, in its upper corners `edges` (R and L).
    `channels` are the names of what an image has several of.
    """
    check_suffix(path)
    require(0 < fps <= 100, f"--fps {fps}", "give a number above 0, up to 100")
    scale = magnification(images.shape[-1])
    tiles = [build_tile(image, scale) for image in sheet_pixels(images, channels)]
    for tile in tiles:
        mark_edges(tile, edges)
    texts = [wrap_label(caption, tiles[0].width) for caption in captions] or [[]] * len(tiles)
    lines = max(map(len, texts))  # all frames are as high
    frames = [
        add_mark(add_lines(tile, text + [""] * (lines - len(text))), shows)
        for tile, text in zip(tiles, texts, strict=True)
    ]
    stream = io.BytesIO()
    common = {"save_all": True, "append_images": frames[1:], "loop": 0, "duration": 1000 / fps}
    if path.suffix.lower() == ".gif":
        frames[0].save(stream, "GIF", comment=shows.value.encode(), **common)
    else:
        frames[0].save(stream, "PNG", pnginfo=png_text(shows), **common)
    write_bytes(path, stream.getvalue())


def caption_frames(drawing: Drawing, walk: Walk) -> list[str]:
    """What each frame of a walk shows: between which seeds and how far, or its labels."""
    if not walk.sweep:
        return caption_legs("seed", walk.seeds, walk.steps, walk.loop)
    seeds = [seed for seed in walk.seeds for _ in range(walk.steps)]
    rows = sweep_conditions(drawing, walk)
    said = describe_rows(drawing.trained.conditions, rows, len(rows))
    return [f"{labels}, seed {seed}" for labels, seed in zip(said, seeds, strict=True)]


def caption_legs(kind: str, names: Sequence[int], steps: int, loop: bool) -> list[str]:
    """Captions for the frames of `frames_through`: 'seed 3', 'seed 3 to 4: 25%', ..., 'seed 4'."""
    return [
        f"{kind} {a} to {b}: {part:.0%}" if part else f"{kind} {a}"
        for a, b, part in list_legs(names, steps, loop)
    ]


def describe(walk: Walk, frames: int) -> str:
    """What was drawn, for one line."""
    kind = f"sweep of {walk.sweep}" if walk.sweep else f"walk in {walk.space}"
    return f"{kind}, {say_count(frames, 'frame')}{', a loop' if walk.loop else ''}"
