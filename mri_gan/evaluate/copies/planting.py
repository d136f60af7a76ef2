"""Copies of training slices, changed in many ways, to see which of them a detector finds."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter

from mri_gan.pictures import Pixels, to_unit

# Slices [N, S, S] of 0..1, as many slices of others, random numbers
Change = Callable[[Pixels, Pixels, np.random.Generator], Pixels]


def move(
    images: Pixels,
    _others: Pixels,
    _rng: np.random.Generator,
    *,
    turn: float = 0,
    scale: float = 1,
    shift: float = 0,
    shear: float = 0,
    aspect: float = 1,
) -> Pixels:
    """Turned (degrees), scaled, moved (part of the width), black where nothing was."""
    angle = np.deg2rad(turn)
    shape = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    shape = shape @ np.array([[1, shear], [0, 1 / aspect]])
    offset = shape @ np.array([[-2 * shift], [2 * shift]])
    matrix = torch.tensor(np.hstack([shape, offset]), dtype=torch.float32)
    grid = F.affine_grid(
        matrix.expand(len(images), 2, 3), [len(images), 1, *images.shape[1:]], align_corners=False
    )
    return _sample(images, grid)


def _sample(images: Pixels, grid: torch.Tensor) -> Pixels:
    pictures = torch.from_numpy(np.ascontiguousarray(images, np.float32))[:, None]
    return F.grid_sample(pictures, grid, align_corners=False)[:, 0].numpy()


def stretch(images: Pixels, _others: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Moved smoothly by up to `amount` of the width, differently at 4 x 4 points."""
    count, size = len(images), images.shape[-1]
    coarse = torch.from_numpy(rng.uniform(-2 * amount, 2 * amount, (count, 2, 6, 6)))
    field = F.interpolate(coarse.float(), (size, size), mode="bicubic", align_corners=True)
    identity = F.affine_grid(
        torch.eye(2, 3).expand(count, 2, 3), [count, 1, size, size], align_corners=False
    )
    return _sample(images, identity + field.permute(0, 2, 3, 1))


def gamma(images: Pixels, _others: Pixels, _rng: np.random.Generator, *, power: float) -> Pixels:
    """Each value to a power."""
    return np.asarray(images**power, np.float32)


def contrast(images: Pixels, _others: Pixels, _rng: np.random.Generator, *, gain: float) -> Pixels:
    """Each value times a number, cut at 1."""
    return np.asarray(np.clip(images * gain, 0, 1), np.float32)


