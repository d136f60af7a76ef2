"""The plan: every source in a fixed order with its subject and split, and one digest for all.

The same sources and options give the same plan, whatever order the file system lists them in;
the same plan gives the same store.

One plan cut into parts, so that the jobs of an array each write a store that `merge` joins.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from mri_gan.config import AUTO
from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.outcome import explain
from mri_gan.ingest.plan.filenames import identify_all
from mri_gan.ingest.plan.folders import read_sources
from mri_gan.ingest.plan.label_files import (
    check_trained_classes,
    label_sources,
    require_classes,
    require_nameless_classes,
    require_nameless_labels,
    say_commas_of,
    say_packed,
    say_unused,
)
from mri_gan.ingest.plan.masks import pair_masks
from mri_gan.ingest.plan.people import (
    USE_PEOPLE,
    Key,
    conclude,
    find_doubts,
    hide_all,
    hide_unlisted,
    is_due,
    is_pseudonym,
    new_key,
    pseudonym,
    unify_people,
)
from mri_gan.ingest.plan.selection import (
    BY_NAME,
    Unpaired,
    choose_images,
    choose_pictures,
    matches_globs,
    require_geometry,
    require_no_arrays,
    tell_contrasts,
)
from mri_gan.ingest.plan.splits import (
    apply_people,
    apply_splits,
    assign_splits,
    open_stacks,
    read_people,
    read_splits,
    require_one_split,
    say_one_name,
)
from mri_gan.ingest.plan.words import mask_folder, plain_text
from mri_gan.ingest.read.archives import list_source
from mri_gan.ingest.source import (
    ARCHIVE_SUFFIXES,
    DICOM_SUFFIXES,
    SLICE_SUFFIXES,
    TABLES,
    Listing,
    Member,
    Naming,
    Source,
    common_prefix,
    is_of_run,
    is_store,
    members_of,
    pair_members,
    stem_of,
    suffix_of,
    why_unread,
)
from mri_gan.store.schema import dump_json

# The plan: every source in a fixed order with its subject and split, and one digest for all

PLAN_VERSION = 2  # 1 resampled volumes in floating point; a store must not hold both


@dataclass(frozen=True)
class Plan:
    """What one `prepare` will read, in order, and what it leaves out."""

    sources: Sequence[Source]
    layouts: tuple[str, ...]  # of the sources
    masks: int  # that are left out
    left_out: Mapping[str, int]  # scans by what they are: other versions, maps, series
    deselected: int  # image files that --slices and --every leave out
    bad: tuple[tuple[str, str], ...]  # (label, reason) of what could not even be listed
    digest: str
    true_labels: Mapping[str, str]  # of sources and files under a pseudonym; not for the store
    learn_from: Sequence[Source] = ()  # all sources, where this plan is a part of another
    part: dict[str, Any] | None = None  # which part of which plan, where it is one
    conclusion: str = ""  # who was found, in a sentence
    doubts: tuple[str, ...] = ()  # what should be looked at before the splits are trusted
    ignored_kinds: Mapping[str, int] = field(default_factory=dict)  # files, and why
    unpaired: tuple[tuple[str, str, str], ...] = ()  # (label, kind, reason) of lone channels
    listed: int = 0  # files of all sources, whatever became of them
    set_aside: int = 0  # files of masks, derivatives and what is not selected, and of `bad`

    @property
    def ignored(self) -> int:
        """Files that are neither images nor volumes."""
        return sum(self.ignored_kinds.values())


def build_plan(
    paths: Sequence[Path],
    config: PrepareConfig,
    key: Key = new_key,
    split_file: Path | None = None,
    only_look: bool = False,
    people_file: Path | None = None,
) -> Plan:
    """List, name, sort and split all sources.

    `key` is called when pseudonyms are due; `split_file` says who is in which split, `people_file`
    whose each file is. `only_look` finds all masks, and takes classes without training images.

    Raises DataError when a path cannot be listed or nothing usable is found, UsageError when a
    subject would be in two splits.
    """
    for remembered in (is_store, is_of_run):  # folders may have changed since an earlier plan
        remembered.cache_clear()
    _require_scans(paths)
    listed = _drop_repeats([_list_beside(path, config, alone=len(paths) == 1) for path in paths])
    scans, masks, doubts = _name_all(listed, config, people_file)
    if not scans:
        _refuse_nothing(paths, listed, masks)
    excluded = sum(one.excluded for one in listed)
    n_files = len(members_of((*scans, *masks))) + excluded
    chosen, left_out, lone = choose_pictures(scans, config)
    if config.masks or only_look:
        chosen, masks = pair_masks(chosen, masks)
    secret = functools.cache(key)
    chosen, deselected = choose_images(unify_people(chosen, config), config)
    sources = _split_and_hide(chosen, config, secret, split_file)
    untrained = check_trained_classes(sources, config, only_look)
    members = [member for one in listed for member in one.members]
    bad = hide_unlisted([entry for one in listed for entry in one.bad], config, secret)
    unpaired = _name_unpaired(lone, config, secret)
    ignored = _ignored(listed)
    if any(source.labels for source in scans):
        ignored[f"{TABLES} (read)"] = ignored.pop(TABLES, 0)
    return Plan(
        sources=tuple(sources),
        layouts=layouts_of(sources),
        masks=len(masks),
        left_out=left_out + Counter({BY_NAME: excluded}),
        deselected=deselected,
        ignored_kinds=dict((+ignored).most_common()),
        listed=n_files + len(bad) + ignored.total(),
        set_aside=n_files + len(bad) - len(members_of(sources)),
        bad=tuple((name, reason) for name, reason, _ in bad),
        unpaired=tuple(unpaired),
        digest=_digest(sources, config),
        true_labels={
            **{source.name: source.member.label for source in sources if source.hidden},
            **{name: label for name, _, label in bad if name != label},
            **{to: s.member.label for (to, *_), (s, *_) in zip(unpaired, lone, strict=True)},
        },
        # Of sources whose names are not hidden yet
        conclusion=conclude(chosen) + say_commas_of(members, people_file),
        doubts=(
            *doubts,
            *find_doubts(sources, config),
            *untrained,
            *say_unused(scans, members),
            *say_packed(members, config),
        ),
    )


def _name_unpaired(lone: Unpaired, config: PrepareConfig, key: Key) -> list[tuple[str, str, str]]:
    """(label, kind, reason) of files without a partner, under a pseudonym where that is due."""
    found = []
    for source, kind, why in lone:
        name = hide_unlisted([(source.member.label, why)], config, key)[0][0]
        found.append((name if is_pseudonym(name) else source.public_label, kind, why))
    return found


def _split_and_hide(
    chosen: Sequence[Source], config: PrepareConfig, key: Key, split_file: Path | None
) -> list[Source]:
    """The sources, each in a split and under a pseudonym where one is due."""
    if split_file is not None:
        splits = read_splits(split_file)
        chosen = apply_splits(chosen, splits, split_file, lambda who: pseudonym(who, key()))
    require_one_split(chosen)
    if config.fov:
        require_geometry(chosen, " for --fov", "leave --fov out")
    if config.plane != AUTO:
        require_no_arrays(chosen)
    require_classes(chosen, config)
    due = [source for source in chosen if is_due(source, config)]
    require_nameless_classes(due)
    require_nameless_labels(due)
    sources = assign_splits(hide_all(chosen, config, key), config)
    return tell_contrasts(sources, config)


def _ignored(listed: Sequence[_Listed]) -> Counter[str]:
    return sum((one.ignored for one in listed), start=Counter[str]())


def _require_scans(paths: Sequence[Path]) -> None:
    """Raise UsageError where a path is given twice, or is a store and no scans."""
    twice = [path for path, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if twice:
        raise UsageError(f"{twice[0]}: given twice", "name every source once")
    for path in paths:
        if is_store(path if path.is_dir() else path.parent):
            what = "a store already" if path.is_dir() else "part of a store"
            raise UsageError(f"{path}: is {what}", "name the scans that it was made from")


def _refuse_nothing(
    paths: Sequence[Path], listed: Sequence[_Listed], masks: Sequence[Source]
) -> NoReturn:
    bad = [entry for one in listed for entry in one.bad]
    packed = [name for one in listed for name in one.packed]
    excluded, ignored = sum(one.excluded for one in listed), _ignored(listed)
    empty = not (bad or packed or excluded or ignored or masks)
    raise DataError(
        f"{', '.join(map(str, paths))}: no slices or volumes found",
        "there are no files; " * empty
        + (f"{bad[0][0]}: {bad[0][1]}; " if bad else "")
        + (f"{_explain_masks(masks)}; " if masks else "")
        + (f"--include and --exclude leave {excluded} out; " if excluded else "")
        + "".join(f"{name} is an archive in it: unpack it once; " for name in packed[:1])
        + "".join(f"{count} {kind}; " for kind, count in ignored.most_common(3))
        + f"expected {' '.join(SLICE_SUFFIXES)}, or archives of them (.zip .tar .7z)",
    )


def _explain_masks(masks: Sequence[Source]) -> str:
    folders = {f for mask in masks for f in mask.member.name.split("/")[:-1]}
    named = sorted(folder for folder in folders if mask_folder(folder) is not None)
    text = f"{len(masks)} masks were left out"
    if not named:
        return text
    return f"{text} because they are in a folder called {named[0]}; rename it if they are scans"


def layouts_of(sources: Iterable[Source]) -> tuple[str, ...]:
    """Whose file names the sources have."""
    return tuple(sorted({source.naming.layout for source in sources}))


@dataclass(frozen=True, eq=False)
class _Listed:
    """What one path given by the user holds."""

    path: Path
    members: list[Member]
    parts: list[tuple[Member, ...]]  # the files of each source that is named by its path
    series: list[Source]
    ignored: Counter[str]
    excluded: int
    bad: list[tuple[str, str]]

    @functools.cached_property
    def files(self) -> set[Path]:
        """The files on disk that were found: images, volumes and archives."""
        return {member.container for member in self.members} | {Path(name) for name, _ in self.bad}

    @property
    def packed(self) -> list[str]:
        """Archives in an archive, which are not read."""
        return [m.name for m in self.members if suffix_of(m.name) in ARCHIVE_SUFFIXES]


def _list_beside(path: Path, config: PrepareConfig, alone: bool) -> _Listed:
    """What a path holds; where it is not alone and cannot be listed, the others go on without."""
    try:
        return _list(path, config)
    except UsageError:
        raise
    except Exception as error:
        reason = explain(error, str(path))[1]
        if alone:
            raise (
                error if isinstance(error, DataError) else DataError(f"{path}: {reason}")
            ) from error
        return _Listed(path, [], [], [], ignored=Counter(), excluded=0, bad=[(str(path), reason)])


def _drop_repeats(listed: list[_Listed]) -> list[_Listed]:
    """What was listed, without files and archives that a folder beside them holds too.

    Each counts once, and as what its folder says of it.
    """
    files = [one for one in listed if not one.path.is_dir()]
    folders = {one.path.resolve(): one for one in listed if one.path.is_dir()}
    repeated = []
    for file in files:
        # As a link to a file is called, and as what it links to
        for path in (file.path.parent.resolve() / file.path.name, file.path.resolve()):
            around = (folders[place] for place in path.parents if place in folders)
            if any(path in folder.files for folder in around):
                repeated.append(file)
    return [one for one in listed if one not in repeated]


def _list(path: Path, config: PrepareConfig) -> _Listed:
    listing = list_source(path)
    members = [_with_slashes(member) for member in listing.members]
    unread = Counter(filter(None, map(why_unread, members)))
    usable = [member for member in members if not why_unread(member)]
    wanted = [member for member in usable if matches_globs(member.name, config)]
    parts, unpaired = pair_members(m for m in wanted if m.suffix not in DICOM_SUFFIXES)
    parts, stacks, unlike = open_stacks(parts, members)
    series, rest = _series(wanted, config)
    return _Listed(
        path,
        members,
        parts,
        [*series, *stacks],
        ignored=listing.ignored + unread + rest.ignored,
        excluded=len(usable) - len(wanted),
        bad=listing.bad + unpaired + unlike + rest.bad,
    )


def _with_slashes(member: Member) -> Member:
    """The member with the separators of Windows as slashes, as some zips have them."""
    return replace(member, name=plain_text(member.name)) if "\\" in member.name else member


def _series(members: list[Member], config: PrepareConfig) -> tuple[list[Source], Listing]:
    files = [member for member in members if member.suffix in DICOM_SUFFIXES]
    if not files:
        return [], Listing()
    from mri_gan.ingest.plan.dicom_series import group_series  # it needs numpy, and a plan does not

    return group_series(files, config)


def _name_all(
    listed: Sequence[_Listed], config: PrepareConfig, people_file: Path | None
) -> tuple[list[Source], list[Source], list[str]]:
    """Scans and masks with what their paths, or the user's table, say of them; and doubts."""
    named_by, doubts = _read_names(listed, config)
    namings = iter(named_by)
    named: list[Source] = []
    for one in listed:
        prefix = common_prefix([part.name for parts in one.parts for part in parts])
        sources = [
            Source(
                first,
                first.name.removeprefix(prefix),
                next(namings),
                tuple(others),
                chosen=config.volume,
            )
            for first, *others in one.parts
        ]
        scans = [source for source in sources if not source.naming.mask]
        masks = [source for source in sources if source.naming.mask]
        named += [*label_sources([*scans, *one.series], one.members, one.path), *masks]
    if people_file is not None:
        named, doubts = apply_people(named, read_people(people_file), people_file), []
    # Both files of a pair may have been given, each of which stands for the pair.
    unmasked = (source for source in named if not source.naming.mask)
    unique = {(s.member.container, s.member.number, s.slice_number): s for s in unmasked}
    return list(unique.values()), [source for source in named if source.naming.mask], doubts


