"""Who is who in files that no known scheme names: worked out from all of them together.

Words that say the contrast, the plane, the visit, the run or the slice are set aside; what is left
of a file's name, or of its folder's, is the person. Where many folders hold files of the same
names, the folder is the person.
"""

from __future__ import annotations

import copy
import functools
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from mri_gan.ingest.plan.words import (
    CLASS_WORDS,
    DIAGNOSES,
    GLUED_NUMBER,
    GROUP_WORD,
    MASK_FOLDERS,
    MASK_WORD,
    NUMBERED,
    PERSON_WORD,
    SPELLED_DATE,
    SPLIT_FOLDERS,
    SPLIT_WORD,
    YEAR,
    Words,
    read_words,
)
from mri_gan.ingest.source import whole_number

NAMELESS = "all"
SITE_NUMBER = r"\d{2,3}-\d{3,4}"  # as trials have them: `01-003`
LEADING_NUMBER = re.compile(rf"^(?P<subject>{SITE_NUMBER}|\d{{2,}})(?:[_\-.]|$)")
DATE = re.compile(r"^(?:19|20)\d\d[01]\d[0-3]\d$")
SHORT_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?=\D*$)")  # the last of a path; longer ones may be dates
LONGEST_PREFIX = 8
MADE_BY_SPM = re.compile(
    r"^(?:s\d?|r|w|u|a|m|i|i?y_|mean|(?:m|r)?w?[cp][0-6]|wmi?|m0?w?i?|sw[rau]*|[wsrau]{1,5})$",
    re.IGNORECASE,
)
SIDES = {"l": "left", "r": "right"}
FEW = 9  # channels, runs or visits that one person may have under bare numbers


@dataclass
class Parsed:
    """One file's path: what its folders and its name say, and what is left of both."""

    path: list[str]  # its folders
    folders: list[str]  # what is left of those that say something of their own
    key: str  # what is left of the name
    words: list[Words]
    split: str
    leading: str = ""  # a number that the name begins with
    trailing: str = ""  # a number that the name ends with, of a volume
    position: int = -1
    who: str = ""
    is_volume: bool = False
    is_made: bool = False  # by a program, from another file

    def add_word(self, kind: str, word: str) -> None:
        """Let the file's own words say more, where they say nothing of this kind yet."""
        if not getattr(self.words[-1], kind):
            own = copy.copy(self.words[-1])  # words of equal names are shared
            setattr(own, kind, word)
            self.words[-1] = own


def infer_people(paths: Sequence[str], are_volumes: Sequence[bool]) -> list[Parsed]:
    """Every file with the person it is of.

    `paths` are without suffixes and without the folders that all of them share.
    """
    files = _parse_all(paths, are_volumes)
    _drop_common_folders(files)
    _drop_visit_folders(files)
    _drop_folders_of_parts(files)
    _drop_channels(files)
    _drop_bare_sides(files)
    _drop_prefixes_of_programs(files)
    _drop_slice_numbers(files)
    for split_end in (_letter_at_end, _visit_at_end, _after_number):
        _drop_ends(files, split_end, "key")
    _drop_visits_in_front(files)
    _choose_people(files)
    for split_end in (_letter_at_end, _visit_at_end, _after_number):
        _drop_ends(files, split_end, "who")
    _keep_restarted_numbers_apart(files)
    return files


# One path


def _parse_all(paths: Sequence[str], are_volumes: Sequence[bool]) -> list[Parsed]:
    """Every path by itself. Names of slices that differ in their number only are read once."""
    seen: dict[tuple[str, ...], Parsed] = {}
    files = []
    for path, is_volume in zip(paths, are_volumes, strict=True):
        number = None if is_volume else SHORT_NUMBER.search(path)
        if number is None:
            files.append(_parse(path, is_volume))
            continue
        form = (path[: number.start()], str(len(number[0])), path[number.end() :])
        if form not in seen:
            ones = "1" * len(number[0])
            seen[form] = _parse(form[0] + ones + form[2], is_volume)
        like = seen[form]
        if like.position != int("1" * len(number[0])) or like.key.endswith("1"):
            like = _parse(path, is_volume)
            files.append(like)
            continue
        files.append(
            replace(
                like, folders=list(like.folders), words=list(like.words), position=int(number[0])
            )
        )
    return files


@functools.lru_cache(maxsize=1 << 12)
def _read_folders(path: str) -> tuple[list[str], list[Words], str]:
    folders = path.split("/") if path else []
    said = [read_words(folder, "folder") for folder in folders]
    kept, split = [], ""
    for folder, words in zip(folders, said, strict=True):
        word = split_word(folder)
        split = word or split
        if not word and folder.lower() not in MASK_FOLDERS and words.name:
            kept.append(words.text)
    return kept, said, split


