"""What a store keeps of people: keyed pseudonyms; and what about the people is doubtful.

A pseudonym is a keyed hash (BLAKE2b with a random key of 256 bits, kept in a file of its own): one
that anybody can compute would be reversed by trying all of ten million numbers. The order of a
store's slices and the splits follow the pseudonyms, else they would reveal ranks of true numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mri_gan.config import AUTO
from mri_gan.errors import UsageError
from mri_gan.files import explain_os_error
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.folders import is_called_person, say_copies, say_merged, say_still
from mri_gan.ingest.plan.label_files import (
    CLASS_NAME,
    say_called,
    say_classes,
    say_nameless,
)
from mri_gan.ingest.plan.paths import gather, is_visit, split_word
from mri_gan.ingest.plan.selection import contrasts_of, say_mixed, say_visits
from mri_gan.ingest.plan.splits import say_empty_splits
from mri_gan.ingest.plan.words import mask_folder, plain_text, read_words
from mri_gan.ingest.source import (
    DICOM_SUFFIXES,
    Source,
    name_of,
    natural_key,
    spell_layout,
    suffix_of,
)
from mri_gan.store.labels import DATE
from mri_gan.store.schema import NAMELESS
from mri_gan.values import say_count

# Names that do not reveal who somebody is: keyed pseudonyms, and what must not be written beside

KEY_BYTES = 32
PSEUDONYM_BYTES = 6  # two of 10,000 people share a name once in six million keys
OAI_LIKE = re.compile(r"OAI[-_ ]?(\d{7})(?!\d)|(?<!\d)(9\d{6})(?!\d)", re.IGNORECASE)
LONG_NUMBER = re.compile(r"\d{6,}")  # dates and accession numbers, not the number of a visit

PREFIXES = {"subject": "p", "session": "v", "source": "s", "file": "f"}

# Words of our own messages, which folders may be called too: they say nothing about anybody.
_OUR_WORDS = """
    axial damaged data dicom directions echoes evenly file files folder frame frames header
    image images label labels mask masks missing multi none pixels places plane position
    scan scans series shape short size slice slices spaced time voxels volume volumes with without
"""
OUR_WORDS = frozenset(_OUR_WORDS.split())
Key = Callable[[], bytes]  # called only where a pseudonym is needed


def new_key() -> bytes:
    """A key that nobody else has."""
    return secrets.token_bytes(KEY_BYTES)


def find_key(path: Path) -> bytes:
    """The key in a file, which is made where it is missing.

    Raises UsageError when the file holds something else, DataError when it cannot be written.
    """
    try:
        if not path.exists():
            _make_key(path)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise explain_os_error(error, path) from error
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        raise UsageError(
            f"{path}: holds no key for pseudonyms", "name a new file, which will be created"
        )
    return bytes.fromhex(text)


def _make_key(path: Path) -> None:
    """Write a new key whole or not at all, readable by its owner only; the first writer wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key().hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_telling(source: Source) -> bool:
    """Whether a source's names hold a number like those of the OAI, or it is DICOM."""
    said = (source.naming.subject, source.naming.session, source.member.name)
    return source.naming.layout == "dicom" or any(map(OAI_LIKE.search, said))


def is_due(source: Source, config: PrepareConfig) -> bool:
    """Whether a source gets a pseudonym."""
    return config.ids == "pseudonym" or (config.ids == AUTO and is_telling(source))


def unify_people(sources: Iterable[Source], config: PrepareConfig) -> list[Source]:
    """The sources, those with OAI numbers named by them: all folders of a number are one person."""

    def unify(source: Source) -> Source:
        found = OAI_LIKE.search(source.naming.subject)
        if found is None or not is_due(source, config):
            return source
        return replace(source, naming=replace(source.naming, subject=found[1] or found[2]))

    return [unify(source) for source in sources]


def hide_all(sources: Iterable[Source], config: PrepareConfig, key: Key) -> list[Source]:
    """The sources with pseudonyms where they are due, sorted so that no order shows through."""
    sources = list(sources)
    kept = [source for source in sources if not is_due(source, config)]
    if len(kept) == len(sources):
        return sources
    secret = key()
    hidden = (hide(source, secret) for source in sources if is_due(source, config))
    return kept + _tell_apart(sorted(hidden, key=_order))


