"""The order of the data is a pure function of (seed, nimg)."""

from pathlib import Path

import numpy as np
import pytest

from mri_gan.config import TrainConfig
from mri_gan.train.data import Batches, TrainingData, batch_indices, draw_conditions

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
            return [(n, phase.resolution, images.tobytes()) for n, phase, images, _ in batches]

    whole = read(0, 0)
    position = next(i for i, (n, _, _) in enumerate(whole) if n >= start)
    assert read(whole[position][0], ahead) == whole[position:]


def test_leaving_early_ends_the_thread(store: Path) -> None:
    with Batches(store, CONFIG, 0, ahead=2) as batches:
        next(iter(batches))
    assert batches._thread is not None
    assert not batches._thread.is_alive()


def test_conditions_follow_their_slices_and_the_generators_follow_the_data() -> None:
    conditions = np.eye(5, dtype=np.float32)[[0, 1, 2, 3, 4, 4]]
    data = TrainingData(np.arange(6) + 100, conditions, "", 1)
    chosen = np.array([5, 0, 3])
    first = draw_conditions(data, 0, 24, 3, chosen)
    assert first.shape == (2, 3, 5)
    assert np.array_equal(first[0], conditions[chosen])
    assert np.array_equal(first, draw_conditions(data, 0, 24, 3, chosen))
    many = [draw_conditions(data, 0, nimg, 600, np.arange(600) % 6)[1] for nimg in (0, 600)]
    assert not np.array_equal(*many)
    assert np.concatenate(many).mean(0) == pytest.approx([1 / 6] * 4 + [1 / 3], abs=0.05)


def test_conditions_do_not_depend_on_reading_ahead_or_on_where_reading_begins(
    labelled: tuple[Path, TrainConfig],
) -> None:
    store, config = labelled

    def read(nimg: int, ahead: int) -> list[tuple[int, bytes]]:
        with Batches(store, config, nimg, ahead) as batches:
            return [(batch.nimg, batch.conditions.tobytes()) for batch in batches]

    whole = read(0, 0)
    assert len({vectors for _, vectors in whole}) > 1
    assert read(whole[5][0], 3) == whole[5:]
