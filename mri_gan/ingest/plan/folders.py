"""What names say together: copies, visits and numbers of slices, and the people of several sources.

Visits and numbers change nobody, but for a folder of a visit that was taken for a person's own.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from mri_gan.ingest.plan.paths import (
    FEW,
    Pairs,
    gather,
    is_visit,
    recur,
    restart,
    share,
    split_word,
)
from mri_gan.ingest.plan.words import (
    ANNOUNCING,
    NUMBERED,
    PERSON_NUMBER,
    VISIT_WORD,
    YEAR,
    contrast_of,
    mask_folder,
    read_words,
)
from mri_gan.ingest.source import (
    Naming,
    Source,
    common_prefix,
    name_of,
    suffix_of,
    whole_number,
)
from mri_gan.store.schema import NAMELESS
from mri_gan.values import say_count

# Copies

COPY_MARK = re.compile(
    r"(?: ?\(\d\d?\)|(?: - |[_\-. ])(?:copy|kopie|copie|copia)(?:[_\-. ]?\d\d?| \(\d\d?\))?)"
    r"(?=(?:\.[a-z][a-z\d.]*)?$|/)|(?:(?<=/)|^)(?:copy of|kopie von|copie de|copia de) (?=[^/])",
    re.IGNORECASE,
)
MOST_COPIES = 2  # of one file; more of them are numbered pictures

# As viewers export the series of a study; neither number is a person's.
OF_SERIES = re.compile(r"(^|/)img?-(\d{4,})-(\d{4,})(?=\.[^/]*$|$)", re.IGNORECASE)


def plainer_names(names: Sequence[str]) -> list[str]:
    """The paths, `a (1).png` as `a.png`: so browsers call a second one.

    And `IM-0001-0002.png` with its series called one.
    """
    copies = find_copies(names, lone=True)
    return [OF_SERIES.sub(r"\1run-\2_img_\3", copies.get(name, name)) for name in names]


def find_copies(names: Sequence[str], lone: bool = False) -> dict[str, str]:
    """{path: the same without the mark of a copy}, for files and what is in folders.

    `lone`: of what is not there, too, where most names have no such mark.
    """
    marked = [name for name in names if COPY_MARK.search(name)]
    lone = lone and 2 * len(marked) < len(names)
    folders = (name[: found.start()] for name in names for found in re.finditer("/", name))
    known = {*names, *folders}
    found: dict[str, tuple[str, str]] = {}
    copies: dict[str, set[str]] = defaultdict(set)
    for name in marked:
        for mark in COPY_MARK.finditer(name):
            plain = name[: mark.start()] + name[mark.end() :]
            end = plain.find("/", mark.start())
            original = plain[:end] if end >= 0 else plain
            if lone or original in known:
                found[name] = original, plain
                copies[original].add(name[: mark.end()])
    few = {one for one, its in copies.items() if len(its) <= (MOST_COPIES if one in known else 1)}
    return {name: plain for name, (original, plain) in found.items() if original in few}


def say_copies(sources: Iterable[Source]) -> str:
    """Files that are named as copies of others of the same size; empty where there are none."""
    sizes = {s.member: sum(m.size for m in s.members) for s in sources if not s.hidden}
    known = {(member.name, size) for member, size in sizes.items()}
    plain = find_copies([member.name for member in sizes])
    copies = [m for m, size in sizes.items() if (plain.get(m.name), size) in known]
    if not copies:
        return ""
    such = f"such as {copies[0].public_label} of {plain[copies[0].name]}, of the same size"
    named = say_count(len(copies), "file is named as a copy", "files are named as copies")
    return f"{named}, {such}: if inspect finds the same pixels, leave copies out with --exclude"


# Labels of BIDS


def drop_sub(namings: Sequence[Naming]) -> list[Naming]:
    """`sub-Müller` as `Müller` beside labels of BIDS, which are of plain letters and digits."""
    if not any(naming.layout == "bids" for naming in namings):
        return list(namings)
    return [
        replace(naming, subject=naming.subject.removeprefix("sub-") or naming.subject)
        if naming.is_inferred
        else naming
        for naming in namings
    ]


# Folders of visits

TIME = (
    r"(?:(?:pre|post)(?:[_\-. ]?(?:op|surgery|treatment|therapy|tx|rt|chemo|intervention))?|"
    r"screening|\d+[_\-. ]?(?:m|mo|mon|months?|w|wks?|weeks?|days?|y|yrs?|years?))"
)
TIME_WORD = re.compile(rf"^{TIME}$", re.IGNORECASE)
UID = re.compile(r"^\d+(?:\.\d+){3,}$")  # of a study or a series, nobody knows which


def add_visits(names: Sequence[str], namings: Sequence[Naming]) -> list[Naming]:
    """The namings, with folders between a person's folder and its files as sessions.

    They are so where all of them are called as visits are, such as `m00` and `m12`, and people
    share them.
    """
    folders = [name.split("/")[:-1] for name in names]
    people = _without_visits(namings)
    below = [_below_person(*one) for one in zip(folders, people, strict=True)]
    visits = _find_visits(people, below)
    if not any(visits):
        return list(namings)

    def add(name: str, naming: Naming, person: str, places: Sequence[str]) -> Naming:
        said = [f for f, known in zip(places, visits, strict=False) if f.casefold() in known]
        if not said:
            return naming
        session = naming.session or "-".join(said).lower()
        contrast = "" if _is_only_visit(naming.contrast, name, said) else naming.contrast
        return replace(naming, subject=person, session=session, contrast=contrast)

    return [add(*one) for one in zip(names, namings, people, below, strict=True)]


def _without_visits(namings: Sequence[Naming]) -> list[str]:
    """The people, `anna/post` as `anna` where that is one of them."""
    people = {naming.subject for naming in namings}

    def plain(who: str) -> str:
        above, _, last = who.rpartition("/")
        return above if above in people and TIME_WORD.match(last) else who

    return [plain(naming.subject) for naming in namings]


def _below_person(folders: Sequence[str], who: str) -> Sequence[str]:
    """The folders below the first that has a person's name."""
    name = name_of(who).casefold()
    at = next((i for i, folder in enumerate(folders) if name and name in folder.casefold()), None)
    return [] if at is None else folders[at + 1 :]


