"""Enhanced multi-frame files: every frame in its place, and one volume of several."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.errors import DataError, SeriesError
from mri_gan.ingest.read.dicom.series import read_series

pydicom = pytest.importorskip("pydicom")
BRAIN = np.floor(phantoms.brain_volume()).astype(np.float32)
STEP_MM = 1.3


def group(**fields: Any) -> Any:
    item = pydicom.dataset.Dataset()
    for name, value in fields.items():
        setattr(item, name, value)
    return pydicom.sequence.Sequence([item])


def enhanced(volumes: list[NDArray[Any]], order: Any = None, **fields: Any) -> bytes:
    """A file of all slices of some volumes, echo by echo, in LPS; `order` shuffles its frames."""
    data = next(iter(phantoms.dicom_files(BRAIN[..., :1]).values()))
    header = pydicom.dcmread(io.BytesIO(data))
    del header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing
    frames, groups = [], []
    for echo, volume in enumerate(volumes):
        for k in range(volume.shape[2]):
            frames.append(volume[::-1, ::-1, k].T.astype("<u2"))
            item = pydicom.dataset.Dataset()
            corner = [-(volume.shape[0] - 1.0), -(volume.shape[1] - 1.0), STEP_MM * k]
            item.PlanePositionSequence = group(ImagePositionPatient=corner)
            item.MREchoSequence = group(EffectiveEchoTime=10.0 * (echo + 1))
            groups.append(item)
    order = range(len(frames)) if order is None else order
    shared = pydicom.dataset.Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[1, 1], SliceThickness=STEP_MM)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelValueTransformationSequence = group(RescaleSlope=2, RescaleIntercept=-5)
    header.SharedFunctionalGroupsSequence = pydicom.sequence.Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = pydicom.sequence.Sequence([groups[i] for i in order])
    header.NumberOfFrames = len(frames)
    header.PixelData = np.stack([frames[i] for i in order]).tobytes()
    for name, value in fields.items():
        setattr(header, name, value)
    stream = io.BytesIO()
    header.save_as(stream)
    return stream.getvalue()


def test_frames_are_sorted_by_place_and_scaled() -> None:
    order = np.random.default_rng(0).permutation(BRAIN.shape[2])
    volume = read_series([enhanced([BRAIN], order)])
    np.testing.assert_array_equal(volume.voxels, 2 * BRAIN - 5)
    np.testing.assert_allclose(volume.spacing, (1, 1, STEP_MM))


def test_one_of_several_echoes_is_chosen() -> None:
    data = enhanced([BRAIN, BRAIN + 7])
    with pytest.raises(SeriesError, match="2 volumes in one file"):
        read_series([data])
    np.testing.assert_array_equal(read_series([data], 1).voxels, 2 * (BRAIN + 7) - 5)
    with pytest.raises(DataError, match="has no volume 2"):
        read_series([data], 2)


def test_frames_without_a_place_are_refused() -> None:
    with pytest.raises(DataError, match="without frame positions"):
        read_series([enhanced([BRAIN], SharedFunctionalGroupsSequence=None)])


def test_a_missing_frame_is_noticed() -> None:
    with pytest.raises(DataError, match="do not match the size in its header"):
        read_series([enhanced([BRAIN], NumberOfFrames=BRAIN.shape[2] - 1)])
