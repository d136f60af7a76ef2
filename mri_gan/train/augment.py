"""Augmentation in training: what the critic gets to see, and with which probability.

Karras et al. 2020b, section 3: a critic that overfits is sure of real images, so the mean sign of
its scores of them shows when to augment more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mri_gan.config import TrainConfig
from mri_gan.nets.augmentation.pipeline import augment, draw_augmentations
from mri_gan.store.schema import label_channels
from mri_gan.train.parallel import Step

INTERVAL = 4  # steps between two changes of p; Karras et al. 2020b, section 3
CEILING = 0.8  # augmentations do not leak below it; Karras et al. 2020b, section 2.2

View = Callable[[Tensor], Tensor]  # images [n, C, R, R] -> what the critic sees of them


@dataclass
class AugmentState:
    """The probability of each augmentation, and what has been gathered to change it."""

    p: Tensor  # [], 0..1
    signs: Tensor  # [], sum over steps of the mean sign of the scores of real images
    steps: int = 0


def start_augmenting(config: TrainConfig, device: torch.device) -> AugmentState:
    """The state at nimg 0."""
    return AugmentState(
        torch.tensor(config.augment_p, device=device), torch.zeros((), device=device)
    )


def view_of(state: AugmentState, step: Step, purpose: str) -> View:
    """The augmentation of one batch, which may be applied to it any number of times."""
    config = step.config
    if config.augment == "none":
        return lambda images: images
    coloured = colour_channels(config)
    draws = draw_augmentations(
        step.phase.batch,
        state.p,
        step.rng("augment", purpose, device=state.p.device),
        size=step.phase.resolution,
        channels=coloured,
        kinds=tuple(config.augment_kinds.split(",")),
        mirror=config.flip,
    )
    own = draws if step.world.size == 1 else draws.rows(step.own_rows(state.p.device))
    return lambda images: augment(images, own, coloured)


def colour_channels(config: TrainConfig) -> int:
    """How many channels hold intensities; masks come behind them."""
    masks = label_channels(config.channel_names)
    return masks[0] if masks else config.channels


def signs_of(config: TrainConfig, real_scores: Tensor) -> list[Tensor]:
    """What a step gathers for `adapt`: the mean sign of the scores of real images, or nothing."""
    return [real_scores.detach().sign().mean()] if config.augment == "ada" else []


def adapt(state: AugmentState, step: Step, signs: list[Tensor]) -> dict[str, Tensor]:
    """Gather the signs of the scores of real images; every few steps move p by them.

    `signs` are those of the whole batch.  As far as real images are recognised more often
    than the target, p grows, by at most 1 in `ada_kimg`; otherwise it shrinks.  Karras et al.
    2020b, section 3, r_t.
    """
    config = step.config
    if config.augment == "none":
        return {}
    for sign in signs:
        state.signs += sign
        state.steps += 1
    if state.steps == INTERVAL:
        move = INTERVAL * step.phase.batch / (1000 * config.ada_kimg)
        towards = (state.signs / INTERVAL - config.ada_target).sign()
        state.p.add_(move * towards).clamp_(0.0, CEILING)
        state.signs, state.steps = torch.zeros_like(state.signs), 0
    return {"augment_p": state.p.clone()}
