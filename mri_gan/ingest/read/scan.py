"""The volume of a source, whatever kind of file it is.

To add a format of volumes: its suffix in `VOLUME_SUFFIXES` of `ingest/source.py` (`PAIRS` where
it comes in two files, `EXTRAS` where a package reads it), a reader beside this file, a branch
below: a suffix without one is read as an array. One of images: its suffix in `IMAGE_SUFFIXES`
there, and its name in `FORMATS` of `image_files`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import ITK_SUFFIXES, MGH_SUFFIXES, NIFTI_SUFFIXES, Source

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


def read_source_volume(source: Source, labels: bool = False) -> Volume:
    """The volume of a source; `labels` lets label maps pass, which scans may not be.

    Raises DataError for damaged files, LabelMapError for label maps that are not wanted,
    SeriesError for files of several volumes of which none is chosen.
    """
    # Readers are imported here: they need nibabel and more, and image files do not.
    from mri_gan.ingest.read import volume

    suffix, chosen = source.member.suffix, source.chosen
    if source.slice_number is not None:
        return volume.read_slice(source.member, source.slice_number)
    data, *others = (read_member(member) for member in (source.member, *source.others))
    if source.is_series:
        from mri_gan.ingest.read.dicom.series import read_series

        return read_series([data, *others], chosen, labels)
    if suffix in NIFTI_SUFFIXES:
        return volume.read_volume(data, labels, chosen)
    if suffix in MGH_SUFFIXES:
        return volume.read_mgh(data, labels)
    if suffix in (".hdr", ".hdr.gz"):
        return volume.read_pair(data, others[0], volume.axes_of(source), labels, chosen)
    with volume.our_errors(suffix[1:].upper()):
        if suffix in ITK_SUFFIXES:
            from mri_gan.ingest.read.itk import read_itk

            return read_itk(data, suffix, others[0] if others else None, labels, chosen)
        if suffix in (".par", ".mnc"):
            from mri_gan.ingest.read import par_minc

            if suffix == ".mnc":
                return par_minc.read_minc(data, labels)
            return par_minc.read_par(data, others[0], labels, chosen)
        from mri_gan.ingest.read.array_files import read_array_file

        return read_array_file(data, suffix, labels, chosen)
