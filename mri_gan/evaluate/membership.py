"""Can the critic tell who was in the training set?

Hayes et al. 2019, "LOGAN: Membership inference attacks against generative models", section 4:
the critic's score as the guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.evaluate.resample import bootstrap, interval
from mri_gan.nets.protocol import CriticNet

Scores = NDArray[np.float64]  # [N]


@dataclass(frozen=True)
class Membership:
    """The chance that a training slice scores above a held-out one, with a 95 % interval."""

    auc: float
    low: float
    high: float
    members: int  # people
    others: int  # people


@torch.no_grad()
def score_images(
    critic: CriticNet, batches: Iterator[tuple[Tensor, Tensor | None]], alpha: float
) -> Scores:
    """The score of each image [N] of batches of (images -1..1, conditions).

    Each image is a part of its own, since the deviation within a batch would let its companions
    change its score.
    """
    scores = [
        critic(images, alpha=alpha, parts=len(images), condition=condition).double()
        for images, condition in batches
    ]
    return np.asarray(torch.cat(scores).cpu().numpy())


def area_under_curve(members: Scores, others: Scores) -> float:
    """The share of pairs in which the member scores higher; ties count half (Mann-Whitney)."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, members, "left")
    up_to = np.searchsorted(ordered, members, "right")
    return float((below + up_to).mean() / 2 / len(others))


def infer_membership(
    members: Scores,
    others: Scores,
    member_groups: NDArray[np.int64],
    other_groups: NDArray[np.int64],
    resamples: int = 200,
    seed: int = 0,
) -> Membership:
    """AUC of the critic, with people drawn again for its interval."""
    value = area_under_curve(members, others)
    pairs = zip(
        bootstrap(member_groups, resamples, seed),
        bootstrap(other_groups, resamples, seed + 1),
        strict=True,
    )
    draws = np.array([area_under_curve(members[a], others[b]) for a, b in pairs])
    low, high = interval(value, draws, 0.0)
    return Membership(
        value, low, min(high, 1.0), len(np.unique(member_groups)), len(np.unique(other_groups))
    )
