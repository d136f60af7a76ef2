"""Configurations: frozen, checked once, written as JSON, with the names the command line needs."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from mri_gan.conditions import NO_CONDITIONS, Conditions, columns_of
from mri_gan.errors import DataError, UsageError
from mri_gan.files import parse_json
from mri_gan.values import is_of, require_of

# What all configurations share: checks in one line, and JSON there and back

LEVELS = (8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = ", ".join(map(str, LEVELS))
AUTO = "auto"
SPLITS = ("train", "validate", "test")


def require(condition: bool, message: str, hint: str = "") -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message, hint)


def require_one_of(name: str, value: object, choices: Collection[object]) -> None:
    """Raise UsageError unless the value is one of the choices."""
    require(value in choices, f"{name} {value}", f"choose one of {', '.join(map(str, choices))}")


def require_level(name: str, value: int) -> None:
    """Raise UsageError unless the value is one of the eight resolution levels."""
    known = is_of(value, int) and value in LEVELS
    require(known, f"{name} {value!r} is not a level", f"choose one of {SIZES}")


class JsonConfig:
    """Frozen dataclass to JSON and back; unknown names are refused, missing ones defaulted."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` wrote; raises UsageError on unknown names and odd values."""
        kinds = typing.get_type_hints(cls)
        unknown = sorted(set(values) - kinds.keys())
        require(not unknown, f"unknown settings {unknown}, perhaps of a newer mrigan")
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        require_of(plain, kinds)
        return cls(**plain)

    def check(self, name: str, holds: bool, hint: str) -> None:
        """Raise UsageError that names the option of a field unless the condition holds."""
        require(holds, f"--{name.replace('_', '-')} {getattr(self, name)}", hint)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that differ between two dictionaries, one readable phrase each."""
    names = sorted(set(before) | set(now))
    return [
        f"{name} was {_in_words(name, before.get(name))}, now {_in_words(name, now.get(name))}"
        for name in names
        if columns_of(before.get(name)) != columns_of(now.get(name))
    ]


def _in_words(name: str, value: Any) -> str:
    if name == "capacity" and (words := [w for w, number in CAPACITIES.items() if number == value]):
        return f"{words[0]} ({value:g})"
    if isinstance(value, dict) and "columns" in value:  # conditions
        names = {column["name"]: ", ".join(column.get("values", ())) for column in value["columns"]}
        return ", ".join(f"{n} ({v})" if v else str(n) for n, v in names.items()) or "none"
    return "by the schedule" if value is None else str(value)


# The architectures of `--arch`: what each can do, and the settings that its paper trains with

ARCHS = ("dcgan", "progan", "stylegan", "stylegan2", "fastgan")
GROWING = ("progan", "stylegan")  # the others train at their largest size from the start
STYLED = ("stylegan", "stylegan2")  # can mix styles
AUGMENTS = ("none", "fixed", "ada")
CRITICS = ("own", "features", "both")  # of the architecture, on frozen features, or one of each
FEATURE_CRITIC = "efficientnet-lite0"  # whose features critics of `features` and `both` see
AUGMENT_KINDS = ("blit", "geometry", "colour", "tone", "filter", "noise", "cutout")
AUGMENTABLE_LOSSES = ("logistic", "r1", "hinge", "relativistic", "r3gan")
PENALISED_LOSSES = ("wgan-gp", "r1", "r3gan")  # on the gradient of each image's score
BY_SIZE_LOSSES = ("r1", "r3gan")  # whose gamma may follow size and batch: `gp_weight` None

# Where a paper's settings are not the defaults; presets and options win over them.
ARCH_DEFAULTS: dict[str, dict[str, Any]] = {
    "dcgan": {"loss": "logistic", "latent_dim": 100, "batch": 128, "lr": 2e-4},  # Radford 2016, 4
    "progan": {},
    "stylegan": {},
    "stylegan2": {  # Karras 2020, appendix B; learning rate, batch: Karras 2020b, table 5
        "loss": "r1",
        "gp_weight": None,  # by size and batch
        "penalty_every": 16,
        "path_weight": 2.0,
        "batch": 32,
        "lr": 2.5e-3,
        "mixing": True,
    },
    "fastgan": {  # Liu 2021, appendix; the critic: Sauer 2021, section 4
        "critic": "both",
        "wavelets": True,
        "latent_dim": 128,
        "capacity": 0.25,
        "batch": 16,
        "lr": 2e-4,
        "ema_kimg": 0.4,  # longer means blur: docs/results.md compares them
        "augment": "fixed",
        "augment_p": 0.9,
        "augment_kinds": "tone",
    },
}
# Without a penalty (Sauer 2021, section 3.3) the critics on features are sure of everything for
# the first thousands of images, and variety is lost; with R1 and R2 (Huang 2024) neither happens.
# At a gamma of 2.5 samples vary more and are as sharp as at 1.
BY_FEATURES: dict[str, Any] = {
    "loss": "r3gan",
    "gp_weight": 2.5,
    "penalty_every": 1,
    "share_fakes": True,
    "path_weight": 0.0,
}
# What a run of an earlier version began with goes on, where nobody gives another value.
FORMER_DEFAULTS: dict[str, Any] = {"gp_weight": 1.0, "ema_kimg": 2.0, "wavelets": False}
LOSS_DEFAULTS: dict[str, dict[str, Any]] = {
    "r3gan": {"gp_weight": None, "penalty_every": 1},  # gamma by size and batch
    "wgan-clip": {"n_critic": 5, "lr": 5e-5},  # Arjovsky 2017, algorithm 1
}
# Gulrajani 2017, algorithm 1; the other architectures were built around one critic step.
DCGAN_GP_DEFAULTS: dict[str, Any] = {"n_critic": 5, "lr": 1e-4, "batch": 64}


def defaults_of(arch: str, loss: str | None = None, critic: str | None = None) -> dict[str, Any]:
    """The settings that an architecture, with the loss and critic of the user, begins from."""
    defaults = dict(ARCH_DEFAULTS[arch])
    # The light generator's own critic is trained as critics on features are.
    kind = "both" if arch == "fastgan" else critic or defaults.get("critic", "own")
    by_critic = {} if kind == "own" else BY_FEATURES
    if loss not in (None, by_critic.get("loss")):  # the user's loss has a penalty of its own
        by_critic = {k: v for k, v in by_critic.items() if k not in ("gp_weight", "penalty_every")}
    defaults |= by_critic
    if loss is not None and loss != defaults.get("loss"):
        defaults |= LOSS_DEFAULTS.get(loss, {})
        if arch == "dcgan" and loss == "wgan-gp":
            defaults |= DCGAN_GP_DEFAULTS
        if loss not in BY_SIZE_LOSSES:
            defaults.pop("gp_weight", None)
            defaults.pop("penalty_every", None)
        if loss not in AUGMENTABLE_LOSSES:
            defaults.pop("augment", None)
    return defaults


def critic_norm(arch: str, loss: str) -> str:
    """How DCGAN's critic normalises: a penalty on single scores forbids to mix images."""
    return "layer" if arch == "dcgan" and loss in PENALISED_LOSSES else "batch"


