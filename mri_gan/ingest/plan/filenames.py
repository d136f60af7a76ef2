"""File names: subject, session, side, slice, split, and whether it is a mask or an image."""

from __future__ import annotations

import re

from mri_gan.config import AUTO
from mri_gan.errors import UsageError
from mri_gan.ingest.source import VOLUME_SUFFIXES, Naming, suffix_of
from mri_gan.preparation import NAMING_EXAMPLE, PrepareConfig

# What a file's path says: who, when, which side, which slice, which split, mask or image

OASIS_COURSE = re.compile(
    r"keras_png_slices_(?:seg_)?(?P<split>train|validate|test)/(?:slices/)?"
    r"(?P<kind>case|seg)_(?P<subject>\d+)_slice_(?P<position>\d+)(?:\.nii)?\.png$",
    re.IGNORECASE,
)
AKOA = re.compile(
    r"(?P<subject>OAI\d{7})_BaseLine_(?P<session>\d+)_?de3d1_SAG_3D_DESS_WE_"
    r"(?P<side>L_?E_?F_?T|R_?I_?G_?H_?T)(?:\.nii\.gz)?_(?P<position>\d+)\.png$",
    re.IGNORECASE,
)
NEURITE = re.compile(
    r"OASIS_(?P<subject>OAS1_\d{4})_MR(?P<session>\d+)/[^/]+\.nii(?:\.gz)?$", re.IGNORECASE
)
OASIS_1 = re.compile(r"(?P<subject>OAS1_\d{4})_MR(?P<session>\d+)", re.IGNORECASE)
BIDS = re.compile(r"(?:^|/)sub-(?P<subject>[A-Za-z0-9]+)(?:_sess?-(?P<session>[A-Za-z0-9]+))?_")
LEARN2REG = re.compile(r"(?:^|/)(?P<subject>OASIS_\d{4})_\d{4}\.nii(?:\.gz)?$", re.IGNORECASE)
VOLUME_FORMS = {"bids": BIDS, "neurite": NEURITE, "oasis1": OASIS_1, "learn2reg": LEARN2REG}
LEADING_NUMBER = re.compile(r"^(?P<subject>\d{2,})(?:[_\-.]|$)")
TRAILING_NUMBER = re.compile(
    r"^(?P<subject>.*?)[_\-. ]*(?:slice|img|im|z)?[_\-. ]*(?P<position>\d+)$", re.IGNORECASE
)

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validate",
    "valid": "validate",
    "validate": "validate",
    "validation": "validate",
    "test": "test",
    "testing": "test",
}
MASK_FOLDERS = {"labels", "labelstr", "labelsts", "mask", "masks", "seg", "segmentations"}
MASK_WORD = re.compile(
    r"(?:^|[_\-.])(?:f|d|a|prob)?(?:seg\d*|masks?|labels?|tissues?|brainmask|parc)(?:[_\-.]|$)",
    re.IGNORECASE,
)


NAMELESS = "all"
NO_CLASS = {"images", "image", "png", "jpg"}
BARE_WORDS = {"img", "image", "slice", "im", "digit", "sample", "mnist"}


def identify(name: str, prefix: str = "") -> Naming:
    """Read a member's path; `prefix` is the folder part that all members share.

    The first layout that fits wins; the last one, `images`, fits everything.
    """
    return _oasis_course(name) or _akoa(name) or _volume(name) or _generic(name, prefix)


def is_mask(name: str) -> bool:
    """Whether folders or words of the path say that this is a label map, not an image."""
    *folders, file = name.split("/")
    stem = file.removesuffix(suffix_of(file)) if suffix_of(file) else file
    return any(f.lower() in MASK_FOLDERS for f in folders) or bool(MASK_WORD.search(stem))


def split_of(name: str) -> str:
    """The split that a folder of the path names, or an empty string."""
    for folder in reversed(name.split("/")[:-1]):
        if folder.lower() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[folder.lower()]
    return ""


def identify_forced(name: str, prefix: str, layout: str) -> Naming | None:
    """Read a path as one layout's and no other's; None where it does not fit."""
    simple = {"oasis-course": _oasis_course, "akoa": _akoa}
    if layout in simple:
        return simple[layout](name)
    if layout == "images":
        return _generic(name, prefix)
    return _fit(name, layout)


def identify_class(name: str, prefix: str) -> Naming | None:
    """Read the path of an image in a class folder; None where it is in none.

    A name of letters and a number is a person's, whatever the class; a bare number, or one after
    a word such as `img`, is an image of its own.
    """
    *folders, file = name.split("/")
    classes = [f for f in folders if f.lower() not in SPLIT_FOLDERS.keys() | NO_CLASS]
    if not classes:
        return None
    stem = file.removesuffix(suffix_of(file))
    found = TRAILING_NUMBER.match(stem)
    person = found["subject"] if found else stem
    path = f"{name.removeprefix(prefix).rpartition('/')[0]}/{stem}".lstrip("/")
    named = bool(person) and not person.isdecimal() and person.lower() not in BARE_WORDS
    return Naming(
        "images",
        subject=person if named else path,
        split=split_of(name),
        position=int(found["position"]) if found and named else -1,
        mask=is_mask(name),
        label=classes[-1],
    )


