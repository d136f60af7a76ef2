"""What one source gave: slices with their records, encoded at every level."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import LEVELS
from mri_gan.files import crc32
from mri_gan.ingest.cut.slices import Place
from mri_gan.ingest.source import Source
from mri_gan.preparation import PrepareConfig
from mri_gan.store.pyramid import enlarge, levels_below
from mri_gan.store.schema import EncodedSlice, SliceRecord, encode, encode_upsampled

AT_ONCE = 16  # slices: numpy's calls cost more than the small levels themselves


def record_of(
    source: Source, placed: Place, shape: tuple[int, ...], notes: tuple[str, ...] | None = None
) -> SliceRecord:
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
        notes=notes,
    )


@dataclass(frozen=True)
class Drawn:
    """A slice [S, S] at its native level, with its mask, which remains to be encoded."""

    record: SliceRecord
    pixels: NDArray[Any]
    mask: NDArray[Any] | None = None
    others: tuple[NDArray[Any], ...] = ()  # the same slice in other contrasts


def encode_slices(drawn: Sequence[Drawn], config: PrepareConfig) -> list[EncodedSlice]:
    """All eight levels of slices, in order; those of one kind that follow each other at once."""
    encoded: list[EncodedSlice] = []
    for _, run in itertools.groupby(drawn, key=_kind):
        alike = list(run)
        for start in range(0, len(alike), AT_ONCE):
            some = alike[start : start + AT_ONCE]
            masks = [one.mask for one in some if one.mask is not None]
            encoded += encode_stack(
                [one.record for one in some],
                np.stack([[one.pixels, *one.others] for one in some]),
                config,
                np.stack(masks) if masks else None,
            )
    return encoded


def _kind(drawn: Drawn) -> tuple[object, ...]:
    return drawn.pixels.shape, drawn.pixels.dtype, drawn.mask is None, len(drawn.others)


def encode_stack(
    records: Sequence[SliceRecord],
    pixels: NDArray[Any],
    config: PrepareConfig,
    masks: NDArray[Any] | None = None,
) -> list[EncodedSlice]:
    """All eight levels of slices [N, C, S, S] and masks [N, S, S]; a checksum ties each record."""
    with_masks = pixels if masks is None else np.concatenate((pixels, masks[:, None]), axis=1)
    images = np.ascontiguousarray(with_masks)
    labels = () if masks is None else (pixels.shape[1],)  # behind the shades
    levels = levels_below(images, labels)
    encoded: list[EncodedSlice] = []
    for number, (record, image) in enumerate(zip(records, images, strict=True)):
        below = {level: encode(stack[number]) for level, stack in levels.items()}
        encoded.append(
            (record.to_json(checksum=crc32(image.data)), below | _above(image, labels, config))
        )
    return encoded


def _above(image: NDArray[Any], labels: Sequence[int], config: PrepareConfig) -> dict[int, bytes]:
    """The levels above that of an image [C, S, S]: computed on read, or written out."""
    native = int(image.shape[-1])
    above = [level for level in LEVELS if level > native]
    if config.materialize:
        return {level: encode(enlarge(image, level, labels)) for level in above}
    return dict.fromkeys(above, encode_upsampled(native))
