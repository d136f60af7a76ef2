"""The pure function from one source to its encoded slices, and what is read of all before the first
is written; runs in worker processes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError, MriganError
from mri_gan.ingest.cut import intensity, levels
from mri_gan.ingest.cut.levels import Drawn, encode_slices, record_of
from mri_gan.ingest.cut.mask_labels import read_label_values, read_mask_pages, spread
from mri_gan.ingest.cut.slices import choose_pages
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.outcome import DRAWN, Glance, Learned, Outcome, about, explain, reading
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.image_files import image_fields, only_page, read_image, read_shades
from mri_gan.ingest.read.scan import read_source_volume
from mri_gan.ingest.source import Source
from mri_gan.pictures import Shows, read_slice_mark
from mri_gan.store.schema import COLOUR, DROPPED, SYNTHETIC

if TYPE_CHECKING:
    from mri_gan.ingest.cut.one_volume import OnVolume


NOTHING_LEARNED = Learned()
Notes = tuple[str, ...] | None  # what is noted once per source
TEXT_CHUNKS = {"PNG tEXt", "PNG iTXt"}  # where a picture of ours says what it shows


def process(
    source: Source,
    config: PrepareConfig,
    learned: Learned = NOTHING_LEARNED,
    on_volume: OnVolume | None = None,
) -> Outcome:
    """Read, cut, normalise, fit and encode one source; a bad source is an outcome, not an error."""
    return process_all([source], config, learned, on_volume)[0]


def process_all(
    sources: Sequence[Source],
    config: PrepareConfig,
    learned: Learned = NOTHING_LEARNED,
    on_volume: OnVolume | None = None,
) -> list[Outcome]:
    """One chunk of sources in order; `on_volume` may look at each volume as a whole."""
    try:
        found = [_draw(source, config, learned, on_volume) for source in sources]
        encoded = iter(encode_slices([one for _, drawn in found for one in drawn], config))
    except MemoryError:
        if len(sources) > 1:  # one by one they may fit
            return [process(source, config, learned, on_volume) for source in sources]
        return [Outcome(kind="damaged", reason="too large for this machine's memory")]
    for outcome, drawn in found:
        outcome.slices += itertools.islice(encoded, len(drawn))
    return [outcome for outcome, _ in found]


def _draw(
    source: Source, config: PrepareConfig, learned: Learned, on_volume: OnVolume | None
) -> tuple[Outcome, Sequence[Drawn]]:
    """What one source gave, and the slices of image files, which are not encoded yet."""
    if config.masks and source.mask is None:
        return Outcome(kind="unmasked", reason="no mask belongs to it"), ()
    try:
        if source.is_volume:
            # It needs nibabel, and image files do not.
            from mri_gan.ingest.cut.one_volume import process_volume

            return process_volume(source, config, learned, on_volume), ()
        return _draw_file(source, config, learned)
    except MemoryError:  # of a chunk of sources; one by one they may fit
        raise
    except Exception as error:  # whatever a library raises over a file is about that file
        kind, reason = explain(error, source.member.label)
        return Outcome(kind=kind, reason=reason), ()


def _draw_file(
    source: Source, config: PrepareConfig, learned: Learned
) -> tuple[Outcome, Sequence[Drawn]]:
    """The slices of one image file."""
    member = source.member
    # A zip checks its members; a plain tar and a file system do not.
    verify = member.number is None or member.offset >= 0
    data = read_member(member)
    fields = image_fields(data)
    mark, single = read_slice_mark(data) if TEXT_CHUNKS & set(fields) else (None, True)
    if not single:
        return Outcome(kind=DRAWN, reason="drawn by mrigan, and not one slice"), ()
    pages, *coloured = read_shades(data, verify)
    channels = [_read_channel(source, other, pages) for other in source.channels]
    in_colour = any([*coloured, *(colour for _, colour in channels)])
    marks = (SYNTHETIC,) * (mark is Shows.SYNTHETIC) + (COLOUR,) * in_colour
    notes = (*(f"{DROPPED}{name}" for name in fields), *marks) or None
    if source.holds_stack and not source.channels:
        drawn = _draw_pages(source, pages, notes, config, learned)
        return Outcome(deselected=len(pages) - len(drawn)), drawn
    mask, pixels = _mask_pages(source, config), only_page(pages)
    one = _draw_image(source, pixels, mask, notes, config, learned)
    others = (
        _draw_image(other, pixels, [], None, config, learned).pixels
        for other, (pixels, _) in zip(source.channels, channels, strict=True)
    )
    return Outcome(), [replace(one, others=tuple(others))]


def _read_channel(
    source: Source, other: Source, pages: list[NDArray[Any]]
) -> tuple[NDArray[Any], bool]:
    """The same slice in another contrast, and whether it is in colour.

    Raises DataError where the sizes differ.
    """
    name, first = source.say_channel(other), only_page(pages)
    with about(name):
        found, in_colour = read_shades(read_member(other.member))
        pixels = only_page(found)
    if pixels.shape != first.shape:
        shapes = (" x ".join(map(str, shape)) for shape in (pixels.shape, first.shape))
        raise DataError("{} is {} pixels, the first channel {}".format(name, *shapes))
    return pixels, in_colour


def _mask_pages(source: Source, config: PrepareConfig) -> list[NDArray[Any]]:
    return read_mask_pages(source.mask) if config.masks and source.mask is not None else []


def _draw_pages(
    source: Source,
    pages: Sequence[NDArray[Any]],
    notes: Notes,
    config: PrepareConfig,
    learned: Learned,
) -> list[Drawn]:
    """The pages of a TIFF: slices of a stack, where it has several."""
    masks = _mask_pages(source, config)
    if len(pages) == 1:
        return [_draw_image(source, pages[0], masks, notes, config, learned)]
    if masks and len(masks) != len(pages):
        raise DataError(f"its mask has {len(masks)} pages, the image {len(pages)}")
    drawn: list[Drawn] = []
    for number in choose_pages(len(pages), config):
        page = replace(source, naming=replace(source.naming, position=number))
        mask = masks[number : number + 1]
        told = None if drawn else notes
        drawn.append(_draw_image(page, pages[number], mask, told, config, learned))
    return drawn


def _draw_image(
    source: Source,
    pixels: NDArray[Any],
    mask: Sequence[NDArray[Any]],
    notes: Notes,
    config: PrepareConfig,
    learned: Learned,
) -> Drawn:
    """One slice; `mask` holds its labels, or nothing."""
    limits = (0.0, float(np.iinfo(pixels.dtype).max))
    fitted, placed = levels.fit_square(pixels, (1.0, 1.0), config.fit, limits)
    record = record_of(source, placed, pixels.shape, notes)
    if learned.image_window and pixels.dtype == np.uint16:
        black, white = learned.image_window
        shades = (fitted.astype(np.float32) - black) / (white - black)
        grey = intensity.quantise(np.clip(shades, 0, 1), config.depth)
        record = replace(record, window=(black, white))
    else:
        grey = intensity.to_depth(fitted, config.depth)
    if not mask:
        return Drawn(record, grey)
    if mask[0].shape != pixels.shape:
        shapes = (" x ".join(map(str, shape)) for shape in (mask[0].shape, pixels.shape))
        raise DataError("its mask is {} pixels, the image {}".format(*shapes))
    labels = levels.fit_labels(mask[0], placed)
    return Drawn(record, grey, spread(labels, learned.mask_labels, config.depth))


# What is read of all sources before the first slice is written


def find_labels(mask: Source) -> tuple[int, ...]:
    """The values of a mask, none of one that cannot be read."""
    with reading(mask.member.label):  # a problem is reported when its slices are written
        return read_label_values(mask)
    return ()


def find_own_landmarks(source: Source, config: PrepareConfig) -> tuple[float, ...]:
    """The landmarks of a volume, none of one that cannot be read."""
    with reading(source.member.label):  # a problem is reported when its slices are written
        sample = intensity.take_sample(read_source_volume(source).voxels)
        return intensity.find_landmarks(
            sample, intensity.foreground_threshold(sample), config.window
        )
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
    """Of `some` images of a set: the window of 16-bit ones, and the greys of dark ones.

    Of `teachers`, images of the training split, the percentiles of `--window` are taken.
    """
    seen = _read_all(some)
    wide = config.intensity != "keep" and any(pixels.dtype == np.uint16 for pixels in seen)
    window = _find_image_window(teachers, config) if wide else ()
    return window, () if window or not seen else _find_darkness(seen)


def _find_image_window(teachers: Sequence[Source], config: PrepareConfig) -> tuple[float, ...]:
    """Black and white of 16-bit images with a scanner's values, as of volumes; empty for others."""
    counts = np.zeros(WHITE + 1, np.int64)
    for source in teachers:
        for pixels in _read_all([source]):
            if pixels.dtype == np.uint16:
                counts += np.bincount(pixels.ravel(), minlength=WHITE + 1)
    if not counts.any() or np.flatnonzero(counts)[-1] >= SCANNER_VALUES:
        return ()
    thin = max(1, int(counts.sum()) // MAX_SAMPLES)
    sample = np.repeat(np.arange(WHITE + 1, dtype=np.uint16), -(-counts // thin))
    return _window(sample, config)


def _window(sample: NDArray[np.uint16], config: PrepareConfig) -> tuple[float, ...]:
    low, high = config.window
    try:
        tissue = intensity.split(sample, intensity.find_otsu(sample))[1]
    except MriganError:
        tissue = sample
    black, white = (
        float(intensity.percentiles(sample, [low])[0]),
        float(intensity.percentiles(tissue, [high])[0]),
    )
    return (black, white) if black < white else ()


def _find_darkness(seen: Sequence[NDArray[Any]]) -> tuple[int, ...]:
    """The 99th percentile of some images' pixels, of 255 grey levels, where it is low."""
    counts = np.zeros(256, np.int64)
    for pixels in seen:
        grey = pixels >> 8 if pixels.dtype == np.uint16 else pixels
        counts += np.bincount(grey.ravel(), minlength=256)
    place = 0.99 * (counts.sum() - 1)
    low, high = np.searchsorted(counts.cumsum(), (int(place), int(place) + 1), side="right")
    level = int(low + (place - int(place)) * (high - low))
    return (level,) if level < DARK else ()


def _read_all(sources: Sequence[Source]) -> list[NDArray[Any]]:
    """The pixels of those that can be read; the others are reported when they are written."""
    found = []
    for source in sources:
        with contextlib.suppress(MriganError):
            found.append(read_image(read_member(source.member)))
    return found
