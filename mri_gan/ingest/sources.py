"""Members become sources: one file, or the files that only make sense together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mri_gan.ingest.members import (
    DICOM_SUFFIXES,
    IMAGE_SUFFIXES,
    PAIR_SUFFIXES,
    STACK_SUFFIXES,
    Member,
    PickledByValue,
    natural_key,
    suffix_of,
)

SINGLE_SUFFIXES = tuple(s for s in IMAGE_SUFFIXES if s not in STACK_SUFFIXES)
Parts = tuple[Member, ...]
Unlisted = list[tuple[str, str]]
Labels = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Naming(PickledByValue):
    """What a path tells; empty strings and -1 where it tells nothing."""

    layout: str
    subject: str
    session: str = ""
    split: str = ""
    side: str = ""
    plane: str = ""
    position: int = -1
    mask: bool = False
    label: str = ""  # its class


@dataclass(frozen=True, slots=True)
class Source(PickledByValue):
    """What may hold slices, and what its path says.

    `member` names it; `others` are the further files that it is made of, such as the `.img` of
    an Analyze header.
    """

    member: Member
    name: str  # relative to the folder that all members of its container share
    naming: Naming
    others: tuple[Member, ...] = ()
    labels: Labels | None = None  # age, sex, diagnosis, where a table tells them
    mask: Source | None = None  # what is drawn over it, for --masks
    hidden: bool = False  # under a pseudonym: the store may not hold the member's own name

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume and not a single slice."""
        return suffix_of(self.member.name) not in IMAGE_SUFFIXES

    @property
    def holds_stack(self) -> bool:
        """Whether it may hold several slices."""
        return suffix_of(self.member.name) not in SINGLE_SUFFIXES

    @property
    def public_label(self) -> str:
        """How to name it where the store goes."""
        return self.name if self.hidden else self.member.label

    @property
    def is_series(self) -> bool:
        """Whether it is the files of a DICOM series."""
        return suffix_of(self.member.name) in DICOM_SUFFIXES

    @property
    def is_pair(self) -> bool:
        """Whether it is a header and its voxels, in this order."""
        return suffix_of(self.member.name) in PAIR_SUFFIXES


def pair_members(members: Iterable[Member]) -> tuple[list[Parts], Unlisted]:
    """Each member alone, but `.hdr` and `.img` of one stem and folder together.

    Gives the parts of every source in the order of their first member, and (label, reason) of
    halves that lack the other.
    """
    members = list(members)
    halves: dict[tuple[str, str], list[Member]] = {}
    for member in members:
        if suffix_of(member.name) in PAIR_SUFFIXES:
            halves.setdefault(_pair_key(member), []).append(member)
    parts: list[Parts] = []
    bad: Unlisted = []
    for member in members:
        if suffix_of(member.name) not in PAIR_SUFFIXES:
            parts.append((member,))
            continue
        pair = halves.pop(_pair_key(member), [])
        if pair:
            _add_pair(pair, parts, bad)
    return parts, bad


def _pair_key(member: Member) -> tuple[str, str]:
    """Where a half lies and its name without the suffix, which its other half shares."""
    # In a folder every file is its own container; archives are told apart.
    place = member.container.parent if member.number is None else member.container
    return str(place), member.name[: -len(suffix_of(member.name))]


def _add_pair(pair: Sequence[Member], parts: list[Parts], bad: Unlisted) -> None:
    headers = [m for m in pair if suffix_of(m.name) == ".hdr"]
    voxels = [m for m in pair if suffix_of(m.name) != ".hdr"]
    if headers and voxels:
        parts.append((headers[0], min(voxels, key=lambda m: natural_key(m.name))))
    else:
        missing = ".img (or .img.gz)" if headers else ".hdr"
        bad.append((pair[0].label, f"its {missing} file is missing from the same folder"))
