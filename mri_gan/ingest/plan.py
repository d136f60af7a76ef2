"""The plan: every source in a fixed order with its subject and split, and one digest for all.

The same sources and options give the same plan, whatever order the file system lists them in;
the same plan gives the same store.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mri_gan.config import SPLITS, PrepareConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.archives import (
    IMAGE_SUFFIXES,
    VOLUME_SUFFIXES,
    Member,
    common_prefix,
    list_members,
    suffix_of,
)
from mri_gan.ingest.layouts import Naming, identify
from mri_gan.store.schema import dump

PLAN_VERSION = 1


@dataclass(frozen=True)
class Source:
    """A member that may hold slices, and what its path says."""

    member: Member
    name: str  # relative to the folder that all members of its container share
    naming: Naming

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume and not a single slice."""
        return suffix_of(self.member.name) in VOLUME_SUFFIXES


@dataclass(frozen=True)
class Plan:
    """What one `prepare` will read, in order, and what it leaves out."""

    sources: tuple[Source, ...]
    masks: int
    ignored: int  # files that are neither images nor volumes
    bad: tuple[tuple[str, str], ...]  # (label, reason) of what could not even be listed
    digest: str


def build_plan(paths: Sequence[Path], config: PrepareConfig) -> Plan:
    """List, name, sort and split all sources.

    Raises DataError when a path cannot be listed or nothing usable is found, UsageError when a
    subject would be in two splits.
    """
    twice = [path for path, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if twice:
        raise UsageError(f"{twice[0]}: given twice", "name every source once")
    sources: list[Source] = []
    bad: list[tuple[str, str]] = []
    ignored = masks = 0
    for path in paths:
        members, unlisted = list_members(path)
        bad += unlisted
        usable = [m for m in members if suffix_of(m.name) in IMAGE_SUFFIXES + VOLUME_SUFFIXES]
        ignored += len(members) - len(usable)
        named = _name_members(usable)
        masks += sum(source.naming.mask for source in named)
        sources += (source for source in named if not source.naming.mask)
    if not sources:
        raise DataError(
            f"{', '.join(map(str, paths))}: no slices or volumes found",
            f"expected {' '.join(IMAGE_SUFFIXES + VOLUME_SUFFIXES)}"
            + (f"; {masks} masks were left out" if masks else ""),
        )
    sources = assign_splits(sources, config)
    return Plan(tuple(sources), masks, ignored, tuple(bad), _digest(sources, config))


def _name_members(members: list[Member]) -> list[Source]:
    prefix = common_prefix([member.name for member in members])
    return [
        Source(member, member.name.removeprefix(prefix), identify(member.name, prefix))
        for member in members
    ]


def assign_splits(sources: Iterable[Source], config: PrepareConfig) -> list[Source]:
    """Give every source a split; shipped splits are kept, other subjects are shared out.

    All sources of a subject get the same split: slices of one person in two splits would make
    every later figure look better than it is.
    """
    sources = list(sources)
    shipped: dict[str, str] = {}
    for source in sources:
        subject, split = source.naming.subject, source.naming.split
        if split and shipped.setdefault(subject, split) != split:
            raise UsageError(
                f"subject {subject} is in two splits ({shipped[subject]} and {split})",
                "move all files of a person into one split",
            )
    rest = sorted({s.naming.subject for s in sources} - set(shipped))
    splits = shipped | share_out(rest, config.split, config.seed)
    return [replace(s, naming=replace(s.naming, split=splits[s.naming.subject])) for s in sources]


def share_out(subjects: Sequence[str], per_cent: Sequence[int], seed: int) -> dict[str, str]:
    """Shuffle subjects by keyed hash and cut the list by largest remainders.

    A hash and not a random generator: the order is the same on every machine and version.
    """

    def shuffled(subject: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{subject}".encode(errors="surrogatepass")).digest()

    exact = [len(subjects) * share / 100 for share in per_cent]
    counts = [int(count) for count in exact]
    by_remainder = sorted(range(3), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: len(subjects) - sum(counts)]:
        counts[i] += 1
    names = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return dict(zip(sorted(subjects, key=shuffled), names, strict=True))


def _digest(sources: Iterable[Source], config: PrepareConfig) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(dump({"version": PLAN_VERSION, "config": config.to_dict()}))
    for source in sources:
        member = source.member
        hasher.update(dump([source.name, member.size, member.stamp, source.naming.split]))
    return hasher.hexdigest()


def count_subjects(pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Subjects per split from (split, subject) pairs, in the usual order of splits."""
    counts = Counter(split for split, _ in set(pairs))
    return {split: counts[split] for split in SPLITS if counts[split]}
