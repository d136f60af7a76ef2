"""Which slices are taken: shares of the tissue's extent, millimetres, every n-th."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from PIL import Image

from mri_gan.cli.main import cli
from mri_gan.errors import UsageError
from mri_gan.ingest.cut.slices import choose_cuts
from mri_gan.ingest.options import PrepareConfig, parse_range
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
FILLED = [False, False, *[True] * 11, False]  # tissue from 2 to 12


def chosen(positions_mm: list[float] | None = None, **choices: Any) -> list[int]:
    places = positions_mm or [float(i) for i in range(len(FILLED))]
    return choose_cuts(places, FILLED, PrepareConfig(**choices))


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, range(14)),
        ({"slices": "0:1"}, range(2, 13)),
        ({"slices": "0.2:0.8"}, range(4, 11)),
        ({"slices": ":0.5"}, range(8)),
        ({"slices": "0.5:"}, range(7, 14)),
        ({"slices": "0.5:0.5"}, [7]),
        ({"slices": "-20mm:30mm"}, [*range(14)]),
        ({"slices": "3mm:5.5mm"}, [3, 4, 5]),
        ({"slices": "11mm:"}, [11, 12, 13]),
        ({"slices": "100mm:200mm"}, []),
        ({"every": 5}, [0, 5, 10]),
        ({"slices": "0:1", "every": 4}, [2, 6, 10]),
    ],
)
def test_what_is_asked_for(choices: Any, expected: Any) -> None:
    assert chosen(**choices) == list(expected)


def test_millimetres_may_fall_along_the_stack() -> None:
    assert chosen([-float(i) for i in range(14)], slices="-5mm:-3mm") == [3, 4, 5]


def test_shares_of_nothing_are_nothing() -> None:
    assert choose_cuts([0.0, 1.0], [False, False], PrepareConfig(slices="0:1")) == []


@pytest.mark.parametrize(
    "text", ["", ":", "0.8:0.2", "0.2", "a:b", "1mm:0.5", "0.1:3mm", "mm:3mm", "1e:2", "0.2:0.8:1"]
)
def test_ranges_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--slices"):
        PrepareConfig(slices=text)


def test_all_is_no_range() -> None:
    assert parse_range("all") is None


# Volumes


def test_slices_of_a_volume_by_millimetres(tmp_path: Path, prepare: Prepare) -> None:
    """Through headers in any order and direction: the coordinates are the patient's."""
    for i, axes in enumerate(("RAS", "LPI", "SAL")):
        scan = tmp_path / f"{i}00.nii"
        scan.write_bytes(phantoms.nifti_bytes(phantoms.brain_volume(), axes, (1, 1, 2)))
        folder = prepare(tmp_path / f"s{i}", scan, slices="11mm:25mm", split=(100, 0, 0))
        with StoreReader(folder) as store:
            places = [record.position_mm for record in store.records]
        assert places == [11, 13, 15, 17, 19, 21, 23, 25]


def test_shares_and_steps_leave_the_middle_of_the_tissue(tmp_path: Path, prepare: Prepare) -> None:
    scan = tmp_path / "100.nii"
    scan.write_bytes(phantoms.nifti_bytes(phantoms.brain_volume()))
    with StoreReader(prepare(tmp_path / "all", scan)) as store:
        every = [record.position for record in store.records]
    with StoreReader(prepare(tmp_path / "some", scan, slices="0.25:0.75", every=3)) as store:
        some = [record.position for record in store.records]
        assert store.summary["empty_slices"] == 0
        assert store.summary["deselected_slices"] == 22 - len(some)
    first, last = every[0] + (every[-1] - every[0]) / 4, every[0] + (every[-1] - every[0]) * 3 / 4
    assert some == [p for p in every if first <= p <= last][::3]


def test_a_range_without_tissue_leaves_the_volume_out(tmp_path: Path, prepare: Prepare) -> None:
    for name in ("100", "101"):
        origin = np.diag([1.0, 1, 1, 1])
        origin[2, 3] = 500 if name == "101" else 0
        data = phantoms.nifti_bytes(phantoms.brain_volume(), affine=origin)
        (tmp_path / f"{name}.nii").write_bytes(data)
    folder = prepare(tmp_path / "s", tmp_path / "100.nii", tmp_path / "101.nii", slices="5mm:15mm")
    with StoreReader(folder) as store:
        assert {record.subject for record in store.records} == {"100"}
        assert store.summary["skipped"] == {"empty": 1}
        told = {name: store.summary[f"{name}_slices"] for name in ("empty", "deselected")}
        assert sum(told.values()) + len(store) == 2 * 22


# Image files


@pytest.mark.parametrize("name", ["slice_{}.png", "stack.tif"])
def test_what_is_not_asked_for_is_counted(tmp_path: Path, prepare: Prepare, name: str) -> None:
    """Alike for the image files of a stack and for the pages of one."""
    pages = [Image.fromarray(phantoms.slice_pixels(seed=n)) for n in range(11)]
    folder = tmp_path / "set" / "p1"
    folder.mkdir(parents=True)
    if "{}" in name:
        for n, page in enumerate(pages):
            page.save(folder / name.format(n))
    else:
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
    store = prepare(tmp_path / "s", tmp_path / "set", slices="0.2:0.8", every=2)
    with StoreReader(store) as opened:
        assert [record.position for record in opened.records] == [2, 4, 6, 8]
        assert opened.summary["deselected_slices"] == 7
    shown = CliRunner().invoke(cli, ["info", str(store)])
    assert re.search(r"slices not selected +│ 7", shown.stdout)


