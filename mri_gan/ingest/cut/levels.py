"""Slices fitted into square levels, and encoded at every level."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.config import LEVELS
from mri_gan.files import crc32
from mri_gan.ingest.cut.intensity import quantise
from mri_gan.ingest.cut.lanczos import resample
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.source import Source
from mri_gan.store.pyramid import enlarge, levels_below, nearest_indices
from mri_gan.store.schema import EncodedSlice, SliceRecord, encode, encode_upsampled

SHRINK_LIMIT = 0.9  # a level may be up to 10 % smaller than the slice, and no more
AT_ONCE = 16  # slices: numpy's calls cost more than the small levels themselves


@dataclass(frozen=True)
class Place:
    """Where a slice is in its square level.

    `size` is its height and width there; `scale` is level pixels per original pixel (rows,
    columns); `padding` is (top, bottom, left, right) in level pixels, negative where the slice is
    cropped; `pixel` is the size of a level pixel in the unit of the spacing.
    """

    level: int
    size: tuple[int, int]
    scale: tuple[float, float]
    padding: tuple[int, int, int, int]
    pixel: float


def native_level(side_px: float) -> int:
    """The smallest level that keeps a slice's detail (its side may shrink by a tenth at most)."""
    return next((lv for lv in LEVELS if lv >= SHRINK_LIMIT * side_px), LEVELS[-1])


@functools.lru_cache(maxsize=64)
def place_slice(
    shape: tuple[int, ...], spacing: tuple[float, float], fit: str, fov: float = 0.0
) -> Place:
    """Where a slice [H, W] of that spacing (row, column) goes.

    Without `fov` the square is the slice's longer side (`pad`) or its shorter one (`crop`);
    with it, the square is `fov` units wide, whatever the slice. `keep` leaves square pixels as they
    are and pads to the next level, as long as there is one.
    """
    extent = (shape[0] * spacing[0], shape[1] * spacing[1])
    side = fov or (min(extent) if fit == "crop" else max(extent))
    level = native_level(side / min(spacing))
    if fit == "keep" and side / min(spacing) <= LEVELS[-1]:
        level = next(lv for lv in LEVELS if lv >= round(side / min(spacing)))
        side = level * min(spacing)
    height, width = (max(1, round(length / side * level)) for length in extent)
    scale = (height / shape[0], width / shape[1])
    top, left = (level - height) // 2, (level - width) // 2
    padding = (top, level - height - top, left, level - width - left)
    return Place(level, (height, width), scale, padding, side / level)


def fit_square(
    pixels: NDArray[Any],
    spacing: tuple[float, float],
    fit: str,
    limits: tuple[float, float],
    fov: float = 0.0,
    ground: float = 0.0,
) -> tuple[NDArray[Any], Place]:
    """Resample to square pixels at the native level and pad (or crop) to a square.

    pixels [H, W] uint8, uint16 or float32; spacing (row, column) in any unit; limits are the
    smallest and largest value that resampling may produce, `ground` is what is padded with. One
    resampling does both the square pixels and the level; a slice that already fits is not touched.
    """
    placed = place_slice(pixels.shape, spacing, fit, fov)
    return _pad(resize(pixels, *placed.size, limits), placed.padding, ground), placed


def fit_stack(
    shades: NDArray[np.float32], placed: Place, depth: int, ground: float = 0.0
) -> NDArray[Any]:
    """Slices [N, H, W], 0..1, put into their level as grey levels [N, S, S]."""
    same = shades.shape[1:] == placed.size
    greys = quantise(shades, depth) if same else resample(shades, *placed.size, depth)
    around = quantise(np.full(1, ground, np.float32), depth)[0]
    return _pad(greys, placed.padding, int(around))


def fit_labels(labels: NDArray[Any], placed: Place) -> NDArray[Any]:
    """Labels [..., H, W] put where the slices went, by nearest neighbour: no new values appear."""
    rows, columns = (
        nearest_indices(have, want)
        for have, want in zip(labels.shape[-2:], placed.size, strict=True)
    )
    return _pad(labels[..., rows[:, None], columns], placed.padding)


def resize(
    pixels: NDArray[Any], height: int, width: int, limits: tuple[float, float]
) -> NDArray[Any]:
    """Lanczos resampling with antialiasing; the same size gives the same pixels."""
    if pixels.shape == (height, width):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    values = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    values = np.clip(values, *limits)
    if pixels.dtype != np.float32:
        values = np.floor(values + 0.5)
    return np.asarray(values, pixels.dtype)


