"""Whether synthetic slices can replace real ones is answered by a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from phantoms.runs import UTILITY, make_run, write_result

from mri_gan.report.cards import model_card_section
from mri_gan.report.facts import read_run
from mri_gan.report.usefulness import say_replaced, say_scores, say_task, say_taught

BLOBS = {"train_on_blobs": {"value": 0.81, "low": 0.79, "high": 0.83}}
NO_MORE = "synthetic slices teach no more than smooth blobs do"


def difference(low: float, high: float) -> dict[str, float]:
    return {"value": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize("task", ["position", "mask"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Not fully: synthetic slices teach 89% of what real ones do."),
        ({"kept": -0.2}, "Not fully: synthetic slices teach 0% of what real ones do."),
        (BLOBS, f"No: {NO_MORE}."),  # of an earlier version, which gives no difference
        ({**BLOBS, "synthetic_less_blobs": difference(-0.01, 0.03)}, f"No: {NO_MORE}."),
        (
            {**BLOBS, "synthetic_less_blobs": difference(0.005, 0.03)},
            "Not fully: synthetic slices teach 89% of what real ones do.",
        ),
        (
            {"synthetic_less_real": difference(-0.1, 0.01)},
            "For this task, yes: networks trained on synthetic slices score as well.",
        ),
        (
            {**BLOBS, "synthetic_less_real": difference(-0.1, 0.01)},
            f"No: {NO_MORE}.",
        ),
        (
            {"kept": None},
            "Not known: real slices teach no more than a guess, so there is nothing to compare.",
        ),
        (
            {"kept": None, "labels": "network trained on reals"},
            "Not known: a network trained on real slices labelled the synthetic ones, so the "
            "scores do not show what they teach.",
        ),
    ],
)
def test_the_answer_is_a_sentence(task: str, changes: dict[str, Any], said: str) -> None:
    assert say_replaced({**UTILITY, "task": task, **changes}) == said


def test_the_answer_stands_in_the_card_with_the_scores_below_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "R")
    write_result(run, "utility", {**UTILITY, **BLOBS})
    card = model_card_section(read_run(run)).text
    assert f"for training a network?** No: {NO_MORE}.\n\n- Scores on real people held out:" in card


def test_scores_are_told_with_what_they_are() -> None:
    assert say_scores({**UTILITY, **BLOBS, "measure": "mean Dice"}) == (
        "Scores on real people held out: 0.82 after training on synthetic slices, 0.91 on real "
        "ones, 0.81 on smooth blobs; a guess scores 0.1. The score is mean Dice."
    )
    assert "blobs" not in say_scores(UTILITY)


def test_what_is_taught_is_told_without_an_end() -> None:
    assert say_taught({**UTILITY, **BLOBS}) == NO_MORE


def test_a_task_tells_one_from_many() -> None:
    document = {"counts": dict.fromkeys(("train_images", "test_images", "test_people"), 1)}
    said = "Task mask: 1 slice to train on, 1 slice of 1 person to test on"
    assert say_task({**document, "task": "mask"}) == said
    assert say_task({}).endswith("? slices of ? people to test on")
