"""Who is who in files that no known scheme names: worked out from all of them together.

Words that say the contrast, the plane, the visit, the run or the slice are set aside; what is left
of a file's name, or of its folder's, is the person. Where many folders hold files of the same
names, the folder is the person.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mri_gan.ingest.plan.words import (
    CLASS_WORDS,
    GLUED_NUMBER,
    GROUP_WORD,
    MASK_FOLDERS,
    MASK_WORD,
    PERSON_WORD,
    SPLIT_FOLDERS,
    SPLIT_WORD,
    Words,
    read_words,
)
from mri_gan.ingest.source import whole_number

NAMELESS = "all"
LEADING_NUMBER = re.compile(r"^(?P<subject>\d{2,})(?:[_\-.]|$)")
DATE = re.compile(r"^(?:19|20)\d\d[01]\d[0-3]\d$")
FEW = 9  # channels, runs or visits that one person may have under bare numbers


@dataclass
class Parsed:
    """One file's path: what its folders and its name say, and what is left of both."""

    folders: list[str]  # what is left of those that say something of their own
    key: str  # what is left of the name
    words: list[Words]
    split: str
    leading: str = ""  # a number that the name begins with
    trailing: str = ""  # a number that the name ends with, of a volume
    position: int = -1
    who: str = ""


def infer_people(paths: Sequence[str], are_volumes: Sequence[bool]) -> list[Parsed]:
    """Every file with the person it is of.

    `paths` are without suffixes and without the folders that all of them share.
    """
    files = [_parse(path, vol) for path, vol in zip(paths, are_volumes, strict=True)]
    _drop_common_folders(files)
    _drop_channels(files)
    _drop_constant_words(files)
    _choose_people(files)
    _keep_restarted_numbers_apart(files)
    return files


# One path


def _parse(path: str, is_volume: bool) -> Parsed:
    *folders, stem = path.split("/")
    said = [read_words(folder) for folder in folders]
    kept, split = [], ""
    for folder, words in zip(folders, said, strict=True):
        word = split_word(folder)
        split = word or split
        if not word and folder.lower() not in MASK_FOLDERS and words.name:
            kept.append(words.text)
    plain = MASK_WORD.sub("_", stem)
    own = read_words(plain)
    parsed = Parsed(kept, own.text, [*said, own], split, position=own.position)
    return _number_volume(parsed, stem) if is_volume else _number_image(parsed, own)


def split_word(folder: str) -> str:
    """The split that a folder's name says, or an empty string."""
    found = SPLIT_WORD.match(folder)
    return SPLIT_FOLDERS[found["word"].lower()] if found else ""


def _number_image(parsed: Parsed, own: Words) -> Parsed:
    """The last number of an image's name is its slice, unless a word says which one is."""
    if own.position >= 0 or not own.name:
        return parsed
    last = own.name[-1]
    if last.isdecimal() and (len(own.name) > 1 or own.last == "name"):
        parsed.position, parsed.key = whole_number(last), own.text_without_last
        return parsed
    glued = GLUED_NUMBER.match(last)
    if own.last == "name" and glued and not PERSON_WORD.match(glued[1]):
        parsed.position = whole_number(glued[2])
        parsed.key = own.text[: -len(glued[2])].rstrip("_-. ")
    return parsed


def _number_volume(parsed: Parsed, stem: str) -> Parsed:
    leading = LEADING_NUMBER.match(stem)
    if leading and not DATE.match(leading["subject"]):
        parsed.leading = leading["subject"]
    trailing = re.search(r"^(.*\S)[_\-. ]+(\d{1,4})$", parsed.key)
    if trailing:
        parsed.trailing = trailing[2]
    return parsed


# All paths


def _drop_common_folders(files: Sequence[Parsed]) -> None:
    """The first folders of all files that lie in any, where they hold no number of a person."""
    deep = [file for file in files if file.folders]
    while deep and all(len(file.folders) > 1 for file in deep):
        firsts = {file.folders[0] for file in deep}
        if len(firsts) > 1 or any(map(_has_digit, firsts)):
            return
        for file in deep:
            del file.folders[0]


