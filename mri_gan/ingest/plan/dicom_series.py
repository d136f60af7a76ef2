"""DICOM files to one source per series.

Subjects, sessions and series are named by short keyed hashes of their identifiers. A hash is a
pseudonym and not anonymity: who knows a PatientID can compute it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import AUTO
from mri_gan.errors import DataError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.outcome import reading
from mri_gan.ingest.plan.filenames import identify_all, split_of
from mri_gan.ingest.plan.label_files import classes_of_folders
from mri_gan.ingest.plan.words import AGENTS, WITHOUT, read_words
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.dicom.elements import Elements
from mri_gan.ingest.read.dicom.headers import (
    axes_of,
    count_frames,
    count_tiles,
    is_filled,
    number,
    position_of,
    size_of,
    text,
)
from mri_gan.ingest.read.dicom.series import DIRECTORY, FRAMES, read_data_set
from mri_gan.ingest.source import (
    MAX_RATIO,
    SMALL_BYTES,
    Listing,
    Member,
    Naming,
    Source,
    common_prefix,
)

HASH_KEY = b"mrigan"
HASH_BYTES = 5
SAME_ECHO = 0.002  # share by which echo times of one echo may differ, as programs write them
SAME_ECHO_MS = 0.01
SAME_TURN = 0.005  # of direction cosines: a quarter of a degree
COPIES = "copies of other DICOM files"
# What files with a picture of a patient may be beside scans, as DICOM PS3.3 C.8.3.1.1.1 names it.
SCREENSHOTS = "1.2.840.10008.5.1.4.1.1.7"
DERIVED_WORDS = {"PROJECTION IMAGE", "MIP", "MINIP", "MPR", "PROJECTION"}
PHASE_WORDS = {"P", "PHASE", "PHASE MAP", "PHASE_MAP"}
SCOUT = re.compile(
    r"(?<![a-z])(scout|locali[sz]ers?|survey|3[ -]?plane|loc)(?![a-z])", re.IGNORECASE
)
_AGENTS, _WITHOUT = (rf"(?:{'|'.join(sorted(words))})" for words in (AGENTS, WITHOUT))
AGENT = re.compile(rf"(?<![a-z])(post|gad\w*|{_AGENTS})(?![a-z])|\+ ?c\b", re.IGNORECASE)
NO_AGENT = re.compile(rf"(?<![a-z])(w/o|{_WITHOUT})[ _-]*(gad\w*|{_AGENTS})", re.IGNORECASE)
# What programs write where a name or number of a patient was.
NOBODY = re.compile(
    r"(anon\w*|unknown|none|null|n/?a|0+|x+|test|patient|subject|no ?name|de-?id\w*|removed)?",
    re.IGNORECASE,
)


def pseudonym(identifier: str) -> str:
    """A short keyed hash; equal for equal identifiers, on every machine."""
    return hashlib.blake2b(
        identifier.encode(errors="replace"), key=HASH_KEY, digest_size=HASH_BYTES
    ).hexdigest()


@dataclass
class _File:
    """One file with a picture of a scan, and what distinguishes it from others."""

    member: Member
    header: Any
    echo_ms: float
    turned: NDArray[np.float64] | None  # direction cosines; a file of several frames has its own
    copy_key: tuple[Any, ...]


def group_series(members: Iterable[Member], config: PrepareConfig) -> tuple[list[Source], Listing]:
    """One source per series, and what became of all other files.

    A series with several echoes or directions is one source for each. Values that differ by less
    than programs round them to are equal; of files with the same picture at the same place one is
    taken.
    """
    members = list(members)
    prefix = common_prefix([member.name for member in members])
    series: dict[tuple[Any, ...], list[list[_File]]] = {}  # of each the files of every stack
    copies: set[tuple[Any, ...]] = set()
    rest = Listing()
    for member in members:
        kind, file = "", None
        with reading(member.label) as problems:
            kind, file = _look(member, config.also)
        rest.bad += problems
        if file is not None and file.copy_key in copies:
            kind, file = COPIES, None
        if kind:
            rest.ignored[kind] += 1
        if file is not None:
            copies.add(file.copy_key)
            _sort_in(series.setdefault(_broad_key(file.header), []), file)
    groups = [files for stacks in series.values() for files in stacks]
    people = _find_people([files[0] for files in groups], prefix)
    pairs = zip(groups, people, strict=True)
    sources = [_source(files, person, config) for files, person in pairs]
    if config.classes:
        labels = classes_of_folders([source.member.name for source in sources])
        sources = [
            replace(source, naming=replace(source.naming, label=label))
            for source, label in zip(sources, labels, strict=True)
        ]
    return sources, rest


def _sort_in(stacks: list[list[_File]], file: _File) -> None:
    fitting = next((files for files in stacks if _is_beside(files[0], file)), None)
    if fitting is None:
        stacks.append([file])
    else:
        fitting.append(file)


def _is_beside(first: _File, file: _File) -> bool:
    """Whether files of one series are of one echo and direction: of one stack of slices."""
    if first.turned is None or file.turned is None:
        return False
    apart_ms = abs(first.echo_ms - file.echo_ms)
    same_echo = apart_ms <= max(SAME_ECHO_MS, SAME_ECHO * first.echo_ms)
    return same_echo and float(np.abs(first.turned - file.turned).max()) <= SAME_TURN


def _look(member: Member, also: Sequence[str]) -> tuple[str, _File | None]:
    """The kind of a file that is none of the scans, or the file; `also` are taken for scans."""
    data = read_member(member)
    header, found = read_data_set(data, header_only=True)
    asked, kind = _kind(header, found)
    if kind and asked not in also:
        return kind, None
    tiles = count_tiles(header)
    if "MOSAIC" in _words(header) or tiles > 1:
        count = f"{tiles} slices" if tiles > 1 else "slices"
        raise DataError(f"a mosaic ({count} side by side in one picture); convert it with dcm2niix")
    if kind and _is_pictured(header) and not _is_placed(header, found):
        # Whole, but its pixels are nowhere in a body: screenshots mostly are so.
        return f"{kind.partition(' (')[0]} without a position", None
    _require_picture(header, found)
    framed = FRAMES in found.tags
    if not framed and count_frames(header) > 1:
        raise DataError("multi-frame DICOM without frame positions")
    turned = None if framed else np.concatenate(axes_of(header))
    place = () if framed else tuple(position_of(header).tolist())
    digest = zlib.crc32(data[-found.pixels :] if 0 < found.pixels < len(data) else data)
    key = (text(header, "SeriesInstanceUID"), text(header, "SOPInstanceUID"), place, digest)
    return "", _File(member, header, number(header, "EchoTime", 0), turned, key)


def _words(header: Any) -> list[str]:
    try:
        values = header.get("ImageType") or ()
        return [values] if isinstance(values, str) else [str(word) for word in values]
    except Exception:  # what cannot be read says nothing
        return []


def _kind(header: Any, found: Elements) -> tuple[str, str]:
    """(word of --also, kind) of a file that is not a slice of an MR scan; empty where it is one."""
    modality = text(header, "Modality")
    if DIRECTORY in found.tags:
        return "", "DICOM directories"
    # A file that does not even say what it is has been cut short.
    if not _is_pictured(header) and modality not in ("", "MR"):
        return "", f"DICOM without a picture ({_shown(modality)})"
    if modality not in ("", "MR"):
        return "other-modalities", f"DICOM of another kind ({_shown(modality)})"
    words = _words(header)
    if text(header, "SOPClassUID").startswith(SCREENSHOTS):
        return "screenshots", "DICOM screenshots"
    if "LOCALIZER" in words or SCOUT.search(text(header, "SeriesDescription")):
        return "localizers", "DICOM localizers"
    if DERIVED_WORDS & set(words) or words[:2] == ["DERIVED", "SECONDARY"]:
        return "derived", "DICOM derived images (--also derived takes them)"
    if PHASE_WORDS & set(words[2:]):
        return "phase", "DICOM phase images"
    return "", ""


def _shown(modality: str) -> str:
    return modality if re.fullmatch(r"[A-Z]{2,16}", modality) else "unknown"


def _require_picture(header: Any, found: Elements) -> None:
    """Raise DataError unless a file has a picture of a known place, no larger than it says."""
    if not _is_pictured(header):
        raise DataError("a slice without a size (cut short?)")
    if not _is_placed(header, found):
        raise DataError("no ImagePositionPatient: the position of this slice is unknown")
    if found.pixels > max(SMALL_BYTES, MAX_RATIO * found.n_bytes):
        raise DataError("looks like a decompression bomb")
    size_of(header)


def _is_pictured(header: Any) -> bool:
    return is_filled(header, "Rows") and is_filled(header, "Columns")


def _is_placed(header: Any, found: Elements) -> bool:
    return FRAMES in found.tags or is_filled(header, "ImagePositionPatient")


def _broad_key(header: Any) -> tuple[Any, ...]:
    return text(header, "SeriesInstanceUID"), *size_of(header)


def _series_key(file: _File) -> tuple[Any, ...]:
    """What names a series; as earlier versions wrote it, for equal stores."""
    header = file.header
    uid, rows, columns = _broad_key(header)
    if file.turned is None:
        return uid, text(header, "SOPInstanceUID"), rows, columns
    turned = tuple(round(float(v), 3) + 0.0 for v in file.turned)
    echo = header.get("EchoTime", "")
    return uid, str(echo), turned, rows, columns


def _source(files: Sequence[_File], person: tuple[str, str], config: PrepareConfig) -> Source:
    first = files[0]
    study = pseudonym(text(first.header, "StudyInstanceUID"))
    who, found_in = person
    subject = pseudonym(who)
    key = pseudonym(repr(_series_key(first)))
    name = first.member.name
    contrast = _contrast(first.header)
    naming = Naming("dicom", subject, session=study, split=split_of(name), contrast=contrast)
    naming = replace(naming, found_in=found_in)
    if config.naming != AUTO:
        naming = replace(identify_all([name], config)[0], layout="dicom")
    others = tuple(file.member for file in files[1:])
    return Source(
        first.member, f"dicom/{naming.subject}/{study}-{key}", naming, others, chosen=config.volume
    )


def _contrast(header: Any) -> str:
    """The contrast that the description of a series, or its protocol, names."""
    agent = not NOBODY.fullmatch(text(header, "ContrastBolusAgent"))
    for name in ("SeriesDescription", "ProtocolName"):
        said = NO_AGENT.sub("", text(header, name))
        contrast = read_words(said, "folder").contrast
        if contrast:
            return "t1ce" if contrast == "t1" and (agent or AGENT.search(said)) else contrast
    return ""


def _find_people(firsts: Sequence[_File], prefix: str) -> list[tuple[str, str]]:
    """Whose each series is and where that was found: by the patient's id, else by the folders.

    Of files that name nobody, those in one outermost folder, or of one study, are one person.
    """
    places = [_place_of(file, prefix) for file in firsts]
    joined: dict[str, str] = {}

    def find(name: str) -> str:
        while joined.setdefault(name, name) != name:
            name = joined[name]
        return name

    for patient, folder, study in places:
        if not patient and folder and study:
            one, other = sorted((find(f"folder {folder}"), find(f"study {study}")))
            joined[other] = one
    found = []
    uids = [text(file.header, "SeriesInstanceUID") for file in firsts]
    for (patient, folder, study), uid in zip(places, uids, strict=True):
        if patient:
            found.append((patient, ""))
        elif folder or study:
            kind, _, name = find(f"folder {folder}" if folder else f"study {study}").partition(" ")
            # A study goes by its first series, as earlier versions had it, for equal stores.
            same = (u for u, place in zip(uids, places, strict=True) if place[2] == study)
            found.append((min(same) if kind == "study" else name, kind))
        else:
            found.append((uid, "series"))
    return found


def _place_of(file: _File, prefix: str) -> tuple[str, str, str]:
    """The patient, the outermost folder and the study of a file; empty where nothing is said."""
    patient, study = (text(file.header, name) for name in ("PatientID", "StudyInstanceUID"))
    folder = file.member.name.removeprefix(prefix).partition("/")
    return (
        "" if NOBODY.fullmatch(patient) else patient,
        folder[0] if folder[1] else "",
        "" if NOBODY.fullmatch(study) else study,
    )
