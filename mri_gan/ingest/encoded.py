"""What one source gave: slices with their records, encoded at every level."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import LEVELS, PrepareConfig
from mri_gan.ingest.slices import Place
from mri_gan.ingest.sources import Source
from mri_gan.store.codec import encode, encode_upsampled
from mri_gan.store.pyramid import enlarge, levels_below
from mri_gan.store.schema import SliceRecord
from mri_gan.store.writer import EncodedSlice

MASK_CHANNEL = 1


def record_of(source: Source, placed: Place, shape: tuple[int, ...]) -> SliceRecord:
    """What is known of a slice [H, W] from its source's name and its place in the level."""
    naming = source.naming
    return SliceRecord(
        source=source.name,
        subject=naming.subject,
        session=naming.session,
        split=naming.split,
        side=naming.side,
        plane=naming.plane,
        position=naming.position,
        native=placed.level,
        shape=(shape[0], shape[1]),
        scale=(round(placed.scale[0], 6), round(placed.scale[1], 6)),
        padding=placed.padding,
        labels=source.labels,
    )


def encode_slice(
    record: SliceRecord,
    pixels: NDArray[Any],
    config: PrepareConfig,
    mask: NDArray[Any] | None = None,
) -> EncodedSlice:
    """All eight levels of one slice [S, S] and its mask; the checksum ties the record to them."""
    image = np.ascontiguousarray(pixels[None] if mask is None else np.stack((pixels, mask)))
    labels = () if mask is None else (MASK_CHANNEL,)
    record = replace(record, checksum=zlib.crc32(image.data))
    images = {level: encode(pixels) for level, pixels in levels_below(image, labels).items()}
    for level in LEVELS:
        if level > record.native:
            images[level] = (
                encode(enlarge(image, level, labels))
                if config.materialize
                else encode_upsampled(record.native)
            )
    return record.to_json(), images
