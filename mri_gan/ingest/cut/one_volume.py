"""From one volume to its encoded slices: which of them, how bright, and where they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import AUTO
from mri_gan.errors import DataError
from mri_gan.ingest.cut import intensity, levels, slices
from mri_gan.ingest.cut.faces import shows_face
from mri_gan.ingest.cut.intensity import Sample, percentiles, split, take_sample
from mri_gan.ingest.cut.mask_labels import read_mask_volume, require_fit, spread
from mri_gan.ingest.cut.orientation import make_cube, reorient, true_axes
from mri_gan.ingest.cut.slices import choose_cuts
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.outcome import Learned, Outcome, about
from mri_gan.ingest.read.scan import read_source_volume
from mri_gan.ingest.read.volume import Volume
from mri_gan.ingest.source import Source
from mri_gan.pictures import is_synthetic
from mri_gan.store.schema import (
    ACQUIRED,
    DROPPED,
    FACE,
    SYNTHETIC,
    TURNED,
    SliceRecord,
)

COARSE_PX = 48  # along an axis: enough to see how a brain is oriented


@dataclass(frozen=True)
class Exposure:
    """One volume as it was read, and how bright its slices will be."""

    volume: Volume
    sample: Sample
    threshold: float  # between air and tissue
    curve: intensity.Curve
    ground: float  # grey that slices are padded with, 0..1


OnVolume = Callable[[Exposure], object]


def process_volume(
    source: Source, config: PrepareConfig, learned: Learned, on_volume: OnVolume | None = None
) -> Outcome:
    """Read one volume and cut it; raises DataError where it is damaged.

    `on_volume` may look at the volume as a whole, where it gives slices.
    """
    volume = read_source_volume(source)
    turned = find_true_axes(volume) if volume.placed else ""
    if turned and config.reorient:
        volume = reorient(volume, turned)
    acquired = slices.acquired_plane(volume) if volume.placed else ""
    asked = config.plane
    config = replace(config, plane=(acquired or "axial") if asked == AUTO else asked)
    seen = _expose(volume, config, learned)
    threshold = seen.threshold
    mask = _read_mask(source, volume, config)
    shares = slices.foreground_shares(volume, config.plane, threshold)
    filled = [share >= config.min_foreground for share in shares]
    wanted = choose_cuts(slices.positions_mm(volume, config.plane), filled, config)
    chosen = [position for position in wanted if filled[position]]
    outcome = Outcome(empty=len(wanted) - len(chosen), deselected=len(filled) - len(wanted))
    if not chosen:
        outcome.kind, outcome.reason = "empty", "no selected slice has enough foreground"
        return outcome
    if on_volume is not None:
        on_volume(seen)
    every = seen, *(_read_channel(source, c, volume, config, learned) for c in source.channels)
    placed, records = _describe(source, seen, shares, config)
    first = chosen[0]
    records[first] = replace(records[first], notes=_notes(seen, acquired, config.plane, turned))
    slabs = _fit_slabs(every, placed, chosen, config)
    masks = _fit_masks(mask, placed, chosen, config, learned)
    for (positions, greys), labels in zip(slabs, masks, strict=False):
        some = [records[position] for position in positions]
        outcome.slices += levels.encode_stack(some, greys, config, labels)
    return outcome


def _expose(volume: Volume, config: PrepareConfig, learned: Learned) -> Exposure:
    sample = take_sample(volume.voxels)
    threshold = intensity.foreground_threshold(sample)
    curve = intensity.find_curve(volume.voxels, sample, threshold, config, learned.landmarks)
    ground = _ground(split(sample, threshold)[0], curve, config)
    return Exposure(volume, sample, threshold, curve, ground)


def _read_channel(
    source: Source, other: Source, first: Volume, config: PrepareConfig, learned: Learned
) -> Exposure:
    """The same head in another contrast; raises DataError unless it has the same voxel grid."""
    name = source.say_channel(other)
    with about(name):
        volume = read_source_volume(other)
    require_fit(first, volume, name)
    return _expose(volume, config, learned)


def _read_mask(source: Source, volume: Volume, config: PrepareConfig) -> Volume | None:
    if not config.masks or source.mask is None:
        return None
    mask = read_mask_volume(source.mask)
    require_fit(volume, mask)
    return mask


def _ground(air: Sample, curve: intensity.Curve, config: PrepareConfig) -> float:
    """The grey of air, where it is not black: a black frame around it would be learned as well."""
    return float(curve.apply(percentiles(air, [50]))[0]) if config.intensity == "zscore" else 0.0


def find_true_axes(volume: Volume) -> str:
    """Which way the axes truly point, where that is not what the header says."""
    steps = tuple(slice(None, None, max(1, n // COARSE_PX)) for n in volume.voxels.shape)
    some = replace(volume, voxels=volume.voxels[steps])
    try:
        threshold = intensity.foreground_threshold(take_sample(some.voxels))
    except DataError:
        return ""
    cube = make_cube(some, threshold)
    return "" if cube is None else true_axes(cube)


def _notes(seen: Exposure, acquired: str, plane: str, turned: str) -> tuple[str, ...] | None:
    """What is noted once per source."""
    face = (FACE,) if shows_face(seen.volume, seen.threshold) else ()
    otherwise = (f"{ACQUIRED}{acquired}",) if acquired not in ("", plane) else ()
    dropped = (f"{DROPPED}{name}" for name in seen.volume.dropped)
    way = (f"{TURNED}{turned}",) if turned else ()
    drawn = (SYNTHETIC,) if is_synthetic(seen.volume.header) else ()
    return (*face, *otherwise, *way, *drawn, *dropped) or None


def _describe(
    source: Source, seen: Exposure, shares: list[float], config: PrepareConfig
) -> tuple[levels.Place, list[SliceRecord]]:
    """Where the slices of a volume go, and what is known of each."""
    volume, curve = seen.volume, seen.curve
    spacing = slices.pixel_mm(volume, config.plane)
    if not min(spacing) > 0:
        raise DataError("voxel sizes make no sense; its header is damaged")
    shape = slices.display_shape(volume, config.plane)[1:]
    placed = levels.place_slice(shape, spacing, config.fit, config.fov)
    record = replace(
        levels.record_of(source, placed, shape),
        window=curve.window,
        landmarks=curve.points if len(curve.points) > 2 else None,
    )
    records = [
        replace(record, position=position, foreground=share)
        for position, share in enumerate(np.round(shares, 4).tolist())
    ]
    return placed, _place(records, volume, placed, config.plane) if volume.placed else records


def _place(
    records: Sequence[SliceRecord], volume: Volume, placed: levels.Place, plane: str
) -> list[SliceRecord]:
    """The records of a volume's slices with where each is, in millimetres."""
    # A hundredth of a micrometre: beyond any scanner, and the same text on every machine.
    lies = np.round(levels.level_affine(slices.affines_of(volume, plane), placed), 5) + 0.0
    places_mm = np.round(slices.positions_mm(volume, plane), 4)
    each = zip(records, places_mm.tolist(), lies.tolist(), strict=True)
    pixel = round(placed.pixel, 5)
    return [
        replace(
            record,
            plane=plane,
            pixel_mm=pixel,
            position_mm=place_mm,
            affine=tuple(map(tuple, affine)),
        )
        for record, place_mm, affine in each
    ]


def _fit_slabs(
    every: Sequence[Exposure], placed: levels.Place, chosen: Sequence[int], config: PrepareConfig
) -> Iterator[tuple[Sequence[int], NDArray[Any]]]:
    """Positions of slices that are next to each other, and their greys [N, C, S, S]."""
    stacks = [slices.cut_slabs(one.volume, config.plane, chosen) for one in every]
    for slabs in zip(*stacks, strict=True):
        channels = [
            levels.fit_stack(one.curve.apply(slab), placed, config.depth, one.ground)
            for one, (_, slab) in zip(every, slabs, strict=True)
        ]
        yield slabs[0][0], np.stack(channels, axis=1)


def _fit_masks(
    mask: Volume | None,
    placed: levels.Place,
    chosen: Sequence[int],
    config: PrepareConfig,
    learned: Learned,
) -> Iterator[NDArray[Any] | None]:
    """The labels of the same slices as greys [N, S, S]; None for each where there is no mask."""
    if mask is None:
        yield from itertools.repeat(None)
        return
    for _, slab in slices.cut_slabs(mask, config.plane, chosen):
        yield spread(levels.fit_labels(slab, placed), learned.mask_labels, config.depth)
