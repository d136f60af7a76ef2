"""Cutting volumes into slices the right way up, and fitting slices into square levels.

Display convention (radiological): axial and coronal slices show the patient's right on the
left of the picture; anterior (axial) or superior (coronal, sagittal) is up; sagittal slices
look to the left.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.config import LEVELS
from mri_gan.ingest.cut.intensity import above, quantise
from mri_gan.ingest.cut.lanczos import resample
from mri_gan.store.pyramid import nearest_indices

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
SLAB = 16  # slices that are copied together: so many neighbouring voxels share a cache line
THICK = 1.5  # times its width: a voxel that long was measured across a slice
SHRINK_LIMIT = 0.9  # a level may be up to 10 % smaller than the slice, and no more


def acquired_plane(volume: Volume) -> str:
    """The plane that a volume's slices were taken in; empty where its voxels do not say.

    Across thick slices voxels are longer than in them, by half at least; a single slice has one
    voxel there.
    """
    planes = sorted(AXES, key=AXES.__getitem__)
    flat = [axis for axis in range(3) if volume.voxels.shape[axis] == 1]
    if len(flat) == 1:
        return planes[flat[0]]
    order = np.argsort(volume.spacing)
    _, middle, longest = volume.spacing[order]
    return planes[int(order[2])] if longest > THICK * middle else ""


@dataclass(frozen=True)
class Cut:
    """One slice [H, W] of a volume in display orientation, before resizing.

    `affine` maps (column, row, 1) to RAS+ mm [3, 3]; `position_mm` is the coordinate of the
    slice's centre along the plane's axis.
    """

    pixels: NDArray[Any]
    position: int
    position_mm: float
    affine: NDArray[np.float64]


def cut(volume: Volume, plane: str, positions: Sequence[int]) -> Iterator[Cut]:
    """Those slices of a volume along one plane."""
    affines = affines_of(volume, plane)
    places_mm = positions_mm(volume, plane)
    for slab, pixels in cut_slabs(volume, plane, positions):
        for position, one in zip(slab, pixels, strict=True):
            yield Cut(one, position, places_mm[position], affines[position])


def cut_slabs(
    volume: Volume, plane: str, positions: Sequence[int]
) -> Iterator[tuple[Sequence[int], NDArray[Any]]]:
    """Those slices, by rising position, as stacks [N, H, W] in display orientation.

    What is near each other in the volume is copied together.
    """
    stack = np.moveaxis(volume.voxels, AXES[plane], 0)[:, ::-1, ::-1].transpose(0, 2, 1)
    for _, group in itertools.groupby(positions, lambda position: position // SLAB):
        slab = list(group)
        copied = np.ascontiguousarray(stack[slab[0] : slab[-1] + 1])
        if len(copied) > len(slab):
            copied = copied[np.subtract(slab, slab[0])]
        yield slab, copied


def positions_mm(volume: Volume, plane: str) -> list[float]:
    """The `position_mm` of all slices along one plane."""
    _, height, width = display_shape(volume, plane)
    centres = affines_of(volume, plane) @ ((width - 1) / 2, (height - 1) / 2, 1)
    return [float(mm) for mm in centres[:, AXES[plane]]]


def foreground_shares(volume: Volume, plane: str, threshold: float) -> list[float]:
    """The share of voxels above the threshold in all slices along one plane."""
    stack = np.moveaxis(volume.voxels, AXES[plane], 0)
    counts: list[int] = []
    for start in range(0, len(stack), SLAB):
        inside = above(stack[start : start + SLAB], threshold)
        counts += [int(np.count_nonzero(one)) for one in inside]
    return [count / stack[0].size for count in counts]


def affines_of(volume: Volume, plane: str) -> NDArray[np.float64]:
    """The affine of every slice along one plane: (column, row, 1) -> RAS+ mm [N, 3, 3]."""
    axis = AXES[plane]
    across, down = (a for a in range(3) if a != axis)
    count, height, width = display_shape(volume, plane)
    to_voxel = np.zeros((count, 4, 3))  # (column, row, 1) -> voxel indices
    to_voxel[:, across] = (-1, 0, width - 1)
    to_voxel[:, down] = (0, -1, height - 1)
    to_voxel[:, axis, 2] = np.arange(count)
    to_voxel[:, 3, 2] = 1
    return np.asarray(volume.affine[:3] @ to_voxel)


def display_shape(volume: Volume, plane: str) -> tuple[int, int, int]:
    """How many slices there are along a plane, their height and their width."""
    axis = AXES[plane]
    across, down = (a for a in range(3) if a != axis)
    size = volume.voxels.shape
    return size[axis], size[down], size[across]


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


@dataclass(frozen=True)
class Fitted:
    """A slice that fills a square level, and how it got there."""

    pixels: NDArray[Any]
    place: Place

    @property
    def scale(self) -> tuple[float, float]:
        """Level pixels per original pixel (rows, columns)."""
        return self.place.scale

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Black level pixels added at (top, bottom, left, right)."""
        return self.place.padding


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
) -> Fitted:
    """Resample to square pixels at the native level and pad (or crop) to a square.

    pixels [H, W] uint8, uint16 or float32; spacing (row, column) in any unit; limits are the
    smallest and largest value that resampling may produce, `ground` is what is padded with. One
    resampling does both the square pixels and the level; a slice that already fits is not touched.
    """
    placed = place_slice(pixels.shape, spacing, fit, fov)
    return Fitted(_pad(resize(pixels, *placed.size, limits), placed.padding, ground), placed)


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
