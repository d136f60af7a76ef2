"""The pure function from one source to its encoded slices; runs in worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import PrepareConfig
from mri_gan.errors import DataError, LabelMapError, MriganError
from mri_gan.ingest import intensity, slices
from mri_gan.ingest.archives import read_member
from mri_gan.ingest.encoded import encode_slice, record_of
from mri_gan.ingest.images import read_image
from mri_gan.ingest.learning import Learned
from mri_gan.ingest.masks import read_mask_image, spread
from mri_gan.ingest.sources import Source
from mri_gan.ingest.tasks import Outcome
from mri_gan.store.writer import EncodedSlice

NOTHING_LEARNED = Learned()


def process(source: Source, config: PrepareConfig, learned: Learned = NOTHING_LEARNED) -> Outcome:
    """Read, cut, normalise, fit and encode one source; a bad source is an outcome, not an error."""
    if config.masks and source.mask is None:
        return Outcome(kind="unmasked", reason="no mask belongs to it")
    try:
        if source.is_volume:
            # It needs nibabel, and image files do not.
            from mri_gan.ingest.cutting import process_volume

            return process_volume(source, config, learned)
        member = source.member
        # A zip checks its members; a plain tar and a file system do not.
        pixels = read_image(read_member(member), verify=member.number is None or member.offset >= 0)
        return Outcome([_process_image(source, pixels, config, learned)])
    except LabelMapError as error:
        return Outcome(kind="mask", reason=str(error))
    except MriganError as error:
        reason = error.message.removeprefix(f"{source.member.label}: ")
        return Outcome(kind="damaged", reason=reason)
    except MemoryError:
        return Outcome(kind="damaged", reason="too large for this machine's memory")


def process_all(
    sources: Sequence[Source], config: PrepareConfig, learned: Learned = NOTHING_LEARNED
) -> list[Outcome]:
    """One chunk of sources in order."""
    return [process(source, config, learned) for source in sources]


def _process_image(
    source: Source, pixels: NDArray[Any], config: PrepareConfig, learned: Learned
) -> EncodedSlice:
    limits = (0.0, float(np.iinfo(pixels.dtype).max))
    fitted = slices.fit_square(pixels, (1.0, 1.0), config.fit, limits)
    grey = intensity.to_depth(fitted.pixels, config.depth)
    record = record_of(source, fitted.place, pixels.shape)
    if not config.masks or source.mask is None:
        return encode_slice(record, grey, config)
    labels = read_mask_image(source.mask)
    if labels.shape != pixels.shape:
        shapes = (" x ".join(map(str, shape)) for shape in (labels.shape, pixels.shape))
        raise DataError("its mask is {} pixels, the image {}".format(*shapes))
    labels = slices.fit_labels(labels, fitted.place)
    return encode_slice(record, grey, config, spread(labels, learned.mask_labels, config.depth))