def _tell_apart(sources: Sequence[Source]) -> list[Source]:
    """The sources, the second one of the same name with a 2: what two sources hold twice."""
    seen: Counter[str] = Counter()
    found = []
    for source in sources:
        seen[source.name] += 1
        count = seen[source.name]
        found.append(source if count == 1 else replace(source, name=f"{source.name}-{count}"))
    return found


def _order(source: Source) -> tuple[object, ...]:
    said = source.naming
    return said.subject, natural_key(said.session), said.side, said.position, source.name


def hide(source: Source, key: bytes) -> Source:
    """The source under a pseudonym; a mask and its scan stay together."""
    said = source.naming
    subject, session = pseudonym(said.subject, key), said.session
    if source.naming.layout == "dicom" or LONG_NUMBER.search(session) or DATE.search(session):
        session = pseudonym(session, key, "session")
    return replace(
        source,
        name=f"{subject}/{pseudonym(source.name, key, 'source')}",
        naming=replace(said, subject=subject, session=session),
        hidden=True,
    )


def pseudonym(text: str, key: bytes, kind: str = "subject") -> str:
    """A short keyed hash, such as p3f9a0c41d2e8; kinds of names do not share hashes."""
    hasher = hashlib.blake2b(key=key, digest_size=PSEUDONYM_BYTES, person=kind.encode())
    hasher.update(text.encode(errors="surrogatepass"))
    return f"{PREFIXES[kind]}{hasher.hexdigest()}"


def hide_unlisted(
    entries: Iterable[tuple[str, str]], config: PrepareConfig, key: Key
) -> list[tuple[str, str, str]]:
    """(name, reason, true label) of what could not be listed, hidden where that is due."""
    found = []
    for label, reason in entries:
        # What has no suffix may be DICOM, whose folders often are named like people.
        due = OAI_LIKE.search(label) or suffix_of(label) in (*DICOM_SUFFIXES, "")
        if config.ids == "pseudonym" or (config.ids == AUTO and due):
            found.append((pseudonym(label, key(), "file"), scrub(reason, [label]), label))
        else:
            public = public_name(label)
            found.append((public, reason.replace(label, public), label))
    return found


def public_name(label: str) -> str:
    """A label without the folders above its file: `/home/me/a.zip:b/c.png` is `a.zip:b/c.png`."""
    container, colon, member = label.partition(":")
    return f"{name_of(container)}{colon}{member}"


def is_pseudonym(name: str) -> bool:
    """Whether a source or file goes by a pseudonym."""
    return bool(
        re.match(rf"[{''.join(PREFIXES.values())}][0-9a-f]{{{2 * PSEUDONYM_BYTES}}}\b", name)
    )


def public_reason(reason: str, source: Source) -> str:
    """Why a source gave no slices, without its folders, and without its names where hidden."""
    members = source.members
    if not source.hidden:
        for member in members:
            reason = reason.replace(str(member.container), member.container.name)
        return reason
    return scrub(reason, [n for m in members for n in (m.label, str(m.container), m.name)])


def scrub(reason: str, names: Iterable[str]) -> str:
    """A text without the names of files, their folders' names and OAI numbers."""
    pieces = (part for name in names for part in (name, *re.split("[/:]", name)))
    parts = {part for part in pieces if len(part) > 3 and part.lower() not in OUR_WORDS}
    for part in sorted(parts, key=len, reverse=True):
        reason = reason.replace(part, "it")
    return OAI_LIKE.sub("it", reason)


# What was concluded about people and contrasts, in words, and what about it is doubtful

NUMBER_AND_S = re.compile(r"(?<![A-Za-z\d])(\d+)(?:[_ -][^/]*?)?[_ /-](S\d+|s\d{3,})(?![A-Za-z\d])")
NUMBER_AND_WORD = re.compile(r"^(\d{1,4})[_\-. ]+([A-Za-z]+)$")
LONG = 4  # letters that two people's names share before it looks like one person
USE_PEOPLE = "if that is wrong, assign people with --people TABLE"
DICOM_PEOPLE = {  # by Naming.found_in
    "": "from the DICOM headers",
    "folder": "from the folders of DICOM files that name nobody",
    "study": "from the studies of DICOM files that name nobody",
    "series": "one for each series of DICOM files that name nobody",
    "table": "as --people says",
}


