"""Readers of the rarer formats, by suffix.

To add a format: its suffix in `ingest/source.py`, a reader beside this file, a branch below.
"""

from __future__ import annotations

from mri_gan.errors import DataError
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.volume import Volume, our_errors
from mri_gan.ingest.source import ITK_SUFFIXES, Source

MATLAB_7_3 = b"MATLAB 7.3"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read_format(source: Source, labels: bool = False) -> Volume:
    """The volume of a source that is none of NIfTI, Analyze, MGH and DICOM.

    Raises DataError, LabelMapError and SeriesError like `read_volume`.
    """
    suffix, chosen = source.member.suffix, source.chosen
    data = read_member(source.member)
    with our_errors(suffix[1:].upper()):
        if suffix in ITK_SUFFIXES:
            from mri_gan.ingest.read.formats.itk import read_itk

            voxels = read_member(source.others[0]) if source.others else None
            return read_itk(data, suffix, voxels, labels, chosen)
        if suffix == ".par":
            from mri_gan.ingest.read.formats.scanner import read_par

            return read_par(data, read_member(source.others[0]), labels, chosen)
        if suffix == ".mnc":
            from mri_gan.ingest.read.formats.scanner import read_minc

            return read_minc(data, labels)
        if suffix in (".h5", ".hdf5") or (suffix == ".mat" and data.startswith(MATLAB_7_3)):
            from mri_gan.ingest.read.formats.hdf5 import read_hdf5

            return read_hdf5(data, suffix == ".mat", labels, chosen)
        if suffix == ".mat":
            from mri_gan.ingest.read.formats.matlab import read_mat

            return read_mat(data, labels, chosen)
        if suffix in (".npy", ".npz"):
            from mri_gan.ingest.read.formats import array_files

            return array_files.READERS[suffix](data, labels, chosen)
    raise DataError(f"{suffix} files are not read")
