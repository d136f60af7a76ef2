"""Pictures of other people's models: bit depths, colours, sizes, and folders that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mri_gan.errors import DataError, UsageError
from mri_gan.evaluate.images import images_in, list_images, read_look

RAMP = np.linspace(0, 255, 16 * 16).reshape(16, 16)


def write(folder: Path, name: str, size: int = 16, mode: str = "L") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    grey = np.resize(RAMP, (size, size))
    if mode == "I;16":
        Image.fromarray((grey * 257).astype(np.uint16)).save(folder / name)
    else:
        Image.fromarray(grey.astype(np.uint8)).convert(mode).save(folder / name)
    return folder / name


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "P"])
def test_grey_levels_survive_every_mode(tmp_path: Path, mode: str) -> None:
    write(tmp_path, "a.png", mode=mode)
    found, resizer = images_in(tmp_path, None, 10)
    assert (found.size, resizer, len(found)) == (16, "none", 1)
    assert np.abs(found.read(0, 1)[0] - RAMP / 255).max() < 1 / 255


def test_folders_below_are_read_and_the_limit_holds(tmp_path: Path) -> None:
    for name in "abcdef":
        write(tmp_path / name, "x.png")
    assert len(images_in(tmp_path, None, 4)[0]) == 4
    assert sorted(images_in(tmp_path, None, 10)[0].groups) == list(range(6))


def test_larger_images_are_averaged_down_on_request(tmp_path: Path) -> None:
    write(tmp_path, "a.png", size=48)
    found, resizer = images_in(tmp_path, 16, 10)
    assert resizer == "Pillow box from 48 px"
    grey = np.resize(RAMP, (48, 48)).astype(np.uint8)
    assert found.read(0, 1)[0, 2, 3] == pytest.approx(grey[6:9, 9:12].mean() / 255, abs=1e-5)


def test_an_empty_folder_or_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(DataError, match="holds no images"):
        images_in(tmp_path, None, 10)
    with pytest.raises(DataError, match="no such folder"):
        images_in(tmp_path / "none", None, 10)


def test_mixed_sizes_name_the_first_that_differs(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    write(tmp_path, "b.png", size=32)
    with pytest.raises(DataError, match=r"b\.png: is 32x32 px, but a\.png is 16x16"):
        images_in(tmp_path, None, 10)


def test_a_size_that_is_no_level_asks_for_one(tmp_path: Path) -> None:
    write(tmp_path, "a.png", size=48)
    with pytest.raises(UsageError, match="48 px, which is not a level"):
        images_in(tmp_path, None, 10)
    with pytest.raises(UsageError, match="give --size 48 or below"):
        images_in(tmp_path, 64, 10)


def test_a_picture_that_is_not_square_or_damaged_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match=r"wide\.png: is 16x8 px, not square"):
        images_in(tmp_path, None, 10)
    (tmp_path / "wide.png").write_bytes(b"\x89PNG but no more")
    with pytest.raises(DataError, match=r"wide\.png: cannot be read"):
        images_in(tmp_path, None, 10)


def test_masks_that_lie_beside_their_images_are_not_images(tmp_path: Path) -> None:
    write(tmp_path, "seed000000.png")
    write(tmp_path / "masks", "seed000000.png")
    write(tmp_path / "masks", "other.png")  # of no image: somebody's folder of that name
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)] == [
        "masks/other.png",
        "seed000000.png",
    ]


GENERATED = '{"generator_digest": "ab", "psi": %s, "noise": 1}'


@pytest.mark.parametrize(
    ("text", "look"),
    [
        (GENERATED % "0.5", {"psi": 0.5, "noise": 1.0}),
        (GENERATED % '"0.5"', {"noise": 1.0}),
        (GENERATED % "1e999", {"noise": 1.0}),
        ('{"psi": 0.5, "noise": 1}', {}),  # another program's
        ("[" * 100_000, {}),
        ("not JSON", {}),
        (None, {}),
    ],
)
def test_how_generated_pictures_were_drawn_is_in_their_manifest(
    tmp_path: Path, text: str | None, look: dict[str, float]
) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    assert read_look(tmp_path) == look
