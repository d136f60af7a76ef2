"""What is in a pile of scans, seen before any of it is written: counts, twins, oddities."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import PrepareConfig
from mri_gan.errors import MriganError
from mri_gan.ingest.archives import read_member
from mri_gan.ingest.sources import Source
from mri_gan.ingest.tasks import Outcome
from mri_gan.ingest.worker import process
from mri_gan.store.codec import decode_pixels
from mri_gan.store.schema import SliceRecord
from mri_gan.store.writer import EncodedSlice

THUMB_PX = 64
HASH_PX = 8
NEAR_BITS = 2  # of 64 that may differ between near duplicates
SHADE_PX = 16
# Aligned brains share their outline, and so most of the 64 bits; their shades must agree, too.
ALIKE = 0.995
ODD_SIGMA = 4.0
FLAT = 1.0  # an image whose grey levels spread less than this shows nothing
BINS = 256
ROWS = 1024  # slices compared with all others at a time
NIFTI_HEADER = 348


@dataclass(frozen=True)
class Glance:
    """What one slice looks like: enough to compare it with all others."""

    record: SliceRecord
    digest: bytes  # equal pixels, equal digest
    bits: bytes  # 64 bits of the average hash
    shades: NDArray[np.float32]  # [SHADE_PX ** 2], mean 0 and length 1
    mean: float
    contrast: float


@dataclass
class Look:
    """What one source holds."""

    kind: str = ""
    reason: str = ""
    empty: int = 0
    axes: str = ""  # of the file's voxels, as in LAS
    n_bytes: int = 0  # that a store would take
    slices: list[Glance] = field(default_factory=list)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    thumb: NDArray[np.uint8] | None = None


def look_all(sources: Sequence[Source], config: PrepareConfig) -> list[Look]:
    """One chunk of sources in order; runs in worker processes."""
    return [look(source, config) for source in sources]


def look(source: Source, config: PrepareConfig) -> Look:
    """Do with one source what `prepare` does, and keep only what tells about it."""
    outcome: Outcome = process(source, config)
    found = Look(outcome.kind, outcome.reason, outcome.empty, axes_of(source))
    for number, encoded in enumerate(outcome.slices):
        found.n_bytes += len(encoded[0]) + sum(map(len, encoded[1].values()))
        record, pixels = _native(encoded, config.depth)
        found.slices.append(_glance(record, pixels, encoded[1], config.depth))
        found.counts += np.bincount(_to_8_bit(pixels).ravel(), minlength=BINS)
        if number == len(outcome.slices) // 2:
            found.thumb = _to_8_bit(_decode(encoded[1][THUMB_PX], THUMB_PX, pixels.dtype, pixels))
    return found


def _native(encoded: EncodedSlice, depth: int) -> tuple[SliceRecord, NDArray[Any]]:
    record = SliceRecord.from_json(encoded[0])
    dtype = np.dtype(np.uint16 if depth == 16 else np.uint8)
    return record, _decode(encoded[1][record.native], record.native, dtype)


def _decode(
    data: bytes, level: int, dtype: np.dtype[Any], native: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Pixels [S, S]; of a record that points to the native level, that level itself."""
    if native is not None and native.shape[0] < level:
        return native.repeat(level // native.shape[0], 0).repeat(level // native.shape[0], 1)
    pixels = decode_pixels(memoryview(data), level * level * dtype.itemsize)
    return np.frombuffer(pixels, dtype).reshape(level, level)


def _to_8_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return pixels if pixels.dtype == np.uint8 else np.asarray(pixels >> 8, np.uint8)


def _glance(
    record: SliceRecord, pixels: NDArray[Any], images: dict[int, bytes], depth: int
) -> Glance:
    tiny = _decode(images[HASH_PX], HASH_PX, pixels.dtype, pixels).astype(np.float64)
    small = _decode(images[SHADE_PX], SHADE_PX, pixels.dtype, pixels).astype(np.float32).ravel()
    small -= small.mean()
    grey = pixels if depth == 8 else pixels / 257
    return Glance(
        record,
        hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(),
        np.packbits(tiny > tiny.mean()).tobytes(),
        small / max(float(np.linalg.norm(small)), 1e-9),
        float(grey.mean()),
        float(grey.std()),
    )


def axes_of(source: Source) -> str:
    """How a NIfTI file stores its axes; empty for all else and for headers that say nothing."""
    if not source.member.name.lower().endswith((".nii", ".nii.gz")):
        return ""
    import nibabel as nib

    try:
        data = read_member(source.member)
        if data[:2] == b"\x1f\x8b":
            data = zlib.decompressobj(wbits=31).decompress(data, NIFTI_HEADER)
        header = nib.Nifti1Header(data[:NIFTI_HEADER], check=False)
        return "".join(code or "?" for code in nib.aff2axcodes(header.get_best_affine()))
    except (MriganError, zlib.error):
        return ""
    except Exception:  # nibabel raises a dozen types for odd headers, which `process` explains
        return ""


@dataclass
class Survey:
    """What all sources hold together."""

    looks: list[tuple[Source, Look]] = field(default_factory=list)

    @property
    def slices(self) -> list[Glance]:
        """All slices in order."""
        return [glance for _, found in self.looks for glance in found.slices]

    def facts(self) -> dict[str, Any]:
        """Everything worth telling, as plain values."""
        glances = self.slices
        records = [glance.record for glance in glances]
        left_out = [(s.member.label, f.kind, f.reason) for s, f in self.looks if not f.slices]
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
            "orientations": _count(found.axes for _, found in self.looks if found.axes),
            "grey_percentiles": grey_percentiles(sum(f.counts for _, f in self.looks)),
            "same_pixels": find_equal(glances),
            "near_duplicates": find_near(glances),
            "outliers": find_odd(glances),
            "flat_slices": [name_of(g.record) for g in glances if g.contrast < FLAT],
            "empty_slices": sum(found.empty for _, found in self.looks),
            "skipped": [dict(zip(("source", "kind", "reason"), x, strict=True)) for x in left_out],
            "store_bytes": sum(found.n_bytes for _, found in self.looks),
        }