def _find_visits(people: Sequence[str], below: Sequence[Sequence[str]]) -> list[set[str]]:
    """The folders of visits at each depth below people, in small letters."""
    both = zip(people, below, strict=True)
    pairs = gather((depth, (who, f.casefold())) for who, its in both for depth, f in enumerate(its))
    return [_visits_among(pairs[depth]) for depth in range(len(pairs))]


def _visits_among(pairs: Pairs) -> set[str]:
    every = {folder for _, folder in pairs}
    numbers = {re.sub(r"\d", "", folder) for folder in every if not contrast_of(folder)}

    def is_visit(folder: str) -> bool:
        # `t1` is a visit beside `t0` only, and `M0` beside `M6`.
        letters = re.sub(r"\d", "", folder)
        return _is_called_visit(folder) and (not contrast_of(folder) or letters in numbers)

    visits = set(filter(is_visit, every))
    few = len(visits) <= FEW and recur({pair for pair in pairs if pair[1] in visits})
    if len(visits) < 2 or not all(map(_says_else, every - visits)):
        return set()
    return visits if few or all(map(YEAR.match, visits)) else set()


def _is_called_visit(folder: str) -> bool:
    if UID.match(folder):
        return False
    forms = (YEAR, NUMBERED["visit"], VISIT_WORD, TIME_WORD)
    return any(form.match(folder) for form in forms) or bool(read_words(folder, "folder").visit)


def _says_else(folder: str) -> bool:
    """Whether a folder's name says what is in it, and no more."""
    known = mask_folder(folder) is not None or bool(split_word(folder))
    return known or not read_words(folder, "folder").name


def _is_only_visit(contrast: str, name: str, visits: Sequence[str]) -> bool:
    """Whether a contrast was read from the folder of a visit alone, such as `t1` beside `t0`."""
    if contrast not in map(contrast_of, visits):
        return False
    others = (part for part in re.split(r"[/.]", name) if part not in visits)
    return contrast not in (read_words(part).contrast for part in others)


