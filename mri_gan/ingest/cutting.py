"""From one volume to its encoded slices: which of them, how bright, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import PrepareConfig
from mri_gan.errors import DataError
from mri_gan.ingest import intensity, slices
from mri_gan.ingest.choice import choose_cuts
from mri_gan.ingest.encoded import encode_slice, record_of
from mri_gan.ingest.faces import shows_face
from mri_gan.ingest.learning import Learned
from mri_gan.ingest.masks import read_mask_volume, require_fit, spread
from mri_gan.ingest.reading import read_source_volume
from mri_gan.ingest.sources import Source
from mri_gan.ingest.tasks import Outcome
from mri_gan.ingest.volumes import Volume
from mri_gan.store.schema import DROPPED, FACE
from mri_gan.store.writer import EncodedSlice


@dataclass(frozen=True)
class _Scan:
    """One volume and all that its slices have in common."""

    source: Source
    config: PrepareConfig
    learned: Learned
    curve: intensity.Curve
    ground: float  # grey that slices are padded with, 0..1


def process_volume(source: Source, config: PrepareConfig, learned: Learned) -> Outcome:
    """Read one volume and cut it; raises DataError where it is damaged."""
    volume = read_source_volume(source)
    threshold = intensity.foreground_threshold(volume.voxels)
    curve = intensity.find_curve(volume.voxels, threshold, config, learned.landmarks)
    scan = _Scan(source, config, learned, curve, _ground(volume, threshold, curve, config))
    masks = _mask_cuts(source, volume, config)
    outcome = Outcome()
    for cut, share in _chosen_cuts(volume, threshold, config):
        if share < config.min_foreground:
            outcome.empty += 1
            continue
        mask = None if masks is None else masks[cut.position].pixels
        notes = None if outcome.slices else _notes(volume, threshold)
        outcome.slices.append(_process_cut(scan, cut, share, mask, notes))
    if not outcome.slices:
        outcome.kind, outcome.reason = "empty", "no slice that is asked for has enough foreground"
    return outcome


def _ground(
    volume: Volume, threshold: float, curve: intensity.Curve, config: PrepareConfig
) -> float:
    """The grey of air, where it is not black: a black frame around it would be learned as well."""
    if config.intensity != "zscore":
        return 0.0
    sample = volume.voxels.ravel()[::101]
    air = sample[sample <= threshold]
    return float(curve.apply(np.atleast_1d(np.median(air)))[0]) if len(air) else 0.0


def _notes(volume: Volume, threshold: float) -> tuple[str, ...] | None:
    """What is told once of each source."""
    face = (FACE,) if shows_face(volume, threshold) else ()
    return (*face, *(f"{DROPPED}{name}" for name in volume.dropped)) or None


def _mask_cuts(source: Source, volume: Volume, config: PrepareConfig) -> list[slices.Cut] | None:
    if not config.masks or source.mask is None:
        return None
    mask = read_mask_volume(source.mask)
    require_fit(volume, mask)
    return list(slices.cut(mask, config.plane))


def _chosen_cuts(
    volume: Volume, threshold: float, config: PrepareConfig
) -> Iterator[tuple[slices.Cut, float]]:
    """The slices that are asked for, each with its share of foreground."""
    shares = slices.foreground_shares(volume, config.plane, threshold)
    filled = [share >= config.min_foreground for share in shares]
    chosen = set(choose_cuts(slices.positions_mm(volume, config.plane), filled, config))
    for cut in slices.cut(volume, config.plane):
        if cut.position in chosen:
            yield cut, shares[cut.position]


def _process_cut(
    scan: _Scan,
    cut: slices.Cut,
    share: float,
    mask: NDArray[np.float32] | None,
    notes: tuple[str, ...] | None,
) -> EncodedSlice:
    config = scan.config
    columns, rows = (float(np.linalg.norm(cut.affine[:, i])) for i in (0, 1))
    if not (rows > 0 and columns > 0):
        raise DataError("voxel sizes make no sense; its header is damaged")
    scaled = scan.curve.apply(cut.pixels)
    fitted = slices.fit_square(
        scaled, (rows, columns), config.fit, (0.0, 1.0), config.fov, scan.ground
    )
    record = replace(
        record_of(scan.source, fitted.place, cut.pixels.shape),
        plane=config.plane,
        position=cut.position,
        position_mm=round(cut.position_mm, 4),
        affine=_rounded(slices.level_affine(cut.affine, fitted.place)),
        window=scan.curve.window,
        landmarks=scan.curve.points if len(scan.curve.points) > 2 else None,
        foreground=round(share, 4),
        notes=notes,
        pixel_mm=round(fitted.place.pixel, 5),
    )
    if mask is not None:
        mask = spread(slices.fit_labels(mask, fitted.place), scan.learned.mask_labels, config.depth)
    return encode_slice(record, intensity.quantise(fitted.pixels, config.depth), config, mask)


def _rounded(affine: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    # A hundredth of a micrometre: beyond any scanner, and the same text on every machine.
    return tuple(tuple(round(float(v), 5) + 0.0 for v in row) for row in affine)
