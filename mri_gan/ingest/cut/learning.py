"""What workers read of all sources before the first slice is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import MriganError
from mri_gan.ingest.cut.intensity import (
    find_landmarks,
    find_otsu,
    foreground_threshold,
    percentiles,
    split,
    take_sample,
)
from mri_gan.ingest.outcome import Glance, reading
from mri_gan.ingest.plan.masks import read_label_values
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.image_files import read_image
from mri_gan.ingest.read.scan import read_source_volume
from mri_gan.ingest.source import Source, suffix_of
from mri_gan.preparation import PrepareConfig


def find_labels(mask: Source) -> tuple[int, ...]:
    """The values of a mask, none of one that cannot be read."""
    with reading(mask.member.label):  # a problem is reported when its slices are written
        return read_label_values(mask)
    return ()


def find_own_landmarks(source: Source, config: PrepareConfig) -> tuple[float, ...]:
    """The landmarks of a volume, none of one that cannot be read."""
    with reading(source.member.label):  # a problem is reported when its slices are written
        sample = take_sample(read_source_volume(source).voxels)
        return find_landmarks(sample, foreground_threshold(sample), config.window)
    return ()


# Image files of 16 bits that hold an MR scanner's values: one window for all of a set. Such values
# seldom pass 4,095, and would be black among 65,535 grey levels.

WHITE = 65535
SCANNER_VALUES = WHITE // 8  # what a set of scanner values does not reach
DARK = 16  # of 255: a set whose 99th percentile is below shows next to nothing
MAX_SAMPLES = 1_000_000


def look_at_images(
    some: Sequence[Source], teachers: Sequence[Source], config: PrepareConfig
) -> Glance:
    """The window of 16-bit images, and the greys of dark ones."""
    window = find_image_window(some, teachers, config)
    return window, () if window else find_darkness(some)


def find_image_window(
    some: Sequence[Source], teachers: Sequence[Source], config: PrepareConfig
) -> tuple[float, ...]:
    """Black and white of a set of 16-bit images with a scanner's values; empty for other sets.

    `some` are looked at; of `teachers`, images of the training split, the percentiles of
    `--window` are taken, as of volumes.
    """
    if config.intensity == "keep" or not any(map(_is_16_bit, some)):
        return ()
    counts = np.zeros(WHITE + 1, np.int64)
    for source in teachers:
        pixels = _read(source)
        if pixels is not None and pixels.dtype == np.uint16:
            counts += np.bincount(pixels.ravel(), minlength=WHITE + 1)
    if not counts.any() or np.flatnonzero(counts)[-1] >= SCANNER_VALUES:
        return ()
    thin = max(1, int(counts.sum()) // MAX_SAMPLES)
    sample = np.repeat(np.arange(WHITE + 1, dtype=np.uint16), -(-counts // thin))
    return _window(sample, config)


def _window(sample: NDArray[np.uint16], config: PrepareConfig) -> tuple[float, ...]:
    low, high = config.window
    try:
        tissue = split(sample, find_otsu(sample))[1]
    except MriganError:
        tissue = sample
    black, white = (float(percentiles(sample, [low])[0]), float(percentiles(tissue, [high])[0]))
    return (black, white) if black < white else ()


def find_darkness(some: Sequence[Source]) -> tuple[int, ...]:
    """The 99th percentile of some images' pixels, of 255 grey levels, where it is low."""
    found = [pixels for pixels in map(_read, some) if pixels is not None]
    if not found:
        return ()
    counts = np.zeros(256, np.int64)
    for pixels in found:
        grey = pixels >> 8 if pixels.dtype == np.uint16 else pixels
        counts += np.bincount(grey.ravel(), minlength=256)
    place = 0.99 * (counts.sum() - 1)
    low, high = np.searchsorted(counts.cumsum(), (int(place), int(place) + 1), side="right")
    level = int(low + (place - int(place)) * (high - low))
    return (level,) if level < DARK else ()


def _is_16_bit(source: Source) -> bool:
    """Whether a PNG says so in its header, or any other file when it is read."""
    if suffix_of(source.member.name) == ".png":
        try:
            return read_member(source.member)[24:25] == b"\x10"
        except MriganError:
            return False
    if suffix_of(source.member.name) not in (".tif", ".tiff"):
        return False
    pixels = _read(source)
    return pixels is not None and pixels.dtype == np.uint16


def _read(source: Source) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    try:
        return read_image(read_member(source.member))
    except MriganError:
        return None  # reported when its slices are written
