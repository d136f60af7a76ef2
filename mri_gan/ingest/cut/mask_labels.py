"""The labels of masks, which stay what they are on the way to grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.image_files import read_label_pages
from mri_gan.ingest.read.scan import read_source_volume
from mri_gan.ingest.source import Source
from mri_gan.store.schema import label_greys

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume

PLACE_MM = 0.5  # of difference between the affines of a scan and its mask


def read_mask_pages(mask: Source) -> list[NDArray[Any]]:
    """The labels [H, W] of each page of an image file; raises DataError where there are none."""
    return read_label_pages(read_member(mask.member))


def read_mask_volume(mask: Source) -> Volume:
    """The labels of a volume, whole numbers from 0; raises DataError where it holds others."""
    volume = read_source_volume(mask, labels=True)
    voxels = volume.voxels
    if (voxels != np.round(voxels)).any() or voxels.min() < 0:
        raise DataError("holds more than whole numbers from 0, so it is not a mask")
    return volume


def read_label_values(mask: Source) -> tuple[int, ...]:
    """The labels that occur in a mask, in order."""
    parts = [read_mask_volume(mask).voxels] if mask.is_volume else read_mask_pages(mask)
    return tuple(sorted({int(label) for part in parts for label in np.unique(part)}))


def require_fit(volume: Volume, other: Volume, name: str = "its mask") -> None:
    """Raise DataError unless a mask, or another contrast, shares the voxels of a scan."""
    if other.voxels.shape != volume.voxels.shape:
        shapes = (" x ".join(map(str, v.voxels.shape)) for v in (other, volume))
        raise DataError("{} is {} voxels, the scan {}".format(name, *shapes))
    corners = np.array([(0, 0, 0, 1), (*volume.voxels.shape, 1)]).T
    apart = np.abs((other.affine - volume.affine) @ corners).max()
    if apart > PLACE_MM:
        raise DataError(f"{name} is {apart:.1f} mm away from it")


def spread(labels: NDArray[Any], known: Sequence[int], depth: int) -> NDArray[Any]:
    """Labels to grey levels: the n-th of N known ones to n / (N - 1) of white.

    Raises DataError for labels that are not known.
    """
    places = np.searchsorted(known, labels)
    if (np.take(known, places, mode="clip") != labels).any():
        raise DataError("its mask holds labels that were not there when all masks were read")
    greys = np.array(label_greys(len(known), depth), np.uint8 if depth == 8 else np.uint16)
    return np.asarray(greys[places])
