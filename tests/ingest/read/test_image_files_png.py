"""The fast decoder of plain PNGs gives what Pillow gives, and leaves everything else to it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import phantoms
import pytest
from phantoms.raw_images import GREY_ALPHA, RGB, RGB_ALPHA, raw_png
from PIL import Image

from mri_gan.errors import DataError
from mri_gan.ingest.read import image_files
from mri_gan.ingest.read.image_files import read_plain_header, read_plain_png

GREY = phantoms.slice_pixels(40, 30, seed=1)
GREY_16 = GREY.astype(np.uint16) * 257 + np.arange(1200, dtype=np.uint16).reshape(30, 40) % 251
EQUAL = np.repeat(GREY[..., None], 3, axis=-1)
PLAIN = phantoms.png_bytes(GREY)
GAMMA = struct.pack(">I", 45455)
IHDR_END, IEND_BYTES = 33, 12


def filtered(pixels: np.ndarray[Any, Any], kind: int) -> bytes:
    """A PNG whose rows all use one of the five filters, as `zlib` and Pillow see it."""
    height, width = pixels.shape
    rows = np.zeros((height + 1, width + 1), np.int64)
    rows[1:, 1:] = pixels
    left, up, corner = rows[1:, :-1], rows[:-1, 1:], rows[:-1, :-1]
    near = left + up - corner
    far = [abs(near - side) for side in (left, up, corner)]
    paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, up)
    paeth = np.where((far[2] < far[0]) & (far[2] < far[1]), corner, paeth)
    guess = [0 * left, left, up, (left + up) // 2, paeth][kind]
    body = ((pixels - guess) % 256).astype(np.uint8)
    stream = np.concatenate([np.full((height, 1), kind, np.uint8), body], axis=1).tobytes()
    start = raw_png(pixels)[:IHDR_END]
    return start + chunk(b"IDAT", zlib.compress(stream)) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def by_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pixels, or the reason why there are none, without the fast decoder."""
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "DECODERS", None)
        return read(data)


def read(data: bytes) -> Any:
    try:
        return image_files.read_image(data)
    except DataError as error:
        return error.message


def test_the_decoder_is_there() -> None:
    assert image_files.DECODERS is not None


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_is_undone(kind: int) -> None:
    data = filtered(GREY, kind)
    np.testing.assert_array_equal(read_plain_png(data), GREY)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), GREY)


@pytest.mark.parametrize("pixels", [GREY, GREY_16, EQUAL], ids=["grey", "16 bits", "RGB"])
def test_plain_files_give_what_pillow_gives(
    pixels: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = phantoms.image_bytes(pixels)
    fast = read_plain_png(data)
    assert fast is not None
    slow = by_pillow(data, monkeypatch)
    np.testing.assert_array_equal(fast, slow)
    assert (fast.dtype, fast.shape) == (slow.dtype, slow.shape)


@pytest.mark.parametrize(
    "chunks",
    [[(b"gAMA", GAMMA)], [(b"pHYs", bytes(9))], [(b"sRGB", b"\0"), (b"tIME", bytes(7))]],
)
def test_chunks_that_change_no_grey_level_are_passed_over(
    chunks: list[tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = raw_png(GREY, before=chunks)
    np.testing.assert_array_equal(read_plain_png(data), by_pillow(data, monkeypatch))


@pytest.mark.parametrize(
    "data",
    [
        raw_png(GREY, interlaced=True),
        raw_png(GREY // 16, bits=4),
        raw_png(np.stack([GREY, GREY], -1), kind=GREY_ALPHA),
        raw_png(np.stack([GREY] * 4, -1), kind=RGB_ALPHA),
        raw_png(GREY, before=[(b"tRNS", b"\0\5")]),
        raw_png(GREY, before=[(b"eXIf", b"MM\0*\0\0\0\x08")]),
        raw_png(GREY, before=[(b"tEXt", b"Name\0Somebody")]),
        raw_png(GREY, before=[(b"gAMA", b"\0")]),
        raw_png(GREY, after=[(b"acTL", bytes(8))]),
        PLAIN + b"more",
        PLAIN[:-IEND_BYTES],
        phantoms.image_bytes(GREY, format="TIFF"),
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_pillow(data: bytes) -> None:
    assert read_plain_header(data) is None


def test_channels_that_differ_are_left_to_pillow() -> None:
    coloured = np.stack([GREY, GREY, GREY[::-1]], axis=-1)
    assert read_plain_png(raw_png(coloured, kind=RGB)) is None


def test_a_size_that_the_pixels_do_not_have_is_left_to_pillow() -> None:
    for size in ((40, 31), (41, 30), (2**31 - 1, 1), (0, 0)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
        assert read_plain_png(PLAIN[:8] + header + PLAIN[IHDR_END:]) is None


def test_a_panic_of_the_decoder_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # what Rust's panics are in Python
        pass

    class Panicking:
        def decode_image_png_u8(self, *_: object) -> None:
            raise PanicException

    monkeypatch.setattr(image_files, "DECODERS", Panicking())
    np.testing.assert_array_equal(image_files.read_image(PLAIN), GREY)


@pytest.mark.parametrize("data", [PLAIN, phantoms.image_bytes(GREY_16)], ids=["8", "16"])
def test_one_flipped_bit_or_a_cut_ends_as_with_pillow(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, outcomes = np.random.default_rng(0), set()
    damaged = [data[:end] for end in range(0, len(data), 97)]
    for at in rng.integers(0, 8 * len(data), 200).tolist():
        turned = bytearray(data)
        turned[at // 8] ^= 1 << at % 8
        damaged.append(bytes(turned))
    for one in damaged:
        fast, slow = read(one), by_pillow(one, monkeypatch)
        outcomes.add(type(slow))
        assert type(fast) is type(slow)
        np.testing.assert_array_equal(fast, slow)
    assert str in outcomes
