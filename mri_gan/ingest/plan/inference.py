"""Who is who in files that no known scheme names: worked out from all of them together.

Words that say the contrast, the plane, the visit, the run or the slice are set aside; what is left
of a file's name, or of its folder's, is the person. Where many folders hold files of the same
names, the folder is the person.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mri_gan.ingest.plan.folders import is_called_person
from mri_gan.ingest.plan.paths import (
    FEW,
    MOSTLY,
    SITE_NUMBER,
    Parsed,
    diagnoses_of,
    drop_common_folders,
    drop_folders_of_parts,
    drop_kinds,
    drop_visit_folders,
    folders_are_people,
    gather,
    has_digit,
    is_visit,
    parse_all,
    person_folders,
    recur,
    restart,
    share,
    split_word,
)
from mri_gan.ingest.plan.words import (
    CLASS_WORDS,
    GROUP_WORD,
    PERSON_NUMBER,
    PERSON_WORD,
    SIDES,
    STAGES,
    read_words,
)
from mri_gan.ingest.source import whole_number

LONGEST_PREFIX = 8
MADE_BY_SPM = re.compile(
    r"^(?:s\d?|r|w|u|a|m|i|i?y_|mean|(?:m|r)?w?[cp][0-6]|wmi?|m0?w?i?|sw[rau]*|[wsrau]{1,5})$",
    re.IGNORECASE,
)


def infer_people(paths: Sequence[str], are_volumes: Sequence[bool]) -> list[Parsed]:
    """Every file with the person it is of.

    `paths` are without suffixes and without the folders that all of them share.
    """
    if not any(are_volumes):
        paths = _put_slices_last(paths)
    files = parse_all(paths, are_volumes)
    _drop_names_of_series(files, paths)
    drop_common_folders(files)
    _drop_cohorts(files)
    drop_visit_folders(files)
    drop_folders_of_parts(files)
    _drop_channels(files)
    _drop_bare_sides(files)
    _drop_prefixes_of_programs(files)
    _drop_slice_numbers(files)
    after_number = functools.partial(_after_number, with_sites=_have_sites(f.key for f in files))
    for split_end in (_letter_at_end, _visit_at_end, after_number, _after_first_word):
        _drop_ends(files, split_end, "key")
    _drop_visits_in_front(files)
    drop_kinds(files, lambda name: (after_number(name) or (name,))[0])
    _choose_people(files)
    for split_end in (_letter_at_end, _visit_at_end, after_number):
        _drop_ends(files, split_end, "who")
    _keep_restarted_numbers_apart(files)
    for file in files:  # the bracket separated a number from what followed
        file.who += ")" * (file.who.count("(") > file.who.count(")"))
    return files


COHORT = 10  # numbers below one name: more than the visits of a person


def _drop_cohorts(files: Iterable[Parsed]) -> None:
    """`HLN-12` above `HLN-12-1` to `-12`, `MMRR-21` above its own: studies, and not people.

    Folders that differ by a number only may be people with their visits.
    """
    deep = [file for file in files if file.is_volume and file.folders]
    numbers = gather((file.folders[0], _number_below(file)) for file in deep)
    studies = {
        re.sub(r"\d", "", name)
        for name, found in numbers.items()
        if len(found) >= COHORT and "" not in found and not is_called_person(name)
    }
    if studies and len(studies) == len(numbers):
        for file in files:
            del file.folders[:1]


def _number_below(file: Parsed) -> str:
    """The number of a folder or file that is otherwise called as the first folder above it."""
    name = file.folders[1] if file.folders[1:] else file.key
    study = re.sub(r"[_\-. ][a-z]+$", "", file.folders[0], flags=re.IGNORECASE)  # of `_volumes`
    found = re.fullmatch(re.escape(study) + r"[_\-. ]?(\d+)", name, re.IGNORECASE)
    return found[1] if found else ""


SERIES_FIRST = re.compile(r"^(|.*/)(\d{1,4}[a-z]?)[_\-. ]+([^/]*[a-z][^/]*)$", re.IGNORECASE)
LONG_NUMBER = re.compile(r"[_\-. ]*\d{6,}")  # a date or a time
NEARLY = 0.8  # of a patient's series, since some are repeated
ALL_OF_ONE = 3  # sequences, each under a number of its own: hardly of so many people


def _drop_names_of_series(files: Sequence[Parsed], paths: Sequence[str]) -> None:
    """`12_t1_mprage` in the folder of a patient, as a scanner counts and names its series."""
    halves = [
        SERIES_FIRST.match(p) if f.is_volume else None for f, p in zip(files, paths, strict=True)
    ]
    found = [half for half in halves if half]
    if 2 * len(found) > sum(file.is_volume for file in files) and _are_series(found):
        for file, half in zip(files, halves, strict=True):
            if half:
                file.key = file.leading = file.trailing = ""
                file.add_word("run", half[2])


def _are_series(halves: Iterable[re.Match[str]]) -> bool:
    """Whether each number in a folder has a name of its own, as in other folders, of a sequence."""
    named = [(half[1], half[2], LONG_NUMBER.sub("", half[3]).casefold()) for half in halves]
    numbers = gather(((folder, name), number) for folder, number, name in named)
    names = gather(((folder, number), name) for folder, number, name in named)
    several = Counter(folder for folder, _ in numbers)
    lone = share(len(found) == 1 for found in (*numbers.values(), *names.values()))
    if share(n > 1 for n in several.values()) <= MOSTLY or lone <= NEARLY:
        return False
    read = [read_words(name) for name in {name for _, name in numbers}]
    sequences = {(words.contrast, words.plane) for words in read if words.contrast}
    if len(several) == 1:
        return len(sequences) >= ALL_OF_ONE and 2 * len(sequences) > len(read)
    return len(sequences) > 1 and recur(numbers.keys())


SLICE_FIRST = re.compile(
    r"^(|.*/)(slice|slc|sl|img|image|z)?[_\-. ]*(\d{1,4})([_\-. ]+|/)([^/]*)$", re.IGNORECASE
)
PERSON_BEHIND = re.compile(
    r"(?:^|[_\-. ])(p|pt|pat|patient|s|sub|subj|subject|case|person|participant)[_\-. ]?(\d+)"
    r"(?=[_\-. ]|$)",
    re.IGNORECASE,
)


def _put_slices_last(paths: Sequence[str]) -> Sequence[str]:
    """`010_P01` as `P01_010`, where the first number counts a person's slices.

    It does so behind a word for slices or before one for people. An `S` may stand for either: then
    the number that leaves gaps, or that no two folders share, is the person's.
    """
    halves = [found for path in paths if (found := SLICE_FIRST.match(path))]
    people = [found for half in halves if (found := PERSON_BEHIND.search(half[5]))]
    if len(people) < len(paths):
        return paths
    slices = _by((half[1] + half[5], half[3]) for half in halves)
    if len(slices) < 2 or share(map(_is_dense, slices.values())) < MOSTLY:
        return paths
    said = all(half[2] or len(one[1]) > 1 for half, one in zip(halves, people, strict=True))
    letter_p = {one[1] for one in people} <= {"p", "P"} and {half[4] for half in halves} != {"/"}
    long = all(len(one[2]) > 3 for one in people)
    if said or letter_p or long or _numbers_are_slices(halves, people, slices):
        return [f"{half[1]}{half[5]}_{half[3]}" for half in halves]
    return paths


Halves = Sequence[re.Match[str]]
Numbers = dict[str, set[int]]


def _numbers_are_slices(halves: Halves, people: Halves, slices: Numbers) -> bool:
    """Whether the numbers count up for each of the others, but not the others for each number.

    Or the same numbers are in all folders, but none of the others is.
    """
    both = list(zip(halves, people, strict=True))
    persons = _by((half[1] + half[3], one[2]) for half, one in both)
    uneven = len(set(map(frozenset, persons.values()))) > 1
    gaps = sum(not _has_no_gap(found) for found in persons.values())
    if uneven and 10 * gaps >= max(len(persons), 30) and all(map(_has_no_gap, slices.values())):
        return True
    apart = _recur_nowhere(_by((half[1], one[2]) for half, one in both))
    return apart and not _recur_nowhere(_by((half[1], half[3]) for half in halves))


def _has_no_gap(numbers: set[int]) -> bool:
    return len(numbers) == max(numbers) - min(numbers) + 1


def _by(pairs: Iterable[tuple[str, str]]) -> Numbers:
    return gather((name, whole_number(number)) for name, number in pairs)


def _recur_nowhere(numbers: Numbers) -> bool:
    """Whether there are several sets of numbers, and none shares a number with another."""
    sets = numbers.values()
    return len(sets) > 1 and sum(map(len, sets)) == len(set().union(*sets))


def _is_dense(numbers: set[int]) -> bool:
    """Whether they count up: three or more, and few are missing."""
    return len(numbers) > 2 and 4 * len(numbers) >= 3 * (max(numbers) - min(numbers) + 1)


def _drop_channels(files: Iterable[Parsed]) -> None:
    """Numbers at the end of volumes' names that count channels or runs, and not people.

    They do so where several names go on with the same few numbers: of nnU-Net `_0000`, `_0001`;
    or one digit after a name that has a number of its own.
    """
    numbered_files = [file for file in files if file.trailing]
    pairs = {(_before(file), file.trailing) for file in numbered_files}
    numbered = gather(pairs)
    if not numbered:
        return
    every = set().union(*numbered.values())
    few = all(0 <= whole_number(number) <= FEW for number in every)
    channels = few and all(len(number) == 4 for number in every) and "0000" in every
    named = all(map(has_digit, numbered))
    repeated = len(every) < len(pairs) or len(numbered) == 1
    short = few and all(len(number) <= 2 for number in every)
    runs = short and named and repeated
    many = short and len(numbered) >= len(every) > 1 and recur(pairs)
    many = many and not any(CLASS_WORDS & set(name.lower().split("_")) for name in numbered)
    if (channels and (len(numbered) > 1 or named)) or runs or many:
        for file in numbered_files:
            own = file.words[-1]
            file.key = _before(file)
            contrast = own.contrast or (file.trailing if channels else "")
            file.words[-1] = replace(own, run=own.run or file.trailing, contrast=contrast)


def _before(file: Parsed) -> str:
    return file.key[: -len(file.trailing)].rstrip("_-. ")


def _drop_bare_sides(files: Sequence[Parsed]) -> None:
    """`L_001` and `R_001`: a side and a slice, and nobody's name."""
    if {file.key.casefold() for file in files} == {"l", "r"}:
        for file in files:
            file.add_word("side", SIDES[file.key.casefold()])
            file.key = ""


