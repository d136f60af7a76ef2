"""Slices put back together as the volume they were cut from, with its place in the scanner."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.export.formats import Channels, Manifest, Selection, Tell, folder_of, safe_part
from mri_gan.pictures import mark_header, name_channels
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import SliceRecord

GAP_TOLERANCE = 0.01  # of the spacing
CANNOT = "export these slices as png, or choose a split without them"


def write_volumes(store: StoreReader, selection: Selection, target: Path, tell: Tell) -> None:
    """`split/subject/[ses-1_][t1_]volume-0.nii.gz` for every volume that slices were cut from.

    Volumes are numbered within a visit and, in a store of several, a contrast. The mask of a store
    of masks is beside it as `volume-0_mask.nii.gz`, with its labels.
    """
    channels = Channels(store)
    numbers: Counter[tuple[str, str]] = Counter()
    manifest = Manifest(selection)
    for indices in group_by_volume(store.records, selection.indices):
        record = store.records[indices[0]]
        said = (record.session and f"ses-{record.session}", record.contrast)
        before = "".join(f"{safe_part(text)}_" for text in said if text)
        folder, key = folder_of(record, selection), (record.subject, before)
        (target / folder).mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        for name, stack, affine in stacks_of(store, channels, indices):
            file = f"{before}volume-{numbers[key]}{name and '_'}{name}.nii.gz"
            files[name] = f"{folder}/{file}"
            (target / files[name]).write_bytes(nifti_bytes(*build_volume(stack, affine)))
        manifest.add(files, record, position=False)
        numbers[key] += 1
        for _ in indices:
            tell()
    manifest.write(target)


def group_by_volume(records: Sequence[SliceRecord], indices: Sequence[int]) -> Iterator[list[int]]:
    """Slice indices of each source, in the order of their position."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for index in indices:
        record = records[index]
        groups.setdefault((record.subject, record.session, record.source), []).append(index)
    for members in groups.values():
        yield sorted(members, key=lambda index: records[index].position)


def stacks_of(
    store: StoreReader, channels: Channels, indices: Sequence[int]
) -> Iterator[tuple[str, NDArray[Any], NDArray[np.float64]]]:
    """The slices [N, C, rows, columns] of one volume and their affine, and those of its mask.

    Raises DataError when the slices carry no geometry or are not equally spaced.
    """
    records = [store.records[index] for index in indices]
    affine = volume_affine(records)
    for name, stack in channels.split(store.read(records[0].native, indices)).items():
        yield name, stack, affine


def build_volume(
    stack: NDArray[Any], affine: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels in RAS+ order, [X, Y, Z] or [X, Y, Z, C], and the affine voxel -> mm [4, 4].

    stack [N, C, rows, columns]; affine maps (column, row, slice, 1) to mm.
    """
    voxels = stack.transpose(3, 2, 0, 1)
    image = nib.Nifti1Image(voxels[..., 0] if voxels.shape[3] == 1 else voxels, affine)
    canonical = nib.as_closest_canonical(image)
    return np.asarray(canonical.dataobj), np.asarray(canonical.affine, np.float64)


def volume_affine(records: Sequence[SliceRecord]) -> NDArray[np.float64]:
    """(column, row, slice, 1) -> RAS+ mm, from the affines of slices in order of position."""
    source = records[0].source
    if any(record.affine is None or record.position_mm is None for record in records):
        raise DataError(f"{source}: its slices carry no geometry", CANNOT)
    if len({(record.native, record.plane) for record in records}) != 1:
        raise DataError(f"{source}: its slices differ in size or plane", CANNOT)
    planes = np.array([record.affine for record in records], np.float64)  # [N, 3, 3]
    if len(planes) < 2:
        raise DataError(f"{source}: one slice alone has no thickness", CANNOT)
    steps = np.diff(planes[:, :, 2], axis=0)
    step = (planes[-1, :, 2] - planes[0, :, 2]) / len(steps)
    spacing = float(np.linalg.norm(step))
    if spacing == 0 or np.abs(steps - step).max() > GAP_TOLERANCE * spacing:
        gaps = np.linalg.norm(steps, axis=1)
        raise DataError(
            f"{source}: its slices are {gaps.min():.3g} to {gaps.max():.3g} mm apart", CANNOT
        )
    affine = np.eye(4)
    affine[:3, :2] = planes[0][:, :2]
    affine[:3, 2] = step
    affine[:3, 3] = planes[0][:, 2]
    return affine


def nifti_bytes(
    voxels: NDArray[Any],
    affine: NDArray[np.float64],
    channel_names: Sequence[str] = (),
    *,
    synthetic: bool = False,
) -> bytes:
    """A gzipped NIfTI-1 file; its header says sizes, places in mm, channels and if it is drawn."""
    image = nib.Nifti1Image(np.ascontiguousarray(voxels), affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    if synthetic:
        mark_header(image.header)
    name_channels(image.header, channel_names)
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
