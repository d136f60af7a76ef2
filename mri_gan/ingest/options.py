"""The options of `mrigan prepare`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mri_gan.config import AUTO, JsonConfig, require, require_one_of
from mri_gan.errors import UsageError

PLANES = ("axial", "coronal", "sagittal")
FITS = ("pad", "crop", "keep")
LAYOUTS = (AUTO, "oasis-course", "akoa", "oasis1", "bids", "neurite", "learn2reg", "images")
NAMING_GROUPS = ("subject", "session", "split", "side", "slice", "mask", "class")
NAMING_EXAMPLE = r"--naming '(?P<subject>p\d+)_(?P<slice>\d+)\.png'"
INTENSITIES = ("percentile", "minmax", "zscore", "nyul", "keep")
ALL_SLICES = "all"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
# Shares or millimetres, never one of each; either end may be left open.
SLICE_RANGE = rf"(?:(?P<low>{_NUMBER})(?P<unit>mm)?)?:(?:(?P<high>{_NUMBER})(?P<same>mm)?)?"
ENDS = {"low": "unit", "high": "same"}  # groups of it
SLICES_HINT = "give LOW:HIGH in shares of the extent or in mm, such as 0.2:0.8 or -20mm:30mm"
IDS = (AUTO, "keep", "pseudonym")
KEY_FILE = "ids.key"
GIVEN_FILE = "prepare.toml"  # beside the store, for --config
# Options that came after the first plans.
LATER = ("include", "exclude", "contrast", "channels", "reorient", "also", "volume")
LOCAL = "local"  # --engine: processes of this machine
ALSO = ("derived", "localizers", "phase", "screenshots", "other-modalities")


def check_naming(pattern: str) -> None:
    """Raise UsageError unless it is `auto` or a regular expression that names a subject."""
    if pattern == AUTO:
        return
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise UsageError(
            f"--naming {pattern}: not a valid regular expression ({error})",
            f"example: {NAMING_EXAMPLE}",
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


@dataclass(frozen=True)
class SliceRange:
    """From `low` to `high`, both included: shares of an extent, or mm along the slices' axis."""

    low: float
    high: float
    in_mm: bool

    def holds(self, value: float) -> bool:
        """Whether a place is within."""
        return self.low - 1e-6 <= value <= self.high + 1e-6

    def choose(self, positions: Iterable[int], extent: Sequence[int]) -> list[int]:
        """The positions whose share of an extent is within."""
        first, length = min(extent), max(max(extent) - min(extent), 1)
        return [p for p in positions if self.holds((p - first) / length)]


def parse_range(text: str) -> SliceRange | None:
    """The range of `--slices`, such as `0.2:0.8` or `-20mm:30mm`; None for `all`.

    Raises UsageError for other texts.
    """
    if text == ALL_SLICES:
        return None
    found = re.fullmatch(SLICE_RANGE, text)
    units = {found[unit] for end, unit in ENDS.items() if found[end]} if found else ()
    require(len(units) == 1, f"--slices {text}", SLICES_HINT)
    assert found is not None
    low = float(found["low"] or "-inf")
    high = float(found["high"] or "inf")
    require(low <= high, f"--slices {text}", SLICES_HINT)
    return SliceRange(low, high, "mm" in text)


def every_nth(positions: Sequence[int], step: int) -> list[int]:
    """Those positions that are a multiple of `step` after the first one."""
    return [p for p in positions if (p - positions[0]) % step == 0]


@dataclass(frozen=True)
class PrepareConfig(JsonConfig):
    """Everything that decides what `mrigan prepare` writes; workers do not belong here."""

    plane: str = AUTO  # that a volume was acquired in, where its voxels say so; else axial
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
    include: tuple[str, ...] = ()  # patterns of paths to take, and of paths to leave out
    exclude: tuple[str, ...] = ()
    contrast: tuple[str, ...] = ()  # the scans to take, by their contrast
    reorient: bool = False  # brains oriented otherwise than their header says
    channels: tuple[str, ...] = ()  # contrasts of one head that become channels of one image
    also: tuple[str, ...] = ()  # DICOM files that are not scans, to be taken all the same
    volume: int | None = None  # which one of files that hold several

    def for_digest(self) -> dict[str, Any]:
        """Its values, but for later ones that are as before: old plans keep their digest."""
        default = type(self)().to_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in LATER or value != default[name]
        }

    def __post_init__(self) -> None:
        self._require_words()
        self._require_numbers()
        self._require_agreement()

    def _require_words(self) -> None:
        """Every word is one that is known."""
        require_one_of("--plane", self.plane, (AUTO, *PLANES))
        require_one_of("--fit", self.fit, FITS)
        require_one_of("--layout", self.layout, LAYOUTS)
        check_naming(self.naming)
        require_one_of("--intensity", self.intensity, INTENSITIES)
        parse_range(self.slices)
        require_one_of("--ids", self.ids, IDS)
        require(len(self.channels) != 1, "--channels names only one", "use --contrast for one")
        require(self.scan != "", "--scan is empty", "leave it out, or name one")
        unknown = sorted(set(self.also) - set(ALSO))
        require(not unknown, f"--also {', '.join(unknown)}", f"choose from {', '.join(ALSO)}")

    def _require_numbers(self) -> None:
        """Every number is within its bounds."""
        self.check("fov", 0 <= self.fov <= 2000, "give millimetres, such as 256")
        self.check("every", self.every >= 1, "give 1 or more")
        self.check("depth", self.depth in (8, 16), "choose 8 or 16")
        share = 0 <= self.min_foreground < 1
        self.check("min_foreground", share, "give a share from 0 to below 1")
        self.check("volume", self.volume is None or self.volume >= 0, "give 0 or more")
        low, high = self.window
        require(0 <= low < high <= 100, f"--window {low},{high}", "give LOW,HIGH within 0..100")
        require(
            len(self.split) == 3
            and min(self.split) >= 0
            and sum(self.split) == 100
            and self.split[0] > 0,
            f"--split {','.join(map(str, self.split))}",
            "give train,validate,test per cent that sum to 100, some of them for training",
        )

    def _require_agreement(self) -> None:
        """No two options contradict each other."""
        require(
            AUTO in (self.naming, self.layout),
            "--naming and --layout exclude each other",
            "give one of them",
        )
        require(
            not self.landmarks or self.intensity == "nyul",
            "--landmarks are for --intensity nyul",
            "give both or neither",
        )
        require(
            not self.fov or self.fit == "pad",
            "--fov and --fit crop or keep exclude each other",
            "give one of them",
        )
        require(
            not self.classes or (self.naming == AUTO and self.layout in (AUTO, "images")),
            "--classes is for image files in class folders",
            "leave out --layout, and give --naming a group named class instead",
        )
        require(
            not (self.contrast and self.channels),
            "--contrast and --channels both choose contrasts",
            "give one of them",
        )
        require(
            not (self.channels and self.masks),
            "--channels and --masks both make channels",
            "give one of them",
        )
        require(
            not (self.reorient and (self.masks or self.channels)),
            "--reorient cannot turn masks or channels with a volume",
            "leave --masks and --channels out, or fix the headers first",
        )