# Numbers of slices

SERIES_AND_SLICE = re.compile(r"(?:^|[^a-z])(?:im|img|image)[_\-. ]?#[_\-. ]#$", re.IGNORECASE)
NO_SLICE = re.compile(r"[a-z]+$|[a-z]{2,}(?=[_\-. ]$)", re.IGNORECASE)
Rows = Sequence[int]


def number_slices(stems: Sequence[str], namings: Sequence[Naming]) -> list[Naming]:
    """The namings; where a number stands still in a person's folder, the one that runs counts.

    `stems` are the paths without suffixes. `IM-0001-0002` is the second picture of a series.
    """
    found = list(namings)
    for rows in _group_stacks([stem.rpartition("/")[0] for stem in stems], namings):
        if len({namings[row].position for row in rows}) < len(rows):
            for row, number in _renumber(rows, stems, namings):
                run = found[row].run
                is_it = run.isdecimal() and whole_number(run) == number
                found[row] = replace(found[row], position=number, run="" if is_it else run)
    return found


def _group_stacks(folders: Sequence[str], namings: Sequence[Naming]) -> Iterable[Rows]:
    """The rows of images with numbers that belong to one person, visit, folder and contrast."""
    stacks: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row, (folder, one) in enumerate(zip(folders, namings, strict=True)):
        if one.position >= 0:
            said = (one.subject, one.session, one.side, one.plane, one.contrast, one.mask)
            stacks[folder, *said].append(row)
    return stacks.values()


def _renumber(
    rows: Rows, stems: Sequence[str], namings: Sequence[Naming]
) -> Iterable[tuple[int, int]]:
    """(row, number of the slice) where names that differ by numbers only say another one."""
    forms: dict[str, list[int]] = defaultdict(list)
    files = {row: name_of(stems[row]) for row in rows}
    for row in rows:
        forms[re.sub(r"\d+", "#", files[row])].append(row)
    for form, alike in forms.items():
        numbers = [list(map(whole_number, re.findall(r"\d+", files[row]))) for row in alike]
        columns = list(zip(*numbers, strict=True))
        at = _find_running(form, columns, tuple(namings[row].position for row in alike))
        if at is not None:
            yield from zip(alike, columns[at], strict=True)


def _find_running(
    form: str, columns: Sequence[tuple[int, ...]], now: tuple[int, ...]
) -> int | None:
    """Which of a name's numbers counts its slices; None where it is read already, or unclear."""
    varying = [at for at, column in enumerate(columns) if len(set(column)) > 1]
    if varying and varying[-1] == len(columns) - 1 and SERIES_AND_SLICE.search(form):
        return varying[-1]
    if len(set(now)) > 1:
        return None
    before = form.split("#")
    free = [at for at in varying if not _counts_else(before[at])]
    running = [at for at in free if len(set(columns[at])) == len(now)]
    orders = {tuple(sorted(range(len(now)), key=columns[at].__getitem__)) for at in running}
    if len(orders) > 1:
        return None
    clear = running or free
    return clear[-1] if clear else None


def _counts_else(before: str) -> bool:
    """Whether the word before a number makes it that of a visit or a run."""
    word = NO_SLICE.search(before)
    return word is not None and any(ANNOUNCING[k].match(word[0]) for k in ("visit", "run"))


def say_still(sources: Iterable[Source]) -> str:
    """Images of one folder that all count as the same slice; empty where there are none."""
    images = [s for s in sources if not s.is_volume and s.naming.layout != "naming"]
    folders = [s.member.name.rpartition("/")[0] for s in images]
    for rows in _group_stacks(folders, [s.naming for s in images]):
        if len(rows) > 2 and len({images[row].naming.position for row in rows}) == 1:
            one, other = (images[row].public_label for row in rows[:2])
            files = say_count(len(rows), "image counts", "images count")
            return (
                f"{files} as slice {images[rows[0]].naming.position} of one person, such as {one} "
                f"and {other}: name the number with --naming (group slice)"
            )
    return ""


