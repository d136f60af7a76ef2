"""Copies of training slices, planted to see whether a detector finds them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from mri_gan.evaluate.images import Pixels

JPEG_QUALITY = 75
LARGEST_SHIFT = 0.05  # of the width

Change = Callable[[Pixels, np.random.Generator], Pixels]


def keep(images: Pixels, _rng: np.random.Generator) -> Pixels:
    """The images as they are."""
    return images


def shift(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Moved by one pixel or more and at most 5 % of the width, black where nothing was."""
    most = max(1, int(LARGEST_SHIFT * images.shape[-1]))
    moved = np.zeros_like(images)
    for source, target in zip(images, moved, strict=True):
        y, x = rng.integers(1, most + 1, 2) * rng.choice([-1, 1], 2)
        target[:] = np.roll(source, (y, x), (0, 1))
        target[(slice(None, y) if y > 0 else slice(y, None)), :] = 0
        target[:, (slice(None, x) if x > 0 else slice(x, None))] = 0
    return moved


def change_intensity(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Other gain (0.7 to 1.3) and gamma (0.7 to 1.4), as another window would give."""
    gain, gamma = rng.uniform([[0.7], [0.7]], [[1.3], [1.4]], (2, len(images)))[..., None, None]
    return np.asarray(np.clip(gain * images**gamma, 0, 1), np.float32)


def compress(images: Pixels, _rng: np.random.Generator) -> Pixels:
    """Through an 8-bit JPEG of quality 75."""
    return np.stack([_through_jpeg(image) for image in images])


def _through_jpeg(image: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(image * 255 + 0.5, np.uint8)).save(
        stream, "JPEG", quality=JPEG_QUALITY
    )
    with Image.open(stream, formats=("JPEG",)) as read:
        return np.asarray(np.asarray(read) / 255, np.float32)


def mirror(images: Pixels, _rng: np.random.Generator) -> Pixels:
    """Left and right swapped."""
    return np.ascontiguousarray(images[..., ::-1])


def everything(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Shifted, of other intensity, and compressed."""
    return compress(change_intensity(shift(images, rng), rng), rng)


KINDS: dict[str, Change] = {
    "exact": keep,
    "shifted": shift,
    "intensity": change_intensity,
    "jpeg": compress,
    "mirrored": mirror,
    "shifted + intensity + jpeg": everything,
}


def plant(images: Pixels, seed: int = 0) -> dict[str, Pixels]:
    """Each kind of copy of the images."""
    return {
        kind: change(images, np.random.default_rng((seed, i)))
        for i, (kind, change) in enumerate(KINDS.items())
    }
