"""What one path says by itself, and which folders say who it is, what kind of scan, or when."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mri_gan.ingest.plan.words import (
    CLASS_WORDS,
    DIAGNOSES,
    GLUED_NUMBER,
    GROUP_WORD,
    MASK_WORD,
    NUMBERED,
    PERSON_NUMBER,
    PERSON_WORD,
    SPELLED_DATE,
    SPLIT_FOLDERS,
    SPLIT_WORD,
    YEAR,
    Words,
    mask_folder,
    read_words,
)
from mri_gan.ingest.source import name_of, natural_key, whole_number

SITE_NUMBER = r"\d{2,3}-S?\d{3,4}"  # as trials have them: `01-003`
LEADING_NUMBER = re.compile(rf"^(?P<subject>{SITE_NUMBER}|\d{{2,}})(?:[_\-.]|$)")
DATE = re.compile(r"^(?:19|20)\d\d[01]\d[0-3]\d$")
FOUR_DIGITS = re.compile(r"(?<!\d)\d{4}(?!\d)")
SOME_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
SHORT_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?=\D*$)")  # the last of a path; longer ones may be dates


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


def parse_all(paths: Sequence[str], are_volumes: Sequence[bool]) -> list[Parsed]:
    """Every path by itself. Names of slices that differ in their number only are read once."""
    numbered = _numbered_like_years(paths)
    return [
        _parse(path, is_volume, years=path not in numbered)
        if is_volume or path in numbered
        else _parse_slice(path)
        for path, is_volume in zip(paths, are_volumes, strict=True)
    ]


def _parse_slice(path: str) -> Parsed:
    number = SHORT_NUMBER.search(path)
    like = number and _parse_form(path[: number.start()], len(number[0]), path[number.end() :])
    if not (number and like):
        return _parse(path, is_volume=False)
    folders, said = list(like.folders), list(like.words)
    return replace(like, folders=folders, words=said, position=int(number[0]))


@functools.lru_cache(maxsize=1 << 12)
def _parse_form(before: str, n_digits: int, behind: str) -> Parsed | None:
    """What image names say that differ in one number, which is their slice's; None if it is not."""
    ones, twos = (_parse(f"{before}{digit * n_digits}{behind}", is_volume=False) for digit in "12")
    counts = (ones.position, twos.position) == (int("1" * n_digits), int("2" * n_digits))
    return ones if counts and ones.key == twos.key else None


def _numbered_like_years(paths: Sequence[str]) -> set[str]:
    """Paths with a number that is no year, since others have one of four digits in its place."""
    dated = {path: path.split("/") for path in paths if SOME_YEAR.search(path)}
    if not dated:
        return set()
    parts = {part for path in paths for part in path.split("/")}
    numbers = [found for part in parts for found in FOUR_DIGITS.finditer(part)]
    before = {found.string[: found.start()] for found in numbers if not YEAR.match(found[0])}
    return {
        path
        for path, its in dated.items()
        if any(part[: one.start()] in before for part in its for one in SOME_YEAR.finditer(part))
    }


@functools.lru_cache(maxsize=1 << 12)
def _read_folders(path: str, years: bool) -> tuple[list[str], list[Words], str]:
    folders = path.split("/") if path else []
    unmasked = [folder if (r := mask_folder(folder)) is None else r for folder in folders]
    said = [read_words(folder, "folder", years) for folder in unmasked]
    kept, split = [], ""
    for folder, words in zip(unmasked, said, strict=True):
        word = split_word(folder)
        split = word or split
        if not word and words.name:
            kept.append(words.text)
    return kept, said, split


def _parse(path: str, is_volume: bool, years: bool = True) -> Parsed:
    folders, _, stem = path.rpartition("/")
    kept, said, split = _read_folders(folders, years)
    plain = MASK_WORD.sub("_", stem).strip("_") or "".join(filter(str.isdecimal, stem))
    own = read_words(plain, "volume" if is_volume else "image", years)
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
        parsed.position, parsed.key = whole_number(last), Words(own.name[:-1], own.gaps[:-1]).text
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


# Which folders say who it is

