"""A NIfTI file becomes RAS+ voxels, or an error; never other voxels than were stored."""

from __future__ import annotations

import gzip as gzip_module
import random
import struct
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.errors import DataError, LabelMapError, SeriesError
from mri_gan.ingest.read.volume import MAX_VOXELS, is_label_map, read_volume

SPACING_MM = (0.8, 1.0, 1.3)
BRAIN = phantoms.brain_volume().astype(np.float32)


def edited(data: bytes, offset: int, format: str, *values: Any) -> bytes:
    """The file with some header fields overwritten."""
    changed = bytearray(data)
    struct.pack_into(format, changed, offset, *values)
    return bytes(changed)


def world_mm(affine: NDArray[np.float64], index: Any) -> NDArray[np.float64]:
    return np.asarray(affine[:3] @ (*index, 1), np.float64)


# What comes out


@pytest.mark.parametrize("axes", phantoms.orientations())
def test_every_orientation_gives_the_same_canonical_voxels(axes: str) -> None:
    volume = read_volume(phantoms.nifti_bytes(BRAIN, axes, SPACING_MM))
    np.testing.assert_array_equal(volume.voxels, BRAIN)
    np.testing.assert_allclose(volume.spacing, SPACING_MM, rtol=1e-6)
    marker = phantoms.marker_index(BRAIN.shape)
    expected = np.add(phantoms.ORIGIN_MM, np.multiply(marker, SPACING_MM))
    np.testing.assert_allclose(world_mm(volume.affine, marker), expected, atol=1e-4)


def test_an_oblique_volume_keeps_its_voxels_and_its_place() -> None:
    angle = np.radians(12)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    volume = read_volume(phantoms.nifti_bytes(BRAIN, affine=turned))
    np.testing.assert_array_equal(volume.voxels, BRAIN)
    np.testing.assert_allclose(volume.affine, turned, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "uint16", "int32", "float64", ">f4"])
def test_plain_number_types_are_read(dtype: str) -> None:
    stored = np.floor(BRAIN / 5) if dtype == "uint8" else np.floor(BRAIN)
    volume = read_volume(phantoms.nifti_bytes(stored, dtype=dtype))
    np.testing.assert_array_equal(volume.voxels, stored)
    narrow = {"uint8": np.uint8, "int16": np.int16, ">i2": np.int16, "uint16": np.uint16}
    assert volume.voxels.dtype == narrow.get(dtype, np.float32)


def test_big_endian_files_are_read() -> None:
    image: Any = nib.Nifti1Image(BRAIN.astype(">f4"), np.eye(4), header=nib.Nifti1Header(None, ">"))
    data = image.to_bytes()
    assert data[:4] == b"\0\0\x01\x5c"
    np.testing.assert_array_equal(read_volume(data).voxels, BRAIN)


def test_nifti_2_is_read() -> None:
    image: Any = nib.Nifti2Image(BRAIN, np.eye(4))
    np.testing.assert_array_equal(read_volume(image.to_bytes()).voxels, BRAIN)


def test_gzip_changes_nothing() -> None:
    plain, packed = (read_volume(phantoms.nifti_bytes(BRAIN, gzip=g)) for g in (False, True))
    np.testing.assert_array_equal(plain.voxels, packed.voxels)


@pytest.mark.parametrize("packed", [False, True])
def test_long_header_extensions_are_passed_over(packed: bool) -> None:
    """As scanners' converters and AFNI write them, longer than the header itself."""
    image: Any = nib.Nifti1Image(BRAIN.astype(np.float32), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(4, b"x" * 200_000))
    data = image.to_bytes()
    read = read_volume(gzip_module.compress(data, 1) if packed else data)
    np.testing.assert_array_equal(read.voxels, BRAIN)


@pytest.mark.parametrize(("slope", "inter"), [(0.5, -7.0), (1.0, -7.0), (0.5, 0.0)])
def test_slope_and_intercept_are_applied(slope: float, inter: float) -> None:
    stored = np.floor(BRAIN)
    volume = read_volume(phantoms.nifti_bytes(stored, dtype="int16", slope=slope, inter=inter))
    np.testing.assert_allclose(volume.voxels, stored * slope + inter)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_trailing_axes_of_length_one_are_dropped(extra: tuple[int, ...]) -> None:
    data = phantoms.nifti_bytes(BRAIN.reshape(*BRAIN.shape, *extra), affine=np.eye(4))
    np.testing.assert_array_equal(read_volume(data).voxels, BRAIN)