# Folders of people

NUMBER_OF_S = re.compile(r"^s[_\-. ]?\d", re.IGNORECASE)  # a series is called so, too


def is_called_person(name: str) -> bool:
    """Whether a folder or a person is called `PT01` and the like."""
    return bool(PERSON_NUMBER.match(name)) and not NUMBER_OF_S.match(name)


def say_merged(sources: Iterable[Source]) -> str:
    """Folders beside each other that are called as people are, but count as one; else empty."""
    held: dict[tuple[str, int], dict[str, bool]] = defaultdict(dict)
    for source in filter(lambda source: source.naming.is_inferred, sources):
        for depth, folder in enumerate(source.member.name.split("/")[:-1]):
            if is_called_person(folder):
                name = PERSON_NUMBER.sub("", folder)
                number = folder[: len(folder) - len(name)]
                held[source.naming.subject, depth].setdefault(number, source.hidden)
    merged = [(who, found) for (who, _), found in held.items() if len(found) > 1]
    if not merged:
        return ""
    who, found = merged[0]
    such = "" if any(found.values()) else ", such as {} and {},".format(*found)
    return f"{len(found)} folders that are called as people are{such} count as one person, {who}"


# People of several sources

Read = Callable[[Sequence[str]], list[Naming]]
Doubts = list[tuple[str, str]]  # (a source, what is doubtful about it)


def read_sources(
    names: Sequence[str], places: Sequence[str], read: Read
) -> tuple[list[Naming], Doubts]:
    """The namings of the files of several sources, which `places` name, and doubts about them.

    They are read together, since each source may be a person, a visit or a contrast. Where that
    merges or splits the people whom a source has alone, as its folders are deeper than the
    others', the sources that have people are read alone. So are unlike folders of one source.
    """
    together = read(names)
    given = len(set(places)) > 1
    found = _read_alone(names, places if given else _find_unlike(names, together), read, together)
    counts = Counter(who.casefold() for one in found for who in one.people)
    often = {who for who, count in counts.items() if count > 1}
    each_one = given and all(
        {other for _, other in one.pairs} == {name_of(one.place)} for one in found
    )
    better = [one for one in found if one.is_better(often, each_one)]
    apart = [one for one in found if one in better or (one.names_people and one.is_alike)]
    doubts = [one.say_people(one in better) for one in found if one.is_doubtful(often)]
    doubts += [doubt for one in better for doubt in one.doubts]
    return (_take_apart(together, apart, better) if better else together), doubts[:1]


