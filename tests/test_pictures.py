"""Arrays become grey pictures and contact sheets without losing what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.pictures import GAP, build_sheet, save_png, to_grey


def numbered(count: int, size: int = 8) -> NDArray[np.uint8]:
    """Pictures that are constant 1, 2, 3 ..."""
    return (
        np.ones((count, size, size), np.uint8)
        * np.arange(1, count + 1, dtype=np.uint8)[:, None, None]
    )


def test_bytes_are_grey_already() -> None:
    images = numbered(2)
    assert to_grey(images) is images


def test_sixteen_bits_keep_their_upper_half() -> None:
    values = np.array([0, 255, 256, 65535], np.uint16)
    np.testing.assert_array_equal(to_grey(values), [0, 0, 1, 255])


def test_floats_span_minus_one_to_one_and_are_clipped() -> None:
    values = np.array([-2, -1, 0, 1, 2], np.float32)
    np.testing.assert_array_equal(to_grey(values), [0, 0, 128, 255, 255])


def test_sheet_goes_row_by_row() -> None:
    sheet = np.asarray(build_sheet(numbered(5), columns=3))
    step = 8 + GAP
    corners = sheet[GAP::step, GAP::step]
    np.testing.assert_array_equal(corners, [[1, 2, 3], [4, 5, 0]])


def test_scale_repeats_pixels() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    sheet = np.asarray(build_sheet(image, columns=1, scale=2))
    np.testing.assert_array_equal(sheet[GAP:-GAP, GAP:-GAP], image[0].repeat(2, 0).repeat(2, 1))


def test_three_channels_are_colours() -> None:
    colour = np.zeros((1, 3, 8, 8), np.uint8)
    colour[0, 1] = 200
    sheet = build_sheet(colour, columns=1)
    assert sheet.mode == "RGB"
    assert sheet.getpixel((GAP, GAP)) == (0, 200, 0)


def test_labels_are_written_below_and_leave_the_pictures_alone() -> None:
    images = numbered(2, 32)
    sheet = np.asarray(build_sheet(images, 2, ["one", "a label much too long"]))
    np.testing.assert_array_equal(sheet[GAP : GAP + 32, GAP : GAP + 32], images[0])
    assert sheet[GAP + 32 :].max() > 2  # ink


def test_saved_png_reads_back(tmp_path: Path) -> None:
    sheet = build_sheet(numbered(3), columns=2)
    save_png(tmp_path / "a.png", sheet)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(sheet))