def _pad(
    pixels: NDArray[Any], padding: tuple[int, int, int, int], ground: float = 0
) -> NDArray[Any]:
    """Pixels [..., H, W] with this many more, or fewer where it is negative, on each side."""
    top, bottom, left, right = padding
    *counts, rows, columns = pixels.shape
    pixels = pixels[
        ..., max(-top, 0) : rows - max(-bottom, 0), max(-left, 0) : columns - max(-right, 0)
    ]
    top, bottom, left, right = (max(pad, 0) for pad in padding)
    if not (top or bottom or left or right):
        return pixels
    rows, columns = pixels.shape[-2:]
    padded = np.full((*counts, top + rows + bottom, left + columns + right), ground, pixels.dtype)
    padded[..., top : top + rows, left : left + columns] = pixels
    return padded


def level_affine(affine: NDArray[np.float64], placed: Place) -> NDArray[np.float64]:
    """The affines [..., 3, 3] of placed slices: (column, row, 1) in level pixels -> RAS+ mm."""
    rows, columns = placed.scale
    top, left = placed.padding[0], placed.padding[2]
    # Pixel centres: level pixel p covers the original coordinate (p - pad + 1/2) / scale - 1/2.
    to_cut = np.array(
        [
            [1 / columns, 0, (0.5 - left) / columns - 0.5],
            [0, 1 / rows, (0.5 - top) / rows - 0.5],
            [0, 0, 1],
        ]
    )
    return np.asarray(affine @ to_cut)


# What goes into the store


def record_of(
    source: Source, placed: Place, shape: tuple[int, ...], notes: tuple[str, ...] | None = None
) -> SliceRecord:
    """What is known of a slice [H, W] from its source's name and its place in the level."""
    naming = source.naming
    return SliceRecord(
        source=source.name,
        subject=naming.subject,
        session=naming.session,
        split=naming.split,
        side=naming.side,
        plane=naming.plane,
        position=naming.position,
        native=placed.level,
        shape=(shape[0], shape[1]),
        scale=(round(placed.scale[0], 6), round(placed.scale[1], 6)),
        padding=placed.padding,
        labels=source.labels,
        notes=notes,
        contrast=source.contrast,
    )


@dataclass(frozen=True)
class Drawn:
    """A slice [S, S] at its native level, with its mask, which remains to be encoded."""

    record: SliceRecord
    pixels: NDArray[Any]
    mask: NDArray[Any] | None = None
    others: tuple[NDArray[Any], ...] = ()  # the same slice in other contrasts


def encode_slices(drawn: Sequence[Drawn], config: PrepareConfig) -> list[EncodedSlice]:
    """All eight levels of slices, in order; those of one kind that follow each other at once."""
    encoded: list[EncodedSlice] = []
    for _, run in itertools.groupby(drawn, key=_kind):
        alike = list(run)
        for start in range(0, len(alike), AT_ONCE):
            some = alike[start : start + AT_ONCE]
            masks = [one.mask for one in some if one.mask is not None]
            encoded += encode_stack(
                [one.record for one in some],
                np.stack([[one.pixels, *one.others] for one in some]),
                config,
                np.stack(masks) if masks else None,
            )
    return encoded


def _kind(drawn: Drawn) -> tuple[object, ...]:
    return drawn.pixels.shape, drawn.pixels.dtype, drawn.mask is None, len(drawn.others)


def encode_stack(
    records: Sequence[SliceRecord],
    pixels: NDArray[Any],
    config: PrepareConfig,
    masks: NDArray[Any] | None = None,
) -> list[EncodedSlice]:
    """All eight levels of slices [N, C, S, S] and masks [N, S, S]; a checksum ties each record."""
    with_masks = pixels if masks is None else np.concatenate((pixels, masks[:, None]), axis=1)
    images = np.ascontiguousarray(with_masks)
    labels = () if masks is None else (pixels.shape[1],)  # behind the shades
    levels = levels_below(images, labels)
    encoded: list[EncodedSlice] = []
    for number, (record, image) in enumerate(zip(records, images, strict=True)):
        below = {level: encode(stack[number]) for level, stack in levels.items()}
        encoded.append(
            (record.to_json(checksum=crc32(image.data)), below | _above(image, labels, config))
        )
    return encoded


def _above(image: NDArray[Any], labels: Sequence[int], config: PrepareConfig) -> dict[int, bytes]:
    """The levels above that of an image [C, S, S]: computed on read, or written out."""
    native = int(image.shape[-1])
    above = [level for level in LEVELS if level > native]
    if config.materialize:
        return {level: encode(enlarge(image, level, labels)) for level in above}
    return dict.fromkeys(above, encode_upsampled(native))
