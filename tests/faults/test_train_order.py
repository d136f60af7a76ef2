"""The order of training images after a stop is the order without one, whatever is read ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantoms
import pytest

from mri_gan.config import TrainConfig
from mri_gan.schedule import phase_at, total_images
from mri_gan.store.reader import StoreReader
from mri_gan.train.data import Batches

Prepare = Callable[..., Path]  # see tests/conftest.py

# Batches of 7 never end where an epoch does; levels change and fade in the middle of epochs.
CONFIG = TrainConfig(max_size=16, phase=200, batch=7, capacity=1 / 64, latent_dim=8)
STOPS, PREFETCHES = 50, (0, 1, 4)


@pytest.fixture(scope="module")
def many(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of some tens of slices for training, no two alike at 8 px."""
    folder = tmp_path_factory.mktemp("many")
    archive = phantoms.oasis_course_zip(
        folder / "many.zip", people={"train": 20, "validate": 1, "test": 1}, slices=4
    )
    return prepare(folder / "store", archive)


@pytest.fixture(scope="module")
def number_of(many: Path) -> dict[tuple[int, bytes], int]:
    """Which slice it is, by its pixels at a level."""
    with StoreReader(many) as store:
        indices = store.indices("train")
        found = {
            (level, image.tobytes()): int(index)
            for level in (8, 16)
            for index, image in zip(indices, store.read(level, indices), strict=True)
        }
    assert len(found) == 2 * len(indices) > 60
    return found


def shown(
    store: Path, names: dict[tuple[int, bytes], int], nimg: int, stop: int, ahead: int
) -> list[int]:
    """The slices that a trainer sees which begins at `nimg` and ends at the step past `stop`."""
    seen: list[int] = []
    with Batches(store, CONFIG, nimg, ahead) as batches:
        for start, phase, images, *_ in batches:
            assert start == nimg + len(seen)
            seen += [names[phase.resolution, image.tobytes()] for image in images]
            if start + len(images) > stop:
                break
    return seen


@pytest.fixture(scope="module")
def whole(many: Path, number_of: dict[tuple[int, bytes], int]) -> list[int]:
    return shown(many, number_of, 0, total_images(CONFIG), 0)


def test_every_image_comes_once_per_epoch(whole: list[int], number_of: dict[object, int]) -> None:
    size = len(number_of) // 2
    epochs = [Counter(whole[i : i + size]) for i in range(0, len(whole), size)]
    assert len(epochs) > 5
    assert all(set(epoch.values()) == {1} for epoch in epochs)
    assert all(len(epoch) == size for epoch in epochs[:-1])
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)  # and in another order


@pytest.mark.parametrize("ahead", PREFETCHES)
def test_fifty_stops_leave_no_trace_in_the_order(
    many: Path, number_of: dict[tuple[int, bytes], int], whole: list[int], ahead: int
) -> None:
    stops = np.random.default_rng(ahead).integers(0, total_images(CONFIG), STOPS)
    for stop in stops.tolist():
        before = shown(many, number_of, 0, stop, ahead)
        after = shown(many, number_of, len(before), total_images(CONFIG), ahead)
        assert before + after == whole, f"stopped at {stop}"
        assert after or stop >= len(whole) - phase_at(CONFIG, 0).batch
