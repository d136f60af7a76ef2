"""Which mask belongs to which scan."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from mri_gan.ingest.plan.selection import frame_of
from mri_gan.ingest.plan.words import IMAGE_FOLDERS, MASK_WORD, mask_folder
from mri_gan.ingest.source import Source, name_of, natural_key, stem_of

IMAGE_WORDS = {"img", "image", "scan", "case", "vol", "volume", "t1", "t1w", "t2", "t2w", "ss"}
IMAGE_ENDING = re.compile(
    r"[_\-. ](?:images?|imgs?|scans|slices)$"
)  # `train_images`, `train_masks`
BIDS_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9]+)")
BIDS_MASK_ENTITIES = {"desc", "label", "atlas"}  # they distinguish masks of one scan
BEST_MASKS = ("aparc+aseg", "aseg")
# Collections whose masks are drawn for a person's visit, whatever the contrast.
OF_A_VISIT = {
    *("oasis-course", "oasis1", "naming", "people", "msd", "brats", "freesurfer", "hcp"),
    *("lgg", "isles", "atlas", "promise12", "mmwhs", "crossmoda", "iseg", "ibsr", "ms2015"),
}
Key = Callable[[Source], Hashable]


def pair_masks(
    scans: Sequence[Source], masks: Sequence[Source]
) -> tuple[list[Source], list[Source]]:
    """The scans, each with its mask where there is one, and the masks that belong to none.

    A mask belongs to the scan that its layout or its name says. Where names are not enough, it
    belongs to the only scan of the same person, session, side and slice.
    """
    by_name, by_person = _group(masks, _key_of), _group(masks, _who_and_where)
    rivals = _group(scans, _who_and_where)

    def find(scan: Source) -> Source | None:
        named = by_name.get(_key_of(scan), [])
        if named:
            return named[0]
        person = _who_and_where(scan)
        theirs = by_person.get(person, [])
        alone = len(theirs) == 1 and _differ_by_contrast(rivals[person])
        return theirs[0] if alone and _agree(scan, theirs[0]) else None

    paired = [replace(scan, mask=find(scan)) for scan in scans]
    taken = {id(scan.mask) for scan in paired}
    return paired, [mask for mask in masks if id(mask) not in taken]


def _group(sources: Sequence[Source], key: Key) -> dict[Hashable, list[Source]]:
    """Sources that share a key, in the order of their names."""
    groups: dict[Hashable, list[Source]] = {}
    for source in sorted(sources, key=lambda s: (_rank(s), natural_key(s.name))):
        groups.setdefault(key(source), []).append(source)
    return groups


def _rank(source: Source) -> int:
    """Of several masks of a FreeSurfer or HCP scan, the one with the most parts comes first."""
    file = name_of(source.name).lower()
    return next((i for i, word in enumerate(BEST_MASKS) if file.startswith(word)), len(BEST_MASKS))


def _differ_by_contrast(scans: Sequence[Source]) -> bool:
    """Whether there is one scan, or one of each contrast: a mask is drawn for all of them."""
    contrasts = [scan.naming.contrast for scan in scans]
    return len(set(contrasts)) == len(contrasts)


def _agree(scan: Source, mask: Source) -> bool:
    """Whether nothing that BIDS says of both differs, such as their runs."""
    one, other = (dict(BIDS_ENTITY.findall(name_of(s.name))) for s in (scan, mask))
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _who_and_where(source: Source) -> Hashable:
    said = source.naming
    return said.layout, said.subject, said.session, said.side, said.position, source.is_volume


def _key_of(source: Source) -> Hashable:
    """Equal for a scan and its masks."""
    layout, file = source.naming.layout, name_of(source.name)
    if layout == "bids":
        return layout, _entities(file)
    if layout == "neurite":  # the mask in the same space: aligned_norm has aligned_seg4
        return _who_and_where(source), file.lower().startswith("aligned_")
    if layout == "nnunet":
        return layout, source.naming.split, frame_of(source)
    if layout == "acdc":
        return _who_and_where(source), frame_of(source)
    if layout in OF_A_VISIT:
        return _who_and_where(source), source.naming.split
    return layout, source.is_volume, _plain_name(source.name)


def _entities(file: str) -> Hashable:
    """What a BIDS name says of the scan, as in (("run", "1"), ("sub", "01"))."""
    found = dict(BIDS_ENTITY.findall(file))
    return tuple(sorted((k, v) for k, v in found.items() if k not in BIDS_MASK_ENTITIES))


def _plain_name(name: str) -> Hashable:
    """A path without the folders and words that distinguish images and masks."""
    *folders, file = name.lower().split("/")
    words = re.split(r"[_\-. ]+", stem_of(file))
    plain = [word for word in words if word not in IMAGE_WORDS and not MASK_WORD.fullmatch(word)]
    said = (folder if (rest := mask_folder(folder)) is None else rest for folder in folders)
    return tuple(IMAGE_ENDING.sub("", f) for f in said if f and f not in IMAGE_FOLDERS), tuple(
        plain
    )