def test_nan_and_infinities_become_the_smallest_value() -> None:
    holes = BRAIN.copy()
    holes[0, 0, :3] = np.nan, np.inf, -np.inf
    voxels = read_volume(phantoms.nifti_bytes(holes)).voxels
    smallest = holes[np.isfinite(holes)].min()
    np.testing.assert_array_equal(voxels[0, 0, :3], [smallest] * 3)
    np.testing.assert_array_equal(voxels[1:], BRAIN[1:])


# What is refused


@pytest.mark.parametrize("n", [2, 5])
def test_a_fourth_axis_is_refused(n: int) -> None:
    data = phantoms.nifti_bytes(np.stack([BRAIN] * n, axis=-1), affine=np.eye(4))
    with pytest.raises(SeriesError, match=f"{n} volumes in one file .* choose one with --volume"):
        read_volume(data)


@pytest.mark.parametrize("n", [0, 3])
def test_one_of_several_volumes_can_be_chosen(n: int) -> None:
    series = np.stack([BRAIN * (i + 1) for i in range(4)], axis=-1)
    image = nib.Nifti1Image.from_bytes(phantoms.nifti_bytes(series, affine=np.eye(4)))
    volume = read_volume(phantoms.nifti_bytes(series, affine=np.eye(4)), chosen=n)
    np.testing.assert_array_equal(volume.voxels, np.asarray(image.dataobj)[..., n])


@pytest.mark.parametrize("n", range(6))
def test_volumes_along_two_axes_are_counted_as_they_are_in_the_file(n: int) -> None:
    series = np.stack([BRAIN * (i + 1) for i in range(6)], axis=-1)
    data = phantoms.nifti_bytes(series.reshape(*BRAIN.shape, 2, 3, order="F"), affine=np.eye(4))
    np.testing.assert_array_equal(read_volume(data, chosen=n).voxels, series[..., n])


@pytest.mark.parametrize("scale", [1e31, 1e-36])
def test_values_beyond_any_scanner_are_refused(scale: float) -> None:
    largest = (BRAIN / BRAIN.max() * scale).astype(np.float32)
    with pytest.raises(DataError, match="its scale is damaged"):
        read_volume(phantoms.nifti_bytes(largest))


def test_a_volume_beyond_the_last_is_one_line() -> None:
    two = phantoms.nifti_bytes(np.stack([BRAIN, BRAIN], -1), affine=np.eye(4))
    with pytest.raises(DataError, match=r"has no volume 2 \(of 2, counted from 0\)"):
        read_volume(two, chosen=2)


def test_the_only_volume_of_a_file_is_taken_beside_others_of_which_one_is_chosen() -> None:
    data = phantoms.nifti_bytes(BRAIN, affine=np.eye(4))
    np.testing.assert_array_equal(read_volume(data, chosen=3).voxels, read_volume(data).voxels)


def test_a_picture_is_a_volume_of_one_slice() -> None:
    volume = read_volume(phantoms.nifti_bytes(BRAIN[..., 9], affine=np.eye(4)))
    np.testing.assert_array_equal(volume.voxels[..., 0], BRAIN[..., 9])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_voxels_are_refused_and_not_halved(dtype: str) -> None:
    with pytest.raises(DataError, match="not a plain number"):
        read_volume(phantoms.nifti_bytes(BRAIN, dtype=dtype))


