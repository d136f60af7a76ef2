"""Of headers only geometry and scale reach a store; the summary names what was left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
from phantoms.raw_images import raw_png, raw_tiff
from PIL import Image

from mri_gan.ingest.read.image_files import image_fields, png_chunks
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
BRAIN = phantoms.brain_volume()
GREY = phantoms.slice_pixels(32, 32)


def dropped(folder: Path, prepare: Prepare, files: phantoms.Files) -> dict[str, int]:
    phantoms.write_folder(folder / "set", files)
    with StoreReader(prepare(folder / "s", folder / "set")) as store:
        fields: dict[str, int] = store.summary["dropped_fields"]
    return fields


def talkative_nifti() -> bytes:
    image: Any = nib.Nifti1Image(BRAIN.astype(np.int16), np.eye(4))
    image.header["descrip"] = b"Jane Doe 1950"
    image.header["aux_file"] = b"doe.txt"
    image.header.extensions.append(nib.nifti1.Nifti1Extension(2, b"DICOM of Jane Doe"))
    data: bytes = image.to_bytes()
    return data


def test_fields_of_a_nifti_header_are_named_and_not_kept(tmp_path: Path, prepare: Prepare) -> None:
    files = {"1.nii": talkative_nifti(), "2.nii": phantoms.nifti_bytes(BRAIN)}
    found = dropped(tmp_path, prepare, files)
    assert found == {"aux_file": 1, "descrip": 1, "extensions": 1}
    content = (tmp_path / "s" / "data.mdb").read_bytes()
    assert b"Jane" not in content


def test_fields_of_an_analyze_header(tmp_path: Path, prepare: Prepare) -> None:
    header, voxels = phantoms.analyze_bytes(BRAIN)
    named = bytearray(header)
    named[148:156] = b"Jane Doe"  # descrip
    named[283:289] = b"S12345"  # patient_id
    found = dropped(tmp_path, prepare, {"1.hdr": bytes(named), "1.img": voxels})
    assert {"descrip", "patient_id"} <= set(found)


def test_tags_of_freesurfer(tmp_path: Path, prepare: Prepare) -> None:
    plain = phantoms.mgh_bytes(BRAIN)
    files = {"1.mgh": plain, "2.mgh": plain + bytes(20) + b"mri_convert /home/doe/jane.nii"}
    assert dropped(tmp_path, prepare, files) == {"tags": 1}


def test_fields_of_dicom(tmp_path: Path, prepare: Prepare) -> None:
    found = dropped(tmp_path, prepare, phantoms.dicom_files(BRAIN))
    assert {"PatientName", "PatientID", "StudyDate", "SeriesInstanceUID"} <= set(found)
    assert set(found).isdisjoint({"PixelData", "Rows", "PixelSpacing", "ImagePositionPatient"})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (raw_png(GREY), ()),
        (raw_png(GREY, before=[(b"tEXt", b"Author\0Doe")]), ("PNG tEXt",)),
        (raw_png(GREY, after=[(b"tIME", bytes(7)), (b"zTXt", b"a")]), ("PNG tIME", "PNG zTXt")),
        (raw_tiff(GREY), ()),
        (raw_tiff(GREY, tags={315: 0, 306: 0}), ("TIFF Artist", "TIFF DateTime")),
        (phantoms.image_bytes(GREY, format="JPEG"), ()),
        (phantoms.image_bytes(GREY, format="JPEG", comment=b"Doe"), ("JPEG comment",)),
        (phantoms.image_bytes(GREY, format="BMP"), ()),
        (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT", ()),
        (b"II*\0\xff\xff\0\0", ()),
        (b"MM\0*", ()),
        (b"\xff\xd8\xff", ()),
        (b"", ()),
    ],
)
def test_what_image_files_say_beside_their_picture(data: bytes, expected: tuple[str, ...]) -> None:
    assert image_fields(data) == expected


def test_exif_of_a_camera_is_named_and_counted(tmp_path: Path, prepare: Prepare) -> None:
    exif = Image.Exif()
    exif[315] = "Jane Doe"
    data = phantoms.image_bytes(GREY, format="JPEG", exif=exif)
    files = {f"p_{k}.jpg": data for k in range(3)} | {
        "p_4.jpg": phantoms.image_bytes(GREY, format="JPEG")
    }
    assert dropped(tmp_path, prepare, files) == {"JPEG APP1 (Exif, XMP)": 3}
    assert b"Jane" not in (tmp_path / "s" / "data.mdb").read_bytes()


def test_chunks_are_walked_and_not_searched_for() -> None:
    """Letters within the pixels are no chunk."""
    data = raw_png(GREY, after=[(b"prVt", b"xxxxtEXtxxxx")])
    assert png_chunks(data) == ["IHDR", "IDAT", "prVt", "IEND"]
    assert image_fields(data) == ("PNG prVt",)


def test_what_lay_in_memory_before_does_not_reach_the_file(
    tmp_path: Path, prepare: Prepare
) -> None:
    """Pages of the database have room at their ends, which must not hold what was freed."""
    freed = [
        b"Jane Doe was born in 1950. " * size for size in (50, 151, 600, 5000) for _ in range(50)
    ]
    del freed
    phantoms.write_folder(tmp_path / "set", {f"p{k}_1.png": raw_png(GREY) for k in range(30)})
    prepare(tmp_path / "s", tmp_path / "set")
    assert b"Jane" not in (tmp_path / "s" / "data.mdb").read_bytes()
