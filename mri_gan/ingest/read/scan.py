"""The volume of a source, whatever kind of file it is: formats are chosen here.

The suffixes that are read stand in `ingest/source.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import ARRAY_SUFFIXES, ITK_SUFFIXES, MGH_SUFFIXES, Source

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


def read_source_volume(source: Source, labels: bool = False) -> Volume:
    """The volume of a source; `labels` lets label maps pass, which scans may not be.

    Raises DataError for damaged files, LabelMapError for label maps that are not wanted,
    SeriesError for files of several volumes of which none is chosen.
    """
    # These need nibabel and more, and image files do not.
    suffix, chosen = source.member.suffix, source.chosen
    if source.slice_number is not None:
        from mri_gan.ingest.read.stacks import read_slice

        return read_slice(source.member, source.slice_number)
    if suffix in ITK_SUFFIXES or suffix in ARRAY_SUFFIXES or suffix in (".par", ".mnc"):
        from mri_gan.ingest.read.formats.other_formats import read_format

        return read_format(source, labels)
    if source.is_series:
        from mri_gan.ingest.read.dicom.series import read_series

        files = [read_member(member) for member in (source.member, *source.others)]
        return read_series(files, chosen, labels)
    if source.is_pair:
        from mri_gan.ingest.read.nifti_pairs import axes_of, read_pair

        header, voxels = (read_member(member) for member in (source.member, *source.others))
        return read_pair(header, voxels, axes_of(source), labels, chosen)
    data = read_member(source.member)
    if suffix in MGH_SUFFIXES:
        from mri_gan.ingest.read.mgh import read_mgh

        return read_mgh(data, labels)
    from mri_gan.ingest.read.volume import read_volume

    return read_volume(data, labels, chosen)