def _drop_prefixes_of_programs(files: Sequence[Parsed]) -> None:
    """`wmsub01`, `c1sub01` and the like, beside `sub01`: what SPM and CAT12 make of a scan.

    Where `sub07` itself is missing, `wmsub07` is read like the others.
    """
    keys = {file.key for file in files}
    rests = Counter(rest for key in keys if (rest := _without_class(key)))
    twice = {rest for rest, count in rests.items() if count > 1}
    found = {key: end for key in keys if (end := _prefix_end(key, lambda rest: rest in keys))}
    found |= {key: len(key) - len(r) for key in keys if (r := _without_class(key)) in twice}
    forms = {_form_of(key[end:]) for key, end in found.items()}
    for key in keys - found.keys():
        if end := _prefix_end(key, lambda rest: _form_of(rest) in forms):
            found[key] = end
    for file in files:
        if end := found.get(file.key, 0):
            file.key, file.is_made = file.key[end:], True


def _without_class(key: str) -> str:
    """What follows the mark of a tissue's map, such as `c1` or `mwp2`; empty without one."""
    found = re.match(r"^(?:m|r)?w?[cp][0-6]([a-z].*\d.*)$", key, re.IGNORECASE)
    return found[1] if found else ""


def _prefix_end(key: str, is_scan: Callable[[str], bool]) -> int:
    """How long the prefix is that SPM has put before a name; 0 without one."""
    ends = range(1, min(len(key) - 2, LONGEST_PREFIX + 1))
    fitting = (end for end in ends if is_scan(key[end:]) and MADE_BY_SPM.match(key[:end]))
    return next(fitting, 0)


