"""An audit finds what is planted, and lets pass what is as new as a new person."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from phantoms.heads import as_people, draw_heads
from PIL import ImageDraw

from mri_gan.errors import DataError
from mri_gan.evaluate.audit import (
    FEWEST_SAMPLES,
    TRUSTED,
    VIEW_ALARMS,
    Audit,
    Detector,
    Likeness,
    audit,
    say_limits,
    say_verdict,
)
from mri_gan.evaluate.copies.limits import fit_gumbel, limit_factor
from mri_gan.evaluate.verdict import PAIRS, describe_beside, list_kinds, worst_pairs
from mri_gan.pictures import say_edges

TRAIN, HELD_OUT, NEW = (draw_heads(n, seed) for n, seed in ((12, 1), (4, 2), (13, 3)))


def run(samples: np.ndarray, kinds: tuple[str, ...] = TRUSTED) -> Audit:
    held_out = as_people(HELD_OUT, 100)
    return audit(as_people(samples), as_people(TRAIN), held_out, kinds=kinds, planted=8)


@pytest.fixture(scope="module")
def honest() -> Audit:
    return run(NEW, (*TRUSTED, "rotation 10", "left half", "blend 70/30", "blur 2 px"))


def measured(samples: list[float], planted: float = 2.0, **changes: object) -> Audit:
    """An audit of one view with a limit of 1, of given likeness; people reach 0.5."""
    made = Audit(
        Likeness(np.array([samples], np.float32), np.arange(len(samples))[None]),
        np.array([[0.3, 0.4, 0.5]]),
        np.array([1.0]),
        {
            kind: Likeness(np.full((1, 2), planted, np.float32), np.zeros((1, 2), int))
            for kind in TRUSTED
        },
        np.arange(len(samples)) // 2,
        0,
        0,
        views=("whole",),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_new_people_pass(honest: Audit) -> None:
    assert honest.verdict == "pass"
    assert (honest.copies, honest.held_out_people, honest.people.shape) == (0, 4, (3, 16))
    assert say_verdict(honest).startswith("pass: no sample is more like a training slice")


def test_planted_copies_are_seen(honest: Audit) -> None:
    assert min(honest.recall.values()) > 0.9, honest.recall


def test_one_copy_among_new_people_fails(honest: Audit) -> None:
    samples = NEW.copy()
    samples[17] = TRAIN[29, ::-1] ** 2
    result = run(samples, TRUSTED)
    assert result.verdict == "fail"
    assert np.flatnonzero(result.is_copy).tolist() == [17]
    assert result.samples.rows[0, 17] == 29
    assert result.people_copied == 1
    assert say_verdict(result).startswith("fail: 1 of 52 samples is more like a training slice")


def test_limits_are_told_view_by_view_with_how_samples_were_drawn() -> None:
    said = say_limits(measured([2.0, 0.1, 2.0]), "psi 0.7")
    counts = "of 3 samples drawn with psi 0.7, above the limit of likeness: 2 by whole slices"
    limits = "the limits come from 3 people compared with others, and give a false alarm in 1%"
    assert said == f"{counts} (limit 1); {limits} of audits"
    assert say_limits(measured([0.1] * 1000)).startswith("of 1,000 samples, above")
    alone = measured([0.1], people=np.array([[0.3]]))
    assert "the limits come from 1 person compared with" in say_limits(alone)


def test_copies_of_two_slices_of_one_person_are_of_one_person() -> None:
    result = measured([2.0, 2.0, 0.1, 2.0])
    assert result.people_copied == 2
    assert "3 of 4 samples are more like" in say_verdict(result)


def test_a_picture_is_never_found_like_its_own_person() -> None:
    """Also where there are too few other people to compare it with: else all would be copies."""
    pictures, train = draw_heads(2, 5), as_people(draw_heads(2, 5))
    own = torch.from_numpy(train.groups[:2])
    rows, likeness = Detector(train).compare_each(torch.from_numpy(pictures[:2]), own)
    same = torch.from_numpy(train.groups)[rows] == own[:, None]
    assert same.any()
    assert likeness[:, same].isneginf().all()
    assert likeness[:, ~same].isfinite().all()


def test_another_store_is_undecided_whatever_is_found() -> None:
    result = measured([2.0] * 4, right_store=False)
    assert result.verdict == "undecided"
    assert "trained on other data than this store" in say_verdict(result)
    assert measured([0.1] * 4, right_store=False).verdict == "undecided"


def test_an_audit_that_would_see_no_copy_is_undecided() -> None:
    result = measured([0.1] * 4, planted=0.2)
    assert result.verdict == "undecided"
    assert (
        "these 3 people are as like each other as copies are"
        in say_verdict(result)
        == result.reason
    )
    assert repr(result) == f"Audit({result.reason})"
    assert result.reason in result._repr_html_()


def test_too_few_people_are_told_how_many_would_do() -> None:
    """With the same place and scale of likeness, the limit falls as more people vouch for it."""
    place, scale = fit_gumbel(np.array([0.3, 0.4, 0.5]))
    factors = {n: limit_factor(n, 1, round(VIEW_ALARMS, 6)) for n in (3, 8, 12, 16)}
    assert list(factors.values()) == sorted(factors.values(), reverse=True)
    between = float(place + scale * (factors[8] + factors[12]) / 2)
    limit = float(place + scale * factors[3])
    few = measured([0.1] * 4, planted=between, limits=np.array([limit]))
    assert few.verdict == "undecided"
    assert "3 people are too few for a limit; about 12 would do" in few.reason


def test_many_samples_nearer_than_people_are_are_no_pass() -> None:
    assert measured([0.6] * 5 + [0.1] * 95).verdict == "pass"
    result = measured([0.6] * 60 + [0.1] * 40)
    assert result.verdict == "undecided"
    assert "60.0% are more like a training slice" in say_verdict(result)


def test_so_many_nearer_than_any_person_as_chance_forbids_are_copies() -> None:
    crowd = [0.6] * 60 + [0.1] * 40
    result = measured(crowd, planted=0.6, views=("halves",), crowd=0.5)
    assert (result.verdict, result.copies) == ("fail", 60)
    assert "60 by halves (limit 0.5)" in say_limits(result)
    alarm = "more than 50% of samples more alike than every person are a false alarm in 0.1%"
    assert f"{alarm} of audits" in say_limits(result)
    assert set(result.recall.values()) == {0.0}  # a copy alone would not be seen
    assert measured(crowd, views=("halves",), crowd=0.61).copies == 0
    assert measured(crowd, views=("whole",), crowd=0.5).copies == 0  # may be typical, not copied


def test_kinds_are_listed_by_how_many_copies_would_be_detected() -> None:
    recall = {"exact": 1.0, "blend": 0.97, "noise": 0.25, "JPEG 10": 0.0}
    assert list_kinds(recall) == (
        "copies that would be detected (at least 95% of them): exact, blend; "
        "in part: noise (25%); hardly ever: JPEG 10"
    )


def test_a_store_where_one_person_has_two_names_is_undecided() -> None:
    """Then real people are as like as copies are, and a pass would mean nothing."""
    twice = np.concatenate([HELD_OUT, TRAIN[:4]])
    result = audit(
        as_people(NEW), as_people(TRAIN), as_people(twice, 100), kinds=TRUSTED, planted=8
    )
    assert result.verdict == "undecided"


def test_of_a_large_split_held_out_as_many_slices_are_compared_as_of_training_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mri_gan.evaluate.audit.MOST_QUERIES", 12)
    result = run(NEW, ())
    assert (result.held_out, result.held_out_people) == (12, 3)  # four slices of each
    assert result.people.shape[1] == 6  # and three of the training people


def test_too_few_people_or_samples_are_refused() -> None:
    with pytest.raises(DataError, match=f"an audit needs {FEWEST_SAMPLES}"):
        run(NEW[:20])
    with pytest.raises(DataError, match="an audit needs 4"):
        audit(as_people(NEW), as_people(TRAIN[:12]), None)


def test_results_are_plain_values_and_pairs_a_picture(honest: Audit) -> None:
    assert honest.to_dict()["verdict"] == "pass"
    assert honest.to_dict()["views"][0]["likeness"]["samples"]["p50"] == pytest.approx(
        np.median(honest.samples.values[0]), rel=1e-4
    )
    facts = honest.to_dict() | describe_beside(honest, None, "no critic")
    assert json.loads(json.dumps(facts)) == facts
    sheet = worst_pairs(honest, as_people(NEW), as_people(TRAIN), count=4)
    assert sheet.size[0] == 6 * (128 + 2) + 2


def test_each_tile_of_the_most_alike_pairs_has_a_name(
    honest: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given: written.append(given[2]))
    worst_pairs(honest, as_people(NEW), as_people(TRAIN), count=1)
    sample, real, limit, difference, *notes = written
    assert re.fullmatch(r"sample \d+", sample)
    assert re.fullmatch(r"real, likeness [\d.]+,", real)
    assert re.fullmatch(r"limit [\d.]+", limit)
    assert difference == "difference"
    assert " ".join(notes) == PAIRS


def test_a_drawn_sample_is_named_by_the_seed_that_draws_it_again(
    honest: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given: written.append(given[2]))
    drawn = dataclasses.replace(as_people(NEW), seeds=range(5000, 5000 + len(NEW)))
    worst_pairs(honest, drawn, as_people(TRAIN), count=1)
    excess = (honest.samples.values - honest.samples_limits[:, None]).max(0)
    assert written[0] == f"seed {5000 + excess.argmax()}"


def test_the_most_alike_pairs_say_which_side_is_where(
    honest: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given, **_: written.append(given[2]))
    worst_pairs(honest, as_people(NEW), as_people(TRAIN), count=1, edges=("R", "L"))
    assert written[:2] == ["R", "L"]
    assert say_edges(("R", "L")) in " ".join(written)
