"""From one volume to its encoded slices: which of them, how bright, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    EncodedSlice,
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


@dataclass(frozen=True)
class _Scan:
    """All that the slices of one volume have in common."""

    config: PrepareConfig
    learned: Learned
    seen: Exposure
    others: tuple[Exposure, ...]  # the same head in other contrasts
    placed: levels.Place
    common: dict[str, Any]  # fields of all records
    own: list[dict[str, Any]]  # fields of the record of each slice


def process_volume(
    source: Source, config: PrepareConfig, learned: Learned, on_volume: OnVolume | None = None
) -> Outcome:
    """Read one volume and cut it; raises DataError where it is damaged.

    `on_volume` may look at the volume as a whole, where it gives slices.
    """
    volume = read_source_volume(source)
    turned = find_true_axes(volume)
    if turned and config.reorient:
        volume = reorient(volume, turned)
    acquired = slices.acquired_plane(volume)
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
    others = tuple(_read_channel(source, one, volume, config, learned) for one in source.channels)
    scan = _describe(source, seen, shares, config, learned, others)
    masks = None if mask is None else slices.cut_slabs(mask, config.plane, chosen)
    every = [slices.cut_slabs(one.volume, config.plane, chosen) for one in (seen, *others)]
    for slabs in zip(*every, strict=True):
        positions, voxels = slabs[0][0], [slab for _, slab in slabs]
        labels = None if masks is None else next(masks)[1]
        notes = None if outcome.slices else _notes(seen, acquired, config.plane, turned)
        outcome.slices += _process_slab(scan, positions, voxels, labels, notes)
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
    source: Source,
    seen: Exposure,
    shares: list[float],
    config: PrepareConfig,
    learned: Learned,
    others: tuple[Exposure, ...],
) -> _Scan:
    """What is equal for all slices of a volume, computed once."""
    volume, curve = seen.volume, seen.curve
    affines = slices.affines_of(volume, config.plane)
    spacing = slices.pixel_mm(volume, config.plane)
    if not min(spacing) > 0:
        raise DataError("voxel sizes make no sense; its header is damaged")
    shape = slices.display_shape(volume, config.plane)[1:]
    placed = levels.place_slice(shape, spacing, config.fit, config.fov)
    record = replace(
        levels.record_of(source, placed, shape),
        plane=config.plane,
        window=curve.window,
        landmarks=curve.points if len(curve.points) > 2 else None,
        pixel_mm=round(placed.pixel, 5),
    )
    # A hundredth of a micrometre: beyond any scanner, and the same text on every machine.
    lies = np.round(levels.level_affine(affines, placed), 5) + 0.0
    places_mm = np.round(slices.positions_mm(volume, config.plane), 4)
    each = zip(places_mm.tolist(), lies.tolist(), np.round(shares, 4).tolist(), strict=True)
    own = [
        {
            "position": position,
            "position_mm": place_mm,
            "affine": tuple(map(tuple, affine)),
            "foreground": share,
        }
        for position, (place_mm, affine, share) in enumerate(each)
    ]
    return _Scan(config, learned, seen, others, placed, vars(record), own)


def _process_slab(
    scan: _Scan,
    positions: Sequence[int],
    voxels: Sequence[NDArray[Any]],
    labels: NDArray[Any] | None,
    notes: tuple[str, ...] | None,
) -> list[EncodedSlice]:
    """Slices [N, H, W] of each channel that are next to each other, and their masks.

    Notes are for the first.
    """
    config, every = scan.config, (scan.seen, *scan.others)
    channels = [
        levels.fit_stack(seen.curve.apply(slab), scan.placed, config.depth, seen.ground)
        for seen, slab in zip(every, voxels, strict=True)
    ]
    greys = channels[0][:, None] if len(channels) == 1 else np.stack(channels, axis=1)
    records = [SliceRecord(**{**scan.common, **scan.own[position]}) for position in positions]
    records[0] = replace(records[0], notes=notes)
    if labels is None:
        return levels.encode_stack(records, greys, config)
    fitted = levels.fit_labels(labels, scan.placed)
    masks = spread(fitted, scan.learned.mask_labels, config.depth)
    return levels.encode_stack(records, greys, config, masks)
