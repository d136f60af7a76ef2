"""NIfTI stacks of slices of many people, [W, H, N] or [W, H, 1, N], of which a table says whose."""

from __future__ import annotations

import functools

import nibabel as nib
import numpy as np

from mri_gan.errors import DataError
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.volume import Volume, build_volume, is_narrow, our_errors, parse_image
from mri_gan.ingest.source import Member


def read_stack_shape(member: Member) -> tuple[int, int, int]:
    """Width, height and number of slices; raises DataError for what is not a stack of slices."""
    with our_errors("NIfTI"):
        width, height, *rest = _open(member).shape
        if len(rest) not in (1, 2) or rest[:-1] not in ([], [1]):
            shape = " x ".join(map(str, (width, height, *rest)))
            raise DataError(f"shape {shape} is not a stack of grey slices")
        return width, height, rest[-1]


def read_slice(member: Member, number: int) -> Volume:
    """One slice of a stack as a volume [W, H, 1]; raises DataError where it is damaged."""
    with our_errors("NIfTI"):
        image = _open(member)
        voxels = np.asarray(image.dataobj[..., number])
        dtype = voxels.dtype if is_narrow(voxels.dtype) else np.float32
        flat = voxels.astype(dtype).reshape((*voxels.shape, 1)[:3])
        return build_volume(type(image)(flat, image.affine, image.header))


@functools.lru_cache(maxsize=1)  # a worker reads the slices of a stack one after another
def _open(member: Member) -> nib.Nifti1Image:
    return parse_image(read_member(member), chosen=0)
