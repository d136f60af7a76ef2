"""The volume of a source, whatever kind of file it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import MGH_SUFFIXES, Source, suffix_of

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


def read_source_volume(source: Source, labels: bool = False) -> Volume:
    """The volume of a source; `labels` lets label maps pass, which scans may not be.

    Raises DataError for damaged files, LabelMapError for label maps that are not wanted.
    """
    # These need nibabel, and image files do not.
    if source.is_series:
        from mri_gan.ingest.read.dicom import read_series

        return read_series([read_member(member) for member in (source.member, *source.others)])
    if source.is_pair:
        from mri_gan.ingest.read.nifti_pairs import axes_of, read_pair

        header, voxels = (read_member(member) for member in (source.member, *source.others))
        return read_pair(header, voxels, axes_of(source), labels)
    data = read_member(source.member)
    if suffix_of(source.member.name) in MGH_SUFFIXES:
        from mri_gan.ingest.read.mgh import read_mgh

        return read_mgh(data, labels)
    from mri_gan.ingest.read.volume import read_volume

    return read_volume(data, labels)
