"""Random numbers are a function of what they are for."""

import numpy as np
import torch

from mri_gan.train.parallel import generator, key, permutation


def test_keys_are_the_same_everywhere() -> None:
    """Written down once: a change would break every run that is under way."""
    assert key(0, "epoch", 3) == 9113405148103508133
    assert permutation(5, 0, "epoch", 3).tolist() == [3, 0, 4, 2, 1]


def test_any_part_changes_the_numbers() -> None:
    keys = {key(*parts) for parts in [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1), (0, "a")]}
    assert len(keys) == 5


def test_a_generator_starts_anew_each_time() -> None:
    first, second = (torch.randn(4, generator=generator(1, "x")) for _ in range(2))
    assert torch.equal(first, second)


def test_a_permutation_holds_every_number_once() -> None:
    assert np.array_equal(np.sort(permutation(100, 1)), np.arange(100))
