"""A survey of scans before any of them is written: shapes, values, orientation, duplicates."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.ingest.cut import intensity, levels, slices
from mri_gan.ingest.cut.intensity import percentiles
from mri_gan.ingest.cut.one_source import NOTHING_LEARNED, process
from mri_gan.ingest.cut.one_volume import Exposure
from mri_gan.ingest.cut.orientation import (
    Cube,
    brain_doubts,
    header_doubts,
    is_judged,
    make_cube,
    mirror_doubts,
    set_doubts,
)
from mri_gan.ingest.look.duplicates import (
    RESCAN_PX,
    TOO_FEW,
    Glance,
    across_splits,
    count_equal_across,
    find_equal,
    find_near,
    find_odd,
    find_rescans,
    name_of,
)
from mri_gan.ingest.options import PLANES, PrepareConfig
from mri_gan.ingest.outcome import Learned, Outcome, find_file
from mri_gan.ingest.source import Source, say_lost_with
from mri_gan.store.counts import all_notes, count_notes, tell_images, tell_learned
from mri_gan.store.schema import FACE, SliceRecord, decode_pixels
from mri_gan.store.twins import FLAT, SAME
from mri_gan.store.writer import file_bytes, page_bytes

# What a volume is as a whole: shape, spacing, scanner values, pictures of three planes, doubts

PERCENTILES = (1, 50, 99)


@dataclass(frozen=True)
class Glimpse:
    """One volume, small enough to be kept."""

    shape: tuple[int, ...]  # of the RAS+ volume
    spacing_mm: tuple[float, ...]  # empty where the file does not say
    axes: str  # of the file's voxels, as in LAS; empty where it does not say
    values: tuple[float, ...]  # scanner values at PERCENTILES
    pictures: tuple[NDArray[np.uint8], ...]  # the middle slice of each plane, `side` px wide
    cube: Cube | None
    doubts: tuple[str, ...]  # about its orientation


def glimpse(seen: Exposure, config: PrepareConfig, side: int) -> Glimpse:
    """Look at a volume that was read; its pictures are as `prepare` would make them."""
    volume = seen.volume
    cube = make_cube(volume, seen.threshold) if volume.placed else None
    header = volume.header
    doubts = [] if header is None else list(header_doubts(header))
    doubts += [] if cube is None else [*mirror_doubts(cube), *brain_doubts(cube)]
    values = percentiles(seen.sample, PERCENTILES)
    spacing = volume.spacing if volume.placed else ()
    return Glimpse(
        shape=volume.voxels.shape,
        spacing_mm=tuple(round(float(mm), 3) for mm in spacing),
        axes=volume.axes if header is None else _axes(header),
        values=tuple(float(f"{value:.4g}") for value in values),
        pictures=tuple(_picture(seen, plane, config, side) for plane in PLANES),
        cube=cube,
        doubts=tuple(doubts),
    )


def _picture(seen: Exposure, plane: str, config: PrepareConfig, side: int) -> NDArray[np.uint8]:
    """The middle slice of a plane as a square of `side` px."""
    count = slices.display_shape(seen.volume, plane)[0]
    ((_, (pixels,)),) = slices.cut_slabs(seen.volume, plane, [count // 2])
    limits, spacing = (0.0, 1.0), slices.pixel_mm(seen.volume, plane)
    greys = seen.curve.apply(pixels)
    square, _ = levels.fit_square(greys, spacing, config.fit, limits, config.fov, seen.ground)
    return intensity.quantise(levels.resize(square, side, side, limits), 8)


def _axes(header: Any) -> str:
    return "".join(code or "?" for code in nib.aff2axcodes(header.get_best_affine()))


# What is in a pile of scans, seen before any of it is written: counts, twins, oddities

THUMB_PX = 64
HASH_PX = 8
SHADE_PX = 16
BINS = 256


@dataclass
class Look:
    """What one source holds."""

    kind: str = ""
    reason: str = ""
    empty: int = 0
    deselected: int = 0
    whole: Glimpse | None = None  # of volumes
    n_bytes: float = 0.0  # that its slices would add to a store
    slices: list[Glance] = field(default_factory=list)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    thumb: NDArray[np.uint8] | None = None


def look_all(
    sources: Sequence[Source], config: PrepareConfig, learned: Learned = NOTHING_LEARNED
) -> list[Look]:
    """One chunk of sources in order; runs in worker processes."""
    return [survey_source(source, config, learned) for source in sources]


def survey_source(
    source: Source, config: PrepareConfig, learned: Learned = NOTHING_LEARNED
) -> Look:
    """Do with one source what `prepare` does, and keep only a description of it."""
    wholes: list[Glimpse] = []

    def see(seen: Exposure) -> None:
        wholes.append(glimpse(seen, config, THUMB_PX))

    channels = 1 + len(source.channels)
    outcome: Outcome = process(source, config, learned, see)
    found = Look(outcome.kind, outcome.reason, outcome.empty, outcome.deselected)
    found.whole = wholes[0] if wholes else None
    for number, (text, images) in enumerate(outcome.slices):
        found.n_bytes += sum(page_bytes(len(part)) for part in (text, *images.values()))
        record = SliceRecord.from_json(text)
        at = functools.partial(_decode, images, record.native, channels, config.depth)
        pixels = at(record.native)
        found.slices.append(_glance(record, pixels, at, config.depth))
        found.counts += np.bincount(_to_8_bit(pixels).ravel(), minlength=BINS)
        if number == len(outcome.slices) // 2:
            found.thumb = _to_8_bit(at(THUMB_PX))
    return found


def _decode(
    images: Mapping[int, bytes], native: int, channels: int, depth: int, level: int
) -> NDArray[Any]:
    """Pixels [S, S] of the first channel; above the native level, those of it repeated."""
    if level > native:
        pixels = _decode(images, native, channels, depth, native)
        return pixels.repeat(level // native, 0).repeat(level // native, 1)
    dtype = np.dtype(np.uint16 if depth == 16 else np.uint8)
    data = decode_pixels(memoryview(images[level]), channels * level * level * dtype.itemsize)
    return np.asarray(np.frombuffer(data, dtype).reshape(channels, level, level)[0])


def _to_8_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return pixels if pixels.dtype == np.uint8 else np.asarray(pixels >> 8, np.uint8)


def _glance(
    record: SliceRecord, pixels: NDArray[Any], at: Callable[[int], NDArray[Any]], depth: int
) -> Glance:
    tiny = at(HASH_PX)
    small = at(SHADE_PX).astype(np.float32).ravel()
    small -= small.mean()
    grey = pixels if depth == 8 else pixels / 257
    return Glance(
        record,
        hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(),
        np.packbits(tiny > tiny.mean()).tobytes(),
        small / max(float(np.linalg.norm(small)), 1e-9),
        float(grey.mean()),
        float(grey.std()),
        _to_8_bit(at(RESCAN_PX)).tobytes(),
    )


@dataclass
class Survey:
    """What all sources hold together."""

    looks: list[tuple[Source, Look]] = field(default_factory=list)
    learned: Learned = NOTHING_LEARNED

    @property
    def slices(self) -> list[Glance]:
        """All slices in order."""
        return [glance for _, found in self.looks for glance in found.slices]

    def facts(self) -> dict[str, Any]:
        """Everything worth telling, as plain values."""
        glances = self.slices
        records = [glance.record for glance in glances]
        near, rescans = find_near(glances), find_rescans(glances)
        faces = list(dict.fromkeys(r.source for r in records if FACE in (r.notes or ())))
        left_out = [(*self._find(s, f.reason), f.kind) for s, f in self.looks if not f.slices]
        return {
            "sources": len(self.looks),
            "slices": len(glances),
            "layouts": dict(Counter(s.naming.layout for s, _ in self.looks)),
            "subjects": len({record.subject for record in records}),
            "sessions": len({(record.subject, record.session) for record in records}),
            "sides": dict(Counter(record.side for record in records if record.side)),
            "splits": dict(Counter(record.split for record in records)),
            "shapes": _count(f"{record.shape[0]} x {record.shape[1]}" for record in records),
            "native": _count(str(record.native) for record in records),
            "spacings_mm": _count(filter(None, map(spacing_text, records))),
            **self._volume_facts(),
            **count_notes(Counter(n for record in records for n in all_notes(record))),
            **tell_learned(self.learned.to_dict()),
            **tell_images(records),
            "first_face": next(iter(faces), ""),
            "with_faces": faces,
            "grey_percentiles": grey_percentiles(sum(f.counts for _, f in self.looks)),
            "same_pixels": find_equal(glances),
            "near_duplicates": near,
            "rescans": rescans,
            "rescans_not_judged": TOO_FEW if rescans is None else "",
            "across_splits": {
                SAME: count_equal_across(glances),
                "near duplicates": across_splits(near, {name_of(r): r.split for r in records}),
                "rescans": None
                if rescans is None
                else across_splits(rescans, {r.subject: r.split for r in records}),
            },
            "outliers": find_odd(glances),
            "flat_slices": [name_of(g.record) for g in glances if g.contrast < FLAT],
            "empty_slices": sum(found.empty for _, found in self.looks),
            "deselected_slices": sum(found.deselected for _, found in self.looks),
            "skipped": [dict(zip(("source", "reason", "kind"), x, strict=True)) for x in left_out],
            "store_bytes": file_bytes(sum(found.n_bytes for _, found in self.looks)),
        }

    def _find(self, source: Source, reason: str) -> tuple[str, str]:
        """(label, reason) of the file that a reason is about, and what is left out with it."""
        guilty, reason = source.blame(reason)
        label, why = find_file(reason, [member.label for member in guilty.members])
        lost = say_lost_with(source, [one for one, _ in self.looks])
        return label, f"{why}; {lost} is left out" if lost else why

    def _volume_facts(self) -> dict[str, Any]:
        """What only volumes have."""
        whole = [(source, found.whole) for source, found in self.looks if found.whole is not None]
        placed = [one for _, one in whole if one.spacing_mm]
        return {
            "volume_shapes": _count(" x ".join(map(str, w.shape)) for _, w in whole),
            "voxels_mm": _count(" x ".join(f"{mm:g}" for mm in w.spacing_mm) for w in placed),
            "orientations": _count(w.axes for _, w in whole if w.axes),
            "scanner_values": value_ranges([w.values for _, w in whole]),
            "doubtful_orientation": find_doubts(whole),
            "orientation_not_judged": sum(not is_judged(w.cube) for w in placed),
        }


def value_ranges(values: Sequence[tuple[float, ...]]) -> dict[str, list[float]]:
    """The smallest and largest of the volumes' scanner values at 1, 50 and 99 per cent."""
    rows = np.array(values).reshape(-1, len(PERCENTILES))
    if not len(rows):
        return {}
    ends = zip(PERCENTILES, rows.min(axis=0).tolist(), rows.max(axis=0).tolist(), strict=True)
    return {str(p): [low, high] for p, low, high in ends}