def _read_names(listed: Sequence[_Listed], config: PrepareConfig) -> tuple[list[Naming], list[str]]:
    """What the paths of all sources say, and doubts about whose they are."""
    paths = _paths_of([parts[0] for one in listed for parts in one.parts])
    called = _name_sources([one.path for one in listed])
    places = [place for one, place in zip(listed, called, strict=True) for _ in one.parts]
    if config.classes:
        return identify_all(paths, config), []
    found, doubts = read_sources(paths, places, lambda names: identify_all(names, config))
    hidden = config.ids == "pseudonym"  # as a folder may be called like a person
    said = [f"{'a folder' if hidden else place} {said}; {USE_PEOPLE}" for place, said in doubts]
    return found, said + say_one_name(found, places)


def _name_sources(paths: Sequence[Path]) -> list[str]:
    """What the sources are called; those of one name with the folder that each is in."""
    stems = [stem_of(path.name) for path in paths]
    return [
        f"{path.resolve().parent.name}/{stem}" if stems.count(stem) > 1 else stem
        for path, stem in zip(paths, stems, strict=True)
    ]


def _paths_of(members: Sequence[Member]) -> list[str]:
    """The paths to read names from; where archives hold the same names, theirs come first."""
    packed = [member for member in members if member.number is not None]
    if len({member.name for member in packed}) == len(packed):
        return [member.name for member in members]
    return [
        f"{stem_of(m.container.name)}/{m.name}" if m.number is not None else m.name for m in members
    ]