def _read_alone(
    names: Sequence[str], places: Sequence[str], read: Read, together: Sequence[Naming]
) -> list[_Reading]:
    """Each source that has several files, but not all; files of no place are of no source."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, place in enumerate(places):
        rows[place].append(row)
    return [
        _Reading(
            place, its, *read_sources([names[r] for r in its], [place] * len(its), read), together
        )
        for place, its in rows.items()
        if place and 1 < len(its) < len(names)
    ]


def _find_unlike(names: Sequence[str], together: Sequence[Naming]) -> list[str]:
    """The folder of each file where it may be a data set of its own, else empty.

    Of folders beside each other, one may be where another one of several people has its files at
    other depths, or files of another kind; none is where most of them are people.
    """
    prefix = common_prefix(names)
    halves = [name.removeprefix(prefix).partition("/")[::2] for name in names]
    forms = gather((folder, (file.count("/"), suffix_of(file))) for folder, file in halves)
    both = zip(halves, together, strict=True)
    people = gather((folder, naming.subject) for (folder, _), naming in both)
    several = [folder for folder, its in people.items() if len(its) > 1]
    persons = [folder for folder, its in people.items() if its == {folder}]
    if len(persons) > len(several) or not all(file for _, file in halves):
        return [""] * len(names)
    unlike = {f for f in forms if any(forms[f].isdisjoint(forms[other]) for other in several)}
    return [folder if folder in unlike else "" for folder, _ in halves]


@dataclass(frozen=True, eq=False)
class _Reading:
    """What one source says alone, beside what all of them say together."""

    place: str
    rows: Sequence[int]
    alone: Sequence[Naming]
    doubts: Doubts
    together: Sequence[Naming]  # of all sources

    @functools.cached_property
    def pairs(self) -> set[tuple[str, str]]:
        """Who each scan is of alone, and together; masks count where there is nothing else."""
        both = [(one, self.together[row]) for row, one in zip(self.rows, self.alone, strict=True)]
        scans = [pair for pair in both if not pair[0].mask] or both
        return {(one.subject, other.subject) for one, other in scans}

    @functools.cached_property
    def people(self) -> set[str]:
        """Those whom it has alone."""
        return {one for one, _ in self.pairs}

    @property
    def count(self) -> int:
        """How many people it has together with the others."""
        return len({other for _, other in self.pairs})

    @property
    def names_people(self) -> bool:
        """Whether it names anybody alone."""
        return self.people != {NAMELESS}

    @property
    def is_alike(self) -> bool:
        """Whether the other sources neither merge nor split its people."""
        return len(self.pairs) == len(self.people) == self.count

    @property
    def is_person_like(self) -> bool:
        """Whether its people are called `PT01`, `PT02` and the like."""
        names = [name_of(who) for who in self.people]
        numbers = {found[0] for found in map(PERSON_NUMBER.match, names) if found}
        return len(numbers) > 1 and share(map(is_called_person, names)) > 0.5

    def is_better(self, often: Collection[str], each_one: bool) -> bool:
        """Whether its people alone are the right ones.

        `often` are in several sources alone; `each_one`: together, each is a person of its name.
        """
        cut = all(one.startswith(other) for one, other in self.pairs)  # `p1a` and `p1b` of `p1`
        if self.is_alike or not self.names_people or cut:
            return False
        guess = self.is_doubtful(often) and not (each_one or self._may_be_parts)
        return self.count > 1 or self.is_person_like or guess

    @property
    def _may_be_parts(self) -> bool:
        """Whether its people may be visits, series or parts of the body of one person."""
        few = len(self.people) < 3 or all(re.fullmatch(r"0?\d", who) for who in self.people)
        return few or all(map(is_visit, self.people))

    def is_doubtful(self, often: Collection[str]) -> bool:
        """Whether it may as well be one person as several.

        It is one if it is called so, or if it holds what others do.
        """
        may_be_one = not PERSON_NUMBER.match(name_of(self.place)) and self.people.isdisjoint(often)
        return self.count == 1 < len(self.people) and may_be_one and not self.is_person_like

    def say_people(self, several: bool) -> tuple[str, str]:
        """How many people there are, where their names leave it open."""
        counts = "{} people, not as one" if several else "one person, not as {}"
        return self.place, f"counts as {counts}".format(len(self.people))


def _take_apart(
    together: Sequence[Naming], apart: Sequence[_Reading], better: Sequence[_Reading]
) -> list[Naming]:
    """The namings, those of some sources as each says alone, with what the others say besides."""
    found = list(together)
    namesakes = _find_namesakes(apart, {one.place for one in better})
    for one in apart:
        for row, own in zip(one.rows, one.alone, strict=True):
            beside, who = together[row], own.subject
            found[row] = replace(
                own,
                subject=f"{one.place}/{who}" if who.casefold() in namesakes else who,
                session=own.session or beside.session,
                side=own.side or beside.side,
                contrast=own.contrast or beside.contrast,
            )
    return found


def _find_namesakes(apart: Sequence[_Reading], changed: Collection[str]) -> set[str]:
    """Names that are of another person in each source.

    Together they are, or the sources number their people from the same number on.
    """
    said_by = [(one.place, who.casefold(), other) for one in apart for who, other in one.pairs]
    where = gather((who, place) for place, who, _ in said_by)
    said = gather((who, other) for _, who, other in said_by)
    shared = {who for who, places in where.items() if len(places) > 1 < len(said[who])}
    places = set().union(*(where[who] for who in shared))
    pairs = {(place, who) for who, its in where.items() for place in its & places}
    same = recur(pairs) and not restart(pairs)
    return {who for who in shared if not same or where[who].isdisjoint(changed)}