def find_doubts(volumes: Sequence[tuple[Source, Glimpse]]) -> list[str]:
    """Volumes whose header and picture seem to disagree, each with the reason."""
    if not volumes:
        return []
    kinds = sorted({source.naming.layout for source, _ in volumes})
    found = []
    for kind in kinds:
        same = [(source, whole) for source, whole in volumes if source.naming.layout == kind]
        others = set_doubts([whole.cube for _, whole in same])
        for (source, whole), doubt in zip(same, others, strict=True):
            found += [f"{source.name}: {why}" for why in (*whole.doubts, doubt) if why]
    return found


def _count(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def spacing_text(record: SliceRecord) -> str:
    """The size of an original pixel in mm (rows x columns), where the slice has one."""
    if record.affine is None:
        return ""
    columns, rows = np.linalg.norm(np.array(record.affine)[:, :2], axis=0)
    return f"{rows * record.scale[0]:.2f} x {columns * record.scale[1]:.2f}"


def grey_percentiles(counts: Any) -> dict[str, int]:
    """The grey levels (0..255) below which 1, 50 and 99 per cent of the pixels are."""
    total = np.cumsum(counts)
    if not np.any(total):
        return {}
    return {str(p): int(np.searchsorted(total, total[-1] * p / 100)) for p in PERCENTILES}
