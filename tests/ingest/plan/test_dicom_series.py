"""DICOM as hospitals write it: which files are a series, and whose."""

from __future__ import annotations

import gzip
import io
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest

from mri_gan.errors import SeriesError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.read.scan import read_source_volume

pydicom = pytest.importorskip("pydicom")
BRAIN = np.floor(phantoms.brain_volume()).astype(np.float32)
Files = dict[str, bytes]


def plan_of(folder: Path, files: Files, **choices: Any) -> Plan:
    phantoms.write_folder(folder / "set", files)
    return build_plan([folder / "set"], PrepareConfig(**choices))


def changed(data: bytes, **fields: Any) -> bytes:
    """The file with some elements set anew, or (None) emptied."""
    header = pydicom.dcmread(io.BytesIO(data))
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wrong values are what is wanted
        for name, value in fields.items():
            setattr(header, name, value)
        header.save_as(stream)
    return stream.getvalue()


def every_other(files: Files, **fields: Any) -> Files:
    return {
        name: changed(data, **fields) if i % 2 else data
        for i, (name, data) in enumerate(files.items())
    }


def is_one_brain(plan: Plan) -> bool:
    assert plan.bad == ()
    assert len(plan.sources) == 1
    np.testing.assert_array_equal(read_source_volume(plan.sources[0]).voxels, BRAIN)
    return True


GOOD = phantoms.dicom_files(BRAIN, EchoTime=30)
FIRST = next(iter(GOOD))


@pytest.mark.parametrize("name", ["IM{}", "I{}.img", "1.2.840.{}", "{}.MR", "a.{}"])
def test_files_are_known_by_their_bytes(tmp_path: Path, name: str) -> None:
    files = {f"s/{name.format(i)}": data for i, data in enumerate(GOOD.values())}
    assert is_one_brain(plan_of(tmp_path, files))
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    assert is_one_brain(build_plan([archive], PrepareConfig()))
    for suffix in (".tar", ".tar.gz"):
        archive = phantoms.write_tar(tmp_path / f"a{suffix}", files)
        assert is_one_brain(build_plan([archive], PrepareConfig()))


def test_a_preamble_is_not_needed(tmp_path: Path) -> None:
    assert is_one_brain(plan_of(tmp_path, {name: data[132:] for name, data in GOOD.items()}))


@pytest.mark.parametrize(
    "noise",
    [
        {"EchoTime": 30.0000991},
        {"EchoTime": "30.00"},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"NumberOfFrames": None},
        {"ImageType": None},
    ],
    ids=str,
)
def test_noise_in_headers_does_not_split_a_series(tmp_path: Path, noise: dict[str, Any]) -> None:
    assert is_one_brain(plan_of(tmp_path, every_other(GOOD, **noise)))


def test_noise_in_the_direction_does_not_split_a_series(tmp_path: Path) -> None:
    turned = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0004]
    assert is_one_brain(plan_of(tmp_path, every_other(GOOD, ImageOrientationPatient=turned)))


def test_echoes_and_directions_are_series_of_their_own(tmp_path: Path) -> None:
    assert len(plan_of(tmp_path, every_other(GOOD, EchoTime=60)).sources) == 2


