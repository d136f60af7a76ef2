"""What `mrigan utility` found: whether synthetic slices teach what real ones do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mri_gan.report.sections import say_known, to_text

# What was trained on, and where a document has its score
ROWS = (
    ("real slices", "train_on_real"),
    ("synthetic slices", "train_on_synthetic"),
    ("smooth blobs", "train_on_blobs"),
    ("synthetic less real, paired", "synthetic_less_real"),
    ("synthetic less blobs, paired", "synthetic_less_blobs"),
)
LABELLED = (
    "a network trained on real slices labelled the synthetic ones, so the scores do not show what "
    "they teach"
)


def say_taught(document: Mapping[str, Any]) -> str:
    """How much of what real slices teach synthetic ones teach, too, as a sentence without end."""
    if str(document.get("labels")).startswith("network"):
        return LABELLED
    if document.get("kept") is None:
        return "real slices teach no more than a guess, so there is nothing to compare"
    if not _beats_blobs(document):
        return "synthetic slices teach no more than smooth blobs do"
    kept = max(document["kept"], 0.0)  # below a guess, nothing was learned
    return f"synthetic slices teach {kept:.0%} of what real ones do"


def _beats_blobs(document: Mapping[str, Any]) -> bool:
    """Whether they teach more than blobs, beyond the interval of the difference."""
    apart, blobs = document.get("synthetic_less_blobs"), document.get("train_on_blobs")
    if apart:
        return bool(apart["low"] > 0)
    # Earlier versions give no interval of the difference, and the first ones no blobs
    return not blobs or bool(document["train_on_synthetic"]["value"] > blobs["high"])


def say_replaced(document: Mapping[str, Any]) -> str:
    """Whether synthetic slices can replace real ones, as an answer."""
    taught = say_taught(document)
    if document.get("kept") is None:
        return f"Not known: {taught}."
    if not _beats_blobs(document):
        return f"No: {taught}."
    apart = document.get("synthetic_less_real")
    if apart and apart["high"] >= 0:
        return "For this task, yes: networks trained on synthetic slices score as well."
    return f"Not fully: {taught}."


def say_scores(document: Mapping[str, Any]) -> str:
    """The scores beside each other."""
    said = [
        f"{to_text(document[key]['value'])} {where}"
        for key, where in (
            ("train_on_synthetic", "after training on synthetic slices"),
            ("train_on_real", "on real ones"),
            ("train_on_blobs", "on smooth blobs"),
        )
        if document.get(key)
    ]
    measure = document.get("measure", "not recorded")
    guess = f"a guess scores {to_text(document.get('guess'))}"
    return f"Scores on real people held out: {', '.join(said)}; {guess}. The score is {measure}."


def say_task(document: Mapping[str, Any]) -> str:
    """What networks were trained on and tested on."""
    counts = document.get("counts", {})
    return (
        f"Task {document.get('task')}: {say_known(counts, 'train_images', 'slice')} to train on, "
        f"{say_known(counts, 'test_images', 'slice')} of "
        f"{say_known(counts, 'test_people', 'person', 'people')} to test on"
    )
