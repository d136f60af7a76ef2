"""All slices of one scan, in order, as a volume in its place in millimetres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import require_level
from mri_gan.errors import DataError
from mri_gan.export.volumes import build_volume, nifti_bytes, volume_affine
from mri_gan.files import write_bytes
from mri_gan.store.labels import scan_of
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import SliceRecord


@dataclass(frozen=True)
class Volume:
    """A stack of slices `voxels` [Z, H, W] or [C, Z, H, W].

    `affine` [4, 4] maps (column, row, slice, 1) to RAS+ millimetres; None where the slices carry
    no geometry or are unequally spaced.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64] | None = None
    subject: str = ""
    session: str = ""
    split: str = ""
    source: str = ""

    def save(self, path: str | Path) -> None:
        """Write a gzipped NIfTI, turned to RAS+; raises DataError without an affine."""
        if self.affine is None:
            raise DataError(
                f"{path}: the slices carry no geometry (image files have none)",
                "give the volume one: dataclasses.replace(volume, affine=...)",
            )
        stack = self.voxels if self.voxels.ndim == 4 else self.voxels[None]
        write_bytes(Path(path), nifti_bytes(*build_volume(stack.swapaxes(0, 1), self.affine)))


def volumes(
    store: str | Path | StoreReader, split: str | None = None, level: int | None = None
) -> Iterator[Volume]:
    """Every scan of a split, or of all, at a level in px (by default the scan's native one)."""
    if isinstance(store, StoreReader):
        yield from _volumes(store, split, level)
        return
    with StoreReader(Path(store)) as opened:
        yield from _volumes(opened, split, level)


def _volumes(store: StoreReader, split: str | None, level: int | None) -> Iterator[Volume]:
    if level is not None:
        require_level("level", level)
    for members in group_by_scan(store.records, store.indices(split).tolist()):
        yield read_scan(store, members, level)


def group_by_scan(records: Sequence[SliceRecord], indices: Sequence[int]) -> Iterator[list[int]]:
    """Slice indices of each scan, in the order of their position."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in indices:
        groups.setdefault(scan_of(records[index]), []).append(index)
    for members in groups.values():
        yield sorted(members, key=lambda index: records[index].position)


def read_scan(store: StoreReader, indices: Sequence[int], level: int | None = None) -> Volume:
    """The slices of one scan as a volume."""
    records = [store.records[index] for index in indices]
    first = records[0]
    level = max(record.native for record in records) if level is None else level
    stack = store.read(level, indices).swapaxes(0, 1)  # [C, Z, H, W]
    try:
        affine = volume_affine(records) @ to_native(first.native / level)
    except DataError:
        affine = None
    voxels = stack[0] if store.channels == 1 else stack
    names = (first.subject, first.session, first.split, first.source)
    return Volume(np.ascontiguousarray(voxels), affine, *names)


def to_native(scale: float) -> NDArray[np.float64]:
    """(column, row, slice, 1) at a level to those at the native level, `scale` times as large.

    Pixels are areas: the corners of both pictures are in one place, their first centres are not.
    """
    matrix = np.eye(4)
    matrix[0, 0] = matrix[1, 1] = scale
    matrix[:2, 3] = (scale - 1) / 2
    return matrix
