"""What an audit says: JSON, sentences, and the most alike pairs as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.evaluate.audit import FALSE_ALARMS, TRUSTED, Audit, say_limits, say_verdict
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.membership import Membership
from mri_gan.pictures import Pixels, build_sheet

WORST = 8
SHOWN_PX = 128
PAIRS = (
    "each sample, the training slice most like it, and their difference (mid-grey where they "
    "agree); likeness: 0 is none, above the limit is a copy (Fisher's z of a correlation)"
)
WARN_AUC = 0.6
SEEN = 0.95  # of copies of a kind, to count as detected


def list_kinds(recall: dict[str, float]) -> str:
    """Which kinds of copies would be detected if one were alone among the samples."""
    seen = [kind for kind, share in recall.items() if share >= SEEN]
    partly = [f"{kind} ({share:.0%})" for kind, share in recall.items() if 0.05 <= share < SEEN]
    missed = [kind for kind, share in recall.items() if share < 0.05]
    said = [
        f"{words}: {', '.join(kinds)}"
        for words, kinds in (
            (f"copies that would be detected (at least {SEEN:.0%} of them)", seen),
            ("in part", partly),
            ("hardly ever", missed),
        )
        if kinds
    ]
    return "; ".join(said)


def warn_membership(membership: Membership | None) -> str | None:
    """A sentence where the critic knows the training people; it does not change the verdict."""
    if membership is None or membership.low <= WARN_AUC:
        return None
    return (
        f"the critic separates training slices from others (AUC {membership.auc:.2f}; "
        f"{membership.rate:.0%} of them at 1 % false positives): it has learned people by heart, "
        "so whoever has the checkpoint and a person's scan can find out whether that person was in "
        "the training set"
    )


def to_json(
    result: Audit, membership: Membership | None, why: str, drawn: str = ""
) -> dict[str, Any]:
    """The part of the JSON file that an audit gives; see docs/evaluation.md."""
    trained = len(np.unique(result.groups))
    seconds = max(result.seconds, 1e-9)
    return {
        "verdict": result.verdict,
        "sentence": say_verdict(result),
        "limits": say_limits(result, drawn),
        "kinds": list_kinds(result.recall),
        "false_alarms": FALSE_ALARMS,
        "trusted_kinds": list(TRUSTED),
        "trusted": result.is_trusted,
        "counts": {
            "samples": len(result.samples),
            "train": len(result.groups),
            "train_people": trained,
            "held_out": result.held_out,
            "held_out_people": result.held_out_people,
            "people": result.people.shape[1],
        },
        "copies": result.copies,
        "people_copied": result.people_copied,
        "near_share": _round(result.near),
        "near_limit": _round(result.near_limit),
        "recall": {kind: _round(share) for kind, share in result.recall.items()},
        "views": [view_to_json(result, number) for number in range(len(result.views))],
        "membership": None
        if membership is None
        else {k: _round(v) if isinstance(v, float) else v for k, v in vars(membership).items()},
        "membership_left_out": why or None,
        "warning": warn_membership(membership),
        "seconds": round(result.seconds, 3),
        "images_per_s": round((len(result.samples) + len(result.groups)) / seconds, 1),
    }


def view_to_json(result: Audit, number: int) -> dict[str, Any]:
    """One view as plain values; likeness is Fisher's z."""
    samples, limit = result.samples.values[number], result.samples_limits[number]
    return {
        "name": result.views[number],
        "limit": _round(limit),
        "copies": int((samples > limit).sum()),
        "share": _round((samples > limit).mean()),
        "likeness": {
            "samples": spread_of(samples),
            "people": spread_of(result.people[number]),
            "planted": {k: spread_of(found.values[number]) for k, found in result.planted.items()},
        },
    }


def spread_of(values: NDArray[Any]) -> dict[str, float]:
    """5th, 50th and 95th percentile and the largest."""
    found = np.percentile(values, [5, 50, 95, 100])
    return {k: _round(v) for k, v in zip(("p5", "p50", "p95", "max"), found, strict=True)}


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def worst_pairs(
    result: Audit, samples: ImageSet, train: ImageSet, count: int = WORST
) -> Image.Image:
    """The samples most like the training set, each with its slice and their difference.

    Two triplets a row; the difference is mid-grey where they agree, and means little where the
    sample is turned or mirrored. Labels are numbers only: names of people do not belong into
    pictures.
    """
    excess = result.samples.values - result.samples_limits[:, None]
    view, rows = excess.argmax(0), result.samples.rows
    limits = result.samples_limits
    tiles, labels = [], []
    for row in np.argsort(-excess.max(0))[:count]:
        nearest = int(rows[view[row], row])
        sample, real = _one(samples, int(row)), _one(train, nearest)
        tiles += [sample * 2 - 1, real * 2 - 1, sample - real]
        labels += [
            f"sample {int(row)}",
            f"real, likeness {result.samples.values[view[row], row]:.3g}, "
            f"limit {limits[view[row]]:.3g}",
            "difference",
        ]
    scale = max(1, SHOWN_PX // samples.size)
    return build_sheet(np.stack(tiles), 6, labels, scale, notes=[PAIRS])


def _one(images: ImageSet, row: int) -> Pixels:
    return np.asarray(images.read(row, row + 1)[0])
