"""Analyze 7.5 pairs (and NIfTI pairs): a header file and a file of bare voxels."""

from __future__ import annotations

import math
import re
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.ingest.read.dropped_fields import nifti_fields
from mri_gan.ingest.read.inflate import GZIP_MAGIC, gunzip
from mri_gan.ingest.read.volume import (
    SPARE_BYTES,
    Volume,
    build_volume,
    check_header,
    is_narrow,
    our_errors,
    parse_header,
    take_one,
)
from mri_gan.ingest.source import Source

# Analyze does not store how a scan is oriented. Left-anterior-superior is what nibabel, SPM and
# OASIS-1's T88 images take for granted; scans of OASIS-1 that are not yet in T88 space are
# stored sagittally.
USUAL_AXES = "LAS"
SAGITTAL_AXES = "ASL"
SAGITTAL_NAMES = re.compile(r"_mpr-\d+_anon\.|_sbj_111\.", re.IGNORECASE)
NIFTI_PAIR = b"ni1\0"


def axes_of(source: Source) -> str:
    """Towards where the voxels of a pair run, judged by its name."""
    sagittal = source.naming.layout == "oasis1" and SAGITTAL_NAMES.search(source.name)
    return SAGITTAL_AXES if sagittal else USUAL_AXES


def read_pair(
    header: bytes,
    voxels: bytes,
    axes: str = USUAL_AXES,
    labels: bool = False,
    chosen: int | None = None,
) -> Volume:
    """A volume from the bytes of a header and its voxels, each of them gzipped or not.

    Raises DataError for anything that is not one finite 3-D scan, LabelMapError for label maps
    unless `labels` are wanted, SeriesError for several volumes of which none is `chosen`.
    """
    with our_errors("Analyze pair"):
        if header[:2] == GZIP_MAGIC:
            header = gunzip(header, SPARE_BYTES)
        if len(header) < 348:
            raise DataError("too short for an Analyze header")
        is_nifti = header[344:348] == NIFTI_PAIR
        kind = nib.nifti1.Nifti1PairHeader if is_nifti else nib.AnalyzeHeader
        parsed = parse_header(kind, header)
        if voxels[:2] == GZIP_MAGIC:
            voxels = gunzip(voxels, check_header(parsed, None, chosen) + SPARE_BYTES)
        check_header(parsed, len(voxels), chosen)
        affine = parsed.get_best_affine() if is_nifti else affine_of(parsed, axes)
        image = take_one(nib.Nifti1Image(_voxels(parsed, voxels), affine), chosen)
        return build_volume(image, labels, nifti_fields(parsed))


def _voxels(header: nib.AnalyzeHeader, data: bytes) -> NDArray[Any]:
    # The window makes up for a slope, but for the sign of it, and Analyze has none.
    shape = header.get_data_shape()
    start = int(header["vox_offset"])
    flat = np.frombuffer(data, header.get_data_dtype(), math.prod(shape), start)
    slope = header.get_slope_inter()[0] or 1.0
    voxels = flat.reshape(shape, order="F")
    if slope == 1 and is_narrow(voxels.dtype):
        return voxels
    return voxels.astype(np.float32) * np.float32(slope)


def affine_of(header: nib.AnalyzeHeader, axes: str) -> NDArray[np.float64]:
    """Voxel -> mm with the middle of the volume at 0 [4, 4]."""
    sizes = np.asarray(header.get_zooms()[:3], np.float64)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, sign) in enumerate(nib.orientations.axcodes2ornt(axes)):
        affine[int(axis), column] = sign * sizes[column]
    centre = (np.asarray(header.get_data_shape()[:3]) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ centre
    return affine
