"""What an audit says: JSON, sentences, and the worst pairs as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.evaluate.audit import COPY_PERCENTILE, TRUSTED_RECALL, Audit, View
from mri_gan.evaluate.images import ImageSet, Pixels
from mri_gan.evaluate.membership import Membership
from mri_gan.pictures import build_sheet

WORST = 8
SHOWN_PX = 128
WARN_AUC = 0.6


def say_verdict(result: Audit) -> str:
    """The verdict in one sentence with its thresholds."""
    trusted = [view for view in result.views if view.is_trusted]
    if result.verdict == "undecided":
        return (
            f"undecided: fewer than {TRUSTED_RECALL:.0%} of planted copies were found, because "
            "real people of this store come as near to each other as copies do"
        )
    names = " and ".join(view.name for view in trusted)
    worst = max(trusted, key=lambda view: view.near / view.near_limit)
    near, limit = worst.near, worst.near_limit
    if result.verdict == "pass":
        return (
            f"pass: measured in {names}, {near:.1%} of the samples are nearer to a training slice "
            f"than any other person's slice ({limit:.1%} may be), and none is as near as a "
            "planted copy"
        )
    copies = max(view.copies for view in trusted)
    return (
        f"fail: {copies} of {result.samples} samples are as near to a training slice as planted "
        f"copies, and {near:.1%} are nearer than any other person's slice "
        f"(none and {limit:.1%} may be)"
    )


def warn_membership(membership: Membership | None) -> str | None:
    """A sentence where the critic knows the training people; it does not change the verdict."""
    if membership is None or membership.low <= WARN_AUC:
        return None
    return (
        f"the critic tells training slices from others (AUC {membership.auc:.2f}): it has learned "
        "people by heart, so do not pass checkpoints on with it"
    )


def view_to_json(view: View) -> dict[str, Any]:
    """One view as plain values."""
    samples = view.samples.distance
    return {
        "name": view.name,
        "trusted": view.is_trusted,
        "threshold": _round(view.threshold),
        "false_positive_rate": _round(view.false_positives.mean()),
        "near_limit": _round(view.near_limit),
        "copy_distance": _round(view.copy_distance),
        "copies": view.copies,
        "near_share": _round(view.near),
        "recall": {kind: _round(value) for kind, value in view.recall.items()},
        "distances": {
            "samples": spread_of(samples),
            "people": spread_of(view.people),
            "planted": {kind: spread_of(d) for kind, d in view.planted.items()},
        },
    }


def spread_of(values: NDArray[np.float32]) -> dict[str, float]:
    """Smallest, 5th, 50th and 95th percentile."""
    found = np.percentile(values, [0, 5, 50, 95])
    return {k: _round(v) for k, v in zip(("min", "p5", "p50", "p95"), found, strict=True)}


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def to_json(result: Audit, membership: Membership | None, why: str) -> dict[str, Any]:
    """The part of the JSON file that an audit gives; see docs/evaluation.md."""
    return {
        "verdict": result.verdict,
        "sentence": say_verdict(result),
        "limits": {
            "copies": 0,
            "recall": TRUSTED_RECALL,
            "copy_percentile": COPY_PERCENTILE,
        },
        "counts": {
            "samples": result.samples,
            "train": result.train,
            "train_people": result.train_people,
            "held_out": result.held_out,
            "held_out_people": result.held_out_people,
        },
        "views": [view_to_json(view) for view in result.views],
        "membership": None
        if membership is None
        else {k: _round(v) if isinstance(v, float) else v for k, v in vars(membership).items()},
        "membership_left_out": why or None,
        "warning": warn_membership(membership),
        "seconds": round(result.seconds, 3),
        "images_per_s": round(
            (result.samples + result.train + result.held_out) / max(result.seconds, 1e-9), 1
        ),
    }


def worst_pairs(view: View, samples: ImageSet, train: ImageSet, count: int = WORST) -> Image.Image:
    """The samples nearest to the training set, each with its slice and their difference.

    Two triplets a row; the difference is mid-grey where they agree. Labels are distances only:
    names of people do not belong into pictures.
    """
    order = np.argsort(view.samples.distance)[:count]
    tiles, labels = [], []
    for row in order:
        nearest = int(view.samples.row[row])
        sample, real = _one(samples, int(row)), _one(train, nearest)
        tiles += [sample * 2 - 1, real * 2 - 1, sample - real]
        labels += [
            f"sample {int(row)}",
            "nearest real",
            f"distance {view.samples.distance[row]:.3g}",
        ]
    scale = max(1, SHOWN_PX // samples.size)
    return build_sheet(np.stack(tiles), 6, labels, scale)


def _one(images: ImageSet, row: int) -> Pixels:
    return np.asarray(images.read(row, row + 1)[0])


def worst_view(views: Sequence[View]) -> View:
    """The view whose pairs to show: pixels where they are trusted, else the first trusted one."""
    return next((view for view in views if view.is_trusted), views[0])