LETTERS_NUMBER = re.compile(r"^([a-z]+)\d+$", re.IGNORECASE)
MONTH = re.compile(r"^(?:0?[1-9]|1[0-2])$")
DAY = re.compile(r"^(?:0?[1-9]|[12]\d|3[01])$")
FEW = 9  # channels, runs or visits that one person may have under bare numbers
OFTEN, MOSTLY = 0.25, 0.5  # of what two kinds of folders can have in common
VOLUME_FOLDER = re.compile(r"^vol(?:ume)?s?_?\d+$", re.IGNORECASE)
PARKINSON = "pd"
Pairs = set[tuple[str, str]]
Key = TypeVar("Key")
Value = TypeVar("Value")


def drop_common_folders(files: Sequence[Parsed]) -> None:
    """The first folders of all files that are in any, where they hold no number of a person."""
    deep = [file for file in files if file.folders]
    while deep and all(len(file.folders) > 1 for file in deep):
        firsts = {file.folders[0] for file in deep}
        if len(firsts) > 1 or any(map(has_digit, firsts)):
            return
        for file in deep:
            del file.folders[0]


def drop_visit_folders(files: Sequence[Parsed]) -> None:
    """Folders such as `m00` and `m12`, or `2021/03`, above the folders of people or their files."""
    while _drop_years(files):
        pass
    firsts = {file.folders[0] for file in files if file.folders}
    if not 1 < len(firsts) <= FEW or not all(map(is_visit, firsts)):
        return
    pairs = {(f.folders[0], f.folders[1] if f.folders[1:] else f.key) for f in files if f.folders}
    seconds = {second for _, second in pairs}
    long = all(len(first.rstrip("0123456789")) > 1 for first in firsts)
    if len(seconds) >= len(firsts) and all(map(has_digit, seconds)) and (long or recur(pairs)):
        for file in files:
            if file.folders:
                file.add_word("visit", file.folders.pop(0).lower())


def _drop_years(files: Sequence[Parsed]) -> bool:
    """Years, with months and days in them, that are above all other folders; whether there were."""
    found = [_years_of(file.folders) for file in files]
    if not files or not all(found):
        return False
    years = {file.folders[0] for file in files}
    below = {file.folders[count] for file, count in zip(files, found, strict=True)}
    if len(below) < len(years) or not (len(years) > 1 or all(map(has_digit, below))):
        return False
    for file, count in zip(files, found, strict=True):
        file.add_word("visit", "-".join(file.folders[:count]))
        del file.folders[:count]
    return True


def _years_of(folders: Sequence[str]) -> int:
    """How many folders in front are a year, a month and a day, with a name below them."""
    count = 0
    for folder, form in zip(folders[:-1], (YEAR, MONTH, DAY), strict=False):
        if not form.match(folder):
            break
        count += 1
    return count


def drop_folders_of_parts(files: Sequence[Parsed]) -> None:
    """`Cora Jung/Knee` and `Cora Jung/Head`: the second folders, where everybody has the same."""
    deep = [file for file in files if len(file.folders) > 1]
    pairs = {(file.folders[0], "/".join(file.folders[1:])) for file in deep}
    seconds = {second for _, second in pairs}
    numbered = any(has_digit(part) for pair in pairs for part in pair)
    few = 1 < len(seconds) <= len({first for first, _ in pairs})
    if few and not numbered and recur(pairs):
        for file in deep:
            del file.folders[1:]


def is_visit(word: str) -> bool:
    """Whether a word is a year, or a visit or a run with its number."""
    return bool(YEAR.match(word)) or any(NUMBERED[k].match(word) for k in ("visit", "run"))


# Kinds of scans: folders that the same people are in


def drop_kinds(files: Sequence[Parsed], core_of: Callable[[str], str]) -> None:
    """Folders of kinds of scans (`Cine/P001`, `anna/0002_t1`, `01_raw/sub1`), and of volumes.

    `core_of` gives the first part of a name, which may be a person's.
    """
    _drop_folders_of_volumes(files)
    above = [file for file in files if _first_number(file) > 0]
    below = [file for file in files if _first_number(file) == 0]
    _drop_above(above)
    _drop_numbered(below, core_of)


def _drop_folders_of_volumes(files: Sequence[Parsed]) -> None:
    """`vol01/329637-8`: volumes in folders that are called so, and have names of their own."""
    inside = [file for file in files if file.folders and file.is_volume]
    named = all(VOLUME_FOLDER.match(f.folders[0]) and (f.leading or f.key) for f in inside)
    if (
        inside
        and named
        and len({f.leading or f.key for f in inside}) > len({f.folders[0] for f in inside})
    ):
        for file in inside:
            del file.folders[0]


