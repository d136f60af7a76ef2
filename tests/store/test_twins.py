"""Equal slices in different splits are counted, those of one split or without content are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantoms
import pytest

from mri_gan.store import twins
from mri_gan.store.reader import StoreReader


def test_a_slice_counts_once_where_another_split_had_it_before() -> None:
    seen = [("a", "train"), ("a", "train"), ("a", "test"), ("b", "test"), ("a", "validate")]
    assert twins.count_across(seen) == 2
    assert twins.count_across([("a", "train"), ("b", "test")]) == 0


@pytest.mark.parametrize("depth", [8, 16])
def test_twins_of_a_store(
    tmp_path: Path, prepare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    """Two in one split and black pictures are none; what is read is what has a twin."""
    first, second = (phantoms.png_bytes(phantoms.slice_pixels(seed=seed)) for seed in (1, 2))
    black = phantoms.png_bytes(np.zeros((64, 64), np.uint8))
    train = {"p1/a_1.png": first, "p1/a_2.png": second, "p2/b_1.png": second, "p2/b_2.png": black}
    test = {"p3/c_1.png": first, "p3/c_2.png": black, "p4/d_1.png": first}
    files = {f"train/{name}": data for name, data in train.items()}
    files |= {f"test/{name}": data for name, data in test.items()}
    folder = prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "in", files), depth=depth)
    monkeypatch.setattr(twins, "CHUNK", 2)
    with StoreReader(folder) as store:
        assert twins.count_twins(store) == 1  # the one of train, which comes after those of test
        assert twins.find_same_people(store) == {("p3", "p4"): 1, ("p1", "p2"): 1}


def test_equal_checksums_of_other_pixels_are_no_twins(
    tmp_path: Path, prepare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRC-32 says little of a hundred thousand slices."""
    monkeypatch.setattr("mri_gan.ingest.cut.levels.crc32", lambda *_: 7)
    files = {
        f"{split}/p{seed}/a_1.png": phantoms.png_bytes(phantoms.slice_pixels(seed=seed))
        for seed, split in enumerate(("train", "test"))
    }
    folder = prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "in", files))
    with StoreReader(folder) as store:
        assert len({record.checksum for record in store.records}) == 1
        assert twins.count_twins(store) == 0
        assert not twins.find_same_people(store)