def check_arch(arch: str, mixing: bool, stages: Sequence[Any], path_weight: float) -> None:
    """Raise UsageError where an architecture cannot do what is requested."""
    require_one_of("--arch", arch, ARCHS)
    styled = arch in STYLED
    require(styled or not mixing, f"--mixing: {arch} has no styles to mix", "leave it out")
    require(styled or not path_weight, f"--path-weight: {arch} has no styles", "leave it out")
    require(
        arch in GROWING or len(stages) <= 1,
        f"--schedule: {arch} does not grow",
        "give one line with its size",
    )


def check_augment(augment: str, p: float, kinds: str, loss: str) -> None:
    """Raise UsageError unless the augmentation can be done."""
    require_one_of("--augment", augment, AUGMENTS)
    require(0 <= p < 1, f"--augment-p {p}", "give 0 to below 1: at 1 augmentations leak")
    require(
        augment == "none" or loss in AUGMENTABLE_LOSSES,
        f"--augment {augment} with --loss {loss}",
        f"augmentation needs one of {', '.join(AUGMENTABLE_LOSSES)}",
    )
    hint = f"join some of {', '.join(AUGMENT_KINDS)} with commas"
    require(set(kinds.split(",")) <= {*AUGMENT_KINDS}, f"--augment-kinds {kinds}", hint)


# Settings, as frozen objects that are checked once and written as JSON