def _form_of(name: str) -> str:
    return re.sub(r"\d", "0", name)


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
    is_end = found and (is_visit(found[2]) or found[2][0] in "Ss")
    return (found[1], found[2], "visit") if found and is_end else None


def _after_number(name: str, *, with_sites: bool) -> Ends | None:
    """The words after the first that holds a number and names no group."""
    if re.fullmatch(SITE_NUMBER, name):
        return None
    words = re.split(r"([_\-. ]+)", name)
    for at in range(0, len(words), 2):
        if has_digit(words[at]) and not GROUP_WORD.match("".join(words[max(0, at - 2) : at + 1])):
            end = at + 3 if with_sites and _is_site_number(words, at) else at + 1
            return "".join(words[:end]), "".join(words[end + 1 :]), "run"
    return None


def _after_first_word(name: str) -> Ends | None:
    """The words after the first of a name without numbers: `Bello_spine`, `Luna_spine`."""
    found = re.match(r"^([^_\-. ]+)[_\-. ]+(.+)$", name)
    return (found[1], found[2], "run") if found and not has_digit(name) else None


def _have_sites(names: Iterable[str]) -> bool:
    """Whether bare numbers stand before longer ones always: in `9_30` and `12_30` they do not."""
    pairs = (re.search(r"(?<![^_\-. ])(\d+)[_\-. ]+(\d+)(?![^_\-. ])", name) for name in names)
    return all(len(found[1]) < len(found[2]) for found in pairs if found)


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
            elif has_digit(one[1]):
                file.add_word(one[2], one[1])


