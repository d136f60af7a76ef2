"""DICOM files to one source per series.

Subjects, sessions and series are named by short keyed hashes of their identifiers. A hash is a
pseudonym and not anonymity: who knows a PatientID can compute it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from mri_gan.errors import DataError, MriganError
from mri_gan.files import one_line
from mri_gan.ingest.plan.filenames import split_of
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.dicom import read_data_set
from mri_gan.ingest.source import Member, Naming, Source, Unlisted

# Slices of CT, MR and PET. A file that does not even say what it is has been cut short.
SCAN_CLASSES = {f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in (2, 4, 128)} | {""}
HASH_KEY = b"mrigan"
HASH_BYTES = 5


def pseudonym(identifier: str) -> str:
    """A short keyed hash; equal for equal identifiers, on every machine."""
    return hashlib.blake2b(
        identifier.encode(errors="replace"), key=HASH_KEY, digest_size=HASH_BYTES
    ).hexdigest()


def group_series(members: Iterable[Member]) -> tuple[list[Source], Unlisted, int]:
    """One source per series, the damaged files, and the number of files that are no scans.

    A series with several echoes or directions is one source for each.
    """
    series: dict[tuple[Any, ...], list[tuple[Member, Any]]] = {}
    bad: Unlisted = []
    ignored = 0
    for member in members:
        try:
            header = _read_header(member)
        except DataError as error:
            bad.append((member.label, error.message.removeprefix(f"{member.label}: ")))
            continue
        if header is None:
            ignored += 1
        else:
            series.setdefault(_series_key(header), []).append((member, header))
    return [_source(files) for files in series.values()], bad, ignored


def _read_header(member: Member) -> Any:
    data = read_member(member)
    try:
        header = read_data_set(data, header_only=True)
        frames = int(header.get("NumberOfFrames") or 1)
    except MriganError:
        raise
    except Exception as error:  # pydicom lets many exception types through for odd files
        raise DataError(f"unreadable DICOM ({one_line(error)})") from error
    if frames > 1:
        raise DataError("multi-frame DICOM is not read; convert it with dcm2niix first")
    placed = "ImagePositionPatient" in header and "ImageOrientationPatient" in header
    localizer = "LOCALIZER" in (header.get("ImageType") or ())
    pictured = "Rows" in header and "Columns" in header
    if not pictured and str(header.get("SOPClassUID", "")) in SCAN_CLASSES:
        raise DataError("a slice without a size (cut short?)")
    return header if placed and pictured and not localizer else None


def _series_key(header: Any) -> tuple[Any, ...]:
    turned = tuple(round(float(v), 3) + 0.0 for v in header.ImageOrientationPatient)
    echo = str(header.get("EchoTime", ""))
    return str(header.get("SeriesInstanceUID", "")), echo, turned, header.Rows, header.Columns


def _source(files: Sequence[tuple[Member, Any]]) -> Source:
    first, header = files[0]
    uid = str(header.get("SeriesInstanceUID", ""))
    patient = str(header.get("PatientID") or "").strip()
    study = pseudonym(str(header.get("StudyInstanceUID", "")))
    subject = pseudonym(patient or uid)
    key = pseudonym(repr(_series_key(header)))
    naming = Naming("dicom", subject, session=study, split=split_of(first.name))
    others = tuple(member for member, _ in files[1:])
    return Source(first, f"dicom/{subject}/{study}-{key}", naming, others)