def conclude(sources: Sequence[Source]) -> str:
    """How many people there are and how that is known, and how many contrasts each has."""
    people = {source.naming.subject for source in sources}
    text = f"{say_count(len(people), 'person', 'people')}, {_how(sources)}{say_classes(sources)}"
    contrasts = contrasts_of(sources)
    if len(contrasts) < 2:
        return text
    had = gather((source.naming.subject, source.naming.contrast) for source in sources)
    least, most = (pick(len(c - {""}) for c in had.values()) for pick in (min, max))
    each = say_count(most, "contrast") if least == most else f"{least} to {most} contrasts"
    return f"{text}; {each} each ({', '.join(contrasts)})"


def _how(sources: Sequence[Source]) -> str:
    unknown = [source for source in sources if source.naming.is_inferred]
    layouts = {source.naming.layout for source in sources if not source.naming.is_inferred}
    ways = sorted(map(spell_layout, layouts - {"naming", "people", "dicom"}))
    parts = [f"named as in {' and '.join(ways)}"] if ways else []
    parts += [f"as --{option} says" for option in ("people", "naming") if option in layouts]
    found_in = {source.naming.found_in for source in sources if source.naming.layout == "dicom"}
    parts += [text for place, text in DICOM_PEOPLE.items() if place in found_in]
    if unknown:
        mostly = 2 * sum(map(_is_folder, unknown)) > len(unknown)
        parts.append(f"from the {'folder' if mostly else 'file'} names")
    return " and ".join(dict.fromkeys(parts))


def _is_folder(source: Source) -> bool:
    folders = plain_text(source.member.name).casefold().split("/")[:-1]
    return name_of(source.naming.subject.casefold()) in folders


def say_names(sources: Iterable[Source]) -> str:
    """That people are kept under what looks like their names; empty where none is seen."""
    said = say_called((s.naming.subject for s in sources if not s.hidden), "the store keeps")
    return said and f"{said} --ids pseudonym"


def find_doubts(sources: Sequence[Source], config: PrepareConfig) -> list[str]:
    """What a careful reader would ask before trusting the splits, one line each."""
    found = [
        say_names(sources) if config.ids == AUTO else "",
        say_nameless(sources),
        _classes(sources, config),
        _crowd(sources, config),
        *(f"{said}; {USE_PEOPLE}" for said in (say_merged(sources), say_visits(sources)) if said),
        _long_stems(sources),
        _same_names(sources),
        _names_apart(sources),
        _files_twice(sources),
        _numbered_runs(sources),
        _words_of_numbers(sources),
        say_still(sources),
        say_copies(sources),
        say_empty_splits(sources, config),
        say_mixed(sources, config),
    ]
    return [doubt for doubt in found if doubt]


def _classes(sources: Sequence[Source], config: PrepareConfig) -> str:
    """People who are called as classes are, or few people in folders that are."""
    unknown = [s for s in sources if s.naming.layout == "images"]
    people = {name_of(s.naming.subject) for s in unknown}
    if config.classes or len(people) < 2:
        return ""
    called = sorted(who for who in people if CLASS_NAME.search(who))
    if 2 * len(called) >= len(people):
        return f"people are named {', '.join(called[:3])}: if those are classes, add --classes"
    return _class_folders(unknown, len(people))


def _class_folders(images: Sequence[Source], n_names: int) -> str:
    """Few people, or one name in several folders, where all folders are called as classes are."""
    folders = [f"/{plain_text(s.member.name)}".split("/")[-2] for s in images]
    names = {(folder, name_of(s.naming.subject)) for folder, s in zip(folders, images, strict=True)}
    parents = sorted(set(folders))
    few = n_names <= 2 * len(parents) or len(images) < 2 * n_names or n_names < len(names)
    if len(parents) < 2 or not few or not all(map(CLASS_NAME.search, parents)):
        return ""
    counts = Counter(s.naming.subject for s in images)
    people = f"{say_count(len(counts), 'person', 'people')}, up to {max(counts.values()):,} of one"
    named = f"in folders named {', '.join(parents[:3])}"
    return f"{len(images):,} images of {people}, are {named}: if those are classes, add --classes"


