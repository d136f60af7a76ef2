"""What about slices is told before they are used, one as one and several as several."""

from __future__ import annotations

from typing import Any

import pytest

from mri_gan.store.counts import say_oddities, tell_images
from mri_gan.store.schema import COLOUR, SliceRecord


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"turned": {"LAS": 1}}, "1 brain looks like LAS although the header says RAS"),
        ({"turned": {"LAS": 2000}}, "2,000 brains look like LAS although the header says RAS"),
        ({"acquired_otherwise": {"coronal": 1}}, "1 volume was acquired in coronal slices"),
        ({"resized": {"300": 2}}, "2 images were resampled from 300 px"),
        (
            {"image_window": [0, 900], "windowed": 24},
            "16-bit images hold a scanner's values (24 images): 0 becomes black and 900 white",
        ),
        ({"image_window": [0, 900]}, "16-bit images hold a scanner's values: 0 becomes"),
        ({"synthetic": 1}, "1 file is marked as drawn by a generative network"),
    ],
)
def test_counts_agree_with_their_nouns(facts: dict[str, object], said: str) -> None:
    assert next(iter(say_oddities(facts))).startswith(said)


@pytest.mark.parametrize(("layouts", "said"), [(["lgg"], True), (["brats"], False)])
def test_the_contrasts_in_the_colours_of_lgg_are_told(layouts: list[str], said: bool) -> None:
    text = "so three contrasts (T1, FLAIR, T1 after an agent) of LGG become one"
    (told,) = say_oddities({"colour": 3, "layouts": layouts})
    assert (text in told) == said


def image(name: str, shape: tuple[int, int], colour: bool = False, **said: Any) -> SliceRecord:
    notes = (COLOUR,) if colour else None
    return SliceRecord(name, "someone", "train", 64, shape=shape, notes=notes, **said)


@pytest.mark.parametrize(
    ("size", "colour", "usual", "found"),
    [
        ((576, 480), True, (72, 60), ["shot.jpg"]),
        ((30, 20), True, (72, 60), ["shot.jpg"]),
        ((80, 60), True, (72, 60), []),  # of nearly the same size
        ((576, 480), False, (72, 60), []),  # grey
    ],
)
def test_images_in_colour_of_another_size_are_named(
    size: tuple[int, int], colour: bool, usual: tuple[int, int], found: list[str]
) -> None:
    records = [image(f"{n}.png", usual) for n in range(9)] + [image("shot.jpg", size, colour)]
    told = tell_images(records)
    assert told.get("strangers", []) == found
    said = [text for text in say_oddities(told) if "shot.jpg" in text]
    assert len(said) == len(found)
    mixed = [image(f"{n}.png", (40 * n, 60)) for n in range(1, 10)] + records[-1:]
    assert "strangers" not in tell_images(mixed)  # of which no size is the usual one


def test_images_with_a_window_are_counted() -> None:
    records = [image("a.png", (9, 9), window=(0.0, 900.0)), image("b.png", (9, 9))]
    assert tell_images(records) == {"windowed": 1}
