"""What was concluded about people and contrasts, in words, and what about it is doubtful."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from mri_gan.config import SPLITS
from mri_gan.ingest.plan.derivatives import contrasts_of
from mri_gan.ingest.plan.words import plain_text
from mri_gan.ingest.source import Source
from mri_gan.preparation import PrepareConfig

LONG = 4  # letters that two people's names share before it looks like one person
USE_PEOPLE = "if that is wrong, say who is who with --people TABLE"
CLASS_NAME = re.compile(
    r"dement|tumou?r|glioma|mening|pituit|normal|healthy|positive|negative|benign|malignant|"
    r"^(?:ad|cn|[el]?mci|yes|no|hc|hgg|lgg|controls?|patients?)$",
    re.IGNORECASE,
)
FROM_NAMES = ("volumes", "images")  # of no known collection


def conclude(sources: Sequence[Source]) -> str:
    """How many people there are and how that is known, and how many contrasts each has."""
    people = {source.naming.subject for source in sources}
    text = f"{_count(len(people), 'person', 'people')}, {_how(sources)}"
    contrasts = contrasts_of(sources)
    if len(contrasts) < 2:
        return text
    had = defaultdict(set)
    for source in sources:
        had[source.naming.subject].add(source.naming.contrast)
    least, most = (pick(len(c - {""}) for c in had.values()) for pick in (min, max))
    each = str(most) if least == most else f"{least} to {most}"
    return f"{text}; {each} contrasts each ({', '.join(contrasts)})"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _how(sources: Sequence[Source]) -> str:
    layouts = {source.naming.layout for source in sources}
    ways = sorted(layouts - {*FROM_NAMES, "naming", "people", "dicom"})
    parts = [f"named as in {' and '.join(ways)}"] if ways else []
    parts += ["as --people says"] if "people" in layouts else []
    parts += ["as --naming says"] if "naming" in layouts else []
    parts += ["from the DICOM headers"] if "dicom" in layouts else []
    unknown = [source for source in sources if source.naming.layout in FROM_NAMES]
    if unknown:
        in_folders = sum(_is_folder(source) for source in unknown)
        mostly = 2 * in_folders > len(unknown)
        parts.append(f"from the {'folder' if mostly else 'file'} names")
    return " and ".join(parts)


def _is_folder(source: Source) -> bool:
    folders = plain_text(source.member.name).casefold().split("/")[:-1]
    return source.naming.subject.casefold().rpartition("/")[2] in folders


def find_doubts(sources: Sequence[Source], config: PrepareConfig) -> list[str]:
    """What a careful reader would ask before trusting the splits, one line each."""
    found = [
        _classes(sources, config),
        _crowd(sources, config),
        _long_stems(sources),
        _no_split(sources, config),
        _mixed(sources, config),
    ]
    return [doubt for doubt in found if doubt]


def _classes(sources: Sequence[Source], config: PrepareConfig) -> str:
    """People who are called as classes are."""
    people = {s.naming.subject.rpartition("/")[2] for s in sources if s.naming.layout == "images"}
    called = sorted(who for who in people if CLASS_NAME.search(who))
    if config.classes or len(people) < 2 or 2 * len(called) < len(people):
        return ""
    return f"the people are called {', '.join(called[:3])}: if those are classes, add --classes"


def _crowd(sources: Sequence[Source], config: PrepareConfig) -> str:
    """Every file its own person, or one person all files."""
    people = {source.naming.subject for source in sources}
    known = {s.naming.layout for s in sources} - {*FROM_NAMES}
    if len(people) == 1 and len(sources) > 1:
        return f"one person holds all {len(sources):,} files; {USE_PEOPLE}"
    if len(people) < len(sources) or len(sources) < 2 or known:
        return ""
    if config.classes:
        return (
            f"each of the {len(sources):,} images is a person of its own, so that splits are by "
            f"image: pictures of one person may be in several; {USE_PEOPLE}"
        )
    return f"each of the {len(sources):,} files is a person of its own; {USE_PEOPLE}"


def _long_stems(sources: Iterable[Source]) -> str:
    """People in different splits whose names differ by a word only."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for source in sources:
        if source.naming.layout in FROM_NAMES and not source.naming.label:
            who = source.naming.subject
            groups[_stem_of(who)][who] = source.naming.split
    for stem, people in groups.items():
        if len(stem) >= LONG and len(set(people.values())) > 1:
            one = next(iter(people))
            other = next(who for who, split in people.items() if split != people[one])
            two = f"{one} ({people[one]}) and {other} ({people[other]})"
            return f"{two} have much of a name in common; {USE_PEOPLE}"
    return ""


def _stem_of(who: str) -> str:
    """A person's name without split folders and the words at its end that hold no digit."""
    name = who.casefold().rpartition("/")[2]
    found = re.match(r"^(.*\d)[_\-. ]*[^\d]*$", name)
    return found[1] if found else ""


def _no_split(sources: Iterable[Source], config: PrepareConfig) -> str:
    """A split that nobody is in."""
    counts = Counter(source.naming.split for source in sources)
    shares = dict(zip(SPLITS, config.split, strict=True))
    empty = [split for split in SPLITS if not counts[split] and shares[split]]
    if not empty:
        return ""
    return f"nobody is in {' and '.join(empty)}: without them nothing can be judged on new people"


def _mixed(sources: Sequence[Source], config: PrepareConfig) -> str:
    contrasts = contrasts_of(sources)
    if len(contrasts) < 2 or config.contrast or config.channels:
        return ""
    names = ",".join(contrasts)
    return (
        f"{len(contrasts)} contrasts ({', '.join(contrasts)}) become images of one kind: choose "
        f"one with --contrast {contrasts[0]}, or make them channels with --channels {names}"
    )
