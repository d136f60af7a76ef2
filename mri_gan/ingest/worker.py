"""The pure function from one source to its encoded slices; runs in worker processes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import LEVELS, PrepareConfig
from mri_gan.errors import DataError, LabelMapError, MriganError
from mri_gan.ingest import intensity, slices
from mri_gan.ingest.archives import read_member
from mri_gan.ingest.images import read_image
from mri_gan.ingest.members import MGH_SUFFIXES, suffix_of
from mri_gan.ingest.sources import Source
from mri_gan.store.codec import encode, encode_upsampled
from mri_gan.store.pyramid import enlarge, levels_below
from mri_gan.store.schema import SliceRecord
from mri_gan.store.writer import EncodedSlice

if TYPE_CHECKING:
    from mri_gan.ingest.volumes import Volume


@dataclass
class Outcome:
    """What one source gave: encoded slices, or the reason why there are none."""

    slices: list[EncodedSlice] = field(default_factory=list)
    empty: int = 0  # slices of a volume that were dropped as empty
    kind: str = ""  # "damaged", "mask" or "empty" when there are no slices
    reason: str = ""


def process(source: Source, config: PrepareConfig) -> Outcome:
    """Read, cut, normalise, fit and encode one source; a bad source is an outcome, not an error."""
    try:
        if source.is_volume:
            return _process_volume(source, _read_volume(source), config)
        member = source.member
        # A zip checks its members; a plain tar and a file system do not.
        pixels = read_image(read_member(member), verify=member.number is None or member.offset >= 0)
        return Outcome([_process_image(source, pixels, config)])
    except LabelMapError as error:
        return Outcome(kind="mask", reason=str(error))
    except MriganError as error:
        reason = error.message.removeprefix(f"{source.member.label}: ")
        return Outcome(kind="damaged", reason=reason)
    except MemoryError:
        return Outcome(kind="damaged", reason="too large for this machine's memory")


def _read_volume(source: Source) -> Volume:
    # These need nibabel, and image files do not.
    if source.is_series:
        from mri_gan.ingest.dicom import read_series

        return read_series([read_member(member) for member in (source.member, *source.others)])
    if source.is_pair:
        from mri_gan.ingest.analyze import axes_of, read_pair

        header, voxels = (read_member(member) for member in (source.member, *source.others))
        return read_pair(header, voxels, axes_of(source))
    data = read_member(source.member)
    if suffix_of(source.member.name) in MGH_SUFFIXES:
        from mri_gan.ingest.mgh import read_mgh

        return read_mgh(data)
    from mri_gan.ingest.volumes import read_volume

    return read_volume(data)


def process_all(sources: Sequence[Source], config: PrepareConfig) -> list[Outcome]:
    """One chunk of sources in order."""
    return [process(source, config) for source in sources]


def _process_image(source: Source, pixels: NDArray[Any], config: PrepareConfig) -> EncodedSlice:
    limits = (0.0, float(np.iinfo(pixels.dtype).max))
    fitted = slices.fit_square(pixels, (1.0, 1.0), config.fit, limits)
    fitted = replace(fitted, pixels=intensity.to_depth(fitted.pixels, config.depth))
    return _encode(_record(source, fitted, pixels.shape), fitted.pixels, config)


def _process_volume(source: Source, volume: Volume, config: PrepareConfig) -> Outcome:
    threshold = intensity.foreground_threshold(volume.voxels)
    window = intensity.percentile_window(volume.voxels, threshold, config.window)
    outcome = Outcome()
    for cut, share in _filled_cuts(volume, threshold, config):
        if share is None:
            outcome.empty += 1
            continue
        outcome.slices.append(_process_cut(source, cut, share, window, config))
    if not outcome.slices:
        outcome.kind, outcome.reason = "empty", "no slice has enough foreground"
    return outcome


def _filled_cuts(
    volume: Volume, threshold: float, config: PrepareConfig
) -> Iterator[tuple[slices.Cut, float | None]]:
    """Every slice with its foreground share, or with None where it counts as empty."""
    for cut in slices.cut(volume, config.plane):
        share = float((cut.pixels > threshold).mean())
        yield cut, share if share >= config.min_foreground else None


def _process_cut(
    source: Source,
    cut: slices.Cut,
    share: float,
    window: tuple[float, float],
    config: PrepareConfig,
) -> EncodedSlice:
    columns, rows = (float(np.linalg.norm(cut.affine[:, i])) for i in (0, 1))
    if not (rows > 0 and columns > 0):
        raise DataError("voxel sizes make no sense; its header is damaged")
    scaled = intensity.apply_window(cut.pixels, window)
    fitted = slices.fit_square(scaled, (rows, columns), config.fit, (0.0, 1.0))
    record = replace(
        _record(source, fitted, cut.pixels.shape),
        plane=config.plane,
        position=cut.position,
        position_mm=round(cut.position_mm, 4),
        affine=_rounded(slices.level_affine(cut.affine, fitted)),
        window=(window[0], window[1]),
        foreground=round(share, 4),
    )
    return _encode(record, intensity.quantise(fitted.pixels, config.depth), config)


def _record(source: Source, fitted: slices.Fitted, shape: tuple[int, ...]) -> SliceRecord:
    naming = source.naming
    return SliceRecord(
        source=source.name,
        subject=naming.subject,
        session=naming.session,
        split=naming.split,
        side=naming.side,
        plane=naming.plane,
        position=naming.position,
        native=int(fitted.pixels.shape[-1]),
        shape=(shape[0], shape[1]),
        scale=(round(fitted.scale[0], 6), round(fitted.scale[1], 6)),
        padding=fitted.padding,
        labels=source.labels,
    )


def _rounded(affine: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    # A hundredth of a micrometre: beyond any scanner, and the same text on every machine.
    return tuple(tuple(round(float(v), 5) + 0.0 for v in row) for row in affine)


def _encode(record: SliceRecord, pixels: NDArray[Any], config: PrepareConfig) -> EncodedSlice:
    """All eight levels of one slice [S, S]; the checksum ties the record to its pixels."""
    image = np.ascontiguousarray(pixels)[None]  # [C, S, S]
    record = replace(record, checksum=zlib.crc32(image.data))
    images = {level: encode(pixels) for level, pixels in levels_below(image).items()}
    for level in LEVELS:
        if level > record.native:
            materialized = config.materialize
            images[level] = (
                encode(enlarge(image, level)) if materialized else encode_upsampled(record.native)
            )
    return record.to_json(), images