def _count(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def name_of(record: SliceRecord) -> str:
    """One slice, named for people."""
    return record.source if record.affine is None else f"{record.source}#{record.position}"


def spacing_text(record: SliceRecord) -> str:
    """The size of an original pixel in mm (rows x columns), where the slice has one."""
    if record.affine is None:
        return ""
    columns, rows = np.linalg.norm(np.array(record.affine)[:, :2], axis=0)
    return f"{rows * record.scale[0]:.2f} x {columns * record.scale[1]:.2f}"


def grey_percentiles(counts: Any) -> dict[str, int]:
    """The grey levels (0..255) below which 1, 50 and 99 per cent of the pixels lie."""
    total = np.cumsum(counts)
    if not np.any(total):
        return {}
    return {str(p): int(np.searchsorted(total, total[-1] * p / 100)) for p in (1, 50, 99)}


def find_equal(glances: Sequence[Glance]) -> list[list[str]]:
    """Groups of slices with the same pixels; pictures that show nothing do not count."""
    groups: dict[bytes, list[str]] = defaultdict(list)
    for glance in glances:
        if glance.contrast >= FLAT:
            groups[glance.digest].append(name_of(glance.record))
    return [names for names in groups.values() if len(names) > 1]


def find_near(glances: Sequence[Glance]) -> list[tuple[str, str]]:
    """Each slice that looks like an earlier one of another subject, with that one."""
    seen = [glance for glance in glances if glance.contrast >= FLAT]
    if not seen:
        return []
    subjects = np.unique([g.record.subject for g in seen], return_inverse=True)[1]
    digests = np.unique([g.digest.hex() for g in seen], return_inverse=True)[1]
    bits = np.unpackbits(np.frombuffer(b"".join(g.bits for g in seen), np.uint8)).reshape(-1, 64)
    signs = bits.astype(np.float32) * 2 - 1
    shades = np.stack([glance.shades for glance in seen])
    return [
        (name_of(seen[late].record), name_of(seen[early].record))
        for late, early in _near_pairs(signs, shades, subjects, digests)
    ]


def _near_pairs(
    signs: NDArray[np.float32],
    shades: NDArray[np.float32],
    subjects: NDArray[Any],
    digests: NDArray[Any],
) -> Iterator[tuple[int, int]]:
    """(later, earlier) of every slice that has an earlier one like it."""
    for start in range(0, len(signs), ROWS):
        stop = min(start + ROWS, len(signs))
        # The product of two rows of signs is 64 less twice the bits that differ.
        close = signs[start:stop] @ signs[:stop].T >= 64 - 2 * NEAR_BITS - 0.5
        close &= shades[start:stop] @ shades[:stop].T >= ALIKE
        close &= subjects[start:stop, None] != subjects[None, :stop]
        close &= digests[start:stop, None] != digests[None, :stop]
        close &= np.arange(stop)[None, :] < np.arange(start, stop)[:, None]
        for row in np.flatnonzero(close.any(axis=1)).tolist():
            yield start + row, int(close[row].argmax())


def find_odd(glances: Sequence[Glance]) -> list[dict[str, Any]]:
    """Slices whose brightness or contrast is far from that of all others."""
    found: list[dict[str, Any]] = []
    for name in ("mean", "contrast"):
        values = np.array([getattr(glance, name) for glance in glances])
        if not len(values) or not values.std() > 0:
            continue
        scores = (values - values.mean()) / values.std()
        for i in np.flatnonzero(np.abs(scores) > ODD_SIGMA).tolist():
            score = round(float(scores[i]), 1)
            found.append({"slice": name_of(glances[i].record), "what": name, "sigma": score})
    return found