LOSS_NAMES = ("wgan-gp", "wgan-clip", "logistic", "r1", "hinge", "relativistic", "r3gan")
PRECISIONS = ("fp32", "bf16")
LAYOUTS = ("", "channels-last")
MISSING = ("unknown", "skip")  # what becomes of a training slice that lacks a label
# What a newcomer can trust; anything given on the command line wins over the preset.
CAPACITIES = {"tiny": 1 / 16, "small": 1 / 8, "medium": 1 / 4, "large": 1 / 2, "full": 1.0}
PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {
        "capacity": CAPACITIES["small"],
        "latent_dim": 128,
        "max_size": 64,
        "phase": 20_000,
        "batch": 16,
        "mixing": True,
    },
    "gpu": {"sched": True, "mixing": True, "phase": 300_000, "precision": "auto"},
    "paper": {"sched": True, "mixing": True, "phase": 600_000, "capacity": CAPACITIES["full"]},
}
# Where no architecture is given: the one whose pictures measured best (docs/results.md).
FAST_PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {
        "arch": "fastgan",
        "max_size": 64,
        "phase": 20_000,
        "kimg": 25.0,
        "precision": "auto",
    },
    "gpu": {
        "arch": "fastgan",
        "max_size": 256,
        "phase": 40_000,
        "precision": "auto",
        "capacity": CAPACITIES["large"],
    },
}

LENGTHS = ("kimg", "phase", "schedule", "schedule_file", "minutes")  # how long a run trains


def starting_settings(
    preset: str | None,
    arch: str | None,
    loss: str | None = None,
    critic: str | None = None,
    *,
    given: Collection[str] = (),
) -> dict[str, Any]:
    """The settings of a preset over those of the architecture, with the user's loss and critic.

    A preset's own length is left out where the user has `given` one.
    """
    fast = preset in FAST_PRESETS and arch in (None, FAST_PRESETS[preset]["arch"])
    chosen = dict((FAST_PRESETS if fast else PRESETS)[preset]) if preset else {}
    arch = arch or chosen.get("arch", "stylegan")
    if arch not in STYLED:
        chosen.pop("mixing", None)
    if not set(given).isdisjoint(LENGTHS):
        chosen.pop("kimg", None)
    return {**defaults_of(arch, loss, critic), **chosen}