def test_colour_voxels_are_refused() -> None:
    colours = np.zeros(BRAIN.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    image: Any = nib.Nifti1Image(colours, np.eye(4))
    with pytest.raises(DataError, match="not a plain number"):
        read_volume(image.to_bytes())


def test_nothing_but_nan_is_refused() -> None:
    with pytest.raises(DataError, match="no finite voxel"):
        read_volume(phantoms.nifti_bytes(np.full_like(BRAIN, np.nan)))


@pytest.mark.parametrize("gzip", [False, True])
def test_huge_dimensions_are_refused_before_memory_is_asked_for(gzip: bool) -> None:
    huge = edited(phantoms.nifti_bytes(BRAIN), 40, "<4h", 3, 32767, 32767, 32767)
    with pytest.raises(DataError, match=f"more than {MAX_VOXELS}"):
        read_volume(gzip_module.compress(huge) if gzip else huge)


@pytest.mark.parametrize("dim", [(3, 0, 5, 5), (3, -3, 5, 5), (0, 5, 5, 5), (9, 5, 5, 5)])
def test_dimensions_that_make_no_sense_are_refused(dim: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        read_volume(edited(phantoms.nifti_bytes(BRAIN), 40, "<4h", *dim))


@pytest.mark.parametrize("size", [0.0, 1e-5, 1e6, np.nan, np.inf])
def test_voxel_sizes_that_make_no_sense_are_refused(size: float) -> None:
    srow_x = 280
    data = edited(phantoms.nifti_bytes(BRAIN), srow_x, "<f", size)
    with pytest.raises(DataError):
        read_volume(data)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("gzip", [False, True])
def test_truncated_files_are_refused(share: float, gzip: bool) -> None:
    data = phantoms.nifti_bytes(BRAIN, gzip=gzip)
    with pytest.raises(DataError):
        read_volume(phantoms.truncated(data, share))


@pytest.mark.parametrize("data", [b"", b"hello", b"hello\n" * 1000, bytes(100_000)])
def test_files_that_are_no_nifti_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        read_volume(data)


def test_flipped_bits_of_a_gzipped_file_never_give_other_voxels() -> None:
    """Each is found, or sits in a byte that means nothing, such as the time in the header."""
    data = phantoms.nifti_bytes(BRAIN, gzip=True)
    found = 0
    for bit in random.Random(0).sample(range(8 * len(data)), 100):
        try:
            voxels = read_volume(phantoms.flipped(data, bit)).voxels
        except DataError:
            found += 1
            continue
        np.testing.assert_array_equal(voxels, BRAIN, err_msg=f"bit {bit}")
    assert found > 90


def test_flipped_bits_of_a_header_give_nothing_but_our_errors(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = phantoms.nifti_bytes(BRAIN)
    refused = 0
    for bit in range(0, 8 * 352, 3):
        try:
            voxels = read_volume(phantoms.flipped(data, bit)).voxels
        except (DataError, LabelMapError):
            refused += 1
            continue
        assert np.isfinite(voxels).all()
    assert refused > 20
    assert capfd.readouterr() == ("", "")


# Label maps


def test_a_label_map_is_told_from_a_scan() -> None:
    labels = np.digitize(BRAIN, [100, 400, 900]).astype(np.int16)
    with pytest.raises(LabelMapError):
        read_volume(phantoms.nifti_bytes(labels, dtype="int16"))


def test_few_whole_numbers_are_labels() -> None:
    assert is_label_map(np.arange(5000, dtype=np.float32) % 36)


def test_many_whole_numbers_are_a_scan() -> None:
    assert not is_label_map(np.arange(5000, dtype=np.float32) % 200)


def test_a_single_fraction_makes_it_a_scan() -> None:
    voxels = np.zeros(5000, np.float32)
    voxels[1234] = 0.5
    assert not is_label_map(voxels)


def test_a_packed_volume_unpacks_no_further_than_its_header_says() -> None:
    data = phantoms.nifti_bytes(phantoms.brain_volume((12, 14, 10)))
    read_volume(gzip_module.compress(data + bytes(1000)))  # padding is nothing to worry about
    with pytest.raises(DataError, match="more data than its header announces"):
        read_volume(gzip_module.compress(data + bytes(2 << 20)))


@pytest.mark.parametrize(("offset", "value"), [(0, bytes(4)), (0, b"\xff\xff\xff\x7f")])
def test_a_header_that_does_not_begin_as_one_is_refused(offset: int, value: bytes) -> None:
    data = bytearray(phantoms.nifti_bytes(phantoms.brain_volume((12, 14, 10))))
    data[offset : offset + len(value)] = value
    with pytest.raises(DataError, match="header"):
        read_volume(bytes(data))
