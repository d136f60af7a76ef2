"""What an audit says: JSON, sentences, and the most alike pairs as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mri_gan.charts import SEEN, list_seen
from mri_gan.evaluate.audit import Audit, significant
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.membership import Membership
from mri_gan.pictures import Pixels, build_grid

WORST = 8
PAIRS = (
    "each sample, the training slice most like it, and their difference (mid-grey where they "
    "agree); likeness: 0 is none, above the limit is a copy (Fisher's z of a correlation)"
)
WARN_AUC = 0.6


def list_kinds(recall: dict[str, float]) -> str:
    """Which kinds of copies would be detected if one were alone among the samples."""
    seen = list_seen(recall)
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
        f"{membership.rate:.0%} of them at 1% false positives): it has learned people by heart, "
        "so whoever has the checkpoint and a person's scan can find out whether that person was in "
        "the training set"
    )


def describe_beside(result: Audit, membership: Membership | None, why: str) -> dict[str, Any]:
    """What stands beside a verdict: what it can detect, and membership, or why not."""
    found = vars(membership) if membership else {}
    plain = {k: significant(v) if isinstance(v, float) else v for k, v in found.items()}
    return {
        "kinds": list_kinds(result.recall),
        "membership": plain or None,
        "membership_left_out": why or None,
        "warning": warn_membership(membership),
    }


def worst_pairs(
    result: Audit,
    samples: ImageSet,
    train: ImageSet,
    count: int = WORST,
    edges: Sequence[str] = (),
) -> Image.Image:
    """The samples most like the training set, each with its slice and their difference.

    Two triplets a row; the difference is mid-grey where they agree, and means little where the
    sample is turned or mirrored. Labels are numbers only: names of people do not belong into
    pictures. `edges` are the sides of the body at the left and right edge.
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
            f"sample {row}" if samples.seeds is None else f"seed {samples.seeds[row]}",
            f"real, likeness {result.samples.values[view[row], row]:.3g}, "
            f"limit {limits[view[row]]:.3g}",
            "difference",
        ]
    return build_grid(np.stack(tiles)[:, None], 6, labels, [PAIRS], edges=edges)


def _one(images: ImageSet, row: int) -> Pixels:
    return np.asarray(images.read(row, row + 1)[0])