def test_copies_are_taken_once(tmp_path: Path) -> None:
    other_header = changed(GOOD[FIRST], PatientName="Copy^Of")
    plan = plan_of(tmp_path, GOOD | {"s/IM3 (1).dcm": GOOD[FIRST], "s/c.dcm": other_header})
    assert is_one_brain(plan)
    assert plan.ignored_kinds == {"copies of other DICOM files": 2}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "a mosaic"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "ImageOrientationPatient is damaged"),
    ],
    ids=str,
)
def test_what_cannot_be_read_says_why_and_the_rest_goes_on(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    files = GOOD | {"s/odd.dcm": changed(GOOD[FIRST], SOPInstanceUID="1.2.3", **fields)}
    plan = plan_of(tmp_path, files, ids="keep")
    assert [why.partition(" (")[0] for _, why in plan.bad] == [reason]
    assert len(plan.sources) == 1


@pytest.mark.parametrize("patient", ["Anonymous", "ANON12", "", "0000", "unknown", "removed"])
def test_where_everybody_is_called_the_same_the_folder_decides(
    tmp_path: Path, patient: str
) -> None:
    files = {
        f"{who}/mr/{name}": data
        for n, who in enumerate(["ann", "bob", "cid"])
        for name, data in phantoms.dicom_files(BRAIN, patient=patient, uid=f"1.2.{n}").items()
    }
    plan = plan_of(tmp_path, {name.replace("//", "/"): data for name, data in files.items()})
    assert len({source.naming.subject for source in plan.sources}) == 3


def test_naming_says_who_it_is(tmp_path: Path) -> None:
    files = {
        f"{who}/{n}/{name}": data
        for n, who in enumerate(["ann", "ann", "bob"])
        for name, data in phantoms.dicom_files(BRAIN, patient=str(n), uid=f"1.2.{n}").items()
    }
    plan = plan_of(tmp_path, files, naming="set/(?P<subject>[a-z]+)/", ids="keep")
    assert sorted(source.naming.subject for source in plan.sources) == ["ann", "ann", "bob"]


def test_deflated_files_are_read(tmp_path: Path) -> None:
    def deflate(data: bytes) -> bytes:
        header = pydicom.dcmread(io.BytesIO(data))
        header.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        stream = io.BytesIO()
        header.save_as(stream)
        return stream.getvalue()

    assert is_one_brain(plan_of(tmp_path, {name: deflate(data) for name, data in GOOD.items()}))


def test_media_directories_are_counted(tmp_path: Path) -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    plan = plan_of(tmp_path, GOOD | {"DICOMDIR": (folder / "DICOMDIR").read_bytes()})
    assert plan.ignored_kinds == {"DICOM directories": 1}
    assert is_one_brain(plan)


def test_identifiers_stay_off_the_terminal(tmp_path: Path, capfd: Any) -> None:
    files = {
        name: changed(data, FrameOfReferenceUID="1.2.0345.6789") for name, data in GOOD.items()
    }
    assert is_one_brain(plan_of(tmp_path, files))
    assert capfd.readouterr() == ("", "")


def two_at_each_place(**fields: Any) -> Files:
    """A series of two volumes at the same places, the second twice as bright."""
    first = phantoms.dicom_files(BRAIN, uid="1.2.3", SeriesInstanceUID="1.9", **fields)
    second = phantoms.dicom_files(2 * BRAIN, uid="1.2.4", SeriesInstanceUID="1.9")
    later = {f"late/{name}": changed(data, TriggerTime=500) for name, data in second.items()}
    return {name: changed(data, TriggerTime=20) for name, data in first.items()} | later


def test_volumes_of_one_series_are_told_apart_and_one_is_chosen(tmp_path: Path) -> None:
    files = two_at_each_place()
    plan = plan_of(tmp_path, files)
    with pytest.raises(SeriesError, match="2 volumes in one series, differing in TriggerTime"):
        read_source_volume(plan.sources[0])
    chosen = build_plan([tmp_path / "set"], PrepareConfig(volume=1)).sources[0]
    np.testing.assert_array_equal(read_source_volume(chosen).voxels, 2 * BRAIN)


@pytest.mark.parametrize(
    ("description", "contrast"),
    [
        ("t1_mprage_sag_p2", "t1"),
        ("AX T2 FLAIR", "flair"),
        ("t2_tirm_tra_dark-fluid", "flair"),
        ("AX T1 FS POST", "t1ce"),
        ("t1_mprage_sag KM", "t1ce"),
        ("t1 without contrast", "t1"),
        ("x", ""),
    ],
)
def test_the_description_of_a_series_names_its_contrast(
    tmp_path: Path, description: str, contrast: str
) -> None:
    files = phantoms.dicom_files(BRAIN, SeriesDescription=description)
    assert plan_of(tmp_path, files).sources[0].naming.contrast == contrast


@pytest.mark.parametrize(
    ("agent", "contrast"), [("Gadovist", "t1ce"), ("", "t1"), ("NONE", "t1"), (None, "t1")]
)
def test_the_header_says_whether_an_agent_was_given(
    tmp_path: Path, agent: str | None, contrast: str
) -> None:
    more: dict[str, Any] = {} if agent is None else {"ContrastBolusAgent": agent}
    files = phantoms.dicom_files(BRAIN, SeriesDescription="t1_mprage_sag", **more)
    assert plan_of(tmp_path, files).sources[0].naming.contrast == contrast


@pytest.mark.parametrize(
    ("patient", "conclusion"),
    [
        ("Doe", "1 person, from the DICOM headers"),
        ("Anonymous", "1 person, from the studies of DICOM files that name nobody"),
    ],
)
def test_the_conclusion_says_where_people_come_from(
    tmp_path: Path, patient: str, conclusion: str
) -> None:
    files = phantoms.dicom_files(BRAIN, patient=patient)
    assert plan_of(tmp_path, files).conclusion == conclusion


def test_series_of_one_study_are_one_person_whatever_folders_they_lie_in(tmp_path: Path) -> None:
    files: Files = {}
    for who in "ab":
        for number in "12":
            series = phantoms.dicom_files(
                BRAIN,
                patient="Anonymous",
                uid=f"1.2.{ord(who)}.{number}",
                StudyInstanceUID=f"1.3.{ord(who)}",
            )
            files |= {f"S{who}{number}/{Path(n).name}": data for n, data in series.items()}
    plan = plan_of(tmp_path, files)
    assert (len(plan.sources), len({s.naming.subject for s in plan.sources})) == (4, 2)


def real_mosaic() -> bytes:
    """A diffusion picture of a Siemens scanner, 48 slices in one, as nibabel ships it."""
    data = Path(nib.__file__).parent / "nicom" / "tests" / "data"
    return gzip.decompress((data / "siemens_dwi_1000.dcm.gz").read_bytes())


def without(data: bytes, *tags: int, **fields: Any) -> bytes:
    header = pydicom.dcmread(io.BytesIO(data))
    for tag in tags:
        if tag in header:
            del header[tag]
    stream = io.BytesIO()
    header.save_as(stream)
    return changed(stream.getvalue(), **fields)


PLAIN_TYPE = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        ((0x0019100A, 0x00291010), {}),
        ((0x00291010,), {"ImageType": PLAIN_TYPE}),
        ((0x0019100A,), {"ImageType": PLAIN_TYPE}),
    ],
    ids=["ImageType", "private element", "CSA header"],
)
def test_a_mosaic_is_known_by_any_of_its_marks(tmp_path: Path, tags: Any, fields: Any) -> None:
    files = GOOD | {"s/mosaic.dcm": without(real_mosaic(), *tags, **fields)}
    plan = plan_of(tmp_path, files, also=("derived",), ids="keep")
    assert [why.partition(" (")[0] for _, why in plan.bad] == ["a mosaic"]
    assert len(plan.sources) == 1