def shade(images: Pixels, _others: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Brighter towards one side and darker towards the other, as a coil's field would."""
    place = np.linspace(-1, 1, images.shape[-1])
    angle = rng.uniform(0, 2 * np.pi, (len(images), 1, 1))
    ramp = np.cos(angle) * place[:, None] + np.sin(angle) * place
    return np.asarray(np.clip(images * np.exp(amount * ramp), 0, 1), np.float32)


def soften(images: Pixels, _others: Pixels, _rng: np.random.Generator, *, sigma: float) -> Pixels:
    """Blurred by a Gaussian of `sigma` px."""
    sigmas, reach = (0, sigma, sigma), int(np.ceil(3 * sigma))
    soft = gaussian_filter(images, sigmas, output=np.float64, mode="constant", radius=reach)
    return np.asarray(soft, np.float32)


def add_noise(images: Pixels, _others: Pixels, rng: np.random.Generator, *, sigma: float) -> Pixels:
    """With Gaussian noise of a deviation of so much of the range, cut at 0 and 1."""
    noisy = images + sigma * rng.standard_normal(images.shape)
    return np.asarray(np.clip(noisy, 0, 1), np.float32)


def compress(images: Pixels, _others: Pixels, _rng: np.random.Generator, *, quality: int) -> Pixels:
    """Through an 8-bit JPEG."""
    found = []
    for grey in np.asarray(np.clip(images, 0, 1) * 255 + 0.5, np.uint8):
        stream = io.BytesIO()
        Image.fromarray(grey).save(stream, "JPEG", quality=quality)
        with Image.open(stream, formats=("JPEG",)) as read:
            found.append(to_unit(np.asarray(read)))
    return np.stack(found)


def mirror(
    images: Pixels, _others: Pixels, _rng: np.random.Generator, *, axes: tuple[int, ...]
) -> Pixels:
    """Reversed along axes (1 rows, 2 columns)."""
    return np.ascontiguousarray(np.flip(images, axes))


def posterise(images: Pixels, _others: Pixels, _rng: np.random.Generator, *, levels: int) -> Pixels:
    """Rounded to a few grey levels."""
    return np.asarray(np.round(images * (levels - 1)) / (levels - 1), np.float32)


def sharpen(images: Pixels, others: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """With its finer detail strengthened."""
    detail = images - soften(images, others, rng, sigma=1)
    return np.asarray(np.clip(images + amount * detail, 0, 1), np.float32)


def take_half(images: Pixels, others: Pixels, _rng: np.random.Generator, *, side: int) -> Pixels:
    """The upper, lower, left or right half (0 to 3); the other half is somebody else's."""
    made, middle = others.copy(), images.shape[-1] // 2
    part = (slice(None, middle), slice(middle, None))[side % 2]
    place = (slice(None), part, slice(None)) if side < 2 else (slice(None), slice(None), part)
    made[place] = images[place]
    return made


def blend(images: Pixels, others: Pixels, _rng: np.random.Generator, *, share: float) -> Pixels:
    """Mixed with somebody else's slice."""
    return np.asarray(share * images + (1 - share) * others, np.float32)


def black_out(images: Pixels, _others: Pixels, rng: np.random.Generator, *, part: float) -> Pixels:
    """With a black square of so much of the width somewhere in the middle half."""
    size = images.shape[-1]
    made, width = images.copy(), round(part * size)
    for image in made:
        y, x = rng.integers(size // 4, size * 3 // 4 - width + 1, 2)
        image[y : y + width, x : x + width] = 0
    return made


def chain(*steps: Change) -> Change:
    """Several changes, one after another."""

    def change(images: Pixels, others: Pixels, rng: np.random.Generator) -> Pixels:
        for step in steps:
            images = step(images, others, rng)
        return images

    return change


KINDS: dict[str, Change] = {
    "exact": partial(move),
    "rotation 3": partial(move, turn=3),
    "rotation 5": partial(move, turn=-5),
    "rotation 10": partial(move, turn=10),
    "scale 0.9": partial(move, scale=0.9),
    "scale 0.95": partial(move, scale=0.95),
    "scale 1.05": partial(move, scale=1.05),
    "scale 1.1": partial(move, scale=1.1),
    "shift 4 %": partial(move, shift=0.04),
    "shift 8 %": partial(move, shift=-0.08),
    "shift 12 %": partial(move, shift=0.12),
    "shear 0.1": partial(move, shear=0.1),
    "aspect 1.1": partial(move, aspect=1.1),
    "elastic 1 %": partial(stretch, amount=0.01),
    "elastic 2 %": partial(stretch, amount=0.02),
    "gamma 0.5": partial(gamma, power=0.5),
    "gamma 0.7": partial(gamma, power=0.7),
    "gamma 1.5": partial(gamma, power=1.5),
    "gamma 2": partial(gamma, power=2),
    "contrast 0.5": partial(contrast, gain=0.5),
    "contrast 1.5": partial(contrast, gain=1.5),
    "bias field 0.3": partial(shade, amount=0.3),
    "bias field 0.6": partial(shade, amount=0.6),
    "blur 0.5 px": partial(soften, sigma=0.5),
    "blur 1 px": partial(soften, sigma=1),
    "blur 2 px": partial(soften, sigma=2),
    "sharpened": partial(sharpen, amount=1),
    "noise 0.02": partial(add_noise, sigma=0.02),
    "noise 0.05": partial(add_noise, sigma=0.05),
    "noise 0.1": partial(add_noise, sigma=0.1),
    "JPEG 75": partial(compress, quality=75),
    "JPEG 30": partial(compress, quality=30),
    "JPEG 10": partial(compress, quality=10),
    "8 grey levels": partial(posterise, levels=8),
    "mirrored in columns": partial(mirror, axes=(2,)),
    "mirrored in rows": partial(mirror, axes=(1,)),
    "mirrored in both": partial(mirror, axes=(1, 2)),
    "upper half": partial(take_half, side=0),
    "lower half": partial(take_half, side=1),
    "left half": partial(take_half, side=2),
    "right half": partial(take_half, side=3),
    "blend 80/20": partial(blend, share=0.8),
    "blend 70/30": partial(blend, share=0.7),
    "blend 60/40": partial(blend, share=0.6),
    "square hidden": partial(black_out, part=0.2),
    "rotation 5 + gamma 1.5 + noise 0.02": chain(
        partial(move, turn=5, scale=0.95), partial(gamma, power=1.5), partial(add_noise, sigma=0.02)
    ),
    "mirrored + rotation 10 + JPEG 50": chain(
        partial(mirror, axes=(2,)), partial(move, turn=10), partial(compress, quality=50)
    ),
}
# What every audit plants: one or two of each sort, two of which are hard to detect.
USUAL = (
    "exact",
    "rotation 10",
    "scale 0.9",
    "shift 12 %",
    "gamma 0.5",
    "bias field 0.6",
    "blur 1 px",
    "noise 0.1",
    "JPEG 75",
    "mirrored in columns",
    "upper half",
    "left half",
    "blend 70/30",
    "blend 60/40",
    "elastic 2 %",
    "rotation 5 + gamma 1.5 + noise 0.02",
)


def plant(
    images: Pixels,
    others: Pixels,
    kinds: tuple[str, ...] = USUAL,
    seed: int = 0,
    changes: Mapping[str, Change] = KINDS,
) -> dict[str, Pixels]:
    """Each kind of copy of the images [N, S, S]; halves and blends are made with `others`."""
    names = list(changes)
    return {
        kind: changes[kind](images, others, np.random.default_rng((seed, names.index(kind))))
        for kind in kinds
    }
