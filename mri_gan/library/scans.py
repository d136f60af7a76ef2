"""All slices of one scan, in order, as a volume in its place in millimetres."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import require, require_level
from mri_gan.errors import DataError
from mri_gan.export.volumes import build_volume, nifti_bytes, volume_affine
from mri_gan.files import write_bytes
from mri_gan.library.arguments import public
from mri_gan.pictures import html_row
from mri_gan.store.labels import scan_of
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import SliceRecord
from mri_gan.values import StrPath, as_path

SHOWN = 8  # slices of a volume in a notebook
OF_NIFTI = {"b1": np.uint8, "f2": np.float32}  # which NIfTI has no type for


@dataclass(frozen=True, repr=False, eq=False)
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
    synthetic: bool = False  # drawn by a network, which its file says
    channel_names: tuple[str, ...] = ()  # of several, which its file says
    contrast: str | None = None  # such as t1, where the names of the source's files tell it

    def __post_init__(self) -> None:
        shape = np.shape(self.voxels)
        place = None if self.affine is None else np.shape(self.affine)
        require(len(shape) in (3, 4), f"voxels of shape {list(shape)}", "give [Z, H, W]")
        require(place in (None, (4, 4)), f"an affine of shape {place}", "give (4, 4), or none")
        flat = self.affine is not None and not abs(np.linalg.det(self.affine)) > 0  # nan, too
        require(not flat, "an affine without volume", "give the voxels' edges in mm, or none")

    @public
    def save(self, path: StrPath) -> None:
        """Write a NIfTI (`.nii.gz` or `.nii`), turned to RAS+.

        Raises UsageError for a file of another name, DataError without an affine.
        """
        file = as_path(path)
        is_nifti = file.name.lower().endswith((".nii", ".nii.gz"))
        require(is_nifti, f"{file}: a volume is saved as NIfTI", "call it .nii.gz or .nii")
        if self.affine is None:
            raise DataError(
                f"{file}: the slices carry no geometry (image files have none)",
                "give the volume one: dataclasses.replace(volume, affine=...)",
            )
        voxels = np.asarray(self.voxels)
        kept = OF_NIFTI.get(voxels.dtype.kind + str(voxels.itemsize))
        stack = (voxels if kept is None else voxels.astype(kept)).reshape(-1, *voxels.shape[-3:])
        placed = build_volume(stack.swapaxes(0, 1), self.affine)
        data = nifti_bytes(*placed, self.channel_names, synthetic=self.synthetic)
        write_bytes(file, data if file.suffix.lower() == ".gz" else gzip.decompress(data))

    def __repr__(self) -> str:
        who = " ".join(filter(None, (self.subject, self.session, self.contrast, self.split)))
        return f"Volume({who!r}, {list(self.voxels.shape)} {self.voxels.dtype})"

    def _repr_html_(self) -> str:
        """Some of its slices from first to last, for notebooks."""
        stack = self.voxels.reshape(-1, *self.voxels.shape[-3:]).swapaxes(0, 1)
        rows = np.linspace(0, len(stack) - 1, min(SHOWN, len(stack))).round().astype(int)
        return html_row(stack[rows], repr(self), self.channel_names)


@public
def volumes(
    store: StrPath | StoreReader, split: str | None = None, level: int | None = None
) -> Iterator[Volume]:
    """Every scan of a split, or of all, at a level in px (by default the scan's native one).

    Raises UsageError for a split or level that the store does not have, DataError for no store.
    """
    if level is not None:
        require_level("level", level)
    opened = store if isinstance(store, StoreReader) else StoreReader(as_path(store))
    scans = list(group_by_scan(opened.records, opened.indices(split).tolist()))
    return _read_scans(opened, scans, level, close=opened is not store)


def _read_scans(
    store: StoreReader, scans: Sequence[list[int]], level: int | None, *, close: bool
) -> Iterator[Volume]:
    try:
        for members in scans:
            yield read_scan(store, members, level)
    finally:
        if close:
            store.close()


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
    return Volume(
        voxels_of(stack),
        affine,
        first.subject,
        first.session,
        first.split,
        first.source,
        channel_names=store.channel_names,
        contrast=first.contrast or None,
    )


def voxels_of(stack: NDArray[Any]) -> NDArray[Any]:
    """A stack [C, Z, H, W] in one piece; a single channel has no axis of its own."""
    return np.ascontiguousarray(stack[0] if len(stack) == 1 else stack)


def to_native(scale: float) -> NDArray[np.float64]:
    """(column, row, slice, 1) at a level to those at the native level, `scale` times as large.

    Pixels are areas: the corners of both pictures are in one place, their first centres are not.
    """
    matrix = np.eye(4)
    matrix[0, 0] = matrix[1, 1] = scale
    matrix[:2, 3] = (scale - 1) / 2
    return matrix