def _first_number(file: Parsed) -> int:
    """The place of the first folder that has a number and is not a group's; -1 without one."""
    names = enumerate(file.folders)
    return next((i for i, name in names if has_digit(name) and not _is_group(name)), -1)


def _named_above(file: Parsed) -> list[str]:
    return [name for name in file.folders[: _first_number(file)] if not _is_class(name)]


def _drop_above(files: Sequence[Parsed]) -> None:
    """Names above numbers: kinds of scans above people, or people above kinds of scans."""
    pairs = {("/".join(_named_above(file)), file.folders[_first_number(file)]) for file in files}
    firsts, seconds = {one for one, _ in pairs}, {other for _, other in pairs}
    groups = any(_is_class(name) for file in files for name in file.folders[:-1])
    if len(firsts) < 2 or len(seconds) < 2 or groups or all(map(GROUP_WORD.match, firsts)):
        return
    person_like = share(map(PERSON_NUMBER.match, seconds)) > 0.5
    fewer = len(firsts) > len(seconds) and recur(pairs)
    if not person_like and (fewer or _says_contrast(files)):
        for file in files:
            del file.folders[_first_number(file) :]
    elif recur(pairs) and (_hold_different(files) or not restart(pairs)):
        for file in files:
            at = _first_number(file)
            file.folders[:at] = [name for name in file.folders[:at] if _is_class(name)]


def restart(pairs: Pairs) -> bool:
    """Whether each first counts its own seconds from the lowest number on, some further."""
    seconds = sorted({other for _, other in pairs}, key=natural_key)
    counted = gather(pairs)
    from_start = all(found == set(seconds[: len(found)]) for found in counted.values())
    return from_start and (len({len(f) for f in counted.values()}) > 1 or len(seconds) < 3)


def _says_contrast(files: Iterable[Parsed]) -> bool:
    """Whether each numbered folder stands for one contrast: `0002_t1`, `0005_t2`."""

    def said_of(file: Parsed) -> tuple[str, str]:
        number = file.folders[_first_number(file)]
        return number, next((w.contrast for w in file.words[:-1] if w.text == number), "")

    return _one_to_one(map(said_of, files))


