"""What a file's path says: who, when, which side, which contrast, which slice, mask or image.

File names are read as the user says, by `--layout` or `--naming`, or as they look: by the schemes
of public collections, and where none fits, by all names together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from mri_gan.config import AUTO
from mri_gan.errors import UsageError
from mri_gan.ingest.options import NAMING_EXAMPLE, PrepareConfig
from mri_gan.ingest.plan import words
from mri_gan.ingest.plan.folders import add_visits, drop_sub, number_slices, plainer_names
from mri_gan.ingest.plan.inference import infer_people
from mri_gan.ingest.plan.label_files import place_classes
from mri_gan.ingest.plan.paths import SHORT_NUMBER, Parsed, gather, has_digit
from mri_gan.ingest.plan.selection import name_visits
from mri_gan.ingest.plan.words import AKOA, BIDS, OASIS_COURSE, SCHEMES, Scheme, read_scheme
from mri_gan.ingest.source import (
    IMAGE_SUFFIXES,
    Naming,
    common_prefix,
    name_of,
    stem_of,
    suffix_of,
    whole_number,
)
from mri_gan.store.schema import NAMELESS

INNER_SUFFIX = re.compile(  # `rf`: as Roboflow names its copies
    r"\.(?:nii|nii\.gz|nifti|mgz|npy)(?=$|[_\-. ]\d+$)|\.rf\.[0-9a-z]{12,}$", re.I
)
FEW_WORDS = 2  # before the numbers of a class: what a class is called, and not its people
CASES = {"nnunet", "msd"}  # their names of cases may be those of other collections
SPLIT_PARTS = {"tr", "te", "train", "test", "val", "valid"}
BARE_WORDS = {"img", "image", "slice", "im", "digit", "sample", "mnist"}
TRAILING_NUMBER = re.compile(
    r"^(?P<subject>.*?)[_\-. ]*(?:slice|img|im|z)?[_\-. ]*[(]?(?P<position>\d+)[)]?$", re.IGNORECASE
)
# What a collection's scans are where their names do not say it.
USUAL_CONTRAST = {"oasis1": "t1", "oasis2": "t1", "neurite": "t1", "freesurfer": "t1"}
FREESURFER_MASKS = re.compile(
    r"/(?:(?:lh|rh)\.)?(?:aseg|aparc|wmparc|ribbon|filled|wm|mask)[^/]*$", re.IGNORECASE
)
# LONI's downloads: the folder has the day of the scan, the file's stamp that of its processing.
LONI_STAMP = re.compile(
    r"((?:^|/)(?P<day>(?:19|20)\d\d-[01]\d-[0-3]\d)_\d\d_\d\d_\d\d\.\d+/.*_br_(?:raw_)?)\d{8,17}"
    r"(?=[_.][^/]*$)",
    re.IGNORECASE,
)
EXAMPLES = {
    "oasis-course": "keras_png_slices_train/case_001_slice_0.nii.png",
    "akoa": "OAI9000000_BaseLine_3_de3d1_SAG_3D_DESS_WE_LEFT.nii.gz_0.png",
    "oasis1": "OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
    "bids": "sub-01_ses-1_T1w.nii.gz",
    "neurite": "OASIS_OAS1_0001_MR1/norm.nii.gz",
    "learn2reg": "imagesTr/OASIS_0001_0000.nii.gz",
}


def identify_all(names: Sequence[str], config: PrepareConfig) -> list[Naming]:
    """Read the paths of all members together; raises UsageError where one does not fit.

    The first scheme that fits a path wins; paths that fit none are read together (`inference`).
    """
    plain = [words.plain_text(name) for name in names]
    if config.naming != AUTO:
        return [_by_pattern(name, config.naming) for name in plain]
    plain = [_date_by_folder(name) for name in plain]
    plain = plain if config.classes else plainer_names(plain)
    stems = [_stem(name) for name in plain]
    read = add_visits(plain, _read_together(plain, config))
    return number_slices(stems, name_visits(stems, read))


def _date_by_folder(name: str) -> str:
    """A path of LONI's with the day of the scan in the file's name, too."""
    return LONI_STAMP.sub(lambda found: found[1] + found["day"].replace("-", ""), name)


def _read_together(names: Sequence[str], config: PrepareConfig) -> list[Naming]:
    if config.classes:
        return _by_class(names)
    if config.layout == AUTO:
        return _identify(names)
    if config.layout == "images":
        return _infer(names)
    return [_forced(name, config.layout) for name in names]


def _identify(names: Sequence[str]) -> list[Naming]:
    known = identify_each(names)
    known = _read_cases(names, _agree_on_labels(known))
    rest = iter(_infer([name for name, one in zip(names, known, strict=True) if one is None]))
    every = [next(rest) if one is None else one for one in known]
    return _follow_images(_one_spelling(drop_sub(every)))


def _follow_images(namings: Sequence[Naming]) -> list[Naming]:
    """Masks of nobody go to the one person whose name has the same numbers (`lb7` to `im7`)."""
    people = {naming.subject for naming in namings if not naming.mask}
    by_number = gather((_numbers_of(who), who) for who in people)

    def follow(naming: Naming) -> Naming:
        same = by_number.get(_numbers_of(naming.subject), set())
        if not naming.mask or naming.subject in people or len(same) != 1:
            return naming
        return replace(naming, subject=next(iter(same)))

    return [follow(naming) for naming in namings]


def _numbers_of(who: str) -> str:
    return " ".join(re.findall(r"\d+", who)) or who


def _agree_on_labels(known: Sequence[Naming | None]) -> list[Naming | None]:
    """Label maps of nnU-Net are named like those of the MSD: the images decide whose they are."""
    has_channels = any(one and one.layout == "nnunet" and one.contrast for one in known)

    def agree(one: Naming | None) -> Naming | None:
        if one is None or one.layout not in ("nnunet", "msd"):
            return one
        if has_channels and one.mask:
            return replace(one, layout="nnunet")
        return one if has_channels or one.layout == "msd" else None

    return [agree(one) for one in known]


def _read_cases(names: Sequence[str], known: Sequence[Naming | None]) -> list[Naming | None]:
    """The people and slices of nnU-Net's cases, named like files: `patient001_frame01`."""
    pairs = zip(names, known, strict=True)
    cases = [
        "" if one is None or one.layout != "nnunet" else one.subject + suffix_of(name)
        for name, one in pairs
    ]
    distinct = list(dict.fromkeys(filter(None, cases)))
    said = {case: _fit_first(case, _schemes_for(case, CASES)) for case in distinct}
    rest = [case for case in distinct if said[case] is None]
    said |= zip(rest, _infer(rest), strict=True)

    def read(one: Naming | None, case: Naming | None) -> Naming | None:
        if one is None or case is None:
            return one
        kept = replace(case, layout=one.layout, split=one.split, contrast=one.contrast)
        return replace(kept, mask=one.mask)

    return [read(one, said.get(case)) for one, case in zip(known, cases, strict=True)]


