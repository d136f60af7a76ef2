"""Made-up volumes as arrays in RAS+ order, and the ways to lay their axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SHAPE = (20, 26, 22)
ORIGIN_MM = (-11.0, 7.0, 3.0)
TISSUE, MARKER = 500.0, 1000.0


def marker_index(shape: Sequence[int]) -> tuple[int, int, int]:
    """The voxel at the centre of the marker: low x is left, high y anterior, high z superior."""
    x, y, z = (round(n * share) for n, share in zip(shape, (0.3, 0.7, 0.65), strict=True))
    return x, y, z


def brain_volume(
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    *,
    marker: bool = True,
    marker_radius_mm: float = 1.5,
) -> NDArray[np.float64]:
    """A textured ellipsoid in faint noise [X, Y, Z], with the marker inside it."""
    rng = np.random.default_rng(seed)
    radius = sum(
        ((axis - (n - 1) / 2) / (0.42 * n)) ** 2
        for axis, n in zip(np.ogrid[tuple(slice(n) for n in shape)], shape, strict=True)
    )
    tissue = TISSUE + rng.uniform(-100, 100, shape)
    edge = np.clip((1.2 - np.asarray(radius)) / 0.5, 0, 1)  # voxels half in air, as in real scans
    voxels = edge * tissue + rng.uniform(0, 20, shape)
    if marker:
        near = distance_mm(shape, spacing_mm, marker_index(shape)) <= marker_radius_mm
        voxels[near] = MARKER
    return np.asarray(voxels, np.float64)


def ball_volume(
    shape: tuple[int, int, int], spacing_mm: Sequence[float], radius_mm: float
) -> NDArray[np.float64]:
    """A soft bright ball in faint noise: at half of 1000 it is as round as its radius says."""
    centre = tuple((n - 1) / 2 for n in shape)
    depth_mm = radius_mm - distance_mm(shape, spacing_mm, centre)
    ball = np.clip(depth_mm / max(spacing_mm) + 0.5, 0, 1)
    return np.random.default_rng(0).uniform(0, 1, shape) + 1000 * ball


def distance_mm(
    shape: Sequence[int], spacing_mm: Sequence[float], centre: Sequence[float]
) -> NDArray[np.float64]:
    """The distance of every voxel from a point given in voxels."""
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    squares = [
        ((grid - c) * mm) ** 2 for grid, c, mm in zip(grids, centre, spacing_mm, strict=True)
    ]
    return np.asarray(np.sqrt(squares[0] + squares[1] + squares[2]), np.float64)


def orientations() -> list[str]:
    """All 48 ways to store the axes of a volume, as in `LPS`."""
    return [
        "".join(letters)
        for order in itertools.permutations(("LR", "PA", "IS"))
        for letters in itertools.product(*order)
    ]


def oriented(
    volume: Array, axes: str, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)
) -> tuple[Array, NDArray[np.float64]]:
    """The RAS+ volume stored along other axes, and the affine that says so."""
    order = ["RLAPSI".index(letter) // 2 for letter in axes]
    stored = volume.transpose(order)
    affine = np.eye(4)
    affine[:3] = 0
    affine[:3, 3] = ORIGIN_MM
    for column, (axis, letter) in enumerate(zip(order, axes, strict=True)):
        positive = letter in "RAS"
        affine[axis, column] = spacing_mm[axis] if positive else -spacing_mm[axis]
        if not positive:
            stored = np.flip(stored, column)
            affine[axis, 3] += spacing_mm[axis] * (volume.shape[axis] - 1)
    return np.ascontiguousarray(stored), affine


def head_volume(*, face: bool, skull: bool = True, spacing_mm: float = 3.0) -> NDArray[np.float64]:
    """A head [X, Y, Z] of 180 x 216 x 240 mm: brain, skull, scalp, neck, and a face or none."""
    shape = tuple(round(mm / spacing_mm) for mm in (180, 216, 240))
    x, y, z = (
        (axis - (n - 1) / 2) * spacing_mm
        for axis, n in zip(np.ogrid[tuple(slice(n) for n in shape)], shape, strict=True)
    )
    radius = np.sqrt(x**2 + (y / 1.1) ** 2 + (z - 40) ** 2)
    rng = np.random.default_rng(0)
    head = np.where(radius < 60, 600.0, 0.0)
    if skull:
        head[(radius > 69) & (radius < 76)] = 800
        head[(np.sqrt(x**2 + (y + 15) ** 2) < 45) & (z < -12)] = 500
    if face:
        lump = (x / 55) ** 2 + ((y - 60) / 42) ** 2 + ((z + 40) / 65) ** 2
        head[(lump < 1) & (radius > 69)] = 500
    return np.asarray(head + rng.uniform(0, 20, shape), np.float64)
