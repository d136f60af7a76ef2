"""16-bit images of a scanner's values get one window for the set; dark sets are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms

from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]


def values(seed: int, top: int) -> Any:
    """A slice with scanner values 0..top."""
    pixels = phantoms.slice_pixels(32, 32, seed).astype(np.float64)
    return np.round(pixels * top / pixels.max()).astype(np.uint16)


def written(folder: Path, top: int) -> Path:
    files = {
        f"p{p}/slice_{k}.png": phantoms.png_bytes(values(10 * p + k, top))
        for p in range(10)
        for k in range(2)
    }
    return phantoms.write_folder(folder, files)


def test_values_of_a_scanner_fill_the_greys(tmp_path: Path, prepare: Prepare) -> None:
    with StoreReader(prepare(tmp_path / "s", written(tmp_path / "set", 1200))) as store:
        images = store.read(32, list(range(len(store))))
        assert len(np.unique(images)) > 150
        assert np.percentile(images, 99) > 200
        black, white = store.summary["image_window"]
        assert black < 50
        assert 900 < white <= 1200
        assert {record.window for record in store.records} == {(black, white)}
        # One window for all: equal values are equal greys.
        shade = (values(0, 1200).astype(np.float64) - black) / (white - black)
        place = [(r.subject, r.position) for r in store.records].index(("p0", 0))
        np.testing.assert_allclose(images[place, 0], np.clip(shade, 0, 1) * 255, atol=0.51)


def test_images_that_use_all_16_bits_and_intensity_keep_are_left_as_they_are(
    tmp_path: Path, prepare: Prepare
) -> None:
    full = written(tmp_path / "full", 65535)
    with StoreReader(prepare(tmp_path / "s", full)) as store:
        assert "image_window" not in store.summary
    dim = written(tmp_path / "dim", 1200)
    with StoreReader(prepare(tmp_path / "k", dim, intensity="keep")) as store:
        assert store.read(32, [0]).max() == round(1200 / 257)
        assert store.summary["darkness"] == [4]


def test_a_dark_8_bit_set_is_reported(tmp_path: Path, prepare: Prepare) -> None:
    slices = [phantoms.slice_pixels(32, 32, p) // 64 for p in range(4)]
    files = {f"p{p}_1.png": phantoms.png_bytes(pixels) for p, pixels in enumerate(slices)}
    with StoreReader(
        prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "d", files))
    ) as store:
        assert store.summary["darkness"] == [int(np.percentile(slices, 99))]