def _oasis_course(name: str) -> Naming | None:
    found = OASIS_COURSE.search(name)
    if found is None:
        return None
    return Naming(
        "oasis-course",
        subject=found["subject"],
        split=found["split"].lower(),
        plane="axial",
        position=int(found["position"]),
        mask=found["kind"].lower() == "seg",
    )


def _akoa(name: str) -> Naming | None:
    found = AKOA.search(name)
    if found is None:
        return None
    return Naming(
        "akoa",
        subject=found["subject"].upper(),
        session=found["session"],
        side=found["side"].replace("_", "").lower(),
        plane="sagittal",
        position=int(found["position"]),
    )


def _volume(name: str) -> Naming | None:
    if suffix_of(name) not in VOLUME_SUFFIXES:
        return None
    found = (_fit(name, layout) for layout in VOLUME_FORMS)
    return next(filter(None, found), None) or _numbered(name)


def _fit(name: str, layout: str) -> Naming | None:
    """What a volume's path says if it fits the layout's form."""
    pattern = VOLUME_FORMS[layout]
    found = pattern.search(name)
    if found is None:
        return None
    subject = found["subject"]
    if pattern.flags & re.IGNORECASE:  # one person, however it is spelled
        subject = subject.upper()
    session = found.groupdict().get("session") or ""
    return Naming(layout, subject, session, split_of(name), mask=is_mask(name))


def _numbered(name: str) -> Naming:
    stem = name.split("/")[-1][: -len(suffix_of(name))]
    found = LEADING_NUMBER.search(stem)
    subject = found["subject"] if found else stem
    return Naming("volumes", subject, split=split_of(name), mask=is_mask(name))


def _generic(name: str, prefix: str) -> Naming:
    """Any image: its folder and the name before the trailing number stand for the subject.

    Files named by numbers alone, in no folder, may all be of one person: they stay together.
    """
    *folders, file = name.removeprefix(prefix).split("/")
    stem = file.removesuffix(suffix_of(file))
    found = TRAILING_NUMBER.match(stem)
    subject = found["subject"] if found else stem
    return Naming(
        "images",
        subject="/".join((*folders, subject)).rstrip("/") or NAMELESS,
        split=split_of(name),
        position=int(found["position"]) if found else -1,
        mask=is_mask(name),
    )


# File names read as the user says, by `--layout` or `--naming`, or as they look

EXAMPLES = {
    "oasis-course": "keras_png_slices_train/case_001_slice_0.nii.png",
    "akoa": "OAI9000000_BaseLine_3_de3d1_SAG_3D_DESS_WE_LEFT.nii.gz_0.png",
    "oasis1": "OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
    "bids": "sub-01_ses-1_T1w.nii.gz",
    "neurite": "OASIS_OAS1_0001_MR1/norm.nii.gz",
    "learn2reg": "imagesTr/OASIS_0001_0000.nii.gz",
}


def identify_as(name: str, prefix: str, config: PrepareConfig) -> Naming:
    """Read a member's path; raises UsageError where it does not fit what the user asked for."""
    if config.naming != AUTO:
        return _by_pattern(name, config.naming)
    if config.classes:
        return _by_class(name, prefix)
    if config.layout == AUTO:
        return identify(name, prefix)
    found = identify_forced(name, prefix, config.layout)
    if found is None:
        raise UsageError(
            f"{name}: is not named as --layout {config.layout} has it",
            f"such as {EXAMPLES[config.layout]}",
        )
    return found


def _by_pattern(name: str, pattern: str) -> Naming:
    found = re.search(pattern, name)
    if found is None or not found["subject"]:
        raise UsageError(
            f"{name}: --naming {pattern} finds no subject in it", f"example: {NAMING_EXAMPLE}"
        )
    said = {key: value or "" for key, value in found.groupdict().items()}
    return Naming(
        "naming",
        subject=said["subject"],
        session=said.get("session", ""),
        split=_split(name, said.get("split", "")),
        side=said.get("side", "").lower(),
        position=_position(name, said.get("slice", "")),
        mask=bool(said.get("mask", "")),
        label=said.get("class", ""),
    )


def _by_class(name: str, prefix: str) -> Naming:
    found = identify_class(name, prefix)
    if found is None:
        raise UsageError(
            f"{name}: lies in no class folder", "put it into one, or leave --classes out"
        )
    return found


def _split(name: str, word: str) -> str:
    if word and word.lower() not in SPLIT_FOLDERS:
        raise UsageError(
            f"{name}: --naming finds the split {word}", f"use one of {', '.join(SPLIT_FOLDERS)}"
        )
    return SPLIT_FOLDERS[word.lower()] if word else ""


def _position(name: str, digits: str) -> int:
    if not digits:
        return -1
    if not digits.isdecimal():
        raise UsageError(f"{name}: --naming finds the slice {digits}", r"use (?P<slice>\d+)")
    return int(digits)
