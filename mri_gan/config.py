"""What was asked for, as frozen objects that are checked once and written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mri_gan.archs import ARCHS, check_arch, check_augment, critic_norm
from mri_gan.conditions import NO_CONDITIONS, Conditions
from mri_gan.preparation import PrepareConfig
from mri_gan.settings import (
    LEVELS,
    SPLITS,
    JsonConfig,
    differences,
    read_json,
    require,
    require_level,
)

__all__ = [  # of other modules, for all who ask here
    "LEVELS",
    "SPLITS",
    "JsonConfig",
    "PrepareConfig",
    "differences",
    "read_json",
    "require",
    "require_level",
]

LOSS_NAMES = ("wgan-gp", "wgan-clip", "logistic", "r1", "hinge")
PRECISIONS = ("fp32", "bf16")
MISSING = ("unknown", "skip")  # what becomes of a training slice that lacks a label
# What a newcomer can trust; anything given on the command line wins over the preset.
PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {
        "capacity": "small",
        "latent_dim": 128,
        "max_size": 64,
        "phase": 20_000,
        "batch": 16,
        "mixing": True,
    },
    "gpu": {
        "sched": True,
        "mixing": True,
        "phase": 300_000,
        "precision": "auto",
        "capacity": "full",
    },
    "paper": {"sched": True, "mixing": True, "phase": 600_000, "capacity": "full"},
}
CAPACITIES = {"tiny": 1 / 16, "small": 1 / 8, "medium": 1 / 4, "large": 1 / 2, "full": 1.0}

# Karras 2019, appendix C: higher resolutions train with larger learning rates ...
SCHED_LR = {128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}
# ... and smaller batches, as the field's PyTorch implementations of the paper have them.
SCHED_BATCH = {8: 256, 16: 128, 32: 64, 64: 32, 128: 32, 256: 32, 512: 16, 1024: 8}


@dataclass(frozen=True)
class ModelConfig(JsonConfig):
    """The shape of the networks; equal configs have interchangeable weights."""

    max_size: int = 256
    channels: int = 1
    capacity: float = 1.0
    latent_dim: int = 512
    mapping_depth: int = 8
    arch: str = "stylegan"
    condition_dim: int = 0  # of the vector that says what to draw; 0 is unconditional
    channel_base: int = 0  # stylegan2: width times resolution; 0 means 32768, configuration F
    channel_max: int = 512  # stylegan2: the largest width
    critic_norm: str = "batch"  # dcgan: "batch", or "layer" for losses with a gradient penalty
    clamp: float = 0.0  # stylegan2: of activations in float32 too; 0 is in half precision only
    blur_bias: bool = False  # stylegan: some biases before the blur, as in weights made elsewhere

    def __post_init__(self) -> None:
        require(self.arch in ARCHS, f"--arch {self.arch}", f"choose one of {ARCHS}")
        require(self.condition_dim >= 0, f"{self.condition_dim} conditions", "give 0 or more")
        require_level("--max-size", self.max_size)
        require(1 <= self.channels <= 16, f"{self.channels} channels", "1 to 16 are possible")
        require(0 < self.capacity <= 4, f"--capacity {self.capacity}", "give 0 < capacity <= 4")
        require(self.latent_dim > 0, f"latent size {self.latent_dim}", "give a positive number")
        require(self.mapping_depth > 0, f"mapping depth {self.mapping_depth}", "at least 1")


@dataclass(frozen=True)
class Stage:
    """One level of a training schedule."""

    size: int  # px
    fade: int  # images during which it fades in; 0 for the first level
    stay: int  # images at full weight
    batch: int  # images per step
    lr: float = 1e-3


def check_stages(stages: tuple[Stage, ...]) -> None:
    """Raise UsageError unless the levels double from one to the next and all numbers fit."""
    for i, stage in enumerate(stages):
        name = f"--schedule: {stage.size} px"
        require_level("--schedule: size", stage.size)
        require(
            i == 0 or stage.size == 2 * stages[i - 1].size,
            f"{name} follows {stages[i - 1].size} px",
            "each level has twice the size of the one before it",
        )
        require(i > 0 or stage.fade == 0, f"{name} has nothing to fade in from", "give fade 0")
        require(stage.fade >= 0 and stage.stay >= 0, f"{name}: negative images", "give 0 or more")
        require(stage.fade + stage.stay > 0, f"{name} gets no images", "give a fade or a stay")
        require(1 <= stage.batch <= 4096, f"{name}: batch {stage.batch}", "give 1 to 4096")
        require(0 < stage.lr < 1, f"{name}: lr {stage.lr}", "give a number above 0 and below 1")


@dataclass(frozen=True)
class TrainConfig(JsonConfig):
    """Everything that decides the weights that `mrigan train` arrives at."""

    arch: str = "stylegan"
    init_size: int = 8  # of architectures that grow
    max_size: int = 256
    phase: int = 600_000  # images of fade-in, and again of full weight, per level
    kimg: float = 0.0  # thousands of images in all; 0 means to the end of the schedule
    batch: int = 0  # 0 means 16, or by level with `sched`
    lr: float = 0.0  # 0 means 1e-3, or by level with `sched`
    sched: bool = False
    mixing: bool = False
    flip: bool = False
    capacity: float = 1.0
    latent_dim: int = 512
    mapping_depth: int = 8
    channel_base: int = 0  # as in ModelConfig, like the next three
    channel_max: int = 512
    clamp: float = 0.0
    blur_bias: bool = False
    channels: int = 1
    loss: str = "wgan-gp"
    n_critic: int = 1
    gp_weight: float = 10.0  # of the gradient penalty, or gamma of R1; 0 for R1: by size and batch
    penalty_every: int = 1  # steps
    drift: float = 1e-3
    clip: float = 0.01  # of the critic's weights, for wgan-clip
    path_weight: float = 0.0  # of the path length, in architectures with styles
    path_every: int = 4  # steps of the generator
    augment: str = "none"
    augment_p: float = 0.0  # probability, or where `ada` begins
    augment_kinds: str = "blit,geometry,colour"
    ada_target: float = 0.6  # of the overfitting heuristic
    ada_kimg: float = 500.0  # thousand images in which the probability may go from 0 to 1
    ema_kimg: float = 10.0  # half-life of the generator's running mean, thousand images
    precision: str = "fp32"
    seed: int = 0
    schedule: tuple[Stage, ...] = ()  # from a file, in place of phase, batch, lr and sched
    conditions: Conditions = NO_CONDITIONS  # what the networks are told about an image
    missing: str = "unknown"
    channel_names: tuple[str, ...] = ()  # what each channel holds, as the store says
    pixel_mm: float | None = None  # edge of a pixel at max_size, where the store knows it

    def __post_init__(self) -> None:
        require_level("--init-size", self.init_size)
        require_level("--max-size", self.max_size)
        require(
            self.init_size <= self.max_size,
            f"--init-size {self.init_size} is above --max-size {self.max_size}",
            "start at or below the largest size",
        )
        require(self.phase >= 1, f"--phase {self.phase}", "give at least 1 image")
        require(self.kimg >= 0, f"--kimg {self.kimg}", "give a positive number")
        require(0 <= self.batch <= 4096, f"--batch {self.batch}", "give 1 to 4096")
        require(self.lr >= 0, f"--lr {self.lr}", "give a positive number")
        require(self.loss in LOSS_NAMES, f"--loss {self.loss}", f"choose one of {LOSS_NAMES}")
        require(
            self.precision in PRECISIONS,
            f"--precision {self.precision}",
            f"choose one of {PRECISIONS}",
        )
        require(self.penalty_every >= 1, f"--penalty-every {self.penalty_every}", "at least 1")
        require(self.clip > 0, f"--clip {self.clip}", "give a positive number")
        require(self.n_critic >= 1, f"--n-critic {self.n_critic}", "give at least 1")
        require(self.ema_kimg >= 0, f"--ema-kimg {self.ema_kimg}", "give 0 (none) or more")
        require(self.missing in MISSING, f"--missing {self.missing}", f"choose one of {MISSING}")
        require(self.path_every >= 1, f"--path-every {self.path_every}", "give at least 1")
        require(0 < self.ada_target < 1, f"--ada-target {self.ada_target}", "give 0 to 1")
        require(self.ada_kimg > 0, f"--ada-kimg {self.ada_kimg}", "give a positive number")
        check_augment(self.augment, self.augment_p, self.augment_kinds, self.loss)
        check_arch(
            self.arch,
            mixing=self.mixing,
            stages=self.schedule,
            path_weight=self.path_weight,
        )
        self._check_schedule()
        self.model  # noqa: B018 - building it checks its fields

    def _check_schedule(self) -> None:
        if not self.schedule:
            return
        check_stages(self.schedule)
        ends = (self.schedule[0].size, self.schedule[-1].size)
        require(
            ends == (self.init_size, self.max_size) and not (self.sched or self.batch or self.lr),
            "--schedule gives sizes, batches and learning rates",
            "leave --init-size, --max-size, --batch, --lr and --sched out",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` wrote; raises UsageError on unknown names."""
        nested = dict(values)
        if "conditions" in nested:
            nested["conditions"] = Conditions.from_dict(nested["conditions"])
        nested["schedule"] = tuple(Stage(**stage) for stage in nested.get("schedule", ()))
        return super().from_dict(nested)

    @property
    def model(self) -> ModelConfig:
        """The part that shapes the networks."""
        return ModelConfig(
            max_size=self.max_size,
            channels=self.channels,
            capacity=self.capacity,
            latent_dim=self.latent_dim,
            mapping_depth=self.mapping_depth,
            arch=self.arch,
            condition_dim=self.conditions.dim,
            channel_base=self.channel_base,
            channel_max=self.channel_max,
            critic_norm=critic_norm(self.arch, self.loss),
            clamp=self.clamp,
            blur_bias=self.blur_bias,
        )
