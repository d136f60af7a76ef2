"""What a volume is as a whole: shape, spacing, scanner values, pictures of three planes, doubts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.ingest import intensity, slices
from mri_gan.ingest.archives import read_member
from mri_gan.ingest.gzips import GZIP_MAGIC
from mri_gan.ingest.orientation import Cube, header_doubts, make_cube, mirror_doubts
from mri_gan.ingest.reading import read_source_volume
from mri_gan.ingest.samples import percentiles, take_sample
from mri_gan.ingest.sources import Source
from mri_gan.ingest.volumes import Volume
from mri_gan.preparation import PLANES

NIFTI_HEADER = 348
PERCENTILES = (1, 50, 99)


@dataclass(frozen=True)
class Glimpse:
    """One volume, small enough to be kept."""

    shape: tuple[int, ...]  # of the RAS+ volume
    spacing_mm: tuple[float, ...]
    axes: str  # of the file's voxels, as in LAS; empty where it does not say
    values: tuple[float, ...]  # scanner values at PERCENTILES
    pictures: tuple[NDArray[np.uint8], ...]  # the middle slice of each plane, `side` px wide
    cube: Cube | None
    doubts: tuple[str, ...]  # about its orientation


def glimpse(source: Source, side: int) -> Glimpse:
    """Look at a volume that can be read; raises DataError for others."""
    volume = read_source_volume(source)
    sample = take_sample(volume.voxels)
    threshold = intensity.foreground_threshold(sample)
    window = intensity.percentile_window(sample, threshold, (0.5, 99.5))
    cube = make_cube(volume, threshold)
    header = _nifti_header(source)
    doubts = list(header_doubts(header)) if header else []
    doubts += [] if cube is None else mirror_doubts(cube)
    values = percentiles(sample, PERCENTILES)
    return Glimpse(
        shape=volume.voxels.shape,
        spacing_mm=tuple(round(float(mm), 2) for mm in volume.spacing),
        axes=_axes(header) if header else "",
        values=tuple(float(f"{value:.4g}") for value in values),
        pictures=tuple(_picture(volume, plane, window, side) for plane in PLANES),
        cube=cube,
        doubts=tuple(doubts),
    )


def _picture(
    volume: Volume, plane: str, window: tuple[float, float], side: int
) -> NDArray[np.uint8]:
    """The middle slice of a plane, padded to a square of `side` px."""
    count = slices.display_shape(volume, plane)[0]
    (cut,) = slices.cut(volume, plane, [count // 2])
    columns, rows = (float(np.linalg.norm(cut.affine[:, i])) for i in (0, 1))
    scaled = intensity.apply_window(cut.pixels, window)
    placed = slices.place(cut.pixels.shape, (rows, columns), "pad")
    shrink = side / placed.level
    height, width = (max(1, round(length * shrink)) for length in placed.size)
    small = slices.resize(scaled, height, width, (0.0, 1.0))
    picture = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    picture[top : top + height, left : left + width] = intensity.quantise(small, 8)
    return picture


def _nifti_header(source: Source) -> Any:
    """The header of a NIfTI-1 file; None for all else and for what cannot be read."""
    if not source.member.name.lower().endswith((".nii", ".nii.gz")):
        return None
    try:
        data = read_member(source.member)
        if data[:2] == GZIP_MAGIC:
            data = zlib.decompressobj(wbits=31).decompress(data, NIFTI_HEADER)
        return nib.Nifti1Header(data[:NIFTI_HEADER], check=False)
    except Exception:  # nibabel raises a dozen types for odd headers, which `process` explains
        return None


def _axes(header: Any) -> str:
    return "".join(code or "?" for code in nib.aff2axcodes(header.get_best_affine()))