def _one_to_one(pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether several contrasts are said, and each number stands for one."""
    said = gather(pairs)
    contrasts = set().union(*said.values())
    return len(contrasts) > 1 and "" not in contrasts and all(len(c) == 1 for c in said.values())


def _hold_different(files: Iterable[Parsed]) -> bool:
    """Whether no file of one kind's folders has the name of a file in those of another."""
    below = [file.folders[_first_number(file) + 1 :] for file in files]
    held = {
        ("/".join(_named_above(file)), (*folders, file.words[-1].contrast, file.key))
        for file, folders in zip(files, below, strict=True)
    }
    return len(held) == len({name for _, name in held})


def _drop_numbered(files: Sequence[Parsed], core_of: Callable[[str], str]) -> None:
    """`01_raw/sub1`, `1ADC/MGH_010`: numbered steps and kinds, each with the same people."""
    pairs = {
        (file.folders[0], file.folders[1] if file.folders[1:] else core_of(file.key))
        for file in files
    }
    firsts, seconds = {one for one, _ in pairs}, {other for _, other in pairs}
    if len(firsts) < 2 or not all(map(has_digit, seconds)) or not recur(pairs):
        return
    person_like = share(map(PERSON_NUMBER.match, seconds)) > share(map(PERSON_NUMBER.match, firsts))
    longer = all(len(two) > len(one) + 1 for one, two in pairs) and not any(map(_counts, seconds))
    more = len(seconds) > len(firsts)
    if (person_like and len(seconds) >= len(firsts)) or (more and (longer or _are_steps(files))):
        for file in files:
            del file.folders[0]


def _counts(word: str) -> bool:
    """Whether a word only numbers slices, visits or runs."""
    return word.isdecimal() or any(form.match(word) for form in NUMBERED.values())


def _are_steps(files: Iterable[Parsed]) -> bool:
    """Whether each number in front has another word behind it: `01_raw`, `02_bet`."""
    forms = [
        re.match(r"^\d{1,2}[_\-. ]?([a-z]+)$", (file.path or [""])[-1], re.I) for file in files
    ]
    pairs = {
        (file.folders[0], form[1].lower() if form else "")
        for file, form in zip(files, forms, strict=True)
    }
    words = {word for _, word in pairs}
    return "" not in words and len(words) == len(pairs) == len({first for first, _ in pairs})


# Whether a folder or a name is the person


def person_folders(file: Parsed) -> list[str]:
    """The folders down to the first that has a number and is not a group's, else all."""
    at = _first_number(file)
    if at < 0:
        return [folder for folder in file.folders if not _is_group(folder)]
    return [*_named_above(file), file.folders[at]]


def _is_class(folder: str) -> bool:
    return folder.lower() in CLASS_WORDS


def _is_group(folder: str) -> bool:
    """Whether it names a site, a centre, or another group of people."""
    return bool(GROUP_WORD.match(folder)) or _is_class(folder)


def folders_are_people(files: Sequence[Parsed]) -> bool:
    """Whether the folders say who it is, and the names do not."""
    pairs = {("/".join(person_folders(f)), f.key) for f in files if f.folders and f.key}
    places, keys = {place for place, _ in pairs} - {""}, {key for _, key in pairs}
    if not places or _names_are_of_the_same_kind(pairs):
        return False
    person_like = [share(map(PERSON_NUMBER.match, group)) > 0.5 for group in (places, keys)]
    if person_like == [False, True] and len(places) < len(keys):
        return False
    digits = [share(map(has_digit, group)) for group in (places, keys)]
    if digits[0] > 0.5 >= digits[1] or _name_contrasts(files):
        return True
    if digits[1] > 0.5 >= digits[0] and len(places) <= len(keys):
        return False
    same = share(_same_start(place, key) for place, key in pairs)
    return len(places) > len(keys) or (len(places) > 1 and digits[0] > 0.5) or same > 0.5


def _names_are_of_the_same_kind(pairs: Pairs) -> bool:
    """Whether folders hold a file of their own name beside others like it: `p2/p2`, `p2/p3`."""
    keys = [key for _, key in pairs]
    if len(set(keys)) < len(keys) or not all((place, place) in pairs for place, _ in pairs):
        return False
    kinds = {LETTERS_NUMBER.sub(r"\1", name.lower()) for pair in pairs for name in pair}
    return len(kinds) == 1 and all(LETTERS_NUMBER.match(key) for key in keys)


def _name_contrasts(files: Iterable[Parsed]) -> bool:
    """Whether each number in front of names stands for one contrast: `301_T2W`, `401_T1W`."""
    said = {(file.key, file.words[-1].contrast) for file in files if file.folders and file.key}
    return all(key.isdecimal() for key, _ in said) and _one_to_one(said)


def _same_start(place: str, key: str) -> bool:
    one, other = name_of(place).lower(), key.lower()
    return one.startswith(other) or other.startswith(one)


def diagnoses_of(files: Sequence[Parsed]) -> list[str]:
    """For each file the folder that names its person's diagnosis or group, or an empty string.

    Beside one of the known names the others are groups too; and `PD` is Parkinson's disease there,
    and no contrast.
    """
    known = [i for file in files for i, name in enumerate(file.path) if name.lower() in DIAGNOSES]
    if not known:
        return [""] * len(files)
    depth = min(known)
    names = [file.path[depth] if len(file.path) > depth else "" for file in files]
    if len(set(names)) > FEW:
        return [name if name.lower() in DIAGNOSES else "" for name in names]
    for file, name in zip(files, names, strict=True):
        if name.lower() == PARKINSON:
            file.words[depth] = replace(file.words[depth], contrast="")
    return names


# Names and shares of them


def has_digit(text: str) -> bool:
    """Whether a name has a number."""
    return any(c.isdigit() for c in text)


def share(flags: Iterable[object]) -> float:
    """How many of some are true, from 0 to 1."""
    values = list(map(bool, flags))
    return sum(values) / len(values) if values else 0.0


def gather(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, set[Value]]:
    """The second halves of pairs by the first ones."""
    found: dict[Key, set[Value]] = {}
    for key, value in pairs:
        found.setdefault(key, set()).add(value)
    return found


def recur(pairs: Collection[tuple[str, str]], least: float = OFTEN) -> bool:
    """Whether firsts have the same seconds: 0 if nobody shares any, 1 if each has all of them."""
    firsts, seconds = {first for first, _ in pairs}, {second for _, second in pairs}
    fewest, most = max(len(firsts), len(seconds), 1), len(firsts) * len(seconds)
    return len(pairs) >= fewest + least * (most - fewest)
