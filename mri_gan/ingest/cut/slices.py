"""Cutting volumes into slices the right way up.

Display convention (radiological): axial and coronal slices show the patient's right on the
left of the picture; anterior (axial) or superior (coronal, sagittal) is up; sagittal slices
look to the left.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.ingest.cut.intensity import above
from mri_gan.ingest.options import PrepareConfig, every_nth, parse_range

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
SLAB = 16  # slices that are copied together: so many neighbouring voxels share a cache line
THICK = 1.5  # times its width: a voxel that long was measured across a slice


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


def cut_slabs(
    volume: Volume, plane: str, positions: Sequence[int]
) -> Iterator[tuple[Sequence[int], NDArray[Any]]]:
    """The slices at rising `positions` as stacks [N, H, W] in display orientation.

    Here voxels become slices; those near each other in the volume are copied together.
    """
    stack = np.moveaxis(volume.voxels, AXES[plane], 0)[:, ::-1, ::-1].transpose(0, 2, 1)
    for _, group in itertools.groupby(positions, lambda position: position // SLAB):
        slab = list(group)
        copied = np.ascontiguousarray(stack[slab[0] : slab[-1] + 1])
        if len(copied) > len(slab):
            copied = copied[np.subtract(slab, slab[0])]
        yield slab, copied


def positions_mm(volume: Volume, plane: str) -> list[float]:
    """The coordinates of the centres of all slices along a plane's axis."""
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


def pixel_mm(volume: Volume, plane: str) -> tuple[float, float]:
    """How far apart rows and columns of slices along a plane are."""
    affine = affines_of(volume, plane)[0]
    return float(np.linalg.norm(affine[:, 1])), float(np.linalg.norm(affine[:, 0]))


def display_shape(volume: Volume, plane: str) -> tuple[int, int, int]:
    """How many slices there are along a plane, their height and their width."""
    axis = AXES[plane]
    across, down = (a for a in range(3) if a != axis)
    size = volume.voxels.shape
    return size[axis], size[down], size[across]


def choose_cuts(
    positions_mm: Sequence[float], filled: Sequence[bool], config: PrepareConfig
) -> list[int]:
    """The indices of a volume's slices that are selected, filled or not.

    Shares are those of the way from the first filled slice to the last one.
    """
    wanted = parse_range(config.slices)
    chosen = list(range(len(positions_mm)))
    if wanted is not None and wanted.in_mm:
        chosen = [i for i in chosen if wanted.holds(positions_mm[i])]
    elif wanted is not None:
        inside = [i for i in chosen if filled[i]]
        chosen = wanted.choose(chosen, inside) if inside else []
    return every_nth(chosen, config.every)


def choose_pages(count: int, config: PrepareConfig) -> list[int]:
    """The pages of a stack that are selected; shares are those of the whole stack."""
    pages, wanted = range(count), parse_range(config.slices)
    return every_nth(list(pages) if wanted is None else wanted.choose(pages, pages), config.every)
