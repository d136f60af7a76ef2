"""Masks find their scans by name, keep their labels exactly, and never become images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray
from PIL import Image

from mri_gan.config import LEVELS
from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.cut.mask_labels import require_fit, spread
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.volume import Volume
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
BRAIN = phantoms.brain_volume()
TISSUES = np.digitize(BRAIN, (100, 400, 900))  # 0..3
T1 = phantoms.nifti_bytes(BRAIN, "LPS")
SEG = phantoms.nifti_bytes(TISSUES, "LPS", dtype="uint8")


def masks_of(folder: Path, files: phantoms.Files, **choices: Any) -> dict[str, str]:
    """The name of each scan's mask, or an empty string."""
    archive = phantoms.write_zip(folder / "a.zip", {f"top/{k}": v for k, v in files.items()})
    plan = build_plan([archive], PrepareConfig(masks=True, **choices))
    return {s.name: s.mask.name if s.mask else "" for s in plan.sources}


def both(store: StoreReader, level: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """All images and all masks at one level."""
    pair = store.read(level, range(len(store)))
    return pair[:, 0], pair[:, 1]


# Which mask belongs to which scan


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("p01/a_3.png", "p01/a_3_mask.png"),
        ("images/a_3.png", "masks/a_3.png"),
        ("imagesTr/x_7.png", "labelsTr/x_7.png"),
        ("img_12.png", "mask_12.png"),
        ("0042_T1.nii.gz", "0042_T1_seg.nii.gz"),
        ("1107_SS.nii.gz", "1107_tissues.nii.gz"),
        ("imagesTr/OASIS_0001_0000.nii.gz", "labelsTr/OASIS_0001_0000.nii.gz"),
        ("imagesTr/OASIS_0001_0000.nii.gz", "masksTr/labels/OASIS_0001_0000.nii.gz"),
        ("sub-01/anat/sub-01_run-1_T1w.nii", "sub-01/anat/sub-01_run-1_desc-brain_mask.nii"),
        ("rawdata/sub-01_ses-2_T1w.nii", "derivatives/seg/sub-01_ses-2_dseg.nii"),
        ("sub-01_run-1_T1w.nii", "sub-01_dseg.nii"),
        ("OASIS_OAS1_0001_MR1/aligned_norm.nii.gz", "OASIS_OAS1_0001_MR1/aligned_seg4.nii.gz"),
    ],
)
def test_a_mask_is_found_by_its_name(tmp_path: Path, scan: str, mask: str) -> None:
    (found,) = masks_of(tmp_path, {scan: b"1", mask: b"2"}).values()
    assert found
    assert mask.endswith(found)


def test_the_mask_of_another_slice_run_or_session_is_not_taken(tmp_path: Path) -> None:
    files = {
        "a_3.png": b"",
        "a_4_mask.png": b"",
        "sub-01_ses-1_run-1_T1w.nii": b"",
        "sub-01_ses-1_run-2_T1w.nii": b"",
        "sub-01_ses-1_run-2_mask.nii": b"",
        "sub-01_ses-2_T1w.nii": b"",
    }
    assert masks_of(tmp_path, files) == {
        "a_3.png": "",
        "sub-01_ses-1_run-1_T1w.nii": "",
        "sub-01_ses-1_run-2_T1w.nii": "sub-01_ses-1_run-2_mask.nii",
        "sub-01_ses-2_T1w.nii": "",
    }


def test_a_mask_that_names_no_scan_is_that_of_all_contrasts_and_not_of_repeats(
    tmp_path: Path,
) -> None:
    mask = "sub-01_mask.nii"
    contrasts = {"sub-01_T1w.nii": b"", "sub-01_T2w.nii": b""}
    found = masks_of(tmp_path, contrasts | {mask: b""}, contrast=("T1w", "T2w"))
    assert found == dict.fromkeys(contrasts, mask)
    repeats = {"sub-01_run-1_T1w.nii": b"", "sub-01_run-2_T1w.nii": b""}
    assert masks_of(tmp_path, repeats | {mask: b""}) == dict.fromkeys(repeats, "")


def test_the_mask_of_a_run_that_is_not_there_is_not_taken_for_another(tmp_path: Path) -> None:
    files = {"sub-01_run-1_T1w.nii": b"", "sub-01_run-2_mask.nii": b"", "sub-02_T1w.nii": b""}
    assert masks_of(tmp_path, files) == {"sub-01_run-1_T1w.nii": "", "sub-02_T1w.nii": ""}


