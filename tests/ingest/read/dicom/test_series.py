"""DICOM series become volumes in place, and nothing in the store says whose they are."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from fuzz.against_dcm2niix import compare, shipped_sets

from mri_gan.cli.main import cli
from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.read.dicom.series import read_series
from mri_gan.ingest.read.volume import Volume
from mri_gan.ingest.source import natural_key
from mri_gan.store.reader import StoreReader

pytest.importorskip("pydicom")
BRAIN = np.floor(phantoms.brain_volume()).astype(np.float32)
SPACING_MM = (0.8, 1.0, 1.3)


def series(*arguments: Any, **choices: Any) -> Volume:
    return read_series(list(phantoms.dicom_files(BRAIN, *arguments, **choices).values()))


def plan_of(path: Path, files: phantoms.Files) -> Plan:
    return build_plan([phantoms.write_zip(path / "a.zip", files)], PrepareConfig())


@pytest.mark.parametrize("axes", ["LPS", "LPI", "PIR", "LIP", "AIL"])
def test_a_series_gives_the_canonical_voxels(axes: str) -> None:
    volume = series(axes, SPACING_MM)
    np.testing.assert_array_equal(volume.voxels, BRAIN)
    np.testing.assert_allclose(volume.spacing, SPACING_MM, rtol=1e-5)
    np.testing.assert_allclose(volume.affine[:3, 3], phantoms.ORIGIN_MM, atol=1e-4)


def test_an_oblique_series_keeps_its_angle() -> None:
    sine, cosine = 0.2, float(np.sqrt(0.96))
    files = phantoms.dicom_files(
        BRAIN[..., 10:11],
        ImageOrientationPatient=[cosine, sine, 0, -sine, cosine, 0],
    )
    volume = read_series(list(files.values()))
    assert volume.affine[0, 1] == pytest.approx(-sine, abs=1e-6)


def test_slope_and_intercept_are_applied() -> None:
    volume = series(RescaleSlope=2, RescaleIntercept=-5)
    np.testing.assert_allclose(volume.voxels, 2 * BRAIN - 5)


def test_inverted_grey_is_turned_back() -> None:
    volume = series(PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(volume.voxels, BRAIN.max() - BRAIN)


def test_series_are_told_apart_and_people_kept_together(tmp_path: Path) -> None:
    files = {
        f"{i}/{name}": data
        for i, (patient, uid) in enumerate([("a", "1.2.1"), ("a", "1.2.2"), ("b", "1.2.3")])
        for name, data in phantoms.dicom_files(BRAIN, patient=patient, uid=uid).items()
    }
    plan = plan_of(tmp_path, files)
    assert [1 + len(s.others) for s in plan.sources] == [BRAIN.shape[2]] * 3
    assert len({s.naming.subject for s in plan.sources}) == 2
    assert {s.naming.layout for s in plan.sources} == {"dicom"}


def test_nothing_that_identifies_reaches_the_store(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, phantoms.dicom_files(BRAIN))
    outcome = process(plan.sources[0], PrepareConfig())
    assert outcome.slices
    for record, _ in outcome.slices:
        for secret in (b"Doe", b"Jane", b"1.2.826", b"20200102"):
            assert secret not in record


def test_without_patient_id_the_series_is_the_subject(tmp_path: Path) -> None:
    files = phantoms.dicom_files(BRAIN, patient="", uid="1.2.1")
    other = phantoms.dicom_files(BRAIN, patient="", uid="1.2.2")
    plan = plan_of(tmp_path, files | {f"other/{name}": data for name, data in other.items()})
    assert len({s.naming.subject for s in plan.sources}) == 2


def test_multi_frame_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="multi-frame DICOM without frame positions"):
        plan_of(tmp_path, phantoms.dicom_files(BRAIN, NumberOfFrames=2))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("DICOM localizers", {"ImageType": "LOCALIZER"}),
        ("DICOM localizers", {"SeriesDescription": "3 plane scout"}),
        ("DICOM localizers", {"SeriesDescription": "AAHead_Scout_64ch-head-coil"}),
        ("DICOM localizers", {"SeriesDescription": "Survey_SHC"}),
        ("DICOM of another kind (RTDOSE)", {"Modality": "RTDOSE"}),
        ("DICOM of another kind (CT)", {"Modality": "CT"}),
        ("DICOM without a picture (SR)", {"Modality": "SR", "Rows": None, "Columns": None}),
        ("DICOM screenshots", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
        (
            "DICOM derived images (--also derived takes them)",
            {"ImageType": ["DERIVED", "SECONDARY"]},
        ),
        (
            "DICOM derived images (--also derived takes them)",
            {"ImageType": ["DERIVED", "PRIMARY", "MIP"]},
        ),
        ("DICOM phase images", {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}),
    ],
)
def test_what_is_no_mr_scan_is_counted_by_kind(
    tmp_path: Path, kind: str, fields: dict[str, Any]
) -> None:
    files = phantoms.dicom_files(BRAIN, **fields)
    files |= {"x/a_1.png": phantoms.png_bytes(phantoms.slice_pixels(8, 8))}
    plan = plan_of(tmp_path, files)
    assert plan.ignored_kinds == {kind: BRAIN.shape[2]}
    assert (len(plan.sources), plan.bad) == (1, ())


def test_also_takes_what_is_asked_for(tmp_path: Path) -> None:
    files = phantoms.dicom_files(BRAIN, Modality="CT")
    path = phantoms.write_zip(tmp_path / "a.zip", files)
    plan = build_plan([path], PrepareConfig(also=("other-modalities",)))
    assert [1 + len(s.others) for s in plan.sources] == [BRAIN.shape[2]]


@pytest.mark.parametrize(
    ("also", "kind", "fields"),
    [
        ("screenshots", "DICOM screenshots", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
        ("derived", "DICOM derived images", {"ImageType": ["DERIVED", "SECONDARY"]}),
        ("other-modalities", "DICOM of another kind", {"Modality": "CR"}),
    ],
)
def test_what_was_asked_for_is_not_damaged_for_having_no_position(
    tmp_path: Path, also: str, kind: str, fields: dict[str, Any]
) -> None:
    bare = phantoms.dicom_files(BRAIN, uid="1.2.3", ImagePositionPatient=None, **fields)
    files = {f"more/{name}": data for name, data in list(bare.items())[:2]}
    path = phantoms.write_zip(tmp_path / "a.zip", phantoms.dicom_files(BRAIN) | files)
    plan = build_plan([path], PrepareConfig(also=(also,)))
    assert (len(plan.sources), plan.bad) == (1, ())
    assert plan.ignored_kinds == {f"{kind} without a position": 2}
    assert plan.listed == BRAIN.shape[2] + 2


def test_slices_of_unknown_place_say_so(tmp_path: Path) -> None:
    files = phantoms.dicom_files(BRAIN, ImagePositionPatient=None)
    with pytest.raises(DataError, match="no ImagePositionPatient"):
        plan_of(tmp_path, files)


def test_a_missing_slice_is_noticed() -> None:
    files = list(phantoms.dicom_files(BRAIN).values())
    with pytest.raises(DataError, match="not evenly spaced; is a file missing"):
        read_series(files[:5] + files[6:])


def test_two_images_at_one_place_are_refused() -> None:
    files = list(phantoms.dicom_files(BRAIN).values())
    with pytest.raises(DataError, match="several images at one position"):
        read_series(files + files[:1])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    files = phantoms.dicom_files(BRAIN)
    name = next(iter(files))
    files[name] = phantoms.truncated(files[name], share)
    plan = plan_of(tmp_path, files)
    assert plan.bad or process(plan.sources[0], PrepareConfig()).kind == "damaged"


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    files = phantoms.dicom_files(BRAIN)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UsageError, match=r"pip install 'mrigan\[dicom\]'"):
        plan_of(tmp_path, files)


# Pixels and places


def test_a_table_of_values_stands_for_slope_and_intercept() -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.add_new(0x00283002, "US", [256, 0, 16])
    table.add_new(0x00283006, "US", [3 * i for i in range(256)])
    levels = np.clip(BRAIN, 0, 255)
    files = phantoms.dicom_files(levels, ModalityLUTSequence=[table])
    np.testing.assert_array_equal(read_series(list(files.values())).voxels, 3 * levels)


def test_padding_is_background() -> None:
    padded = BRAIN.copy()
    padded[:3] = 60_000
    element = b"\x28\0\x20\x01US\2\0" + (60_000).to_bytes(2, "little")
    pixels = b"\xe0\x7f\x10\0"  # before which the elements of the picture stand
    files = phantoms.dicom_files(padded).values()
    voxels = read_series([data.replace(pixels, element + pixels, 1) for data in files]).voxels
    np.testing.assert_array_equal(voxels[3:], BRAIN[3:])
    assert (voxels[:3] == BRAIN[3:].min()).all()


def test_signed_pixels_keep_their_sign() -> None:
    values = BRAIN - 20
    files = phantoms.dicom_files(
        values.astype(np.int16).view(np.uint16), PixelRepresentation=1, PatientID="a"
    )
    np.testing.assert_array_equal(read_series(list(files.values())).voxels, values)


@pytest.mark.parametrize(
    ("field", "values", "reason"),
    [
        ("PixelSpacing", [1.5, 1.5], "PixelSpacing differs"),
        ("PixelSpacing", None, "no PixelSpacing"),
        ("PixelSpacing", [-1, 1], "PixelSpacing is damaged"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "ImageOrientationPatient is damaged"),
    ],
)
def test_slices_that_do_not_fit_together_say_why(field: str, values: Any, reason: str) -> None:
    files = list(phantoms.dicom_files(BRAIN).values())
    odd = list(phantoms.dicom_files(BRAIN, **{field: values}).values())
    with pytest.raises(DataError, match=reason):
        read_series([*files[:5], odd[5], *files[6:]])


def test_a_tilted_gantry_is_named() -> None:
    import io

    import pydicom

    tilted = []
    for k, data in enumerate(phantoms.dicom_files(BRAIN).values()):
        header = pydicom.dcmread(io.BytesIO(data))
        x, y, z = header.ImagePositionPatient
        header.ImagePositionPatient = [x, float(y) + 0.3 * k, z]
        stream = io.BytesIO()
        header.save_as(stream)
        tilted.append(stream.getvalue())
    with pytest.raises(DataError, match=r"leans by 16\.7 degrees"):
        read_series(tilted)


@pytest.mark.parametrize(
    "name",
    ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"],
)
def test_packed_pixels_are_those_of_the_plain_file(name: str) -> None:
    from pydicom.data import get_testdata_file

    paths = (Path(str(get_testdata_file(n, download=False))) for n in ("MR_small.dcm", name))
    plain, packed = (read_series([path.read_bytes()]) for path in paths)
    np.testing.assert_array_equal(packed.voxels, plain.voxels)
    np.testing.assert_array_equal(packed.affine, plain.affine)


def test_a_slice_alone_reaches_to_where_the_next_would_be() -> None:
    files = phantoms.dicom_files(BRAIN[:, :, 10:11], SliceThickness=6, SpacingBetweenSlices=6.6)
    volume = read_series(list(files.values()))
    np.testing.assert_allclose(volume.spacing[2], 6.6, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="needs Debian's package dcm2niix")
def test_what_dcm2niix_reads_is_equal_here_or_has_a_reason(tell: Callable[[str], None]) -> None:
    sets = dict(shipped_sets())
    assert len(sets) > 20
    rows = {name: compare(files) for name, files in sets.items()}
    tell(f"{sum(r[0] for r in rows.values())} volumes, {sum(r[1] for r in rows.values())} equal")
    silent = {
        name for name, (theirs, equal, reasons) in rows.items() if theirs > equal and not reasons
    }
    assert all("overlay" in name.lower() for name in silent)  # dcm2niix writes those as volumes


def cut_short(files: phantoms.Files, nth: int, n_bytes: int) -> tuple[phantoms.Files, str]:
    """The files, one of them shorter by that many bytes, and which that is."""
    name = sorted(files)[nth]
    return files | {name: files[name][:-n_bytes]}, name


@pytest.mark.parametrize("nth", [0, 7, 21])
@pytest.mark.parametrize("places", ["bad", "bad good", "good bad", "bad good again"])
@pytest.mark.parametrize("ids", ["auto", "keep"])
def test_the_damaged_file_of_a_series_is_named_and_no_other(
    tmp_path: Path, nth: int, places: str, ids: str
) -> None:
    """Whole copies of the series are in other folders, which keep their slices."""
    good = phantoms.dicom_files(BRAIN)
    bad, name = cut_short(good, nth, 300)
    folders = [
        phantoms.write_folder(tmp_path / place, bad if place == "bad" else good)
        for place in places.split()
    ]
    words = ["prepare", *map(str, folders), "--out", str(tmp_path / "store"), "--workers", "0"]
    result = CliRunner().invoke(cli, [*words, "--ids", ids])
    assert result.exit_code == 1
    error = result.stderr.splitlines()[-1]
    told = f"{tmp_path / 'bad' / name}: unreadable DICOM file"
    if len(folders) == 1:
        assert f"the only source gave no slice ({told}" in error
        return
    assert error.startswith(f"mrigan: {told}")
    with StoreReader(tmp_path / "store") as store:
        assert store.summary["files"] == {
            "listed": len(folders) * len(good),
            "stored": (len(folders) - 1) * len(good),
            "left_out": len(good),
            "ignored": 0,
        }
        stored = {record.source for record in store.records}
        (skipped,) = store.skipped()
    assert skipped["source"] not in stored
    number = sorted(good, key=natural_key).index(name) + 1  # as listed
    assert skipped["reason"].startswith(f"file {number} of 22: unreadable DICOM file")
    assert len(stored) == (len(folders) - 1 if ids == "auto" else 1)


@pytest.mark.parametrize("order", [("bad", "good"), ("good", "bad")])
def test_the_files_of_the_series_that_was_lost_are_counted(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """The damaged copy of a series has fewer files than the whole one, by the same name."""
    good = phantoms.dicom_files(BRAIN)
    bad, name = cut_short(dict(list(good.items())[1:-1]), 7, 300)
    for place, files in (("bad", bad), ("good", good)):
        phantoms.write_folder(tmp_path / place, files)
    out, paths = tmp_path / "store", [str(tmp_path / place) for place in order]
    result = CliRunner().invoke(cli, ["prepare", *paths, "--out", str(out), "--workers", "0"])
    assert str(tmp_path / "bad" / name) in result.stderr
    with StoreReader(out) as store:
        files = store.summary["files"]
    assert (files["stored"], files["left_out"]) == (len(good), len(good) - 2)


def test_a_file_without_a_header_is_named_before_the_series_that_lacks_it(tmp_path: Path) -> None:
    good = phantoms.dicom_files(BRAIN)
    name = sorted(good)[7]
    short = good | {name: good[name][:200]}
    folders = [
        phantoms.write_folder(tmp_path / "whole", good),
        phantoms.write_folder(tmp_path / "short", short),
    ]
    words = ["--workers", "0", *map(str, folders)]
    result = CliRunner().invoke(cli, ["prepare", "--out", str(tmp_path / "s"), *words])
    error = result.stderr.splitlines()[-1]
    assert error.startswith(f"mrigan: {tmp_path / 'short' / name}: a slice without a size (cut")
    looked = CliRunner().invoke(cli, ["inspect", "--json", *words])
    assert f"short/{name}" in [label for label, _ in json.loads(looked.stdout)["unlisted"]]


@pytest.mark.parametrize("kind", ["png", "nii"])
def test_the_contrast_that_is_damaged_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "nii":
        head = phantoms.nifti_bytes(phantoms.head_volume(face=False), "LPS")
        whole, damaged = head, phantoms.truncated(head)
    else:
        whole = phantoms.png_bytes(phantoms.slice_pixels())
        damaged = phantoms.truncated(whole)
    files = {f"p{k}/{c}_1.{kind}": whole for k in range(3) for c in ("T1", "T2")}
    files[f"p1/T2_1.{kind}"] = damaged
    folder = phantoms.write_folder(tmp_path / "v", files)
    plan = build_plan([folder], PrepareConfig(channels=("t1", "t2")))
    reasons = [
        process(source, PrepareConfig(channels=("t1", "t2"))).reason for source in plan.sources
    ]
    assert [bool(reason) for reason in reasons] == [False, True, False]
    assert reasons[1].startswith(f"its t2 (T2_1.{kind}): ")
    hidden = build_plan([folder], PrepareConfig(channels=("t1", "t2"), ids="pseudonym"))
    told = [
        process(source, PrepareConfig(channels=("t1", "t2"))).reason for source in hidden.sources
    ]
    assert [reason.partition(": ")[0] for reason in told if reason] == ["its t2"]
