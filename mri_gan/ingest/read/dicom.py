"""DICOM series to volumes; nothing that identifies a person leaves this module."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.read.dropped_fields import dicom_fields

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


NEEDED_TAGS = [
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "EchoTime",
    "ImageType",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SOPClassUID",
]
EVEN = 0.1  # slices may lie this share of their distance away from an even spacing
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise UsageError("DICOM needs one more package", "pip install mrigan[dicom]") from error
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return pydicom


def read_data_set(data: bytes, header_only: bool) -> Any:
    """A data set, quietly: odd but harmless fields would print a warning each."""
    pydicom = _pydicom()
    tags = NEEDED_TAGS if header_only else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=header_only, specific_tags=tags)


def read_series(files: Sequence[bytes]) -> Volume:
    """The volume of a series, its slices sorted along their normal.

    Raises DataError where it is not one evenly spaced stack, LabelMapError for label maps.
    """
    import nibabel as nib

    from mri_gan.ingest.read.volume import MAX_VOXELS, build_volume, our_errors

    with our_errors("DICOM series"):
        slices = [read_data_set(data, header_only=False) for data in files]
        if math.prod((len(slices), slices[0].Rows, slices[0].Columns)) > MAX_VOXELS:
            raise DataError(f"more than {MAX_VOXELS} voxels")
        slices.sort(key=_depth_mm)
        affine = _affine(slices)
        stack = np.stack([_pixels(s) for s in slices], axis=-1)  # [X, Y, Z]
        if slices[0].PhotometricInterpretation == "MONOCHROME1":
            stack = stack.max() - stack
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dropped = dicom_fields(slices[0])
        return build_volume(nib.Nifti1Image(stack, affine), dropped=dropped)


def _axes(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions in which columns and rows are counted, in LPS."""
    values = np.asarray([float(v) for v in header.ImageOrientationPatient])
    return values[:3], values[3:]


def _depth_mm(header: Any) -> float:
    along, down = _axes(header)
    return float(np.cross(along, down) @ _position(header))


def _position(header: Any) -> NDArray[np.float64]:
    return np.asarray([float(v) for v in header.ImagePositionPatient])


def _pixels(header: Any) -> NDArray[np.float32]:
    """One slice in scanner units [X, Y]."""
    if header.get("SamplesPerPixel", 1) != 1:
        raise DataError("colour DICOM is no scan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = np.asarray(header.pixel_array, np.float32).T
    slope = float(header.get("RescaleSlope", 1))
    return np.asarray(pixels * slope + float(header.get("RescaleIntercept", 0)), np.float32)


def _affine(slices: Sequence[Any]) -> NDArray[np.float64]:
    """Voxel -> RAS+ mm [4, 4] of a sorted stack."""
    first, last = slices[0], slices[-1]
    along, down = _axes(first)
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = along * column_mm, down * row_mm
    lps[:3, 3] = _position(first)
    if len(slices) > 1:
        _check_distances(np.diff([_depth_mm(s) for s in slices]))
        lps[:3, 2] = (_position(last) - _position(first)) / (len(slices) - 1)
    else:
        lps[:3, 2] = np.cross(along, down) * float(first.get("SliceThickness") or 1)
    lps[:3] = LPS_TO_RAS @ lps[:3]
    return lps


def _check_distances(distances_mm: NDArray[np.float64]) -> None:
    usual = float(np.median(distances_mm))
    if distances_mm.min() < 1e-3:
        raise DataError("several images at one place (time points?); give one of them")
    if np.abs(distances_mm - usual).max() > EVEN * usual:
        raise DataError("its slices are not evenly spaced; is a file missing?")
