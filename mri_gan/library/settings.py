"""The settings of `prepare` and `train` as an editor completes and mypy checks them.

The names, kinds and meanings are those of `PrepareConfig` and `TrainConfig`; a test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from mri_gan.config import Stage
from mri_gan.values import StrPath


class PrepareSettings(TypedDict, total=False):
    """What `mri_gan.prepare` takes besides its own arguments."""

    plane: Literal["auto", "axial", "coronal", "sagittal"]
    fit: Literal["pad", "crop", "keep"]
    scan: str
    layout: str
    naming: str
    classes: bool
    fov: float
    intensity: Literal["percentile", "minmax", "zscore", "nyul", "keep"]
    window: Sequence[float]
    landmarks: Sequence[float]
    slices: str
    every: int
    min_foreground: float
    split: Sequence[int]
    seed: int
    ids: Literal["auto", "keep", "pseudonym"]
    depth: Literal[8, 16]
    masks: bool
    materialize: bool
    include: Sequence[str]
    exclude: Sequence[str]
    contrast: Sequence[str]
    reorient: bool
    channels: Sequence[str]
    also: Sequence[str]
    volume: int | None


class TrainSettings(TypedDict, total=False):
    """What `mri_gan.train` takes besides its own arguments."""

    arch: Literal["dcgan", "progan", "stylegan", "stylegan2", "fastgan"]
    init_size: int
    max_size: int | None
    phase: int
    kimg: float | None
    batch: int | None
    lr: float | None
    sched: bool
    mixing: bool
    flip: bool
    capacity: float | Literal["tiny", "small", "medium", "large", "full"]
    latent_dim: int
    mapping_depth: int
    channel_base: int
    channel_max: int
    clamp: float
    blur_bias: bool
    wavelets: bool
    critic: Literal["own", "features", "both"]
    loss: Literal["wgan-gp", "wgan-clip", "logistic", "r1", "hinge", "relativistic", "r3gan"]
    n_critic: int
    share_fakes: bool
    gp_weight: float | None
    freeze_critic: int
    penalty_every: int
    drift: float
    clip: float
    path_weight: float
    path_every: int
    augment: Literal["none", "fixed", "ada"]
    augment_p: float
    augment_kinds: str
    ada_target: float
    ada_kimg: float
    ema_kimg: float
    precision: Literal["fp32", "bf16", "auto"] | None
    layout: Literal["", "channels-last"]
    seed: int
    schedule: StrPath | Sequence[Stage]
    missing: Literal["unknown", "skip"]