@pytest.mark.parametrize(("apart_mm", "fits"), [(0.4, True), (0.6, False), (-0.6, False)])
def test_a_mask_may_be_half_a_millimetre_away(apart_mm: float, fits: bool) -> None:
    """As affines are rounded by other programs."""
    scan, moved = Volume(BRAIN, np.eye(4)), np.eye(4)
    moved[1, 3] = apart_mm
    with contextlib.nullcontext() if fits else pytest.raises(DataError, match=r"0\.6 mm away"):
        require_fit(scan, Volume(TISSUES, moved))


@pytest.mark.parametrize("seed", range(6))
def test_those_with_masks_are_shared_out_as_requested_whatever_the_seed(
    tmp_path: Path, seed: int
) -> None:
    names = [f"p{i}_1.png" for i in range(10)] + [f"p{i}_1_mask.png" for i in range(5)]
    archive = phantoms.write_zip(tmp_path / "a.zip", dict.fromkeys(names, b""))
    plan = build_plan([archive], PrepareConfig(masks=True, split=(80, 20, 0), seed=seed))
    given = sorted(s.naming.split for s in plan.sources if s.mask)
    assert given == ["train"] * 4 + ["validate"]


def test_a_mask_of_one_name_in_another_persons_folder_is_not_taken(tmp_path: Path) -> None:
    files = {"p1/1.png": b"", "p1/1_mask.png": b"", "p2/1.png": b"", "p3/1_mask.png": b""}
    assert masks_of(tmp_path, files) == {"p1/1.png": "p1/1_mask.png", "p2/1.png": ""}


def test_of_several_masks_the_first_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    folder = "OASIS_OAS1_0001_MR1"
    names = [f"{folder}/{kind}.nii.gz" for kind in ("norm", "seg35", "seg4", "aligned_seg4")]
    assert masks_of(tmp_path, dict.fromkeys(names, b"")) == {
        "norm.nii.gz": "seg4.nii.gz",
    }
    plan = build_plan([tmp_path / "a.zip"], PrepareConfig(masks=True))
    assert plan.masks == 2


def test_a_naming_of_ones_own_pairs_by_its_groups(tmp_path: Path) -> None:
    files = {"p1-3.png": b"", "p1-4.png": b"", "p1-3-outline.png": b""}
    naming = r"(?P<subject>p\d)-(?P<slice>\d)(?P<mask>-outline)?\.png"
    found = masks_of(tmp_path, files, naming=naming)
    assert found == {"p1-3.png": "p1-3-outline.png", "p1-4.png": ""}


# What is stored


