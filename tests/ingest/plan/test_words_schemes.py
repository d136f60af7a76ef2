"""Names of public collections, alone: the right people, each in one split; contrasts and masks."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from naming_schemes import COLLECTIONS, OWN, Collection, read_collections

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.filenames import identify_all
from mri_gan.ingest.plan.splits import share_out
from mri_gan.ingest.plan.words import read_words
from mri_gan.ingest.source import Naming

NAMES = Path(__file__).with_name("names.tsv")


# Names that nothing here was written for: public collections of no scheme, and home-made.
ALL = [*COLLECTIONS, *OWN, *read_collections(NAMES)]


@functools.cache
def named_by_name(name: str) -> dict[tuple[str, str], Naming]:
    return read_by_program(next(one for one in ALL if one.name == name))


def named(collection: Collection) -> dict[tuple[str, str], Naming]:
    return named_by_name(collection.name)


def read_by_program(collection: Collection) -> dict[tuple[str, str], Naming]:
    """(person, file) of every name, and what it was read as; in an order of no meaning."""
    pairs = sorted((file, who) for who in collection.people for file in collection.files)
    names = [file.replace("{who}", who) for file, who in pairs]
    found = identify_all(names, PrepareConfig())
    return {(who, file): naming for (file, who), naming in zip(pairs, found, strict=True)}


def by_name(collections: Sequence[Collection]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("collection", collections, ids=lambda c: c.name)


def test_there_are_enough_collections_and_each_has_a_source() -> None:
    assert len(COLLECTIONS) >= 40
    assert all(c.source.startswith("http") for c in COLLECTIONS)
    assert len({c.name for c in ALL}) == len(ALL)


@by_name(ALL)
def test_every_person_is_one_subject(collection: Collection) -> None:
    subjects: dict[str, set[str]] = {}
    for (who, _), naming in named(collection).items():
        subjects.setdefault(who, set()).add(naming.subject)
    assert {who: len(found) for who, found in subjects.items()} == dict.fromkeys(
        collection.people, 1
    )
    assert len(set.union(*subjects.values())) == len(collection.people)


@by_name(ALL)
def test_nobody_is_in_two_splits(collection: Collection) -> None:
    found = named(collection)
    people = sorted({naming.subject for naming in found.values()})
    shared = share_out(people, (50, 25, 25), seed=1)
    splits: dict[str, set[str]] = {}
    for (who, _), naming in found.items():
        splits.setdefault(who, set()).add(shared[naming.subject])
    assert all(len(where) == 1 for where in splits.values())


def with_more_people(collection: Collection, count: int) -> list[str]:
    """The people and others like them: with other digits in the last three places of a number."""
    draw, people = random.Random(collection.name), list(collection.people)
    for _ in range(20 * count):
        who = draw.choice(collection.people)
        numbers = list(re.finditer(r"[0-9]{1,3}(?![0-9])", who))
        if not numbers or len(people) >= count:
            break
        start, end = numbers[-1].span()
        other = f"{who[:start]}{draw.randrange(10 ** (end - start)):0{end - start}}{who[end:]}"
        people += [other] if other not in people else []
    return people


@by_name(ALL)
def test_nobody_is_two_people_where_a_quarter_of_the_files_is_missing(
    collection: Collection,
) -> None:
    draw = random.Random(f"{collection.name}0")
    pairs = [(f, who) for who in with_more_people(collection, 14) for f in collection.files]
    there = [pair for pair in sorted(pairs) if draw.random() < 0.75]
    found = identify_all([file.replace("{who}", who) for file, who in there], PrepareConfig())
    subjects: dict[str, set[str]] = {}
    for (_, who), naming in zip(there, found, strict=True):
        if not naming.mask:
            subjects.setdefault(who, set()).add(naming.subject)
    assert {who: found for who, found in subjects.items() if len(found) > 1} == {}


@by_name([c for c in ALL if c.contrasts])
def test_the_contrasts_are_known(collection: Collection) -> None:
    scans = [naming for naming in named(collection).values() if not naming.mask]
    assert {naming.contrast for naming in scans} - {""} == set(collection.contrasts)


@by_name([c for c in ALL if c.masks >= 0])
def test_masks_are_told_from_scans(collection: Collection) -> None:
    masks = sum(naming.mask for naming in named(collection).values())
    assert masks == collection.masks * len(collection.people)


def test_the_letters_of_a_name_may_be_composed_or_not() -> None:
    names = ["Pa\u0308tient0_0.png", "P\u00e4tient0_1.png", "P\u00e4tient1_1.png"]
    subjects = [naming.subject for naming in identify_all(names, PrepareConfig())]
    assert subjects[0] == subjects[1] != subjects[2]


def test_one_name_in_small_and_in_capital_letters_is_one_person() -> None:
    names = ["anna_1.png", "Anna_2.png", "bert_1.png"]
    subjects = [naming.subject for naming in identify_all(names, PrepareConfig())]
    assert subjects == ["anna", "anna", "bert"]


def test_numbers_that_begin_anew_in_each_split_are_different_people() -> None:
    names = [f"{split}/{k:03}_{z}.png" for split in ("train", "test") for k in (1, 2) for z in "12"]
    found = identify_all(names, PrepareConfig())
    assert len({naming.subject for naming in found}) == 4


def test_arrays_of_people_with_one_digit_and_with_two_are_read_in_one_way() -> None:
    people = range(5, 17)
    found = identify_all(
        [f"{who}_{k}.npy" for who in people for k in range(30, 40)], PrepareConfig()
    )
    assert {naming.subject for naming in found} == set(map(str, people))


def test_a_name_in_two_splits_is_one_person() -> None:
    names = ["train/anna7_1.png", "train/bert8_1.png", "test/cora9_1.png", "test/anna7_2.png"]
    found = identify_all(names, PrepareConfig())
    assert found[0].subject == found[3].subject


@pytest.mark.parametrize("form", ["K{:03}_{}.nii.gz", "K{:03}{}.nii.gz", "K{:03}Knee{}.png"])
def test_both_knees_are_one_person_though_most_have_one(form: str) -> None:
    knees = [(1, "L"), (1, "R"), (2, "L"), (3, "R"), (4, "L"), (5, "R")]
    found = identify_all([form.format(*knee) for knee in knees], PrepareConfig())
    assert len({naming.subject for naming in found}) == 5
    assert found[0].subject == found[1].subject
    assert [naming.side[0].upper() for naming in found] == [side for _, side in knees]


def test_a_number_like_others_is_no_year() -> None:
    names = [
        f"Breast-{who}/{kind}/p-{k:03}.png"
        for who in (1231, 1948, 2011)
        for kind in "ab"
        for k in (1, 2)
    ]
    found = identify_all(names, PrepareConfig())
    assert {naming.subject for naming in found} == {"Breast-1231", "Breast-1948", "Breast-2011"}


def test_maps_of_a_program_belong_to_the_scan_that_is_not_there() -> None:
    names = [f"{kind}sub{k:02}.nii" for kind in ("c1", "c2", "wm") for k in (1, 2, 3)]
    assert len({naming.subject for naming in identify_all(names, PrepareConfig())}) == 3


def test_a_side_and_a_slice_name_nobody() -> None:
    names = [f"{side}_{slice_:03}.png" for side in "LR" for slice_ in range(4)]
    assert len({naming.subject for naming in identify_all(names, PrepareConfig())}) == 1


def test_a_name_that_ends_like_a_side_keeps_its_letters() -> None:
    names = [f"{who}_{z}.png" for who in ("Pearl", "Kipl", "footler") for z in (1, 2)]
    assert {n.subject for n in identify_all(names, PrepareConfig())} == {"Pearl", "Kipl", "footler"}


@pytest.mark.parametrize(
    ("name", "contrast", "left"),
    [
        ("P01_t1_post_Gd", "t1ce", ["P01"]),
        ("P01_t1_tra_KM", "t1ce", ["P01"]),
        ("P01_t1_tra_without_contrast", "t1", ["P01"]),
        ("P01_t1_pre_KM", "t1", ["P01"]),
        ("P01_t2_tra_Gd", "t2", ["P01", "Gd"]),
        ("P01_t2_tra_dark-fluid", "flair", ["P01"]),
        ("P01_t1_localizer", "localizer", ["P01"]),
    ],
)
def test_words_behind_a_contrast_may_name_another(
    name: str, contrast: str, left: list[str]
) -> None:
    words = read_words(name, "volume")
    assert (words.contrast, words.name) == (contrast, left)