def _parse(path: str, is_volume: bool) -> Parsed:
    folders, _, stem = path.rpartition("/")
    kept, said, split = _read_folders(folders)
    plain = MASK_WORD.sub("_", stem).strip("_") or "".join(filter(str.isdecimal, stem))
    own = read_words(plain, "volume" if is_volume else "image")
    parsed = Parsed(
        folders.split("/") if folders else [],
        list(kept),
        own.text,
        [*said, own],
        split,
        position=own.position,
        is_volume=is_volume,
    )
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
    leading = LEADING_NUMBER.match(SPELLED_DATE.sub(r"\1\2\3", stem))
    if leading and not DATE.match(leading["subject"]):
        parsed.leading = leading["subject"]
    trailing = re.search(r"^(.*\S)[_\-. ]+(\d{1,4})$", parsed.key)
    if trailing:
        parsed.trailing = trailing[2]
    return parsed


# All paths


def _drop_common_folders(files: Sequence[Parsed]) -> None:
    """The first folders of all files that are in any, where they hold no number of a person."""
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
    pairs = {(name, number) for name, numbers in numbered.items() for number in numbers}
    many = few and len(numbered) > len(every) > 1 and _recur(pairs)
    many = many and not any(CLASS_WORDS & set(name.lower().split("_")) for name in numbered)
    if (channels and (len(numbered) > 1 or named)) or runs or many:
        for file in numbered_files:
            own = file.words[-1]
            file.key = _before(file)
            contrast = own.contrast or (file.trailing if channels else "")
            file.words[-1] = replace(own, run=own.run or file.trailing, contrast=contrast)


def _before(file: Parsed) -> str:
    return file.key[: -len(file.trailing)].rstrip("_-. ")


def _drop_visit_folders(files: Sequence[Parsed]) -> None:
    """Folders such as `m00` and `m12` above the folders of people, or above their files."""
    firsts = {file.folders[0] for file in files if file.folders}
    if not 1 < len(firsts) <= FEW or not all(map(_is_visit, firsts)):
        return
    pairs = {(f.folders[0], f.folders[1] if f.folders[1:] else f.key) for f in files if f.folders}
    seconds = {second for _, second in pairs}
    if len(seconds) >= len(firsts) and all(map(_has_digit, seconds)) and _recur(pairs):
        for file in files:
            if file.folders:
                file.add_word("visit", file.folders.pop(0).lower())


def _drop_folders_of_parts(files: Sequence[Parsed]) -> None:
    """`Cora Jung/Knee` and `Cora Jung/Head`: the second folders, where everybody has the same."""
    deep = [file for file in files if len(file.folders) > 1]
    pairs = {(file.folders[0], "/".join(file.folders[1:])) for file in deep}
    seconds = {second for _, second in pairs}
    numbered = any(_has_digit(part) for pair in pairs for part in pair)
    few = 1 < len(seconds) <= len({first for first, _ in pairs})
    if few and not numbered and _recur(pairs):
        for file in deep:
            del file.folders[1:]


def _is_visit(word: str) -> bool:
    return bool(YEAR.match(word)) or any(NUMBERED[k].match(word) for k in ("visit", "run"))


def _drop_bare_sides(files: Sequence[Parsed]) -> None:
    """`L_001` and `R_001`: a side and a slice, and nobody's name."""
    if {file.key.casefold() for file in files} == {"l", "r"}:
        for file in files:
            file.add_word("side", SIDES[file.key.casefold()])
            file.key = ""


def _drop_prefixes_of_programs(files: Sequence[Parsed]) -> None:
    """`wmsub01`, `c1sub01` and the like, beside `sub01`: what SPM and CAT12 make of a scan."""
    keys = {file.key for file in files}
    for file in files:
        for end in range(1, min(len(file.key) - 2, LONGEST_PREFIX + 1)):
            if file.key[end:] in keys and MADE_BY_SPM.match(file.key[:end]):
                file.key, file.is_made = file.key[end:], True
                break


Ends = tuple[str, str, str]  # the person, what follows, and what kind of word that is


def _drop_slice_numbers(files: Sequence[Parsed]) -> None:
    """`P001S012`: the slice's number after a letter, where most people have several."""
    found = [re.match(r"^(.*\d)[a-z]{1,2}(\d+)$", file.key, re.IGNORECASE) for file in files]
    is_open = [file.position < 0 and not file.is_volume for file in files]
    halves = [half if free else None for half, free in zip(found, is_open, strict=True)]
    people = {half[1] for half in halves if half}
    if 2 * len(people) <= len({half[0] for half in halves if half}):
        for file, half in zip(files, halves, strict=True):
            if half:
                file.key, file.position = half[1], whole_number(half[2])


def _letter_at_end(name: str) -> Ends | None:
    found = re.match(r"^(.*\d)[_\-. ]?([a-z])$", name, re.IGNORECASE)
    return (found[1], found[2], "side" if found[2] in "LRlr" else "run") if found else None


def _visit_at_end(name: str) -> Ends | None:
    found = re.match(r"^(.*\d)([a-z]{1,6}\d{1,3})$", name, re.IGNORECASE)
    is_end = found and (_is_visit(found[2]) or found[2][0] in "Ss")
    return (found[1], found[2], "visit") if found and is_end else None