def _crowd(sources: Sequence[Source], config: PrepareConfig) -> str:
    """Every file its own person, or one person all files."""
    people = {source.naming.subject for source in sources}
    if len(people) == 1 and len(sources) > 1:
        return f"one person holds all {len(sources):,} files; {USE_PEOPLE}"
    if config.classes:
        return _crowd_of_images(sources)
    nameless = sum(s.naming.subject == NAMELESS and s.naming.is_inferred for s in sources)
    if nameless > 1:
        return f"{nameless:,} files name nobody, and count as one person; {USE_PEOPLE}"
    inferred = all(source.naming.is_inferred for source in sources)
    if not (inferred and 1 < len(sources) <= len(people)):
        return ""
    kinds = {".mat", ".h5", ".hdf5"} & {source.member.suffix for source in sources}
    unread = f", as a patient's number inside {min(kinds)} files is not read" if kinds else ""
    return f"each of the {len(sources):,} files counts as a different person{unread}; {USE_PEOPLE}"


def _crowd_of_images(sources: Sequence[Source]) -> str:
    """Images in class folders, most of which are each their own person."""
    counts = Counter(s.naming.subject for s in sources if s.naming.is_inferred)
    lone, every = sum(count == 1 for count in counts.values()), len(sources)
    if every < 2 or 2 * lone <= every:
        return ""
    which = f"each of the {every:,}" if lone == every else f"each of {lone:,} of the {every:,}"
    return (
        f"{which} images counts as a different person, so splits are by image: pictures of one "
        f"person may be in several; {USE_PEOPLE}"
    )


def _long_stems(sources: Iterable[Source]) -> str:
    """People in different splits whose names differ by a word only."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for source in sources:
        if source.naming.is_inferred and not source.naming.label:
            who = source.naming.subject
            groups[_stem_of(who)][who] = source.naming.split
    for stem, people in groups.items():
        if len(stem) >= LONG and len(set(people.values())) > 1:
            one = next(iter(people))
            other = next(who for who, split in people.items() if split != people[one])
            two = f"{one} ({people[one]}) and {other} ({people[other]})"
            return f"{two} have similar names; {USE_PEOPLE}"
    return ""


def _same_names(sources: Iterable[Source]) -> str:
    """Equal names in folders whose own names do not say why: of one person, or of two."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source in sources:
        if source.naming.is_inferred and not source.naming.label:
            folders, _, file = plain_text(source.member.name).rpartition("/")
            places[source.naming.subject, file].append(folders)
    for (who, file), found in places.items():
        names = [_place_above(who, folders, file) for folders in (found[0], found[-1])]
        apart = [set(a) - set(b) for a, b in (names, names[::-1])]
        said = [next((f for f in sorted(each) if not _says_what(f)), "") for each in apart]
        if all(said):
            return f"{who} in {said[0]} and in {said[1]} counts as one person; {USE_PEOPLE}"
    return ""


def _names_apart(sources: Iterable[Source]) -> str:
    """Equal names in two sources that count as two people, unless classes or splits say why."""
    people: dict[str, dict[str, str]] = defaultdict(dict)  # name -> person -> source
    for source in sources:
        if source.naming.is_inferred and not _is_group(source.naming.subject):
            who = source.naming.subject
            people[name_of(who.casefold())].setdefault(who, _given_in(source))
    apart = [found for found in people.values() if len(set(found.values())) > 1]
    if not apart:
        return ""
    two = " and ".join(f"{who} in {place}" for who, place in [*apart[0].items()][:2])
    names = say_count(len(apart), "name is", "names are")
    return f"{names} in two sources as different people, such as {two}; {USE_PEOPLE}"


def _is_group(who: str) -> bool:
    """Whether the folder before a person's name is a class or a split, in which names recur."""
    above = who.split("/")[:-1]
    return any(CLASS_NAME.search(folder) or split_word(folder) for folder in above)


