"""TIFFs: which grey is white, and pages one by one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import phantoms
import pytest
import tifffile

from mri_gan.errors import DataError
from mri_gan.ingest.read import image_files
from mri_gan.ingest.read.image_files import count_pages, read_image, read_shades, walk_directories

GREY = phantoms.slice_pixels(12, 16, seed=3)


def tiff_bytes(*pages: Any, **choices: Any) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=choices.pop("bigtiff", False)) as writer:
        for page in pages:
            writer.write(page, metadata=None, **{"photometric": "minisblack", **choices})
    return stream.getvalue()


@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("wide", [False, True])
def test_white_is_zero_is_turned_round(wide: bool, packed: str | None) -> None:
    pixels = GREY.astype(np.uint16) * 257 if wide else GREY
    data = tiff_bytes(pixels, photometric="miniswhite", compression=packed)
    np.testing.assert_array_equal(read_image(data), np.iinfo(pixels.dtype).max - pixels)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("packed", [None, "zlib"])
def test_pages_are_those_that_were_written(big: bool, packed: str | None) -> None:
    pages = [np.roll(GREY, k, axis=0) for k in range(9)]
    data = tiff_bytes(*pages, bigtiff=big, compression=packed)
    assert count_pages(data) == 9
    np.testing.assert_array_equal(read_shades(data)[0], pages)


def test_every_page_is_opened_as_the_only_one() -> None:
    data = tiff_bytes(*[GREY] * 5)
    for directory in walk_directories(data):
        alone = bytearray(data)
        for at, value in directory:
            alone[at : at + len(value)] = value
        assert len(tifffile.TiffFile(io.BytesIO(bytes(alone))).pages) == 1


def test_a_chain_that_bites_its_tail_ends() -> None:
    data = bytearray(tiff_bytes(GREY, GREY))
    first, second = (d[1][0] for d in walk_directories(bytes(data)))
    data[second : second + 4] = data[4:8]
    assert first != second
    assert len(list(walk_directories(bytes(data)))) == 2


def test_pages_that_are_too_many_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "MAX_STACK_PIXELS", 4 * GREY.size)
    assert len(read_shades(tiff_bytes(*[GREY] * 4))[0]) == 4
    with pytest.raises(DataError, match="5 pages of 12 x 16 pixels are too many"):
        read_shades(tiff_bytes(*[GREY] * 5))
