"""What a volume is as a whole: shape, spacing, scanner values, pictures of three planes, doubts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.config import PrepareConfig
from mri_gan.ingest import intensity, slices
from mri_gan.ingest.cutting import Exposure
from mri_gan.ingest.orientation import Cube, header_doubts, make_cube, mirror_doubts
from mri_gan.ingest.samples import percentiles
from mri_gan.preparation import PLANES

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


def glimpse(seen: Exposure, config: PrepareConfig, side: int) -> Glimpse:
    """Look at a volume that was read; its pictures are as `prepare` would make them."""
    volume = seen.volume
    cube = make_cube(volume, seen.threshold)
    header = volume.header
    doubts = [] if header is None else list(header_doubts(header))
    doubts += [] if cube is None else mirror_doubts(cube)
    values = percentiles(seen.sample, PERCENTILES)
    return Glimpse(
        shape=volume.voxels.shape,
        spacing_mm=tuple(round(float(mm), 3) for mm in volume.spacing),
        axes="" if header is None else _axes(header),
        values=tuple(float(f"{value:.4g}") for value in values),
        pictures=tuple(_picture(seen, plane, config, side) for plane in PLANES),
        cube=cube,
        doubts=tuple(doubts),
    )


def _picture(seen: Exposure, plane: str, config: PrepareConfig, side: int) -> NDArray[np.uint8]:
    """The middle slice of a plane as a square of `side` px."""
    count = slices.display_shape(seen.volume, plane)[0]
    (cut,) = slices.cut(seen.volume, plane, [count // 2])
    columns, rows = (float(np.linalg.norm(cut.affine[:, i])) for i in (0, 1))
    limits = (0.0, 1.0)
    greys = seen.curve.apply(cut.pixels)
    fitted = slices.fit_square(greys, (rows, columns), config.fit, limits, config.fov, seen.ground)
    return intensity.quantise(slices.resize(fitted.pixels, side, side, limits), 8)


def _axes(header: Any) -> str:
    return "".join(code or "?" for code in nib.aff2axcodes(header.get_best_affine()))