def _digest(sources: Iterable[Source], config: PrepareConfig) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(dump_json({"version": PLAN_VERSION, "config": config.for_digest()}))
    for source in sources:
        member = source.member
        hasher.update(dump_json([source.name, member.size, member.stamp, source.naming.split]))
        if source.labels:
            hasher.update(dump_json(source.labels))
        if source.is_array:  # which had millimetres once
            hasher.update(dump_json({"geometry": None}))
        if source.contrast:
            hasher.update(dump_json({"contrast": source.contrast}))
        for other in source.members[1:]:
            hasher.update(dump_json([other.name.split("/")[-1], other.size, other.stamp]))
    return hasher.hexdigest()


# One plan cut into parts, so that the jobs of an array each write a store that `merge` joins


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """`3/8` as a Shard; raises UsageError where it is none."""
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise UsageError(
        f"--shard {text}: not of the form I/N", "give I/N with I from 1 to N, such as 3/8"
    )


def take_shard(plan: Plan, shard: Shard) -> Plan:
    """The part of a plan that one job writes: a run of its sources of about equal size in bytes.

    Splits, pseudonyms and what is learned of all sources are those of the whole plan, so that the
    parts merged in order are the store that one `prepare` would have written. What belongs to no
    source (masks, files that could not be listed) is counted by the first part. Raises UsageError
    when there are fewer sources than parts.
    """
    if len(plan.sources) < shard.count:
        raise UsageError(
            f"--shard {shard}: more parts than sources ({len(plan.sources)})", "use fewer parts"
        )
    start, stop = bounds_of(
        [sum(m.size for m in (source.member, *source.others)) for source in plan.sources], shard
    )
    part = replace(
        plan,
        sources=plan.sources[start:stop],
        layouts=layouts_of(plan.sources[start:stop]),
        digest=hashlib.blake2b(dump_json([plan.digest, str(shard)]), digest_size=16).hexdigest(),
        learn_from=plan.sources,
        part={"number": shard.number, "count": shard.count, "plan": plan.digest},
    )
    if shard.number > 1:
        part = replace(part, masks=0, left_out={}, deselected=0, bad=())
        part = replace(part, ignored_kinds={}, set_aside=0, unpaired=())
    own = len(members_of(part.sources))
    return replace(part, listed=own + part.set_aside + part.ignored)


def bounds_of(sizes: list[int], shard: Shard) -> tuple[int, int]:
    """First index and end of a part; every part holds at least one item."""
    totals = list(itertools.accumulate(sizes))
    ends = [0]
    for number in range(1, shard.count):
        fair = bisect_left(totals, totals[-1] * number / shard.count) + 1
        least, most = ends[-1] + 1, len(sizes) - (shard.count - number)
        ends.append(max(least, min(fair, most)))
    ends.append(len(sizes))
    return ends[shard.number - 1], ends[shard.number]