def _one_spelling(namings: Sequence[Naming]) -> list[Naming]:
    """Of names that differ by capital letters only, the first one stands for all."""
    spelled: dict[str, str] = {}
    firsts = [spelled.setdefault(n.subject.casefold(), n.subject) for n in namings]
    return [
        n if n.subject == first else replace(n, subject=first)
        for n, first in zip(namings, firsts, strict=True)
    ]


def identify_each(names: Iterable[str]) -> list[Naming | None]:
    """Every path by the first scheme that fits it, without the others; None where none does."""
    unfit = set()  # what slices' paths share but their number, where no scheme fits
    found: list[Naming | None] = []
    for name in names:
        number = SHORT_NUMBER.search(name)
        form = number and (name[: number.start()], len(number[0]), name[number.end() :])
        if form in unfit:
            found.append(None)
            continue
        found.append(identify(name))
        if found[-1] is None and form:
            unfit.add(form)
    return found


def identify(name: str) -> Naming | None:
    """Read a path by the first scheme that fits it; None where none does."""
    early = _oasis_course(name) or _akoa(name) or _bids(name)
    return early or _fit_first(name, _schemes_for(name))


def _schemes_for(name: str, but: Collection[str] = ()) -> list[Scheme]:
    """Those that files of this kind may follow, without some layouts."""
    is_image = suffix_of(name) in IMAGE_SUFFIXES
    return [s for s in SCHEMES if s.layout not in but and (s.images or not is_image)]


def _fit_first(name: str, schemes: Iterable[Scheme]) -> Naming | None:
    return next(filter(None, (_fit(name, scheme) for scheme in schemes)), None)


def is_mask(name: str) -> bool:
    """Whether folders or words of the path say that this is a label map, not an image."""
    *folders, file = name.split("/")
    if words.PROBABILITY.search(file):
        return False
    return _in_mask_folder(folders) or bool(words.MASK_WORD.search(_stem(file)))


def _in_mask_folder(folders: Sequence[str]) -> bool:
    """Whether a folder is of label maps; one such as `seg_train` is not if it holds `images`."""
    if any(folder.lower() in words.MASK_FOLDERS for folder in folders):
        return True
    images = any(folder.lower() in words.IMAGE_FOLDERS for folder in folders)
    return not images and any(words.mask_folder(folder) is not None for folder in folders)


