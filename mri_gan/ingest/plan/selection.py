"""Which scans and which slices of them: pictures and not maps, one version, contrast and range.

And which visits the names of files say, where words may be about a contrast instead.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from mri_gan.config import AUTO
from mri_gan.errors import UsageError
from mri_gan.ingest.options import PrepareConfig, SliceRange, every_nth, parse_range
from mri_gan.ingest.plan.folders import TIME
from mri_gan.ingest.plan.paths import gather
from mri_gan.ingest.plan.words import (
    AGENTS,
    ANATOMICAL,
    PROBABILITY,
    SEPARATORS,
    contrast_of,
    read_words,
)
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import Naming, Source, name_of, natural_key, stem_of
from mri_gan.values import say_count

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
    "freesurfer": ("norm", "brain", "brainmask", "t1", "nu", "orig", "rawavg"),
    "hcp": tuple(
        f"{contrast}{version}"
        for contrast in ("t1w", "t2w")
        for version in ("_acpc_dc_restore", "_acpc_dc", "_restore", "")
    ),
    "ukbiobank": ("t1", "t2_flair", "t1_unbiased", "t2_flair_unbiased", "t1_brain"),
}
# What is not a picture of anatomy, by the contrast or the words of its name.
KINDS = {
    "bold": "fMRI",
    "asl": "perfusion series",
    "sbref": "reference image",
    "m0scan": "reference image",
    "phase": "phase image",
    "magnitude": "field map",
    "fieldmap": "field map",
    "ct": "CT",
    "pet": "PET",
    "localizer": "localizer",
}
DERIVATIVE = re.compile(
    r"(?:^|/)derivatives/|_space-[^/_]+_|_desc-[^/_]+_|_(?:brain|T1w_brain)\.nii", re.IGNORECASE
)
CHANNEL = re.compile(r"_(\d{4})\.[A-Za-z.]+$")  # its number, as nnU-Net has it
TEMPLATE = re.compile(r"(?:^|/)(?:fsaverage\d?|cvs_avg35[^/]*|MNI152[^/]*)/", re.IGNORECASE)
OTHER_CONTRAST, INCOMPLETE, BY_NAME = "another contrast", "incomplete set", "left out by name"
REPEAT = "repeat of a channel"
MOST_NAMED = 1000  # files without a partner, of which a store keeps the names
Unpaired = list[tuple[Source, str, str]]  # source, kind, reason


def matches_globs(name: str, config: PrepareConfig) -> bool:
    """Whether --include and --exclude let a path through; a pattern may leave folders out."""

    def fits(patterns: Iterable[str]) -> bool:
        path = name.lower()
        return any(
            fnmatchcase(path, glob.lower()) or fnmatchcase(path, f"*/{glob.lower()}")
            for glob in patterns
        )

    return (not config.include or fits(config.include)) and not fits(config.exclude)


def kind_of(source: Source) -> str:
    """What a file is where its name says that it is not a plain picture; else an empty string."""
    name = source.member.name
    if PROBABILITY.search(name):
        return "probability map"
    if TEMPLATE.search(name):
        return "template"
    return source.naming.kind or KINDS.get(source.naming.contrast, "")


def choose_pictures(
    sources: Sequence[Source], config: PrepareConfig
) -> tuple[list[Source], Counter[str], Unpaired]:
    """The sources to take, what the others are, counted, and which lack a partner.

    Maps, series and scans that are not MR are taken only by their name in --contrast; copies made
    from a scan only where the scan itself is not there; one version of a scan where a collection
    ships several. Raises UsageError when --contrast or --scan names what nobody has.
    """
    left_out: Counter[str] = Counter()
    kept = _by_contrast(sources, config, left_out)
    raw = {s.naming.subject for s in kept if not DERIVATIVE.search(s.member.name)}
    originals = [
        s for s in kept if s.naming.subject not in raw or not DERIVATIVE.search(s.member.name)
    ]
    left_out["derivative"] += len(kept) - len(originals)
    chosen, n_versions = choose_scans(originals, config.scan)
    left_out["derivative"] += n_versions
    unpaired: Unpaired = []
    if config.channels:
        chosen, unpaired = _join_channels(chosen, _wanted(sources, config))
        left_out.update(kind for _, kind, _ in unpaired)
    return chosen, +left_out, unpaired[:MOST_NAMED]


def _wanted(sources: Iterable[Source], config: PrepareConfig) -> tuple[str, ...]:
    """The contrasts requested, by their words or by the numbers that their channels have."""
    numbered = ((CHANNEL.search(s.member.name), s.naming.contrast) for s in sources)
    by_number = {found[1]: contrast for found, contrast in numbered if found and contrast}
    return tuple(
        contrast_of(word) or by_number.get(word, word).lower()
        for word in (*config.contrast, *config.channels)
    )


def _join_channels(
    sources: Sequence[Source], contrasts: Sequence[str]
) -> tuple[list[Source], Unpaired]:
    """One source for each head or slice that has all contrasts, and the files that are left over.

    Raises UsageError where nothing has all of them.
    """
    heads: dict[tuple[object, ...], dict[str, Source]] = {}
    unpaired: Unpaired = []
    for source in sources:
        said = source.naming
        frame = frame_of(source)
        key = (said.subject, said.session, said.side, frame, said.position, source.is_volume)
        if heads.setdefault(key, {}).setdefault(said.contrast, source) is not source:
            why = f"the first {said.contrast} of this visit is taken"
            unpaired.append((source, REPEAT, why))
    whole = [found for found in heads.values() if all(c in found for c in contrasts)]
    if not whole:
        raise UsageError(
            f"--channels {','.join(contrasts)}: nobody has all of these at one visit",
            "leave out what is rare, or choose one with --contrast",
        )
    first, *rest = contrasts
    joined = [replace(found[first], channels=tuple(found[c] for c in rest)) for found in whole]
    for found in heads.values():
        lacks = ", ".join(c for c in contrasts if c not in found)
        if lacks:
            why = f"there is no {lacks} of this head and visit"
            unpaired += [(source, INCOMPLETE, why) for source in found.values()]
    return joined, unpaired


def frame_of(source: Source) -> str:
    """Which moment of a visit this is, where a collection has several that are not repeats."""
    if source.naming.layout == "nnunet":  # its cases share a name, but for the channel's number
        file = name_of(source.member.name)
        return stem_of(file) if source.naming.mask else CHANNEL.sub("", file)
    return source.naming.run if source.naming.layout == "acdc" else ""


def _by_contrast(
    sources: Sequence[Source], config: PrepareConfig, left_out: Counter[str]
) -> list[Source]:
    wanted = set(_wanted(sources, config))
    kept = []
    for source in sources:
        kind, contrast = kind_of(source), source.naming.contrast
        if contrast in wanted or not (wanted or kind):
            kept.append(source)
        else:
            left_out[kind or OTHER_CONTRAST] += 1
    if wanted and (missing := wanted - {s.naming.contrast for s in kept}):
        option = "--channels" if config.channels else "--contrast"
        there = ", ".join(sorted({s.naming.contrast for s in sources} - {""}))
        raise UsageError(
            f"{option} {sorted(missing)[0]}: no scan has this contrast",
            f"choose from {there}" if there else "no name says a contrast here",
        )
    return kept or list(sources)


def contrasts_of(sources: Iterable[Source]) -> list[str]:
    """The contrasts that the names of scans say, the usual ones first."""
    found = {source.naming.contrast for source in sources} - {""}
    return sorted(found, key=lambda c: (c not in ANATOMICAL, c))


def tell_contrasts(sources: Sequence[Source], config: PrepareConfig) -> list[Source]:
    """The sources, each with its contrast where several become slices of their own.

    Under a pseudonym only words that are known to name one: another may name a person.
    """
    if config.channels or len(contrasts_of(sources)) < 2:
        return list(sources)
    return [replace(source, contrast=_public_contrast(source)) for source in sources]


def _public_contrast(source: Source) -> str:
    contrast = source.naming.contrast
    return contrast_of(contrast) if source.hidden else contrast


def say_mixed(sources: Iterable[Source], config: PrepareConfig) -> str:
    """That several contrasts become images of one kind; empty where that is chosen or none do."""
    contrasts = contrasts_of(sources)
    if len(contrasts) < 2 or config.contrast or config.channels:
        return ""
    names = ",".join(contrasts)
    return (
        f"{len(contrasts)} contrasts ({', '.join(contrasts)}) become images of one kind: choose "
        f"one with --contrast {contrasts[0]}, or, where they share one voxel grid, make them "
        f"channels with --channels {names}"
    )


def scan_kind(source: Source) -> str:
    """Which version of a scan this is; empty where its collection ships only one."""
    stem = stem_of(name_of(source.member.name))
    if source.naming.layout == "oasis1":
        return next((kind for kind, form in OASIS_1_SCANS.items() if form.search(stem)), "")
    return stem.lower() if source.naming.layout in PREFERRED else ""


def choose_scans(sources: Sequence[Source], scan: str) -> tuple[list[Source], int]:
    """The sources without the other versions of the same scan, and how many those were.

    `auto` takes the preferred version that a session has of a contrast, a name that version only.
    Other collections are left as they are: several runs of a session are several scans. Raises
    UsageError when a name fits nothing.
    """
    sessions: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        naming = source.naming
        if _has_versions(source):
            key = (naming.layout, naming.subject, naming.session, naming.contrast)
            sessions.setdefault(key, []).append(source)
    chosen = {id(s) for versions in sessions.values() for s in _choose(versions, scan)}
    if scan != AUTO and not chosen:
        kinds = sorted({scan_kind(s) for versions in sessions.values() for s in versions} - {""})
        found = f"these sources have: {', '.join(kinds)}" if kinds else "there is nothing to choose"
        raise UsageError(f"--scan {scan}: no session has such a scan", found)
    kept = [s for s in sources if not _has_versions(s) or id(s) in chosen]
    return kept, len(sources) - len(kept)


def _has_versions(source: Source) -> bool:
    return source.naming.layout in PREFERRED and source.is_volume


def _choose(versions: Sequence[Source], scan: str) -> Sequence[Source]:
    # The sort decides between repeated scans of one session: the first.
    by_kind: dict[str, Source] = {}
    for source in sorted(versions, key=lambda s: natural_key(s.name)):
        by_kind.setdefault(scan_kind(source), source)
    wanted = PREFERRED[versions[0].naming.layout] if scan == AUTO else (scan.lower(),)
    first = next((by_kind[kind] for kind in wanted if kind in by_kind), None)
    if first is not None:
        return [first]
    return versions if scan == AUTO else []


# Which image files: those whose slices are selected


def choose_images(sources: Sequence[Source], config: PrepareConfig) -> tuple[list[Source], int]:
    """The sources without the image files that are not selected, and how many those were.

    Pages and slices of volumes are chosen later, when they are read.

    Image files of one person, visit, side and folder form a stack, from their lowest number to
    their highest. Raises UsageError where they have no numbers, or none in mm, or none is left.
    """
    wanted = parse_range(config.slices)
    if wanted is None and config.every == 1:
        return list(sources), 0
    if wanted is not None and wanted.in_mm:
        require_geometry(sources, "", "give --slices in shares, such as 0.2:0.8")
    flat = [s for s in sources if not (s.is_volume or (s.holds_stack and _is_stack(s)))]
    stacks: dict[tuple[str, ...], list[int]] = {}
    for source in flat:
        _require_number(source)
        stacks.setdefault(_stack_of(source), []).append(source.naming.position)
    chosen = {key: _pick(numbers, wanted, config.every) for key, numbers in stacks.items()}
    dropped = {id(s) for s in flat if s.naming.position not in chosen[_stack_of(s)]}
    if len(dropped) == len(sources):
        raise UsageError(
            f"--slices {config.slices}: leaves none of the {say_count(len(dropped), 'image')}",
            "choose a wider range; each folder's images are counted by themselves",
        )
    return [source for source in sources if id(source) not in dropped], len(dropped)


def _is_stack(source: Source) -> bool:
    """Whether a TIFF holds several slices; one that cannot be read is kept and reported later."""
    from mri_gan.ingest.read.image_files import count_pages

    return count_pages(read_member(source.member)) != 1


def _pick(numbers: Sequence[int], wanted: SliceRange | None, step: int) -> set[int]:
    unique = sorted(set(numbers))
    return set(every_nth(unique if wanted is None else wanted.choose(unique, unique), step))


def _stack_of(source: Source) -> tuple[str, ...]:
    said = source.naming
    return said.subject, said.session, said.side, source.member.name.rpartition("/")[0]


def require_geometry(sources: Iterable[Source], what_for: str, hint: str) -> None:
    """Raise UsageError where there are image files or arrays, which have no millimetres."""
    bare = next((source for source in sources if not source.has_geometry), None)
    if bare is not None:
        kind = "an array" if bare.is_array else "an image file"
        raise UsageError(f"{bare.member.label}: {kind} has no millimetres{what_for}", hint)


def require_no_arrays(sources: Iterable[Source]) -> None:
    """Raise UsageError where there are arrays, for --plane."""
    array = next((source for source in sources if source.is_array), None)
    if array is not None:
        raise UsageError(
            f"{array.member.label}: an array has no orientation for --plane",
            "leave --plane out: its slices are taken as they lie",
        )


def _require_number(source: Source) -> None:
    if source.naming.position < 0:
        raise UsageError(
            f"{source.member.label}: has no slice number for --slices and --every",
            "name it with --naming (group slice), or leave these options out",
        )


# Visits in the names of files

TIME_IN_NAME = re.compile(rf"(?<![^_\-. ]){TIME}(?![^_\-. ])", re.IGNORECASE)
T_NUMBER = re.compile(r"(?<![^_\-. ])t(\d)(?![^_\-. ])", re.IGNORECASE)
AGENT_WORDS = {"pre", "post"}  # of a visit, or of a contrast agent
BY_AGENT = {"t1", "t1ce", "flair"}  # contrasts that an agent changes


def name_visits(stems: Sequence[str], namings: Sequence[Naming]) -> list[Naming]:
    """The namings, with words for times in names of files as sessions where somebody has several.

    `pre` and `post` behind T1 are about a contrast agent, unless T2 and the like have them too;
    `t1` is a visit beside `t0` only.
    """
    files = list(map(name_of, stems))
    after = {_contrast_before(file, time) for file in files for time in TIME_IN_NAME.finditer(file)}
    agents = BY_AGENT if after <= BY_AGENT | {""} else set()
    numbers = {time[1] for file in files if (time := T_NUMBER.search(file))}
    said = [
        _find_time(file, naming, agents, with_t="0" in numbers)
        for file, naming in zip(files, namings, strict=True)
    ]
    both = zip(namings, said, strict=True)
    had = gather((naming.subject, session or naming.session) for naming, (session, _) in both)
    if all(len(sessions) < 2 for sessions in had.values()):
        return list(namings)
    return [
        replace(naming, session=session, contrast=contrast) if session else naming
        for naming, (session, contrast) in zip(namings, said, strict=True)
    ]


def _contrast_before(file: str, time: re.Match[str]) -> str:
    """The contrast that the word before `pre` or `post` names; t1 before that of an agent."""
    if time[0].lower() not in AGENT_WORDS:
        return ""
    if SEPARATORS.split(file[time.end() + 1 :].lower())[0] in AGENTS:
        return "t1"
    return contrast_of(re.split(r"[_\-. ]+", file[: time.start()].rstrip("_-. "))[-1])


def _find_time(
    file: str, naming: Naming, agents: Collection[str], *, with_t: bool
) -> tuple[str, str]:
    """(session, contrast) that a file's own name says; no session where that is open."""
    if naming.session or not naming.is_inferred:
        return "", naming.contrast
    person = name_of(naming.subject)
    start = file.find(person) + len(person) if person in file else 0
    times = (
        time
        for time in TIME_IN_NAME.finditer(file, start)
        if _contrast_before(file, time) not in agents
    )
    time = next(times, None) or (T_NUMBER.search(file, start) if with_t else None)
    if time is None:
        return "", naming.contrast
    rest = read_words(f"{file[: time.start()]}{file[time.end() :]}").contrast
    if time.re is T_NUMBER:
        return time[1], rest
    return re.sub(r"[_\-. ]", "", time[0]).lower(), rest or naming.contrast


def say_visits(sources: Iterable[Source]) -> str:
    """How `pre` and `post` in names of files were read where nothing else tells; else empty."""
    named = [source for source in sources if source.naming.is_inferred]
    told = [source for source in named if any(_say_agent(name_of(source.member.name)))]
    contrasts = {source.naming.contrast for source in told}
    if not told or not contrasts <= BY_AGENT | {""}:
        return ""
    visits, agent = "two visits", "scans before and after a contrast agent"
    known = next((source.public_label for source in told if not source.hidden), "")
    names = f"names such as {known}" if known else "names of files"
    if any(source.naming.session in AGENT_WORDS for source in told):
        return f"pre and post in {names} count as {visits}, not as {agent}"
    alone = {"t1", "t1ce"} == contrasts == {source.naming.contrast for source in named}
    return f"pre and post in {names} count as {agent}, not as {visits}" * alone


def _say_agent(file: str) -> Iterable[bool]:
    return (time[0].lower() in AGENT_WORDS for time in TIME_IN_NAME.finditer(file))
