"""FreeSurfer's `.mgh` and `.mgz` volumes; the header's sizes are checked before they are used."""

from __future__ import annotations

import math
import struct

import nibabel as nib
import numpy as np

from mri_gan.errors import DataError
from mri_gan.ingest.read.inflate import GZIP_MAGIC, gunzip, gunzip_start
from mri_gan.ingest.read.volume import MAX_VOXELS, SPARE_BYTES, Volume, build_volume, our_errors

HEADER_BYTES = 284
SCAN_PARAMETERS_BYTES = 20  # after the voxels: times and angles
TYPE_BYTES = {0: 1, 1: 4, 3: 4, 4: 2}  # unsigned char, int, float, short


def read_mgh(data: bytes, labels: bool = False) -> Volume:
    """A volume from the bytes of a `.mgh` or `.mgz` file; raises like `read_volume`."""
    with our_errors("MGH"):
        if data[:2] == GZIP_MAGIC:
            head = gunzip_start(data, HEADER_BYTES)
            data = gunzip(data, _check_header(head) + SPARE_BYTES)
        if _check_header(data) > len(data):
            raise DataError("shorter than its header announces (truncated?)")
        image = nib.MGHImage.from_bytes(data)
        voxels = np.asarray(image.dataobj, dtype=np.float32)
        return build_volume(nib.Nifti1Image(voxels, image.affine), labels, _dropped(data))


def _dropped(data: bytes) -> tuple[str, ...]:
    """Whether there are tags after the voxels: commands, with names of files and people."""
    *shape, kind = struct.unpack_from(">5i", data, 4)
    end = HEADER_BYTES + math.prod(shape) * TYPE_BYTES[kind] + SCAN_PARAMETERS_BYTES
    return ("tags",) if len(data) > end else ()


def _check_header(data: bytes) -> int:
    """The bytes that a header announces."""
    if len(data) < HEADER_BYTES:
        raise DataError("too short for an MGH header")
    version, *shape, kind = struct.unpack_from(">6i", data)
    if version != 1 or kind not in TYPE_BYTES:
        raise DataError("unreadable MGH (unknown version or voxel type)")
    if min(shape) < 1 or shape[3] != 1:
        raise DataError(f"shape {tuple(shape)} is not one 3-D volume", "split or squeeze it first")
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(f"{math.prod(shape)} voxels, more than {MAX_VOXELS}")
    n_bytes: int = HEADER_BYTES + math.prod(shape) * TYPE_BYTES[kind]
    return n_bytes
