"""Packed DICOM: the pixels that were packed, by whatever program, or the true reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from phantoms.packed_dicom import SYNTAXES, packed_dicom, packed_volume

from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.scan import read_source_volume


def reason_of(folder: Path, data: bytes) -> str:
    """The one line that a single damaged file ends in."""
    phantoms.write_folder(folder / "set", {"a.dcm": data})
    plan = build_plan([folder / "set"], PrepareConfig())
    return process(plan.sources[0], PrepareConfig()).reason


@pytest.mark.parametrize("how", SYNTAXES)
def test_the_pixels_are_those_that_were_packed(tmp_path: Path, how: str) -> None:
    phantoms.write_folder(tmp_path / "set", {"a.dcm": packed_dicom(how)})
    plan = build_plan([tmp_path / "set"], PrepareConfig())
    volume = read_source_volume(plan.sources[0])
    np.testing.assert_array_equal(volume.voxels, packed_volume())


# Where decoders find out how many bits, how it is coded, how many parts there are; and nonsense
VITAL = {
    "JPEG Lossless": (b"\xff\xc3\0\x0b\x10", b"\xff\xc3\0\x0b\x77"),
    "JPEG-LS": (b"\xff\xf7\0\x0b\x10", b"\xff\xf7\0\x0b\x77"),
    "JPEG 2000": (b"\xff\x52", b"\xff\xff"),
    "RLE": (b"\x02\0\0\0\x40\0\0\0", b"\xff" * 8),
}


@pytest.mark.parametrize("how", SYNTAXES)
def test_damage_is_called_damage(tmp_path: Path, how: str) -> None:
    vital, nonsense = VITAL[how]
    head, found, tail = packed_dicom(how).rpartition(vital)
    assert found
    assert "damaged pixels" in reason_of(tmp_path, head + nonsense + tail)


@pytest.mark.parametrize("how", SYNTAXES)
def test_a_file_cut_short_in_its_pixels_says_so(tmp_path: Path, how: str) -> None:
    assert reason_of(tmp_path, packed_dicom(how)[:-200]) == "cut short in its pixels"


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom

    pixels: Any = pydicom.pixels
    decoder = pixels.get_decoder(pydicom.uid.JPEGLSLossless)
    lacking: Any = {"pylibjpeg": ("numpy", "pylibjpeg>=2.0")}
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", lacking)
    reason = reason_of(tmp_path, packed_dicom("JPEG-LS"))
    assert reason.endswith("pip install 'mrigan[dicom]' unpacks the usual kinds")


def test_what_nobody_unpacks_is_said_to_be_so(tmp_path: Path) -> None:
    """A retired kind of JPEG, whose identifier is as long."""
    retired = SYNTAXES["JPEG-LS"].replace("4.80", "4.52").encode()
    data = packed_dicom("JPEG-LS").replace(SYNTAXES["JPEG-LS"].encode(), retired)
    assert "which is not read: unpack it first" in reason_of(tmp_path, data)
