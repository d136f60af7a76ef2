"""Kinds of copies that the audit was not built on, to see what it makes of them."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.exposure import equalize_adapthist, equalize_hist

from mri_gan.evaluate.copies.planting import (
    Change,
    add_noise,
    black_out,
    blend,
    chain,
    compress,
    contrast,
    gamma,
    mirror,
    move,
    posterise,
    sharpen,
    soften,
    stretch,
    take_half,
)

Pixels = NDArray[np.float32]
Random = np.random.Generator


def each(change: Change) -> Change:
    """A change of one picture at a time, cut to 0..1."""

    def apply(images: Pixels, others: Pixels, rng: Random) -> Pixels:
        made = [change(one, other, rng) for one, other in zip(images, others, strict=True)]
        return np.asarray(np.clip(np.stack(made), 0, 1), np.float32)

    return apply


def add_rician_noise(images: Pixels, _others: Pixels, rng: Random, *, sigma: float) -> Pixels:
    """The magnitude of a signal with noise in both parts (Gudbjartsson & Patz 1995, equation 1)."""
    real, imaginary = sigma * rng.standard_normal((2, *images.shape))
    return np.asarray(np.hypot(images + real, imaginary), np.float32)


def add_specks(images: Pixels, _others: Pixels, rng: Random, *, share: float) -> Pixels:
    """A share of the pixels black or white (salt and pepper)."""
    hit = rng.random(images.shape)
    return np.where(hit < share / 2, 0, np.where(hit > 1 - share / 2, 1, images))


def multiply_noise(images: Pixels, _others: Pixels, rng: Random, *, sigma: float) -> Pixels:
    """Each pixel times a random number around 1."""
    return np.asarray(images * (1 + sigma * rng.standard_normal(images.shape)), np.float32)


def equalise_locally(image: Pixels, _other: Pixels, _rng: Random) -> Pixels:
    """Contrast-limited adaptive histogram equalisation (CLAHE)."""
    return np.asarray(equalize_adapthist(np.clip(image, 0, 1), 16, 0.02), np.float32)


def equalise(image: Pixels, _other: Pixels, _rng: Random) -> Pixels:
    """Global histogram equalisation of what is not black."""
    return np.asarray(equalize_hist(image, mask=image > 0.02) * (image > 0.02), np.float32)


def ghost(image: Pixels, _other: Pixels, _rng: Random, *, share: float) -> Pixels:
    """A copy moved by half of the height on top, as of periodic motion."""
    moved = np.roll(image, len(image) // 2, 0)
    return np.asarray((1 - share) * image + share * moved, np.float32)


def spoil_lines(image: Pixels, _other: Pixels, rng: Random, *, px: float) -> Pixels:
    """A third of the lines of k-space taken after the head has moved."""
    moved = ndimage.shift(image, rng.uniform(-px, px, 2), order=1)
    lines, late = np.fft.fft2(image), np.fft.fft2(moved)
    chosen = rng.random(len(image)) < 1 / 3
    lines[chosen] = late[chosen]
    return np.asarray(np.abs(np.fft.ifft2(lines)), np.float32)


def truncate_lines(image: Pixels, _other: Pixels, _rng: Random, *, part: float) -> Pixels:
    """Only the middle of k-space: Gibbs ringing."""
    size = len(image)
    far = np.abs(np.fft.fftfreq(size)) > part / 2
    lines = np.fft.fft2(image)
    lines[far] = 0
    lines[:, far] = 0
    return np.asarray(np.abs(np.fft.ifft2(lines)), np.float32)


def add_spike(image: Pixels, _other: Pixels, rng: Random, *, amount: float) -> Pixels:
    """Stripes from one wrong point of k-space."""
    place = np.mgrid[: len(image), : len(image)] * (2 * np.pi / len(image))
    y, x = rng.integers(4, 14, 2)
    return np.asarray(image + amount * np.cos(y * place[0] + x * place[1]), np.float32)


def halve_and_enlarge(image: Pixels, _other: Pixels, _rng: Random, *, by: float) -> Pixels:
    """Made smaller by linear interpolation, and as large as before."""
    small = ndimage.zoom(image, 1 / by, order=1, grid_mode=True, mode="nearest")
    back = ndimage.zoom(small, len(image) / len(small), order=1, grid_mode=True, mode="nearest")
    return np.asarray(back, np.float32)


def darken_corners(image: Pixels, _other: Pixels, _rng: Random, *, amount: float) -> Pixels:
    """Darker with the distance from the middle."""
    y, x = np.mgrid[-1 : 1 : len(image) * 1j, -1 : 1 : len(image) * 1j]
    return np.asarray(image * np.exp(-amount * (x**2 + y**2)), np.float32)


def add_rim(image: Pixels, _other: Pixels, _rng: Random) -> Pixels:
    """A bright ring around the head, as of fat and skin."""
    head = ndimage.binary_fill_holes(ndimage.gaussian_filter(image, 1) > 0.1)
    outer = ndimage.binary_dilation(head, iterations=4)
    rim = outer & ~ndimage.binary_dilation(head, iterations=2)
    return np.where(rim, 0.9, image).astype(np.float32)


def remove_rim(image: Pixels, _other: Pixels, _rng: Random, *, px: int) -> Pixels:
    """The outermost pixels of the head made black."""
    head = ndimage.binary_fill_holes(ndimage.gaussian_filter(image, 1) > 0.1)
    return np.where(ndimage.binary_erosion(head, iterations=px), image, 0).astype(np.float32)


def swap_square(image: Pixels, other: Pixels, rng: Random, *, part: float) -> Pixels:
    """A square somewhere in the middle half is somebody else's."""
    width, size = round(part * len(image)), len(image)
    y, x = rng.integers(size // 4, size * 3 // 4 - width + 1, 2)
    made = image.copy()
    made[y : y + width, x : x + width] = other[y : y + width, x : x + width]
    return made


def add_lesion(image: Pixels, _other: Pixels, rng: Random) -> Pixels:
    """A bright blurred disc of an eighth of the width."""
    size = len(image)
    y, x = rng.integers(size * 3 // 8, size * 5 // 8, 2)
    rows, columns = np.mgrid[:size, :size]
    disc = np.hypot(rows - y, columns - x) < size / 16
    weight = ndimage.gaussian_filter(disc.astype(np.float32), 1)
    return np.asarray(image * (1 - weight) + 0.9 * weight, np.float32)


def keep_quarter(image: Pixels, other: Pixels, _rng: Random) -> Pixels:
    """One quarter of the picture; all else is somebody else's."""
    made, middle = other.copy(), len(image) // 2
    made[:middle, :middle] = image[:middle, :middle]
    return made


def invert(image: Pixels, _other: Pixels, _rng: Random) -> Pixels:
    """Dark for bright within the head."""
    return np.where(image > 0.02, 1 - image, 0).astype(np.float32)


def smooth_rows(image: Pixels, _other: Pixels, _rng: Random) -> Pixels:
    """Blurred by 2 px along the rows alone."""
    return np.asarray(ndimage.gaussian_filter1d(image, 2, axis=1), np.float32)


def take_median(image: Pixels, _other: Pixels, _rng: Random) -> Pixels:
    """The median of 3 x 3 pixels."""
    return np.asarray(ndimage.median_filter(image, 3), np.float32)


def narrow_window(images: Pixels, _others: Pixels, _rng: Random) -> Pixels:
    """Cut at 15 and 75 % of the range and spread over all of it."""
    return np.asarray(np.clip((images - 0.15) / 0.6, 0, 1), np.float32)


def lift(images: Pixels, _others: Pixels, _rng: Random) -> Pixels:
    """Brighter by a tenth of the range, the background included."""
    return np.asarray(np.clip(images + 0.1, 0, 1), np.float32)


def turn_square(images: Pixels, _others: Pixels, _rng: Random) -> Pixels:
    """Turned by 90 degrees."""
    return np.ascontiguousarray(np.rot90(images, axes=(1, 2)))


UNSEEN: dict[str, Change] = {
    "rotation 7 + gamma 0.7 + blur 1 px": chain(
        partial(move, turn=7), partial(gamma, power=0.7), partial(soften, sigma=1)
    ),
    "rotation 8 + scale 1.08": partial(move, turn=-8, scale=1.08),
    "shift 6 % + contrast 1.3": chain(partial(move, shift=0.06), partial(contrast, gain=1.3)),
    "crop of 10 %": partial(move, scale=1 / 0.9),
    "aspect 0.88": partial(move, aspect=0.88),
    "aspect 1.15": partial(move, aspect=1.15),
    "shear 0.15": partial(move, shear=0.15),
    "shear 0.08 + rotation 4": partial(move, shear=-0.08, turn=4),
    "elastic 1.5 %": partial(stretch, amount=0.015),
    "elastic 1 % + noise 0.05": chain(
        partial(stretch, amount=0.01), partial(add_noise, sigma=0.05)
    ),
    "CLAHE": each(equalise_locally),
    "histogram equalised": each(equalise),
    "narrow window": narrow_window,
    "brighter by 0.1": lift,
    "inverted": each(invert),
    "16 grey levels": partial(posterise, levels=16),
    "4 grey levels": partial(posterise, levels=4),
    "vignette": each(partial(darken_corners, amount=1.0)),
    "ghost of 20 %": each(partial(ghost, share=0.2)),
    "motion of 2 px": each(partial(spoil_lines, px=2.0)),
    "half of k-space": each(partial(truncate_lines, part=0.5)),
    "spike of 0.1": each(partial(add_spike, amount=0.1)),
    "halved and enlarged": each(partial(halve_and_enlarge, by=2)),
    "a third and enlarged": each(partial(halve_and_enlarge, by=3)),
    "blur 2 px in rows": each(smooth_rows),
    "blur 1.5 px": partial(soften, sigma=1.5),
    "median of 3 x 3": each(take_median),
    "sharpened twice": partial(sharpen, amount=2),
    "noise 0.07": partial(add_noise, sigma=0.07),
    "noise 0.15": partial(add_noise, sigma=0.15),
    "Rician noise 0.05": partial(add_rician_noise, sigma=0.05),
    "Rician noise 0.1": partial(add_rician_noise, sigma=0.1),
    "salt and pepper 2 %": partial(add_specks, share=0.02),
    "salt and pepper 5 %": partial(add_specks, share=0.05),
    "speckle 0.2": partial(multiply_noise, sigma=0.2),
    "JPEG 20": partial(compress, quality=20),
    "blur 1 px + noise 0.05": chain(partial(soften, sigma=1), partial(add_noise, sigma=0.05)),
    "rim added": each(add_rim),
    "rim of 3 px removed": each(partial(remove_rim, px=3)),
    "square of 30 % hidden": partial(black_out, part=0.3),
    "square of 25 % replaced": each(partial(swap_square, part=0.25)),
    "lesion added": each(add_lesion),
    "mirrored + blend 80/20": chain(partial(blend, share=0.8), partial(mirror, axes=(2,))),
    "upper half + rotation 5": chain(partial(take_half, side=0), partial(move, turn=5)),
    "a quarter": each(keep_quarter),
    "rotation 15": partial(move, turn=15),
    "scale 0.85": partial(move, scale=0.85),
    "shift 16 %": partial(move, shift=0.16),
    "turned by 90 degrees": turn_square,
}