def split_of(name: str) -> str:
    """The split that a folder of the path names, or an empty string."""
    said = (words.SPLIT_FOLDERS.get(f.lower(), "") for f in reversed(name.split("/")[:-1]))
    return next(filter(None, said), "")


def _stem(name: str) -> str:
    """A path without its suffix, and without that of the file that a slice was cut from."""
    return INNER_SUFFIX.sub("", stem_of(name))


# One path, by a scheme


def _forced(name: str, layout: str) -> Naming:
    """Read a path as one layout's and no other's; raises UsageError where it does not fit."""
    simple = {"oasis-course": _oasis_course, "akoa": _akoa, "bids": _bids}
    if layout in simple:
        found = simple[layout](name)
    else:
        found = _fit_first(name, [scheme for scheme in SCHEMES if scheme.layout == layout])
    if found is None:
        raise UsageError(
            f"{name}: does not match --layout {layout}", f"expected: {EXAMPLES[layout]}"
        )
    return found


def _oasis_course(name: str) -> Naming | None:
    found = OASIS_COURSE.search(name)
    if found is None:
        return None
    return Naming(
        "oasis-course",
        subject=found["subject"],
        split=(found["split"] or split_of(name)).lower(),
        plane="axial",
        position=whole_number(found["position"]),
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
        position=whole_number(found["position"]),
    )


def _bids(name: str) -> Naming | None:
    found = BIDS.search(name)
    if found is None:
        return None
    naming = Naming("bids", found["subject"], found["session"] or "", split_of(name))
    return replace(_complete(naming, name, found["subject"]), run=_entity(name, "run"))


def _entity(name: str, entity: str) -> str:
    found = re.search(rf"_{entity}-([A-Za-z0-9]+)", name)
    return found[1] if found else ""


def _fit(name: str, scheme: Scheme) -> Naming | None:
    said = read_scheme(scheme, name)
    if said is None:
        return None
    if scheme.layout == "freesurfer":
        said = {**said, **read_freesurfer_subject(said["subject"])}
    side = said.get("side", "").lower()
    contrast = said.get("contrast", "")
    naming = Naming(
        scheme.layout,
        said["subject"],
        said.get("session", ""),
        split_of(name),
        side=words.SIDES.get(side, side),
        plane=said.get("plane", ""),
        position=whole_number(said.get("position") or "-1"),
        contrast=words.contrast_of(contrast) or contrast.lower(),
        run=said.get("run", ""),
    )
    return _complete(naming, name, said["subject"])


def _complete(naming: Naming, name: str, subject: str) -> Naming:
    """The naming with what the words of the path say that its scheme left open."""
    folders, _, file = _stem(name).rpartition("/")
    # Where it stands alone it is taken out there only: the `1` of `sub-1`, and not that of `T1w`.
    anywhere = re.escape(subject)
    alone = rf"(?<![^\W_]){anywhere}(?![^\W_])"
    who = alone if re.search(alone, file, re.IGNORECASE) else anywhere
    own = words.read_words(re.sub(who, "", file, flags=re.IGNORECASE))
    # FreeSurfer's brainmask is a picture without its skull.
    masks = FREESURFER_MASKS if naming.layout == "freesurfer" else None
    contrast = naming.contrast or own.contrast or _folder_contrast(folders)
    is_image = suffix_of(name) in IMAGE_SUFFIXES
    last = TRAILING_NUMBER.match(file)
    numbers = naming.position, own.position, whole_number(last["position"]) if last else -1
    return replace(
        naming,
        contrast=contrast or USUAL_CONTRAST.get(naming.layout, ""),
        position=next((n for n in numbers if n >= 0), -1) if is_image else -1,
        mask=bool(masks.search(name)) if masks else is_mask(name),
    )


def _folder_contrast(folders: str) -> str:
    """The contrast that the nearest folder names."""
    said = (words.read_words(folder).contrast for folder in reversed(folders.split("/")))
    return next(filter(None, said), "")


def read_freesurfer_subject(folder: str) -> dict[str, str]:
    """Subject and session of a folder of FreeSurfer's, such as `sub-01_ses-2.long.sub-01`."""
    own = re.sub(r"\.long\..*$|_(?:base|template)$", "", folder)
    found = BIDS.search(f"{own}_")
    if found or own.startswith("sub-"):
        session = (found and found["session"]) or _entity(own, "ses")
        return {"subject": found["subject"] if found else own[4:], "session": session}
    said = words.read_words(own, "folder")
    return {"subject": said.text or own, "session": said.visit} if said.visit else {"subject": own}


# All paths that fit no scheme


def _infer(names: Sequence[str]) -> list[Naming]:
    if not names:
        return []
    prefix = common_prefix(names)
    volumes = [suffix_of(name) not in IMAGE_SUFFIXES for name in names]
    found = infer_people([_stem(name).removeprefix(prefix) for name in names], volumes)
    return [_inferred(*one) for one in zip(names, found, volumes, strict=True)]


