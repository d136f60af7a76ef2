"""HDF5: reconstructions of fastMRI, MATLAB 7.3, and others with one array of slices."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from mri_gan.errors import DataError
from mri_gan.ingest.read.formats.array_files import Described, choose_array, volume_of_stack
from mri_gan.ingest.read.inflate import UNPACKED_BYTES
from mri_gan.ingest.read.volume import Volume
from mri_gan.ingest.source import MAX_RATIO

MAX_ITEMS = 10_000  # that are looked at


def open_hdf5(data: bytes) -> Any:
    """The file; raises DataError where the package is missing."""
    try:
        import h5py
    except ImportError as error:
        raise DataError("needs one more package: pip install mrigan[hdf5]") from error
    return h5py.File(io.BytesIO(data), "r")


def check_chunks(array: Any, n_bytes: int) -> None:
    """Raise DataError for an array of a file of this many bytes that would fill the memory.

    HDF5 unpacks whole chunks, which may be larger than the array.
    """
    chunk = math.prod(array.chunks or (0,)) * array.dtype.itemsize
    if max(chunk, array.nbytes) > max(UNPACKED_BYTES, MAX_RATIO * n_bytes):
        raise DataError("looks like a decompression bomb")
    if array.chunks and not array.id.get_create_plist().get_nfilters():
        sizes: set[int] = set()
        array.id.chunk_iter(lambda part: sizes.add(part.size))
        if sizes - {chunk}:  # HDF5 would fill up what lacks with whatever the memory held
            raise DataError("its parts are shorter or longer than its header announces")


def read_hdf5(
    data: bytes, matlab: bool = False, labels: bool = False, chosen: int | None = None
) -> Volume:
    """The stack in a file: its only array of slices, or the one that is named like a scan.

    MATLAB writes its axes in reverse and counts slices last. Raises DataError for arrays that are
    in other files, which a file from elsewhere could otherwise have read.
    """
    with open_hdf5(data) as file:
        found: list[Described] = []

        def note(name: str, item: Any) -> Any:
            if hasattr(item, "shape") and item.shape is not None:
                found.append(Described(name, tuple(item.shape), np.dtype(item.dtype)))
            return True if len(found) > MAX_ITEMS else None

        file.visititems(note)  # follows no links
        array = file[choose_array(found, len(data))]
        if array.is_virtual or array.external:
            raise DataError("its pixels are in other files")
        check_chunks(array, len(data))
        values = array[()]
    return volume_of_stack(values.T if matlab else values, matlab, labels, chosen)