# Far beyond any network that is trained; a file may claim anything.
LARGEST = (
    ("latent_dim", 1, 1 << 16),
    ("mapping_depth", 1, 64),
    ("channel_base", 1, 1 << 26),
    ("channel_max", 1, 1 << 16),
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
    channel_base: int = 32768  # stylegan2: width times resolution; of configuration F
    channel_max: int = 512  # stylegan2: the largest width
    critic_norm: str = "batch"  # dcgan: "batch", or "layer" for losses with a gradient penalty
    clamp: float = 0.0  # stylegan2: of activations in float32 too; 0 is in half precision only
    blur_bias: bool = False  # stylegan: some biases before the blur, as in weights made elsewhere
    wavelets: bool = False  # fastgan: its own critic sees the image's wavelet bands
    critic: str = "own"  # or "features", "both"
    features_digest: str = ""  # SHA-256 of the frozen weights; empty takes what is installed

    def __post_init__(self) -> None:
        require_one_of("--arch", self.arch, ARCHS)
        require_one_of("--critic", self.critic, CRITICS)
        require(self.condition_dim >= 0, f"{self.condition_dim} conditions", "give 0 or more")
        require_level("--max-size", self.max_size)
        require(1 <= self.channels <= 16, f"{self.channels} channels", "give 1 to 16")
        self.check("capacity", 0 < self.capacity <= 4, "give a number above 0, up to 4")
        for name, least, most in LARGEST:
            self.check(name, least <= getattr(self, name) <= most, f"give {least:,} to {most:,}")


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
    kimg: float | None = None  # thousands of images in all; None: to the end of the schedule
    batch: int | None = None  # None: 16, or by level with `sched`
    lr: float | None = None  # None: 1e-3, or by level with `sched`
    sched: bool = False
    mixing: bool = False
    flip: bool = False
    capacity: float = 1.0
    latent_dim: int = 512
    mapping_depth: int = 8
    channel_base: int = 32768  # as in ModelConfig, like the next three
    channel_max: int = 512
    clamp: float = 0.0
    blur_bias: bool = False
    wavelets: bool = False
    channels: int = 1
    critic: str = "own"
    critic_features: str = ""  # the network whose features it sees, and whose weights they are:
    features_digest: str = ""  # SHA-256 of the file
    features_licence: str = ""
    loss: str = "wgan-gp"
    n_critic: int = 1
    share_fakes: bool = False  # one batch of fakes for a step of both networks
    gp_weight: float | None = 10.0  # of the penalty, or gamma of R1 and R2; None: by size, batch
    freeze_critic: int = 0  # levels of the critic, from the largest, that stay as they are
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
    layout: str = ""  # on a CPU: "channels-last" where that measured quicker, else by architecture
    seed: int = 0
    schedule: tuple[Stage, ...] = ()  # from a file, in place of phase, batch, lr and sched
    conditions: Conditions = NO_CONDITIONS  # what the networks are given besides an image
    missing: str = "unknown"
    channel_names: tuple[str, ...] = ()  # what each channel holds, as the store says
    pixel_mm: float | None = None  # edge of a pixel at max_size, where the store knows it
    scan_mm: float | None = None  # from a scan's first slice to its last, where the store knows it

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            self.check(name, not isinstance(value, float) or math.isfinite(value), "give a number")
        require_level("--init-size", self.init_size)
        require_level("--max-size", self.max_size)
        above = f"--init-size {self.init_size} is above --max-size {self.max_size}"
        require(self.init_size <= self.max_size, above, "start at or below the largest size")
        for name in ("kimg", "batch", "lr", "pixel_mm", "scan_mm", "clip", "ada_kimg"):
            value = getattr(self, name)
            self.check(name, value is None or value > 0, "give a number above 0")
        for name in ("phase", "penalty_every", "n_critic", "path_every"):
            self.check(name, getattr(self, name) >= 1, "give at least 1")
        for name in ("freeze_critic", "ema_kimg", "path_weight", "drift"):
            self.check(name, getattr(self, name) >= 0, "give 0 (none) or more")
        self.check("batch", (self.batch or 1) <= 4096, "give 1 to 4096")
        self.check("ada_target", 0 < self.ada_target < 1, "give a number between 0 and 1")
        by_size = self.loss in BY_SIZE_LOSSES and self.gp_weight is None
        self.check("gp_weight", by_size or (self.gp_weight or 0) >= 0, "give 0 (none) or more")
        require(
            self.freeze_critic == 0 or self.critic == "own",
            f"--freeze-critic with --critic {self.critic}",
            "only the architecture's own critic has levels to freeze",
        )
        require_one_of("--loss", self.loss, LOSS_NAMES)
        require_one_of("--precision", self.precision, PRECISIONS)
        require_one_of("--missing", self.missing, MISSING)
        require_one_of("layout", self.layout, LAYOUTS)
        check_augment(self.augment, self.augment_p, self.augment_kinds, self.loss)
        check_arch(self.arch, self.mixing, self.schedule, self.path_weight)
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
        # Earlier versions wrote 0 for "by the schedule", and for a width of 32768.
        names = ("kimg", "batch", "lr", *(["gp_weight"] if nested.get("loss") == "r1" else []))
        nested |= {name: None for name in names if nested.get(name) == 0}
        nested["channel_base"] = nested.get("channel_base") or cls.channel_base
        return super().from_dict(nested)

    @property
    def model(self) -> ModelConfig:
        """The part that shapes the networks."""
        norm = critic_norm(self.arch, self.loss)
        decided: dict[str, Any] = {"condition_dim": self.conditions.dim, "critic_norm": norm}
        same = (f.name for f in fields(ModelConfig) if f.name not in decided)
        return ModelConfig(**{name: getattr(self, name) for name in same}, **decided)


# What is in a run folder under which name, readable without torch

DATA_FILE = "data.mdb"  # of a store
CONFIG = "config.json"
METRICS = "metrics.jsonl"
PLOT = "loss.png"
REALS = "reals.png"
SAMPLES = "samples"


def refuse_store(path: Path) -> None:
    """Raise DataError for a store where a run is wanted."""
    if (path / DATA_FILE).is_file():
        raise DataError(f"{path}: is a store, not a run", "give a folder that `mrigan train` wrote")


def is_run(folder: Path) -> bool:
    """Whether a folder is a training run."""
    return all((folder / name).is_file() for name in (CONFIG, METRICS))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a last line cut by a crash is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = parse_json(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("nimg"), int):
            lines.append(line)
    return lines


def list_problems(lines: list[dict[str, Any]]) -> dict[str, tuple[int, int, str]]:
    """Problems that a run's metrics hold, by name: the first and last nimg, and the last text."""
    found: dict[str, tuple[int, int, str]] = {}
    rollbacks = 0
    for line in lines:
        for text in line.get("events", ()):
            rollbacks += 1
            found[f"rollback {rollbacks}"] = (line["nimg"], line["nimg"], text)
        for name, text in line.get("problems", {}).items():
            first = found[name][0] if name in found else line["nimg"]
            found[name] = (first, line["nimg"], text)
    return found


# Names that a command line needs before anything heavy is imported

DOWNLOAD_FREE = ("pca", "random-cnn", "texture")
EFFICIENTNETS = ("efficientnet-lite0", "efficientnet-lite2")  # of the extra `features`
FEATURE_NAMES = (*DOWNLOAD_FREE, *EFFICIENTNETS)
