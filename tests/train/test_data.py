"""The order of the data is a pure function of (seed, nimg)."""

from pathlib import Path

import numpy as np
import pytest

from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.train.data import Batches, batch_indices, open_train_split

CONFIG = TrainConfig(max_size=16, phase=40, batch=6)


def test_every_slice_is_shown_once_per_epoch() -> None:
    indices = np.arange(100, 137)
    shown = batch_indices(indices, seed=0, nimg=0, n=3 * 37)
    for epoch in range(3):
        assert sorted(shown[epoch * 37 : (epoch + 1) * 37]) == list(indices)


def test_epochs_and_seeds_differ() -> None:
    indices = np.arange(50)
    orders = [batch_indices(indices, seed, nimg, 50) for seed, nimg in ((0, 0), (0, 50), (1, 0))]
    assert len({order.tobytes() for order in orders}) == 3


def test_batches_of_any_size_cut_the_same_sequence() -> None:
    indices = np.arange(23)
    whole = batch_indices(indices, 5, 0, 100)
    for size in (1, 7, 40):
        parts = [batch_indices(indices, 5, n, min(size, 100 - n)) for n in range(0, 100, size)]
        assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("ahead", [0, 1, 4])
@pytest.mark.parametrize("start", [0, 6, 42, 60])
def test_a_stop_and_the_number_read_ahead_leave_no_trace(
    store: Path, ahead: int, start: int
) -> None:
    def read(nimg: int, ahead: int) -> list[tuple[int, int, bytes]]:
        with Batches(store, CONFIG, nimg, ahead) as batches:
            return [(n, phase.resolution, images.tobytes()) for n, phase, images in batches]

    whole = read(0, 0)
    position = next(i for i, (n, _, _) in enumerate(whole) if n >= start)
    assert read(whole[position][0], ahead) == whole[position:]


def test_leaving_early_ends_the_thread(store: Path) -> None:
    with Batches(store, CONFIG, 0, ahead=2) as batches:
        next(iter(batches))
    assert batches._thread is not None
    assert not batches._thread.is_alive()


def test_only_training_slices_are_shown(store: Path) -> None:
    reader, indices = open_train_split(store, CONFIG)
    with reader:
        assert {reader.records[i].split for i in indices} == {"train"}
        assert 0 < len(indices) < len(reader)


def test_a_store_of_other_channels_is_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="channels"):
        open_train_split(store, TrainConfig(channels=3))