DATE = re.compile(r"(?:19|20)\d{6}")
BORN_BEFORE = 10  # years; no study lasts so long


def _join_visits(visits: Iterable[str]) -> str:
    """One session of what folders and file say, without a date of birth beside one of a visit."""
    said = [*filter(None, dict.fromkeys(visits))]
    years = {visit: int(visit[:4]) for visit in said if DATE.match(visit)}
    last = max(years.values(), default=0)
    return "-".join(visit for visit in said if years.get(visit, last) + BORN_BEFORE > last)


def _inferred(name: str, one: Parsed, is_volume: bool) -> Naming:
    def last(kind: str) -> str:
        said = (getattr(part, kind) for part in reversed(one.words))
        return next(filter(None, said), "")

    return Naming(
        "volumes" if is_volume else "images",
        subject=one.who or NAMELESS,
        session=_join_visits(part.visit for part in one.words),
        split=split_of(name) or one.split,
        side=last("side"),
        plane="" if is_volume else last("plane"),
        position=-1 if is_volume else one.position,
        mask=is_mask(name),
        contrast=last("contrast"),
        run=last("run"),
        kind="derivative" if one.is_made else "",
    )


# As the user says


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


def _by_class(names: Sequence[str]) -> list[Naming]:
    """Read the paths of images in class folders, or in folders of people within those.

    A bare number, or one after a word such as `img` or the name of the class, is an image of its
    own; a name with a number in it is a person's, whatever the class, and so is a word where a
    class has many. Volumes are read as they are without classes. Raises UsageError where an image
    is in no folder.
    """
    prefix = common_prefix(names)
    found = [
        (label, person, *_split_number(name))
        for name, (label, person) in zip(names, place_classes(names), strict=True)
    ]
    said = gather((label, person or word) for label, person, word, _ in found)
    in_folders = any(person for _, person, _, _ in found)
    named = {
        label: {word for word in their if in_folders or not _is_bare(word, label, their)}
        for label, their in said.items()
    }
    volumes = [name for name in names if suffix_of(name) not in IMAGE_SUFFIXES]
    as_volumes = dict(zip(volumes, _identify(volumes), strict=True))
    namings = []
    for name, (label, person, word, position) in zip(names, found, strict=True):
        naming = as_volumes.get(name) or identify(name)
        naming = naming or _in_class(name, prefix, person or word, position, named[label])
        namings.append(replace(naming, label=label))
    return namings


def _split_number(name: str) -> tuple[str, int]:
    """What is before the last number of a file's name, and that number; -1 without one."""
    file = name_of(name)
    stem = file.removesuffix(suffix_of(file))
    found = TRAILING_NUMBER.match(stem)
    return (found["subject"], whole_number(found["position"])) if found else (stem, -1)


def _in_class(name: str, prefix: str, word: str, position: int, named: Collection[str]) -> Naming:
    sure = has_digit(word) or len(named) > FEW_WORDS or word in name.split("/")[:-1]
    is_named = word in named and sure
    path = name.removeprefix(prefix)
    return Naming(
        "images",
        subject=_without_contrast(word) if is_named else stem_of(path),
        split=split_of(name),
        position=position if is_named else -1,
        mask=is_mask(name),
    )


def _without_contrast(word: str) -> str:
    said = words.read_words(word)
    return (said.contrast and said.text) or word


def _is_bare(word: str, label: str, others: Collection[str]) -> bool:
    """Whether a word is nobody's name: a number, a word for pictures, or that of its class.

    Its class, with or without the split, may be shortened (`Tr-gl` of gliomas), and numbered
    (`m1`, where there is `m`).
    """
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", word)
    plain = "".join(part for part in parts if part.lower() not in SPLIT_PARTS).lower()
    in_class = plain in re.sub(r"[^a-z0-9]", "", label.lower())
    numbered = len(word) > 1 and word[-1].isdigit() and word[:-1].strip() in others
    return plain.isdecimal() or plain in BARE_WORDS or in_class or numbered


def _split(name: str, word: str) -> str:
    if word and word.lower() not in words.SPLIT_FOLDERS:
        known = ", ".join(words.SPLIT_FOLDERS)
        raise UsageError(f"{name}: --naming finds the split {word}", f"use one of {known}")
    return words.SPLIT_FOLDERS[word.lower()] if word else ""


def _position(name: str, digits: str) -> int:
    if not digits:
        return -1
    if not digits.isdecimal():
        raise UsageError(f"{name}: --naming finds the slice {digits}", r"use (?P<slice>\d+)")
    return whole_number(digits)