def _are_ends(pairs: set[tuple[str, str]]) -> bool:
    """Whether the second halves of names distinguish scans of a person, and not people."""
    tails = gather(pairs)
    every = set().union(*tails.values())
    if len(tails) < 2 or every <= {""}:
        return False
    if len(every) == 1 or {tail.casefold() for tail in every} == SIDES.keys():
        return True
    several = sum(len(found) > 1 for found in tails.values())
    digits, bare = share(map(has_digit, tails)), any(map(_is_bare_number, every))
    named = digits > 0.5 or not any(map(has_digit, every))
    if several and named and not bare and len(tails) >= len(every):
        return True
    common = sum(count > 1 for count in Counter(tail for _, tail in pairs).values())
    if not several or (2 * several <= len(tails) and 2 * common <= len(every)):
        return False
    numbers = share(map(has_digit, every)) > 0.5
    return not numbers or len(every) <= len(tails) or not recur(pairs, MOSTLY)


def _is_bare_number(tail: str) -> bool:
    return has_digit(tail) and tail.upper() == tail.lower()


def _drop_visits_in_front(files: Sequence[Parsed]) -> None:
    """`V1_p09` and `V2_p09`, `Prisma_P09` and `Skyra_P09`: few words, each with the same people."""
    halves = [re.match(r"^([a-z]+\d{0,2})[_\-. ]+(.*\d.*)$", file.key, re.I) for file in files]
    pairs = {(half[1].casefold(), half[2]) for half in halves if half}
    firsts, seconds = {one for one, _ in pairs}, {other for _, other in pairs}
    if not 1 < len(firsts) < min(len(seconds), FEW):
        return
    visits, often = all(map(is_visit, firsts)), recur(pairs)
    scanners = often and not firsts & CLASS_WORDS and not restart(pairs)
    named = all(map(PERSON_NUMBER.match, seconds))
    if (visits and (often or named)) or (scanners and named):
        for file, half in zip(files, halves, strict=True):
            if half:
                file.key = half[2]
                file.add_word("visit" if visits else "run", half[1].lower())


def _choose_people(files: Sequence[Parsed]) -> None:
    """Whether the folders say who it is, or the names, or both."""
    leading = {file.leading for file in files}
    by_leading = len(leading - {""}) > 1 or len(files) == 1
    for file in files:
        if by_leading and file.leading:
            file.key = file.leading
    folder_is_person = folders_are_people(files)
    for file in files:
        places = person_folders(file)
        if places and (folder_is_person or not file.key):
            file.who = "/".join(places)
            if file.position < 0 and file.key.isdecimal():
                file.position = whole_number(file.key)
        elif file.key:
            sites = filter(GROUP_WORD.match, file.folders)
            file.who = "/".join((*sites, file.key)) if file.key.isdecimal() else file.key
        else:
            file.who = "/".join(file.folders)


def _keep_restarted_numbers_apart(files: Sequence[Parsed]) -> None:
    """Names without a number, or numbers that begin again, are not the same person in two splits.

    Nor are names under two diagnoses: of stages of a disease where most people are under both.
    """
    _keep_apart(files, _split_places(files), bare=True)
    groups = diagnoses_of(files)
    _keep_apart(files, groups, bare=False, always=not {name.lower() for name in groups} & STAGES)


def _split_places(files: Sequence[Parsed]) -> list[str]:
    """The split of each file, or the folder beside those that are called as splits are."""
    paths = [file.path for file in files]
    above = {tuple(path[:i]) for path in paths for i, f in enumerate(path[:3]) if split_word(f)}
    depth = min(map(len, above), default=0)
    beside = [p[depth] if tuple(p[:depth]) in above and p[depth:] else "" for p in paths]
    return [file.split or folder for file, folder in zip(files, beside, strict=True)]


def _keep_apart(
    files: Sequence[Parsed], places: Sequence[str], bare: bool, always: bool = False
) -> None:
    said = zip(files, places, strict=True)
    where = gather((file.who.casefold(), place) for file, place in said if place)
    if len(set().union(*where.values())) < 2:
        return
    shared = {who for who, found in where.items() if len(found) > 1}
    mostly = always or 2 * len(shared) > len(where)
    for file, place in zip(files, places, strict=True):
        who = file.who.casefold()
        alone = bare and (not has_digit(who) or who.isdecimal())
        if place and (not file.who or (who in shared and (alone or mostly))):
            file.who = f"{place}/{file.who}".rstrip("/")
