"""Files of synthetic images: exact pixels, and a mark that they are synthetic."""

import gzip
import io
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mri_gan.errors import UsageError
from mri_gan.pictures import Shows, png_bytes, to_stored
from mri_gan.synth.generate import nifti_bytes

RAMP = np.linspace(-1.1, 1.1, 12, dtype=np.float32).reshape(1, 3, 4)


@pytest.mark.parametrize(("depth", "white"), [(8, 255), (16, 65535)])
def test_black_and_white_are_the_ends_of_the_range(depth: int, white: int) -> None:
    pixels = to_stored(np.array([-2, -1, 0, 1, 2], np.float32), depth)
    assert pixels.tolist() == [0, 0, (white + 1) // 2, white, white]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_keeps_its_pixels_and_says_that_it_is_synthetic(depth: int) -> None:
    pixels = to_stored(RAMP, depth)
    with Image.open(io.BytesIO(png_bytes(pixels, {"seed": "7"}))) as image:
        assert image.info["Comment"] == Shows.SYNTHETIC.value
        assert image.info["seed"] == "7"
        assert np.array_equal(np.asarray(image), pixels[0])


def test_a_colour_png_has_its_channels_last() -> None:
    pixels = to_stored(np.concatenate([RAMP, 0 * RAMP, -RAMP]), 8)
    with Image.open(io.BytesIO(png_bytes(pixels, {}))) as image:
        assert np.array_equal(np.asarray(image), pixels.transpose(1, 2, 0))


@pytest.mark.parametrize("pixels", [np.zeros((2, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint16)])
def test_what_a_png_cannot_hold_is_refused(pixels: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="--format nifti"):
        png_bytes(pixels, {})


def test_a_nifti_has_the_pixel_size_and_says_that_it_is_synthetic() -> None:
    pixels = to_stored(RAMP, 16)
    read = nibabel.Nifti1Image.from_bytes(gzip.decompress(nifti_bytes(pixels, 0.9, {"seed": "7"})))
    assert read.header.get_zooms()[:2] == pytest.approx((0.9, 0.9))
    assert read.header["descrip"].item() == b"SYNTHETIC, no scan; mrigan seed 7"
    assert read.header["intent_name"].item() == b"SYNTHETIC"
    assert int(read.header["qform_code"]) == int(read.header["sform_code"]) == 0
    array = np.asarray(read.dataobj)
    assert array.shape == (4, 3, 1)
    assert np.array_equal(array[:, ::-1, 0].T, pixels[0])


def test_a_nifti_of_several_channels_says_what_each_holds() -> None:
    data = nifti_bytes(np.zeros((2, 4, 4), np.uint8), None, {"seed": "7"}, ("T1", "T2"))
    read = nibabel.Nifti1Image.from_bytes(gzip.decompress(data))
    said = read.header["descrip"].item()
    assert said == b"SYNTHETIC, no scan; mrigan seed 7; channels T1, T2"


def test_equal_images_are_equal_files() -> None:
    pixels = to_stored(RAMP, 8)
    assert nifti_bytes(pixels, None, {}) == nifti_bytes(pixels, None, {})
    assert png_bytes(pixels, {}) == png_bytes(pixels, {})


def test_equal_volumes_are_equal_files_and_say_where_millimetres_are_unknown() -> None:
    pixels = to_stored(RAMP, 8)
    data = nifti_bytes(pixels, None, {})
    assert data[4:8] == bytes(4)  # the time of packing: RFC 1952, section 2.3.1
    header: Any = nibabel.Nifti1Image.from_bytes(gzip.decompress(data)).header
    assert header.get_xyzt_units()[0] == "unknown"
    header = nibabel.Nifti1Image.from_bytes(gzip.decompress(nifti_bytes(pixels, 0.5, {}))).header
    assert header.get_xyzt_units()[0] == "mm"
