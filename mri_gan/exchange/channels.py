"""Images and masks of a store apart, and the labels that a mask's greys stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import MASK, label_channels, label_greys

Pixels = NDArray[Any]


class Channels:
    """Which channels of a store are shades and which one, if any, is a mask."""

    def __init__(self, store: StoreReader) -> None:
        masks = label_channels(store.channel_names)
        self._mask = masks[0] if masks else None
        self._shades = [i for i in range(store.channels) if i not in masks]
        self._table = label_table(store) if masks else None

    def shades(self, image: Pixels) -> Pixels:
        """The channels [..., C, H, W] of an image that are no mask."""
        return image if self._mask is None else image[..., self._shades, :, :]

    def labels(self, image: Pixels) -> Pixels | None:
        """The mask [..., 1, H, W] as the labels of its source, or None where there is none."""
        if self._mask is None or self._table is None:
            return None
        return np.asarray(self._table[image[..., self._mask : self._mask + 1, :, :]])

    def split(self, image: Pixels) -> dict[str, Pixels]:
        """What one image [C, H, W] becomes: the picture under "", and its mask."""
        labels = self.labels(image)
        picture = {"": self.shades(image)}
        return picture if labels is None else picture | {MASK: labels}


def label_table(store: StoreReader) -> Pixels:
    """For every grey level of a mask, the label of the source; uint8 where that holds them all."""
    depth = int(store.header["depth"])
    top = (1 << depth) - 1
    known = store.header.get("learned", {}).get("mask_labels") or range(top + 1)
    table = np.zeros(top + 1, np.uint8 if max(known) < 256 else np.uint16)
    table[label_greys(len(known), depth)] = known
    return table