def positions(folder: Path, **choices: Any) -> list[tuple[str, int]]:
    plan = build_plan([folder], PrepareConfig(**choices))
    return [(s.naming.subject, s.naming.position) for s in plan.sources]


def test_image_files_are_chosen_by_their_numbers_in_each_stack(tmp_path: Path) -> None:
    names = [f"p1_{k:02d}.png" for k in range(11)] + [f"p2_{k}.png" for k in range(100, 105)]
    folder = phantoms.write_folder(tmp_path / "set", dict.fromkeys(names, b""))
    assert positions(folder, slices="0.2:0.5") == [
        *(("p1", k) for k in (2, 3, 4, 5)),
        *(("p2", k) for k in (101, 102)),
    ]
    assert positions(folder, every=4) == [
        *(("p1", k) for k in (0, 4, 8)),
        *(("p2", k) for k in (100, 104)),
    ]


def test_image_files_have_no_millimetres(tmp_path: Path) -> None:
    folder = phantoms.slices_folder(tmp_path / "set")
    with pytest.raises(UsageError, match=r"slice_0\.png: an image file has no millimetres"):
        positions(folder, slices="1mm:2mm")


def test_image_files_without_numbers_are_refused(tmp_path: Path) -> None:
    folder = phantoms.write_folder(tmp_path / "set", {"anna.png": b"", "b_1.png": b""})
    with pytest.raises(UsageError, match=r"anna\.png: has no slice number"):
        positions(folder, every=2)


# One field of view


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_one_field_of_view_gives_all_subjects_pixels_of_one_size(
    tmp_path: Path, prepare: Prepare, plane: str
) -> None:
    """The same ball in volumes of other sizes and spacings is the same circle."""
    for name, shape, spacing in (
        ("100", (60, 70, 50), (1.0, 1.0, 1.0)),
        ("101", (30, 40, 36), (1.5, 2.0, 1.5)),
        ("102", (120, 90, 110), (0.75, 0.75, 0.75)),
    ):
        ball = phantoms.ball_volume(shape, spacing, 15)
        (tmp_path / f"{name}.nii").write_bytes(phantoms.nifti_bytes(ball, "LPI", spacing))
    scans = [tmp_path / f"{name}.nii" for name in ("100", "101", "102")]
    with StoreReader(prepare(tmp_path / "s", *scans, plane=plane, fov=64.0)) as store:
        sizes = {(r.subject, r.pixel_mm) for r in store.records}
        assert sizes == {("100", 1.0), ("101", 1.0), ("102", 0.5)}
        for subject in ("100", "101", "102"):
            rows = [i for i, r in enumerate(store.records) if r.subject == subject]
            areas = (store.read(64, rows)[:, 0] > 127).sum(axis=(1, 2))
            assert areas.max() == pytest.approx(np.pi * 15**2, rel=0.05)
            middle = store.read(64, rows)[int(areas.argmax()), 0] > 127
            centre = np.argwhere(middle).mean(axis=0)
            np.testing.assert_allclose(centre, 31.5, atol=0.8)


def test_a_small_field_of_view_crops_and_the_affine_still_points_home(
    tmp_path: Path, prepare: Prepare
) -> None:
    volume = phantoms.brain_volume()
    scan = tmp_path / "100.nii"
    scan.write_bytes(phantoms.nifti_bytes(volume, "PSR"))
    with StoreReader(prepare(tmp_path / "s", scan, fov=16.0, window=(0, 100))) as store:
        assert all(min(record.padding) < 0 for record in store.records)
        x, y, z = phantoms.marker_index(volume.shape)
        row = next(i for i, r in enumerate(store.records) if r.position == z)
        record = store.records[row]
        image = store.read(record.native, [row])[0, 0]
        centre = np.argwhere(image > 240).mean(axis=0)
        place = np.array(record.affine) @ (centre[1], centre[0], 1)
        home = np.add(phantoms.ORIGIN_MM, (x, y, z))
        np.testing.assert_allclose(place, home, atol=0.7)


def test_image_files_have_no_field_of_view(tmp_path: Path) -> None:
    folder = phantoms.slices_folder(tmp_path / "set")
    with pytest.raises(UsageError, match=r"slice_0\.png: an image file has no millimetres"):
        positions(folder, fov=200.0)


@pytest.mark.parametrize("suffix", ["npy", "npz", "mat", "h5"])
@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"fov": 200.0}, "an array has no millimetres for --fov"),
        ({"slices": "1mm:2mm"}, "an array has no millimetres: give --slices in shares"),
        ({"plane": "coronal"}, "an array has no orientation for --plane"),
    ],
)
def test_arrays_have_no_millimetres_and_no_plane(
    tmp_path: Path, suffix: str, choices: dict[str, Any], reason: str
) -> None:
    pytest.importorskip("h5py")
    folder = phantoms.write_folder(tmp_path / "set", {f"p1.{suffix}": b"", "p2.nii": b""})
    with pytest.raises(UsageError, match=rf"p1\.{suffix}: {reason}"):
        positions(folder, **choices)


def test_a_field_of_view_and_cropping_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--fov"):
        PrepareConfig(fov=200.0, fit="crop")


def test_a_range_that_leaves_no_image_is_refused(tmp_path: Path) -> None:
    files = dict.fromkeys(("p1/a_1.png", "p1/a_9.png", "p2/a_1.png"), b"")
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    with pytest.raises(UsageError, match=r"--slices 0\.4:0\.6: leaves none of the 3 images"):
        build_plan([archive], PrepareConfig(slices="0.4:0.6"))