def _files_twice(sources: Iterable[Source]) -> str:
    """Files of one person with equal names and sizes in two sources; of DICOM, whole series."""
    places: dict[tuple[object, ...], dict[str, str]] = defaultdict(dict)
    for source in sources:
        said, place = source.naming, _given_in(source)
        if source.is_series:
            names = sorted((name_of(m.name), m.size) for m in source.members)
            places["DICOM series", said.session, *names].setdefault(place, place)
        elif not source.hidden:
            what = replace(said, layout="", split=""), source.name, source.member.size
            places["file", *what].setdefault(place, source.member.public_label)
    twice = [(what[0], found) for what, found in places.items() if len(found) > 1]
    if not twice:
        return ""
    kind, (one, other, *_) = twice[0][0], twice[0][1].values()
    many = "files are" if kind == "file" else f"{kind} are"
    files = say_count(sum(what == kind for what, _ in twice), f"{kind} is", many)
    return f"{files} in two sources, such as {one} and {other}: leave one of the sources out"


def _given_in(source: Source) -> str:
    """The folder or archive, as it was given, that a source is in."""
    member = source.member
    if member.number is not None:
        return member.container.name
    return member.name.partition("/")[0] if "/" in member.name else member.container.parent.name


def _place_above(who: str, folders: str, file: str) -> list[str]:
    """The folders above the first folder or file that a person's name is in."""
    name = name_of(who.casefold())
    parts = [*folders.split("/"), file]
    at = next((i for i, part in enumerate(parts) if name in part.casefold()), 0)
    return parts[:at]


def _says_what(folder: str) -> bool:
    """Whether a folder's name says which contrast, plane, side, visit or version is in it."""
    said = read_words(folder, "folder")
    return (
        not said.name or bool(said.contrast) or is_visit(folder) or mask_folder(folder) is not None
    )


def _numbered_runs(sources: Sequence[Source]) -> str:
    """Volumes of one person, visit and contrast under long or many numbers: perhaps people."""
    runs: dict[tuple[str, ...], set[str]] = defaultdict(set)
    people = {source.naming.subject for source in sources}
    for source in sources:
        said = source.naming
        own = said.subject, said.session, said.side, said.contrast
        if said.layout == "volumes" and re.fullmatch(r"\d{3,5}", said.run):
            runs[own].add(said.run)
        elif said.layout == "volumes" and not is_called_person(said.subject):
            name = re.escape(said.subject) + r"[_\-. ]?(\d+)(?![^_\-. /])"
            runs[*own, "many"].update(re.findall(name, source.member.name, re.IGNORECASE))
        number = NUMBER_AND_S.search((said.layout == "images" and source.member.name) or "")
        if number and number[1] == name_of(said.subject):
            return f"{number[2]} counts as a slice of person {number[1]}; {USE_PEOPLE}"
    for (who, *_, last), found in runs.items():
        if len(found) > 1 and (last != "many" or len(found) >= len(people)):
            two = " and ".join(sorted(found)[:2])
            return f"{two} of {who} count as scans of one person; {USE_PEOPLE}"
    return ""


def _words_of_numbers(sources: Iterable[Source]) -> str:
    """Images of people who are mere numbers, told apart by words that may be other people's names.

    `010_anna` may be slice 10 of Anna; `010_t1` is not slice 10 of anybody.
    """
    words: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        file = name_of(plain_text(source.member.name)).removesuffix(source.member.suffix)
        number = NUMBER_AND_WORD.match(file)
        if number and name_of(source.naming.subject) == number[1]:
            words[source.naming.subject].update(read_words(number[2]).name)
    shared = Counter(word for found in words.values() if len(found) > 1 for word in found)
    word = next((word for word, count in sorted(shared.items()) if count > 1), "")
    who = next((who for who, found in words.items() if word in found), "")
    return f"{word} does not count as a person, but {who} does; {USE_PEOPLE}" if word else ""


def _stem_of(who: str) -> str:
    """A person's name without split folders and the words at its end that hold no digit."""
    name = name_of(who.casefold())
    found = re.match(r"^(.*\d)[_\-. ]*[^\d]*$", name)
    return found[1] if found else ""