def _drop_channels(files: Iterable[Parsed]) -> None:
    """Numbers at the end of volumes' names that count channels or runs, and not people.

    They do so where several names go on with the same few numbers: of nnU-Net `_0000`, `_0001`;
    or one digit after a name that has a number of its own.
    """
    numbered: dict[str, set[str]] = defaultdict(set)
    numbered_files = [file for file in files if file.trailing]
    for file in numbered_files:
        numbered[_before(file)].add(file.trailing)
    if not numbered:
        return
    every = set().union(*numbered.values())
    few = all(0 <= whole_number(number) <= FEW for number in every)
    channels = few and all(len(number) == 4 for number in every) and "0000" in every
    named = all(any(c.isdigit() for c in name) for name in numbered)
    repeated = len(every) < sum(map(len, numbered.values())) or len(numbered) == 1
    runs = few and named and repeated and all(len(number) <= 2 for number in every)
    if (channels and (len(numbered) > 1 or named)) or runs:
        for file in numbered_files:
            own = file.words[-1]
            file.key = _before(file)
            contrast = own.contrast or (file.trailing if channels else "")
            file.words[-1] = replace(own, run=own.run or file.trailing, contrast=contrast)


def _before(file: Parsed) -> str:
    return file.key[: -len(file.trailing)].rstrip("_-. ")


def _drop_constant_words(files: Sequence[Parsed]) -> None:
    """Words without digits after a number, where the same people have them again and again."""
    cores = [_core(file.key) for file in files]
    variants: dict[str, set[str]] = defaultdict(set)
    for core, file in zip(cores, files, strict=True):
        variants[core].add(file.key)
    several = sum(len(keys) > 1 for core, keys in variants.items() if core)
    if several > 1 and 2 * several > len(variants):
        for core, file in zip(cores, files, strict=True):
            file.key = core or file.key


def _core(key: str) -> str:
    """The words of a name that hold digits; empty where there are none."""
    return "_".join(w for w in re.split(r"[_\-. ]+", key) if any(c.isdigit() for c in w))


def _choose_people(files: Sequence[Parsed]) -> None:
    """Whether the folders say who it is, or the names, or both."""
    leading = {file.leading for file in files}
    by_leading = len(leading - {""}) > 1 or len(files) == 1
    for file in files:
        if by_leading and file.leading:
            file.key = file.leading
    folder_is_person = _folders_are_people(files)
    for file in files:
        places = _person_folders(file.folders)
        if places and (folder_is_person or not file.key):
            file.who = "/".join(places)
            if file.position < 0 and file.key.isdecimal():
                file.position = whole_number(file.key)
        elif file.key:
            sites = [f for f in file.folders if _is_site(f)]
            file.who = "/".join((*sites, file.key)) if file.key.isdecimal() else file.key
        else:
            file.who = "/".join(file.folders)


def _person_folders(folders: Sequence[str]) -> list[str]:
    """The folders down to the first that has a number and is no group's, else all."""
    for depth, folder in enumerate(folders):
        if any(c.isdigit() for c in folder) and not _is_group(folder):
            above = [f for f in folders[:depth] if not _is_class(f)]
            return [*above, folder]
    return [f for f in folders if not _is_group(f)]


def _is_site(folder: str) -> bool:
    return bool(GROUP_WORD.match(folder))


def _is_class(folder: str) -> bool:
    return folder.lower() in CLASS_WORDS


def _is_group(folder: str) -> bool:
    return _is_site(folder) or _is_class(folder)


def _folders_are_people(files: Sequence[Parsed]) -> bool:
    pairs = {("/".join(_person_folders(f.folders)), f.key) for f in files if f.folders and f.key}
    places, keys = {place for place, _ in pairs} - {""}, {key for _, key in pairs}
    if not places:
        return False
    digits = [_share(map(_has_digit, group)) for group in (places, keys)]
    if digits[0] > 0.5 >= digits[1]:
        return True
    if digits[1] > 0.5 >= digits[0] and len(places) <= len(keys):
        return False
    same = _share(_same_start(place, key) for place, key in pairs)
    return len(places) > len(keys) or (len(places) > 1 and digits[0] > 0.5) or same > 0.5


def _same_start(place: str, key: str) -> bool:
    one, other = place.rpartition("/")[2].lower(), key.lower()
    return one.startswith(other) or other.startswith(one)


def _has_digit(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0


def _keep_restarted_numbers_apart(files: Sequence[Parsed]) -> None:
    """Names without a number, or numbers that begin anew, are not the same person in two splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for file in files:
        if file.split:
            splits[file.who.casefold()].add(file.split)
    if len(set().union(*splits.values())) < 2:
        return
    shared = {who for who, where in splits.items() if len(where) > 1}
    mostly = 2 * len(shared) > len(splits)
    for file in files:
        who = file.who.casefold()
        bare = not _has_digit(who) or who.isdecimal()
        if file.split and (not file.who or (who in shared and (bare or mostly))):
            file.who = f"{file.split}/{file.who}".rstrip("/")
