"""Visits that names of files say: the person stays the same, and the visit is a session."""

from __future__ import annotations

from pathlib import Path

import phantoms
import pytest

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.filenames import identify_all
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.source import Naming

PEOPLE = ("PT01", "PT02", "PT03")


def read(names: list[str]) -> list[Naming]:
    return identify_all(names, PrepareConfig())


def named(words: str, end: str, people: tuple[str, ...] = PEOPLE) -> list[str]:
    return [f"{who}_{word}{end}" for who in people for word in words.split()]


@pytest.mark.parametrize("end", [".nii.gz", "_001.png", "_017.png"])
@pytest.mark.parametrize("people", [PEOPLE, ("sub07", "sub08", "sub09"), ("0007", "0008", "0019")])
@pytest.mark.parametrize(
    ("words", "sessions"),
    [
        ("pre post", "pre post"),
        ("V1 V2", "1 2"),
        ("tp1 tp2 tp3", "1 2 3"),
        ("m00 m06 m12", "00 06 12"),
        ("6m 12m", "6m 12m"),
        ("bl fu", "bl fu"),
        ("baseline followup", "baseline followup"),
        ("screening week4", "screening 4"),
        ("pre-op post-op", "preop postop"),
        ("pre_treatment post_treatment", "pretreatment posttreatment"),
        ("t0 t1 t2", "0 1 2"),
        ("pre_T1 post_T1 pre_T2 post_T2", "pre post pre post"),
        ("T1_pre T1_post T2_pre T2_post", "pre post pre post"),
    ],
)
def test_visits_in_names_are_sessions_of_one_person(
    words: str, sessions: str, people: tuple[str, ...], end: str
) -> None:
    found = read(named(words, end, people))
    assert [one.subject for one in found] == [who for who in people for _ in words.split()]
    assert [one.session for one in found] == sessions.split() * 3
    contrasts = {word for word in ("t1", "t2") if word.upper() in words}
    assert {one.contrast for one in found} == (contrasts or {""})
    if end.endswith(".png"):
        assert {one.position for one in found} == {int(end[1:4])}


@pytest.mark.parametrize("end", [".nii.gz", "_001.png"])
def test_people_without_numbers_have_visits_too(end: str) -> None:
    found = read(named("pre post", end, ("anna", "bert", "carl")))
    assert [(one.subject, one.session) for one in found] == [
        (who, visit) for who in ("anna", "bert", "carl") for visit in ("pre", "post")
    ]


@pytest.mark.parametrize("end", [".nii.gz", "_001.png"])
def test_pre_and_post_behind_t1_are_about_a_contrast_agent(end: str) -> None:
    found = read(named("T1_pre T1_post T2 FLAIR", end))
    assert [(one.session, one.contrast) for one in found] == [
        ("", contrast) for contrast in ("t1", "t1ce", "t2", "flair")
    ] * 3


@pytest.mark.parametrize("words", ["pre", "T1 T2", "t1 t2 flair", "45y", "3d 2d"])
def test_words_of_which_nobody_has_two_are_no_visits(words: str) -> None:
    assert {one.session for one in read(named(words, ".nii.gz"))} == {""}


def test_ages_are_no_visits() -> None:
    names = [f"{who}_{40 + n}y.nii.gz" for n, who in enumerate(PEOPLE)]
    assert {one.session for one in read(names)} == {""}


def test_a_known_collection_says_itself_what_its_visits_are() -> None:
    names = [f"sub-01_ses-{visit}_acq-{visit}_T1w.nii.gz" for visit in ("a", "b")]
    names += [f"sub-02_acq-pre_T1w_{word}.nii.gz" for word in ("pre", "post")]
    assert [one.session for one in read(names)] == ["a", "b", "", ""]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("pre post", "as two visits, not as scans before and after a contrast agent"),
        ("pre_T1 post_T1", "as two visits, not as scans before and after a contrast agent"),
        ("T1_pre T1_post", "as scans before and after a contrast agent, not as two visits"),
        ("T1_pre T1_post T2", ""),  # nobody has two T2
        ("T2_pre T2_post T1_pre T1_post", ""),
        ("V1 V2", ""),
        ("pre", ""),
    ],
)
def test_what_was_guessed_of_pre_and_post_is_told(tmp_path: Path, words: str, told: str) -> None:
    names = named(words, ".nii.gz")
    archive = phantoms.write_zip(tmp_path / "a.zip", dict.fromkeys(names, b""))
    doubts = [d for d in build_plan([archive], PrepareConfig()).doubts if d.startswith("pre and")]
    hidden = build_plan([archive], PrepareConfig(ids="pseudonym")).doubts
    assert any(
        d.startswith(f"pre and post in names of files count {told}") for d in hidden
    ) == bool(told)
    first = min(names)
    expected = f"pre and post in names such as a.zip:{first} count {told}; if that is wrong, "
    assert doubts == [f"{expected}assign people with --people TABLE"] * bool(told)


def test_before_the_name_of_an_agent_post_is_no_visit() -> None:
    names = [f"{who}_t1_tra{end}.nii.gz" for who in PEOPLE for end in ("", "_post_Gd")]
    assert {one.session for one in read(names)} == {""}
    assert [one.contrast for one in read(names)] == ["t1", "t1ce"] * len(PEOPLE)
