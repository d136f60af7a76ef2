"""Can the critic recognise who was in the training set?

Hayes et al. 2019, "LOGAN: Membership inference attacks against generative models", section 4:
the critic's score as the guess, on training people against people held out. The share found at
few false positives counts more than the mean: Carlini et al. 2022, "Membership inference attacks
from first principles", section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.conditions import Conditions
from mri_gan.errors import MriganError, UsageError
from mri_gan.evaluate.families import bootstrap_pairs, interval
from mri_gan.evaluate.images import BATCH, ImageSet
from mri_gan.nets.layers import CriticNet
from mri_gan.pictures import to_signed
from mri_gan.store.labels import slice_labels
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Trained, alpha_for, encode_rows, load_critic

Scores = NDArray[np.float64]  # [N]


@dataclass(frozen=True)
class Membership:
    """The chance that a training slice scores above a held-out one, with a 95 % interval.

    `rate` is the share of training slices that score above 99 % of the held-out ones.
    """

    auc: float
    low: float
    high: float
    rate: float
    members: int  # people
    others: int  # people


@torch.no_grad()
def score_images(
    critic: CriticNet, batches: Iterator[tuple[Tensor, Tensor | None]], alpha: float
) -> Scores:
    """The score of each image [N] of batches of (images -1..1, conditions); of many the mean.

    Each image is a part of its own, since the deviation within a batch would let its companions
    change its score.
    """
    scores = [
        critic(images, alpha=alpha, parts=len(images), condition=condition)
        .double()
        .reshape(len(images), -1)
        .mean(1)
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
    pairs = bootstrap_pairs(member_groups, other_groups, resamples, seed)
    draws = np.array([area_under_curve(members[a], others[b]) for a, b in pairs])
    low, high = interval(value, draws, 0.0, 1.0)
    return Membership(
        value,
        low,
        high,
        rate_above(members, others),
        len(np.unique(member_groups)),
        len(np.unique(other_groups)),
    )


def rate_above(members: Scores, others: Scores, false_positives: float = 0.01) -> float:
    """The share of members above all but this many of the others."""
    ordered = np.sort(others)
    allowed = int(false_positives * len(ordered))
    return float((members > ordered[len(ordered) - 1 - allowed]).mean())


MOST_SLICES = 4096  # of each set


def judge_membership(
    trained: Trained, store: StoreReader, train: ImageSet, held_out: ImageSet | None, seed: int = 0
) -> tuple[Membership | None, str]:
    """The critic's membership inference, or None and the reason why there is none."""
    if held_out is None:
        return None, "the store has nobody held out"
    device = trained.generator.w_avg.device
    critic = load_critic(trained, device)
    if critic is None:
        return None, "the checkpoint has no critic"
    try:
        members, others = (
            _score(critic, store, images, trained, device) for images in (train, held_out)
        )
    except MriganError as error:
        return None, f"slices lack labels that the critic needs ({error.message})"
    theirs, of_others = train.groups[:MOST_SLICES], held_out.groups[:MOST_SLICES]
    return infer_membership(members, others, theirs, of_others, seed=seed), ""


def _score(
    critic: CriticNet, store: StoreReader, images: ImageSet, trained: Trained, device: torch.device
) -> Scores:
    """The score of each of the first slices of a set."""
    assert images.indices is not None
    indices, size = images.indices[:MOST_SLICES], images.size
    vectors = encode_slices(store, indices, trained.conditions)

    def batches() -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(0, len(indices), BATCH):
            rows = slice(start, start + BATCH)
            pixels = to_signed(torch.from_numpy(store.read(size, indices[rows])))
            yield pixels.to(device), None if vectors is None else vectors[rows].to(device)

    return score_images(critic, batches(), alpha_for(trained, size))


def training_conditions(store: StoreReader, trained: Trained) -> Tensor | None:
    """The conditions of the training slices [M, K] for a conditional model.

    None for another one, and where the labels came from a table that only training was given.
    """
    try:
        return encode_slices(store, store.indices("train"), trained.conditions)
    except UsageError:
        return None


def encode_slices(
    store: StoreReader, indices: Sequence[int] | NDArray[np.int64], spec: Conditions
) -> Tensor | None:
    """The conditions of slices as the store's own labels give them [N, K], or None without.

    Raises UsageError where a slice lacks a label that training always had.
    """
    if not spec:
        return None
    labels = slice_labels(store.records)
    return encode_rows(spec, [labels[int(i)] for i in indices])
