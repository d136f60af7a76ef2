"""What one path says by itself: its folders, what is left of its name, and the numbers in it."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mri_gan.ingest.plan.words import (
    GLUED_NUMBER,
    MASK_WORD,
    PERSON_WORD,
    SPELLED_DATE,
    SPLIT_FOLDERS,
    SPLIT_WORD,
    Words,
    mask_folder,
    read_words,
)
from mri_gan.ingest.source import whole_number

SITE_NUMBER = r"\d{2,3}-\d{3,4}"  # as trials have them: `01-003`
LEADING_NUMBER = re.compile(rf"^(?P<subject>{SITE_NUMBER}|\d{{2,}})(?:[_\-.]|$)")
DATE = re.compile(r"^(?:19|20)\d\d[01]\d[0-3]\d$")
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
    unmasked = [folder if (r := mask_folder(folder)) is None else r for folder in folders]
    said = [read_words(folder, "folder") for folder in unmasked]
    kept, split = [], ""
    for folder, words in zip(unmasked, said, strict=True):
        word = split_word(folder)
        split = word or split
        if not word and words.name:
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