def test_the_course_archives_pairs_become_two_channels(tmp_path: Path, prepare: Prepare) -> None:
    files = phantoms.oasis_course_files()
    archive = phantoms.write_zip(tmp_path / "oasis.zip", files)
    with StoreReader(prepare(tmp_path / "s", archive, masks=True)) as store:
        assert store.channel_names == ("image", "mask")
        assert store.header["learned"]["mask_labels"] == [0, 85, 170, 255]
        assert store.summary["masks"] == 0
        image, mask = both(store, 64)
    with StoreReader(prepare(tmp_path / "plain", archive)) as plain:
        assert plain.channel_names == ("image",)
        np.testing.assert_array_equal(image, plain.read(64, range(10))[:, 0])
    np.testing.assert_array_equal(mask, image // 64 * 85)


@pytest.mark.parametrize("materialize", [False, True])
def test_masks_keep_their_labels_at_every_level(
    tmp_path: Path, prepare: Prepare, materialize: bool
) -> None:
    archive = phantoms.oasis_course_zip(tmp_path / "oasis.zip", slices=1)
    folder = prepare(tmp_path / "s", archive, masks=True, materialize=materialize)
    with StoreReader(folder) as store:
        _, native = both(store, 64)
        for level in LEVELS:
            centres = [int((i + 0.5) * 64 / level) for i in range(level)]
            expected = native[:, centres][:, :, centres]
            np.testing.assert_array_equal(both(store, level)[1], expected)


def test_a_volumes_mask_is_cut_turned_and_enlarged_with_it(
    tmp_path: Path, prepare: Prepare
) -> None:
    """Another orientation in the file and thick slices change nothing."""
    spacing = (1.0, 1.0, 2.0)
    scan = phantoms.nifti_bytes(BRAIN, "ASL", spacing)
    mask = phantoms.nifti_bytes(TISSUES, "RPI", spacing, dtype="int16")
    folder = phantoms.write_folder(tmp_path / "v", {"01_t1.nii": scan, "01_t1_seg.nii": mask})
    choices = {"masks": True, "plane": "coronal", "window": (0.0, 100.0)}
    with StoreReader(prepare(tmp_path / "s", folder, **choices)) as store:
        assert store.header["learned"]["mask_labels"] == [0, 1, 2, 3]
        image, mask_pixels = both(store, store.max_native)
        assert set(np.unique(mask_pixels)) <= {0, 85, 170, 255}
        bright = image >= 250  # the marker
        assert bright.sum() > 10
        assert (mask_pixels[bright] == 255).mean() > 0.9
        assert {r.pixel_mm for r in store.records} == {44 / 64}


def test_analyze_tissue_maps_of_a_disc_come_with_the_scan_they_were_made_from(
    tmp_path: Path, prepare: Prepare
) -> None:
    disc = phantoms.write_tar(tmp_path / "disc1.tar.gz", phantoms.oasis_disc_files())
    with StoreReader(prepare(tmp_path / "s", disc, masks=True)) as store:
        assert store.summary["skipped"] == {"derivative": 12}
        assert {r.session for r in store.records} == {"1", "2"}
        assert set(np.unique(both(store, 32)[1])) == {0, 85, 170, 255}


def test_sixteen_bits_spread_labels_over_sixteen_bits(tmp_path: Path, prepare: Prepare) -> None:
    files = {"1_t1.nii": T1, "1_t1_seg.nii": SEG}
    folder = phantoms.write_folder(tmp_path / "v", files)
    with StoreReader(prepare(tmp_path / "s", folder, masks=True, depth=16)) as store:
        assert set(np.unique(both(store, 32)[1])) == {0, 21845, 43690, 65535}


def test_palette_and_one_bit_masks_hold_their_entries(tmp_path: Path, prepare: Prepare) -> None:
    labels = np.repeat([[0, 1, 2, 3]], 64, 0).repeat(16, 1).astype(np.uint8)
    files = {
        "a_1.png": phantoms.png_bytes(phantoms.slice_pixels()),
        "a_1_mask.png": _palette(labels),
    }
    folder = phantoms.write_folder(tmp_path / "v", files)
    with StoreReader(prepare(tmp_path / "s", folder, masks=True)) as store:
        np.testing.assert_array_equal(both(store, 64)[1][0], labels * 85)


def _palette(labels: NDArray[np.uint8]) -> bytes:
    image = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    image.putpalette([200, 10, 10, 0, 0, 0, 10, 200, 10, 10, 10, 200])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


# Slices without a mask, and masks that do not fit


def test_slices_without_a_mask_are_left_out_and_counted(tmp_path: Path, prepare: Prepare) -> None:
    files = phantoms.oasis_course_files(slices=2)
    del files["keras_png_slices_data/keras_png_slices_seg_train/seg_001_slice_1.nii.png"]
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    with StoreReader(prepare(tmp_path / "s", archive, masks=True)) as store:
        assert len(store) == 9
        assert store.summary["skipped"] == {"unmasked": 1}
        (entry,) = store.skipped()
        assert entry["source"].endswith("case_001_slice_1.nii.png")


@pytest.mark.parametrize(
    ("scan", "mask", "reason"),
    [
        ("1.nii", phantoms.nifti_bytes(TISSUES[1:], "LPS", dtype="uint8"), "19 x 26 x 22"),
        (
            "1.nii",
            phantoms.nifti_bytes(TISSUES, "LPS", (1, 1, 2), dtype="uint8"),
            "mm away",
        ),
        ("1.nii", phantoms.nifti_bytes(BRAIN, "LPS"), "not a mask"),
        ("1.nii", phantoms.nifti_bytes(TISSUES - 1, "LPS", dtype="int16"), "not a mask"),
        ("1.nii", b"nothing", "too short"),
        ("1.png", phantoms.png_bytes(phantoms.slice_pixels(32, 64)), "64 x 32"),
        ("1.png", b"nothing", "unreadable"),
        ("1.png", phantoms.image_bytes(phantoms.slice_pixels(), "", "JPEG"), "JPEG"),
    ],
)
def test_a_mask_that_does_not_fit_costs_its_scan_and_is_explained(
    tmp_path: Path, prepare: Prepare, scan: str, mask: bytes, reason: str
) -> None:
    suffix = scan[1:]
    good = T1 if suffix == ".nii" else phantoms.png_bytes(phantoms.slice_pixels())
    good_mask = SEG if suffix == ".nii" else phantoms.png_bytes(phantoms.slice_pixels() // 128)
    files = {f"01_t1{suffix}": good, f"01_t1_seg{suffix}": mask}
    files |= {f"02_t1{suffix}": good, f"02_t1_seg{suffix}": good_mask}
    folder = phantoms.write_folder(tmp_path / "v", files)
    with StoreReader(prepare(tmp_path / "s", folder, masks=True)) as store:
        assert {r.subject[:2] for r in store.records} == {"02"}
        (entry,) = store.skipped()
        assert (entry["kind"], reason in entry["reason"]) == ("damaged", True), entry


def test_no_mask_at_all_is_refused(tmp_path: Path, prepare: Prepare) -> None:
    folder = phantoms.slices_folder(tmp_path / "set")
    with pytest.raises(UsageError, match="no source has a mask"):
        prepare(tmp_path / "s", folder, masks=True)


def test_work_that_goes_on_takes_the_labels_from_the_store(
    tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not read all masks again."""
    from mri_gan.ingest.run import prepare as prepare_module
    from mri_gan.store.writer import StoreWriter

    archive = phantoms.oasis_course_zip(tmp_path / "oasis.zip")
    expected = StoreReader(prepare(tmp_path / "whole", archive, masks=True)).digest

    def out_of_power(*_: Any, **__: Any) -> None:
        raise DataError("power")

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "finish", out_of_power)
        with pytest.raises(DataError, match="power"):
            prepare(tmp_path / "s", archive, masks=True)
    monkeypatch.setattr(prepare_module, "learn", out_of_power)
    assert StoreReader(prepare(tmp_path / "s", archive, masks=True)).digest == expected


# Spreading


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ((0, 85, 170, 255), (0, 85, 170, 255)),
        ((0, 1), (0, 255)),
        ((0, 1, 2, 3), (0, 85, 170, 255)),
        ((0, 2, 41), (0, 128, 255)),
        ((0,), (0,)),
    ],
)
def test_labels_are_spread_evenly_in_their_order(
    known: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert tuple(spread(np.array(known), known, 8)) == expected


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(DataError, match="not there"):
        spread(np.array([0, 3]), (0, 1, 2), 8)


def test_people_without_masks_use_up_no_split(tmp_path: Path, prepare: Prepare) -> None:
    files: phantoms.Files = {f"{i}_t1.nii": T1 for i in range(100, 110)}
    files |= {f"{i}_t1_seg.nii": SEG for i in (103, 107)}
    folder = phantoms.write_folder(tmp_path / "v", files)
    with StoreReader(prepare(tmp_path / "s", folder, masks=True, split=(50, 50, 0))) as store:
        assert store.summary["split_subjects"] == {"train": 1, "validate": 1}
        assert store.summary["skipped"] == {"unmasked": 8}


def test_parts_of_a_plan_learn_from_the_whole(tmp_path: Path, prepare: Prepare) -> None:
    """So that the labels of all parts mean the same, and the merged store is the whole one."""
    from mri_gan.files import StopSignal
    from mri_gan.ingest.plan.plan import Shard, take_shard
    from mri_gan.ingest.run.prepare import write_store
    from mri_gan.store.merge import merge_stores

    files = phantoms.oasis_course_files()
    plain = next(name for name in files if "seg_001_slice_0" in name)
    files[plain] = phantoms.png_bytes(np.zeros((64, 64), np.uint8))
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    expected = StoreReader(prepare(tmp_path / "whole", archive, masks=True)).digest
    config = PrepareConfig(masks=True)
    parts = []
    for number in (1, 2, 3):
        plan = take_shard(build_plan([archive], config), Shard(number, 3))
        parts.append(tmp_path / f"part{number}")
        parts[-1].mkdir()
        write_store(plan, config, parts[-1], 0, StopSignal())
    merge_stores(parts, tmp_path / "merged", StopSignal())
    assert StoreReader(tmp_path / "merged").digest == expected


def test_progress_counts_what_is_read_beforehand(tmp_path: Path) -> None:
    from mri_gan.files import StopSignal
    from mri_gan.ingest.run.prepare import Tick, count_teachers, write_store

    config = PrepareConfig(masks=True)
    plan = build_plan([phantoms.oasis_course_zip(tmp_path / "a.zip")], config)
    (tmp_path / "s").mkdir()
    ticks: list[Tick] = []
    write_store(plan, config, tmp_path / "s", 0, StopSignal(), ticks.append)
    done = [tick.learned_from + tick.sources_done for tick in ticks]
    assert done == list(range(1, 21))
    assert count_teachers(plan.sources, config) == 10
