"""Philips PAR/REC and MINC, as nibabel reads them."""

from __future__ import annotations

import io
import math
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from nibabel.minc1 import Minc1File, MincImageArrayProxy
from nibabel.minc2 import Minc2File

from mri_gan.errors import DataError
from mri_gan.ingest.read.array_files import check_chunks, open_hdf5
from mri_gan.ingest.read.volume import Volume, build_volume, check_shape, take_one

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
NETCDF_MAGIC = b"CDF"
MAX_PAR_BYTES = 32 << 20


def read_par(header: bytes, voxels: bytes, labels: bool, chosen: int | None = None) -> Volume:
    """The volume of a `.par` and its `.rec`, in the scanner's display values."""
    if len(header) > MAX_PAR_BYTES:
        raise DataError("its header is too long")
    text = io.StringIO(header.decode("latin-1"))
    parsed = nib.parrec.PARRECHeader.from_fileobj(text, permit_truncated=False)
    shape = parsed.get_data_shape()
    check_shape(shape, chosen)
    if math.prod(shape) * parsed.get_data_dtype().itemsize > len(voxels):
        raise DataError("shorter than its header announces (truncated?)")
    holders = {
        "header": FileHolder(fileobj=io.StringIO(header.decode("latin-1"))),
        "image": FileHolder(fileobj=io.BytesIO(voxels)),
    }
    image = nib.parrec.PARRECImage.from_file_map(holders)
    values = np.asarray(image.dataobj, np.float32)
    return build_volume(take_one(nib.Nifti1Image(values, image.affine), chosen), labels)


def read_minc(data: bytes, labels: bool = False) -> Volume:
    """The volume of a MINC file, version 1 (netCDF) or 2 (HDF5)."""
    if data.startswith(HDF5_MAGIC):
        with open_hdf5(data) as file:
            check_chunks(file["minc-2.0/image/0/image"], len(data))
            return _build(Minc2File(file), labels)
    if not data.startswith(NETCDF_MAGIC):
        raise DataError("not a MINC file")
    from nibabel.externals.netcdf import netcdf_file

    with netcdf_file(io.BytesIO(data), mmap=False) as file:
        return _build(Minc1File(file), labels)


def _build(file: Any, labels: bool) -> Volume:
    check_shape(file.get_data_shape())
    values = np.asarray(MincImageArrayProxy(file), np.float32)
    return build_volume(take_one(nib.Nifti1Image(values, file.get_affine()), None), labels)
