"""What was asked for, as frozen objects that are checked once and written as JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from mri_gan.conditions import NO_CONDITIONS, Conditions
from mri_gan.errors import UsageError

LEVELS = (8, 16, 32, 64, 128, 256, 512, 1024)
PLANES = ("axial", "coronal", "sagittal")
FITS = ("pad", "crop")
AUTO = "auto"
LAYOUTS = (AUTO, "oasis-course", "akoa", "oasis1", "bids", "neurite", "learn2reg", "images")
NAMING_GROUPS = ("subject", "session", "split", "side", "slice", "mask", "class")
NAMING_EXAMPLE = r"--naming '(?P<subject>p\d+)_(?P<slice>\d+)\.png'"
INTENSITIES = ("percentile", "minmax", "zscore", "nyul", "keep")
ALL_SLICES = "all"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
# Shares or millimetres, never one of each; either end may be left open.
SLICE_RANGE = rf"(?:(?P<low>{_NUMBER})(?P<unit>mm)?)?:(?:(?P<high>{_NUMBER})(?P<same>mm)?)?"
IDS = (AUTO, "keep", "pseudonym")
SPLITS = ("train", "validate", "test")
LOSS_NAMES = ("wgan-gp", "wgan-clip", "r1", "hinge")
PRECISIONS = ("fp32", "bf16")
ARCHS = ("dcgan", "progan", "stylegan", "stylegan2")
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


def require(condition: bool, message: str, hint: str = "") -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message, hint)


def require_level(name: str, value: int) -> None:
    """Raise UsageError unless the value is one of the eight resolution levels."""
    require(value in LEVELS, f"{name} {value} is no level", f"choose one of {LEVELS}")


def check_naming(pattern: str) -> None:
    """Raise UsageError unless it is `auto` or a regular expression that names a subject."""
    if pattern == AUTO:
        return
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise UsageError(
            f"--naming {pattern}: no regular expression ({error})", f"example: {NAMING_EXAMPLE}"
        ) from error
    require(
        "subject" in groups,
        f"--naming {pattern}: has no group named subject",
        f"example: {NAMING_EXAMPLE}",
    )
    unknown = sorted(groups - set(NAMING_GROUPS))
    require(
        not unknown,
        f"--naming {pattern}: unknown groups {', '.join(unknown)}",
        f"choose from {', '.join(NAMING_GROUPS)}",
    )


def check_slices(text: str) -> None:
    """Raise UsageError unless it is `all` or a range such as `0.2:0.8` or `-20mm:30mm`."""
    require(
        text == ALL_SLICES or bool(_slice_ends(text)),
        f"--slices {text}",
        "give LOW:HIGH in shares of the extent or in mm, such as 0.2:0.8 or -20mm:30mm",
    )


def _slice_ends(text: str) -> list[float]:
    """The ends of a range that makes sense; empty for others."""
    found = re.fullmatch(SLICE_RANGE, text)
    if found is None:
        return []
    units = {found[unit] for end, unit in (("low", "unit"), ("high", "same")) if found[end]}
    ends = [float(found[end]) for end in ("low", "high") if found[end]]
    return ends if len(units) == 1 and ends == sorted(ends) else []


class JsonConfig:
    """Frozen dataclass to JSON and back; unknown names are refused, missing ones defaulted."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` wrote; raises UsageError on unknown names."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        require(not unknown, f"unknown settings {unknown}", "written by a newer mrigan?")
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


@dataclass(frozen=True)
class PrepareConfig(JsonConfig):
    """Everything that decides what `mrigan prepare` writes; workers do not belong here."""

    plane: str = "axial"
    fit: str = "pad"
    scan: str = AUTO  # which version of a scan, where a collection ships several
    layout: str = AUTO  # whose file names these are
    naming: str = AUTO  # or the user's own: a regular expression with named groups
    classes: bool = False  # the folder of an image is its class
    fov: float = 0.0  # mm: one field of view for all volumes; 0 takes each as it is
    intensity: str = "percentile"  # how scanner units become greys, per volume
    window: tuple[float, float] = (0.5, 99.5)  # percentiles: of all voxels, of the foreground
    landmarks: tuple[float, ...] = ()  # of another store, for nyul
    slices: str = ALL_SLICES  # shares of the foreground's extent, or mm
    every: int = 1  # n-th slice
    min_foreground: float = 0.02  # share of a volume's slice; image files are all kept
    split: tuple[int, int, int] = (80, 10, 10)  # per cent of subjects where none is shipped
    seed: int = 0
    ids: str = AUTO  # pseudonyms for ids like those of the OAI, for all ids, or for none
    depth: int = 8  # bits per pixel
    masks: bool = False  # the paired mask as a second channel
    materialize: bool = False

    def __post_init__(self) -> None:
        require(self.plane in PLANES, f"--plane {self.plane}", f"choose one of {PLANES}")
        require(self.fit in FITS, f"--fit {self.fit}", f"choose one of {FITS}")
        require(self.layout in LAYOUTS, f"--layout {self.layout}", f"choose one of {LAYOUTS}")
        check_naming(self.naming)
        require(
            AUTO in (self.naming, self.layout),
            "--naming and --layout say the same thing twice",
            "give one of them",
        )
        require(
            self.intensity in INTENSITIES,
            f"--intensity {self.intensity}",
            f"choose one of {INTENSITIES}",
        )
        require(
            not self.landmarks or self.intensity == "nyul",
            "--landmarks are for --intensity nyul",
            "give both or none",
        )
        require(0 <= self.fov <= 2000, f"--fov {self.fov}", "give millimetres, such as 256")
        require(
            not self.fov or self.fit == "pad",
            "--fov and --fit crop say two things about the same square",
            "give one of them",
        )
        check_slices(self.slices)
        require(self.every >= 1, f"--every {self.every}", "give 1 or more")
        require(self.ids in IDS, f"--ids {self.ids}", f"choose one of {IDS}")
        require(
            not self.classes or (self.naming == AUTO and self.layout in (AUTO, "images")),
            "--classes is for image files in class folders",
            "leave out --layout, and give --naming a group named class instead",
        )
        require(self.scan != "", "--scan is empty", "leave it out, or name one")
        require(self.depth in (8, 16), f"--depth {self.depth}", "choose 8 or 16")
        require(
            0 <= self.min_foreground < 1,
            f"--min-foreground {self.min_foreground}",
            "give a share from 0 to below 1",
        )
        low, high = self.window
        require(0 <= low < high <= 100, f"--window {low},{high}", "give LOW,HIGH within 0..100")
        require(
            len(self.split) == 3
            and min(self.split) >= 0
            and sum(self.split) == 100
            and self.split[0] > 0,
            f"--split {','.join(map(str, self.split))}",
            "give train,validate,test per cent that sum to 100",
        )


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

    init_size: int = 8
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
    channels: int = 1
    loss: str = "wgan-gp"
    n_critic: int = 1
    gp_weight: float = 10.0  # of the gradient penalty, or gamma of R1
    penalty_every: int = 1  # steps
    drift: float = 1e-3
    clip: float = 0.01  # of the critic's weights, for wgan-clip
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
            condition_dim=self.conditions.dim,
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that differ between two dictionaries, one readable phrase each."""
    names = sorted(set(before) | set(now))
    return [
        f"{name} was {before.get(name)}, now {now.get(name)}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises UsageError naming the file where it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON", str(error)) from error
    require(isinstance(value, dict), f"{path}: is no JSON object")
    return dict(value)
