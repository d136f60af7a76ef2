"""The architectures of `--arch`: what each can do, and the settings that its paper trains with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mri_gan.settings import require

ARCHS = ("dcgan", "progan", "stylegan", "stylegan2")
GROWING = ("progan", "stylegan")  # the others train at their largest size from the start
STYLED = ("stylegan", "stylegan2")  # can mix styles
AUGMENTS = ("none", "fixed", "ada")
AUGMENT_KINDS = ("blit", "geometry", "colour", "filter", "noise", "cutout")
AUGMENTABLE_LOSSES = ("logistic", "r1")
PENALISED_LOSSES = ("wgan-gp", "r1")  # with a penalty on the gradient of each image's score

# Where a paper's settings are not the defaults; presets and options win over them.
ARCH_DEFAULTS: dict[str, dict[str, Any]] = {
    "dcgan": {"loss": "logistic", "latent_dim": 100, "batch": 128, "lr": 2e-4},  # Radford 2016, 4
    "progan": {},
    "stylegan": {},
    "stylegan2": {  # Karras 2020, appendix B; learning rate, batch: Karras 2020b, table 5
        "loss": "r1",
        "gp_weight": 0.0,  # by size and batch
        "penalty_every": 16,
        "path_weight": 2.0,
        "batch": 32,
        "lr": 2.5e-3,
        "mixing": True,
    },
}
LOSS_DEFAULTS: dict[str, dict[str, Any]] = {
    "wgan-clip": {"n_critic": 5, "lr": 5e-5},  # Arjovsky 2017, algorithm 1
}
# Gulrajani 2017, algorithm 1; the other architectures were built around one critic step.
DCGAN_GP_DEFAULTS: dict[str, Any] = {"n_critic": 5, "lr": 1e-4, "batch": 64}


def defaults_of(arch: str, loss: str | None = None) -> dict[str, Any]:
    """The settings that an architecture, with a loss that was asked for, begins from."""
    defaults = dict(ARCH_DEFAULTS[arch])
    if loss is not None and loss != defaults.get("loss"):
        defaults |= LOSS_DEFAULTS.get(loss, {})
        if arch == "dcgan" and loss == "wgan-gp":
            defaults |= DCGAN_GP_DEFAULTS
        if loss != "r1":
            defaults.pop("gp_weight", None)  # 0 has a meaning for r1 alone
            defaults.pop("penalty_every", None)
    return defaults


def critic_norm(arch: str, loss: str) -> str:
    """How DCGAN's critic normalises: a penalty on single scores forbids to mix images."""
    return "layer" if arch == "dcgan" and loss in PENALISED_LOSSES else "batch"


def check_arch(arch: str, *, mixing: bool, stages: Sequence[Any], path_weight: float) -> None:
    """Raise UsageError where an architecture is asked for what it cannot do."""
    require(arch in ARCHS, f"--arch {arch}", f"choose one of {ARCHS}")
    styled = arch in STYLED
    require(styled or not mixing, f"--mixing: {arch} has no styles to mix", "leave it out")
    require(
        styled or not path_weight,
        f"--path-weight {path_weight}: {arch} has no styles whose paths have a length",
        "leave it out",
    )
    require(path_weight >= 0, f"--path-weight {path_weight}", "give 0 (none) or more")
    require(
        arch in GROWING or len(stages) <= 1,
        f"--schedule: {arch} does not grow",
        "give one line with its size",
    )


def check_augment(augment: str, p: float, kinds: str, loss: str) -> None:
    """Raise UsageError unless the augmentation can be done."""
    require(augment in AUGMENTS, f"--augment {augment}", f"choose one of {AUGMENTS}")
    require(0 <= p < 1, f"--augment-p {p}", "give 0 to below 1: at 1 augmentations leak")
    require(
        augment == "none" or loss in AUGMENTABLE_LOSSES,
        f"--augment {augment} with --loss {loss}",
        f"it needs one of {AUGMENTABLE_LOSSES}, whose scores tell of overfitting",
    )
    named = kinds.split(",")
    require(
        set(named) <= set(AUGMENT_KINDS),
        f"--augment-kinds {kinds}",
        f"join some of {', '.join(AUGMENT_KINDS)} with commas",
    )
