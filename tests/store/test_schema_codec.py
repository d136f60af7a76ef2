"""A record gives back its pixels exactly, or says that it is damaged."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.config import LEVELS
from mri_gan.store.schema import (
    LZ4,
    RAW,
    UPSAMPLED,
    BadRecordError,
    decode_pixels,
    encode,
    encode_upsampled,
    label_channels,
    seal,
    unseal,
    upsampled_from,
)


def random_image(channels: int, size: int, dtype: str) -> NDArray[Any]:
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(size + channels)
    return rng.integers(0, top, (channels, size, size), dtype, endpoint=True)


def decoded(record: bytes, image: NDArray[Any]) -> bytes:
    return bytes(decode_pixels(memoryview(record), image.nbytes))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [8, 64, 128, 256])
def test_random_images_come_back(size: int, channels: int, dtype: str) -> None:
    image = random_image(channels, size, dtype)
    assert decoded(encode(image), image) == image.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("size", [8, 128])
def test_constant_images_come_back(size: int, value: int, dtype: str) -> None:
    image = np.full((1, size, size), value, dtype)
    assert decoded(encode(image), image) == image.tobytes()


def test_images_that_are_views_come_back() -> None:
    image = random_image(1, 64, "uint8")[:, ::-1, ::-1]
    assert decoded(encode(image), image) == image.tobytes()


@pytest.mark.parametrize(("size", "codec"), [(8, RAW), (64, RAW), (128, LZ4), (1024, LZ4)])
def test_small_images_are_raw_and_large_ones_compressed(size: int, codec: int) -> None:
    assert encode(np.zeros((1, size, size), np.uint8))[0] == codec


@pytest.mark.parametrize(
    "image",
    [random_image(1, 8, "uint8"), random_image(3, 8, "uint16"), np.zeros((1, 128, 128), np.uint8)],
    ids=["raw", "raw16", "lz4"],
)
def test_every_flipped_bit_is_found_or_harmless(image: NDArray[Any]) -> None:
    record = encode(image)
    silent = []
    for bit in range(8 * len(record)):
        try:
            pixels = decoded(phantoms.flipped(record, bit), image)
        except BadRecordError:
            continue
        if pixels != image.tobytes():
            silent.append(bit)
    assert silent == []


@pytest.mark.parametrize("size", [8, 128])
def test_every_truncated_record_is_found(size: int) -> None:
    image = np.zeros((1, size, size), np.uint8)
    record = encode(image)
    for length in range(1, len(record)):
        with pytest.raises(BadRecordError):
            decoded(record[:length], image)


@pytest.mark.parametrize("size", [8, 128])
def test_an_image_of_another_size_is_found(size: int) -> None:
    record = encode(np.zeros((1, size, size), np.uint8))
    for wrong in (size * size - 1, size * size + 1, 2 * size * size):
        with pytest.raises(BadRecordError):
            decode_pixels(memoryview(record), wrong)


def test_an_unknown_codec_is_named() -> None:
    record = b"\x09" + zlib.crc32(bytes(64), 9).to_bytes(4, "little") + bytes(64)
    with pytest.raises(BadRecordError, match="unknown codec 9"):
        decode_pixels(memoryview(record), 64)


@pytest.mark.parametrize("level", LEVELS)
def test_a_pointer_gives_its_native_level(level: int) -> None:
    assert upsampled_from(memoryview(encode_upsampled(level))) == level


def test_pixels_are_no_pointer() -> None:
    assert upsampled_from(memoryview(encode(np.zeros((1, 8, 8), np.uint8)))) is None


def test_every_flipped_bit_of_a_pointer_is_found() -> None:
    record = encode_upsampled(256)
    for bit in range(8, 8 * len(record)):
        with pytest.raises(BadRecordError):
            upsampled_from(memoryview(phantoms.flipped(record, bit)))


@pytest.mark.parametrize("size", [8, 128])
def test_a_sealed_record_belongs_to_its_key(size: int) -> None:
    """So a damaged index page that leads to another slice's record is noticed."""
    image = random_image(1, size, "uint8")
    record = encode(image)
    sealed = memoryview(seal(record, b"\0\0\0\7"))
    assert bytes(decode_pixels(sealed, image.nbytes, b"\0\0\0\7")) == image.tobytes()
    assert unseal(sealed, b"\0\0\0\7") == record
    for other in (b"\0\0\0\6", b"\0\0\1\7", b""):
        with pytest.raises(BadRecordError, match="checksum"):
            decode_pixels(sealed, image.nbytes, other)


def test_a_pointer_is_no_pixels() -> None:
    assert encode_upsampled(256)[0] == UPSAMPLED
    with pytest.raises(BadRecordError, match="unknown codec"):
        decode_pixels(memoryview(encode_upsampled(256)), 64)


def test_only_channels_called_mask_hold_labels() -> None:
    assert label_channels(("image", "mask")) == (1,)
    assert label_channels(("t1", "t2", "masked")) == ()
