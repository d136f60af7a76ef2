"""Image files become grey pixels of their own depth; what is no image is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import phantoms
import pytest
from PIL import Image

from mri_gan.errors import DataError
from mri_gan.ingest.read.image_files import MAX_PIXELS, read_image, read_shades

GREY = phantoms.slice_pixels(40, 30, seed=1)
GREY_16 = (GREY.astype(np.uint16) << 8) + np.arange(1200, dtype=np.uint16).reshape(30, 40) % 251
COLOUR = np.stack([GREY, np.roll(GREY, 3), 255 - GREY], axis=-1)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_grey_pixels_come_back_exactly(format: str) -> None:
    pixels = read_image(phantoms.image_bytes(GREY, format=format))
    np.testing.assert_array_equal(pixels, GREY)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_kept_and_not_whitened(format: str) -> None:
    pixels = read_image(phantoms.image_bytes(GREY_16, format=format))
    np.testing.assert_array_equal(pixels, GREY_16)
    assert pixels.dtype == np.uint16


def test_colour_files_with_equal_channels_give_that_channel_exactly() -> None:
    np.testing.assert_array_equal(read_image(phantoms.png_bytes(GREY, "RGB")), GREY)


def test_coloured_files_give_their_luma() -> None:
    luma = COLOUR.astype(float) @ (0.299, 0.587, 0.114)
    pixels = read_image(phantoms.png_bytes(COLOUR))
    assert np.abs(pixels - luma).max() <= 0.51


@pytest.mark.parametrize(
    ("pixels", "format", "colour"),
    [
        (COLOUR, "PNG", True),
        (COLOUR, "JPEG", True),
        (COLOUR, "TIFF", True),
        (COLOUR, "BMP", True),
        (GREY, "JPEG", False),
        (np.stack([GREY] * 3, axis=-1), "PNG", False),
        (np.stack([GREY] * 3, axis=-1), "JPEG", False),
        (np.clip(GREY[..., None] + np.array([4, 0, -4]), 0, 255).astype(np.uint8), "JPEG", False),
    ],
)
def test_colour_is_told_from_grey_saved_as_colour(pixels: Any, format: str, colour: bool) -> None:
    data = phantoms.image_bytes(pixels, format=format)
    pages, in_colour = read_shades(data)
    np.testing.assert_array_equal(pages[0], read_image(data))
    assert in_colour == colour


def test_a_red_line_over_a_grey_picture_is_colour() -> None:
    lined = np.stack([GREY] * 3, axis=-1)
    lined[10, 5:15] = (200, 30, 30)
    assert read_shades(phantoms.png_bytes(lined))[1]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "RGB"])
def test_other_modes_of_a_grey_picture_give_the_same_pixels(mode: str) -> None:
    np.testing.assert_array_equal(read_image(phantoms.png_bytes(GREY, mode)), GREY)


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(GREY // 16)
    image.putpalette([255 - i * 10 for i in range(16) for _ in range(3)])
    expected = 255 - (GREY // 16) * 10
    np.testing.assert_array_equal(read_image(saved(image)), expected)


def test_one_bit_is_black_and_white() -> None:
    pixels = read_image(saved(Image.fromarray(GREY > 100)))
    np.testing.assert_array_equal(pixels, np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_are_read_within_their_loss(mode: str) -> None:
    pixels = read_image(phantoms.image_bytes(GREY, mode, "JPEG", quality=95))
    assert pixels.shape == GREY.shape
    assert np.abs(pixels.astype(int) - GREY).mean() < 6


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a)),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_the_orientation_tag_is_obeyed(format: str, orientation: int, upright: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = read_image(phantoms.image_bytes(GREY, format=format))
    turned = read_image(phantoms.image_bytes(GREY, format=format, exif=exif))
    np.testing.assert_array_equal(turned, upright(plain))


def test_whole_numbers_in_a_wide_file_are_sixteen_bits() -> None:
    wide = phantoms.image_bytes(GREY_16.astype(np.float32), format="TIFF")
    np.testing.assert_array_equal(read_image(wide), GREY_16)


@pytest.mark.parametrize("value", [-1.0, 70000.0, 0.5, np.nan, np.inf])
def test_wide_pixels_without_a_known_white_are_refused(value: float) -> None:
    values = GREY.astype(np.float32)
    values[3, 4] = value
    with pytest.raises(DataError, match="32-bit"):
        read_image(phantoms.image_bytes(values, format="TIFF"))


@pytest.mark.parametrize("data", [b"hello\n", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_files_that_are_no_image_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="unreadable image"):
        read_image(data)


def test_the_reason_is_one_line_without_memory_addresses() -> None:
    with pytest.raises(DataError) as caught:
        read_image(b"this is no picture")
    assert "not a PNG, JPEG, TIFF or BMP" in str(caught.value)
    assert "0x" not in str(caught.value)
    with pytest.raises(DataError, match="the file is empty"):
        read_image(b"")


@pytest.mark.parametrize("format", ["GIF", "EPS", "PPM"])
def test_formats_beyond_the_list_are_refused(format: str) -> None:
    """EPS would start another program."""
    with pytest.raises(DataError):
        read_image(phantoms.image_bytes(GREY, format=format))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(format: str, share: float) -> None:
    data = phantoms.image_bytes(GREY, format=format)
    with pytest.raises(DataError):
        read_image(phantoms.truncated(data, share))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    side = int(MAX_PIXELS**0.5)
    data = phantoms.image_bytes(np.zeros((side + 1, side), bool))
    with pytest.raises(DataError, match="too many"):
        read_image(data)


def test_every_flipped_bit_of_a_png_is_found_or_harmless() -> None:
    data = phantoms.png_bytes(GREY)
    silent = []
    for bit in range(8 * len(data) // 2, 8 * len(data)):
        try:
            pixels = read_image(phantoms.flipped(data, bit))
        except DataError:
            continue
        if pixels.shape != GREY.shape or (pixels != GREY).any():
            silent.append(bit)
    assert silent == []


def saved(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
