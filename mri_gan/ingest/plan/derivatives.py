"""One scan per session, where a collection ships several versions of the same head."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mri_gan.config import AUTO
from mri_gan.errors import UsageError
from mri_gan.ingest.source import Source, natural_key, suffix_of

# Versions of a scan in the order in which they are preferred.
OASIS_1_SCANS = {
    "t88_masked_gfc": re.compile(r"_t88_masked_gfc$", re.IGNORECASE),
    "t88_gfc": re.compile(r"_t88_gfc$", re.IGNORECASE),
    "subj_111": re.compile(r"_sbj_111$", re.IGNORECASE),
    "raw": re.compile(r"_mpr-\d+_anon$", re.IGNORECASE),
}
PREFERRED = {
    "oasis1": tuple(OASIS_1_SCANS),
    "neurite": ("aligned_norm", "norm", "orig"),
}


def scan_kind(source: Source) -> str:
    """Which version of a scan this is; empty where its collection ships only one."""
    file = source.member.name.split("/")[-1]
    stem = file[: -len(suffix_of(file))]
    if source.naming.layout == "oasis1":
        return next((kind for kind, form in OASIS_1_SCANS.items() if form.search(stem)), "")
    return stem.lower() if source.naming.layout == "neurite" else ""


def choose_scans(sources: Sequence[Source], scan: str) -> tuple[list[Source], int]:
    """The sources without the other versions of the same scan, and how many those were.

    `auto` takes the preferred version that a session has, a name that version only. Other
    collections are left as they are: several runs of a session are several scans. Raises
    UsageError when a name fits nothing.
    """
    sessions: dict[tuple[str, str, str], list[Source]] = {}
    for source in sources:
        naming = source.naming
        if naming.layout in PREFERRED:
            key = (naming.layout, naming.subject, naming.session)
            sessions.setdefault(key, []).append(source)
    chosen = {id(s) for versions in sessions.values() for s in _choose(versions, scan)}
    if scan != AUTO and not chosen:
        kinds = sorted({scan_kind(s) for versions in sessions.values() for s in versions} - {""})
        found = f"these sources have: {', '.join(kinds)}" if kinds else "there is nothing to choose"
        raise UsageError(f"--scan {scan}: no session has such a scan", found)
    kept = [s for s in sources if s.naming.layout not in PREFERRED or id(s) in chosen]
    return kept, len(sources) - len(kept)


def _choose(versions: Sequence[Source], scan: str) -> Sequence[Source]:
    # The sort decides between repeated scans of one session: the first.
    by_kind: dict[str, Source] = {}
    for source in sorted(versions, key=lambda s: natural_key(s.name)):
        by_kind.setdefault(scan_kind(source), source)
    wanted = PREFERRED[versions[0].naming.layout] if scan == AUTO else (scan,)
    first = next((by_kind[kind] for kind in wanted if kind in by_kind), None)
    if first is not None:
        return [first]
    return versions if scan == AUTO else []
