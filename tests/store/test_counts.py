"""What about slices is told before they are used, one as one and several as several."""

from __future__ import annotations

import pytest

from mri_gan.store.counts import say_oddities


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"turned": {"LAS": 1}}, "1 brain looks like LAS although the header says RAS"),
        ({"turned": {"LAS": 2000}}, "2,000 brains look like LAS although the header says RAS"),
        ({"acquired_otherwise": {"coronal": 1}}, "1 volume was acquired in coronal slices"),
        ({"resized": {"300": 2}}, "2 images were resampled from 300 px"),
        ({"synthetic": 1}, "1 file is marked as drawn by a generative network"),
    ],
)
def test_counts_agree_with_their_nouns(facts: dict[str, object], said: str) -> None:
    assert next(iter(say_oddities(facts))).startswith(said)