def _after_number(name: str) -> Ends | None:
    """The words after the first that holds a number and names no group."""
    if re.fullmatch(SITE_NUMBER, name):
        return None
    words = re.split(r"([_\-. ]+)", name)
    for at in range(0, len(words), 2):
        if _has_digit(words[at]) and not _is_site("".join(words[max(0, at - 2) : at + 1])):
            end = at + 3 if _is_site_number(words, at) else at + 1
            return "".join(words[:end]), "".join(words[end + 1 :]), "run"
    return None


def _is_site_number(words: Sequence[str], at: int) -> bool:
    """`01-001`: a bare number before a longer one is a site's, unless a word says otherwise."""
    one, other = words[at], words[at + 2] if len(words) > at + 2 else ""
    named = at > 1 and PERSON_WORD.match(words[at - 2])
    return one.isdecimal() and other.isdecimal() and len(other) > len(one) and not named


def _drop_ends(files: Sequence[Parsed], split_end: Callable[[str], Ends | None], of: str) -> None:
    """The ends of keys, or of people's names, that distinguish a person's scans."""
    split = {name: split_end(name) for name in {str(getattr(file, of)) for file in files}}
    if not _are_ends({(one[0].casefold(), one[1]) for one in split.values() if one}):
        return
    for file in files:
        one = split[getattr(file, of)]
        if one and one[1]:
            setattr(file, of, one[0])
            if one[2] == "side":
                file.add_word("side", SIDES[one[1].lower()])
            elif _has_digit(one[1]):
                file.add_word(one[2], one[1])


def _are_ends(pairs: set[tuple[str, str]]) -> bool:
    """Whether the second halves of names distinguish scans of a person, and not people."""
    tails: dict[str, set[str]] = defaultdict(set)
    for one, tail in pairs:
        tails[one].add(tail)
    every = set().union(*tails.values())
    if len(tails) < 2 or every <= {""}:
        return False
    if len(every) == 1 or {tail.casefold() for tail in every} == SIDES.keys():
        return True
    several = sum(len(found) > 1 for found in tails.values())
    if several < 2 or 2 * several <= len(tails):
        return False
    numbers = _share(map(_has_digit, every)) > 0.5
    return not numbers or len(every) <= len(tails) or not _recur(pairs)


def _recur(pairs: Collection[tuple[str, str]]) -> bool:
    """Whether most firsts have most seconds."""
    firsts, seconds = {first for first, _ in pairs}, {second for _, second in pairs}
    return len(pairs) >= 0.6 * len(firsts) * len(seconds)


def _drop_visits_in_front(files: Sequence[Parsed]) -> None:
    """`V1_p09` and `V2_p09`: few visits, each with the same many people."""
    halves = [re.match(r"^([a-z]+\d{1,2})[_\-. ]+(.*\d.*)$", file.key, re.I) for file in files]
    pairs = {(half[1].casefold(), half[2]) for half in halves if half}
    firsts, seconds = {one for one, _ in pairs}, {other for _, other in pairs}
    if not 1 < len(firsts) < min(len(seconds), FEW) or not _recur(pairs):
        return
    if all(map(_is_visit, firsts)):
        for file, half in zip(files, halves, strict=True):
            if half:
                file.key = half[2]
                file.add_word("visit", half[1].lower())


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
    """The folders down to the first that has a number and is not a group's, else all."""
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
    """Names without a number, or numbers that begin again, are not the same person in two splits.

    Nor are numbers that begin again under two diagnoses.
    """
    _keep_apart(files, _split_places(files), bare=True)
    diagnoses = [next((f for f in file.path if f.lower() in DIAGNOSES), "") for file in files]
    _keep_apart(files, diagnoses, bare=False)


def _split_places(files: Sequence[Parsed]) -> list[str]:
    """The split of each file, or the folder beside those that are called as splits are."""
    depths = {i for file in files for i, folder in enumerate(file.path[:3]) if split_word(folder)}
    if not depths:
        return [""] * len(files)
    depth = min(depths)
    beside = [file.path[depth] if len(file.path) > depth else "" for file in files]
    return [file.split or folder for file, folder in zip(files, beside, strict=True)]


def _keep_apart(files: Sequence[Parsed], places: Sequence[str], bare: bool) -> None:
    where: dict[str, set[str]] = defaultdict(set)
    for file, place in zip(files, places, strict=True):
        if place:
            where[file.who.casefold()].add(place)
    if len(set().union(*where.values())) < 2:
        return
    shared = {who for who, found in where.items() if len(found) > 1}
    mostly = 2 * len(shared) > len(where)
    for file, place in zip(files, places, strict=True):
        who = file.who.casefold()
        alone = bare and (not _has_digit(who) or who.isdecimal())
        if place and (not file.who or (who in shared and (alone or mostly))):
            file.who = f"{place}/{file.who}".rstrip("/")
