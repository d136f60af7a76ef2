"""Odd but valid files are right within one grey level; what they must give is computed apart."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray
from phantoms.odd_images import OddImage, odd_images
from phantoms.odd_volumes import OddVolume, odd_volumes

from mri_gan.ingest.read.image_files import read_shades
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
IMAGES, VOLUMES = odd_images(), odd_volumes()


def name_of(case: OddImage | OddVolume) -> str:
    return case.name.replace(" ", "-")


def slices_of(folder: Path, prepare: Prepare, **choices: Any) -> NDArray[Any]:
    """All slices of what lies in a folder, at their native level, on the scale 0..255."""
    with StoreReader(prepare(folder.parent / "store", folder, ids="keep", **choices)) as store:
        pixels = store.read(store.max_native, range(len(store)))[:, 0]
        return pixels / (257 if pixels.dtype == np.uint16 else 1)


def test_there_are_at_least_sixty_cases_of_different_names() -> None:
    names = [case.name for case in IMAGES] + [case.name for case in VOLUMES]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("case", IMAGES, ids=name_of)
def test_an_odd_image(tmp_path: Path, prepare: Prepare, case: OddImage, depth: int) -> None:
    phantoms.write_folder(tmp_path / "set", {case.file: case.data})
    (found,) = slices_of(tmp_path / "set", prepare, depth=depth, intensity="keep")
    assert found.shape == case.greys.shape
    assert np.abs(found - case.greys).max() <= 1


@pytest.mark.parametrize("case", VOLUMES, ids=name_of)
def test_an_odd_volume(tmp_path: Path, prepare: Prepare, case: OddVolume) -> None:
    phantoms.write_folder(tmp_path / "set", case.files)
    found = slices_of(tmp_path / "set", prepare, intensity="minmax", min_foreground=0.0)
    low, high = case.voxels.min(), case.voxels.max()
    # Radiological: the patient's right is left, anterior is up; both run against the axes.
    shown = case.voxels[::-1, ::-1].transpose(2, 1, 0)
    expected = 255 * (shown - low) / (high - low)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


# Stacks of pages


def test_the_pages_of_a_tiff_are_slices_of_one_stack(tmp_path: Path, prepare: Prepare) -> None:
    stack = [phantoms.slice_pixels(32, 32, seed=k) for k in range(7)]
    data = phantoms.image_bytes(stack[0], "", "TIFF", **pages(stack[1:]))
    phantoms.write_folder(tmp_path / "set", {"p07.tif": data})
    np.testing.assert_array_equal(slices_of(tmp_path / "set", prepare), stack)
    with StoreReader(tmp_path / "store") as store:
        assert [record.position for record in store.records] == list(range(7))
        assert {record.subject for record in store.records} == {"p07"}


def test_slices_and_every_count_the_pages(tmp_path: Path, prepare: Prepare) -> None:
    stack = [phantoms.slice_pixels(32, 32, seed=k) for k in range(11)]
    data = phantoms.image_bytes(stack[0], "", "TIFF", **pages(stack[1:]))
    phantoms.write_folder(tmp_path / "set", {"p07.tif": data})
    found = slices_of(tmp_path / "set", prepare, slices="0.2:0.8", every=3)
    np.testing.assert_array_equal(found, [stack[2], stack[5], stack[8]])


def test_masks_of_several_pages_go_with_their_images(tmp_path: Path, prepare: Prepare) -> None:
    stack = [phantoms.slice_pixels(32, 32, seed=k) for k in range(3)]
    masks = [(page > 100).astype(np.uint8) for page in stack]
    files = {
        "a.tif": phantoms.image_bytes(stack[0], "", "TIFF", **pages(stack[1:])),
        "a_mask.tif": phantoms.image_bytes(masks[0], "", "TIFF", **pages(masks[1:])),
    }
    phantoms.write_folder(tmp_path / "set", files)
    with StoreReader(prepare(tmp_path / "s", tmp_path / "set", masks=True)) as store:
        both = store.read(32, range(3))
    np.testing.assert_array_equal(both[:, 0], stack)
    np.testing.assert_array_equal(both[:, 1], np.array(masks) * 255)


def test_reduced_copies_within_a_tiff_are_no_slices() -> None:
    from PIL import Image

    more = {"save_all": True, "append_images": [Image.new("L", (8, 8), 9)], "tiffinfo": {254: 0}}
    data = bytearray(phantoms.image_bytes(phantoms.slice_pixels(32, 32), "", "TIFF", **more))
    tag = struct.pack("<HHI", 254, 4, 1)  # the subfile type, as one long
    data[data.rindex(tag) + len(tag)] = 1  # of the second page: a reduced copy
    assert [page.shape for page in read_shades(bytes(data))[0]] == [(32, 32)]


def pages(more: list[NDArray[np.uint8]]) -> dict[str, Any]:
    from PIL import Image

    return {"save_all": True, "append_images": [Image.fromarray(page) for page in more]}
