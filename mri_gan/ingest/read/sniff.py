"""What kind of file it is by its first bytes, where its name does not say so."""

from __future__ import annotations

import struct

from mri_gan.ingest.source import DICOM_SUFFIXES, is_wanted, suffix_of

HEAD_BYTES = 160
PREAMBLE = 128
# Value representations that a data set may begin with, as groups 2 and 8 have them.
FIRST_KINDS = {b"UL", b"UI", b"CS", b"OB", b"SH", b"LO", b"DA", b"TM"}
LONGEST_FIRST = 256  # bytes of the first value of a data set without a preamble


def needs_look(name: str) -> bool:
    """Whether its name leaves open that it is DICOM: of no known suffix, or `.img`."""
    return not is_wanted(name) or suffix_of(name) == ".img"


def form_of(head: bytes) -> str:
    """The suffix that a file with these first bytes deserves; empty where its name may say it."""
    dicom = head[PREAMBLE : PREAMBLE + 4] == b"DICM" or _begins_bare(head)
    return DICOM_SUFFIXES[0] if dicom else ""


def _begins_bare(head: bytes) -> bool:
    """Whether these are two elements of a DICOM data set that has no preamble."""
    first = _element(head, 0)
    if first is None or first[0] not in (2, 8):
        return False
    second = _element(head, first[2])
    return second is not None and second[0] in (2, 8) and second[:2] > first[:2]


def _element(head: bytes, at: int) -> tuple[int, int, int] | None:
    """(group, number, end) of the element that begins there, in little endian."""
    if at + 8 > len(head):
        return None
    group, number, length = struct.unpack_from("<HHI", head, at)
    if head[at + 4 : at + 6] in FIRST_KINDS:
        length = length >> 16
        if head[at + 4 : at + 6] == b"OB":
            length = struct.unpack_from("<I", head.ljust(at + 12, b"\0"), at + 8)[0] + 4
    return (group, number, at + 8 + length) if length <= LONGEST_FIRST else None
