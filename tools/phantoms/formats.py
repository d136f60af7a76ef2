"""Volumes as the bytes of NIfTI, Analyze, DICOM and MGH files."""

from __future__ import annotations

import gzip as gzip_module
import io
from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from phantoms.volumes import Array, oriented

Files = dict[str, bytes]


def nifti_bytes(
    volume: Array,
    axes: str = "RAS",
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    affine: Array | None = None,
    dtype: str = "float32",
    gzip: bool = False,
    slope: float | None = None,
    inter: float = 0.0,
) -> bytes:
    """A NIfTI-1 file of a RAS+ volume stored along `axes`, or as it is with `affine`.

    With `slope` the voxels are stored as they are, and the header says to scale them.
    """
    if affine is None:
        volume, affine = oriented(volume, axes, spacing_mm)
    image: Any = nib.Nifti1Image(volume.astype(dtype), affine, dtype=np.dtype(dtype))
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    data: bytes = image.to_bytes()
    return gzip_module.compress(data, compresslevel=1, mtime=0) if gzip else data


def analyze_bytes(
    stored: Array, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0), *, extra_axis: bool = True
) -> tuple[bytes, bytes]:
    """The header and voxel files of a 16-bit big-endian Analyze 7.5 pair, as OASIS-1 has them."""
    header: Any = nib.AnalyzeHeader(endianness=">")
    header.set_data_dtype(np.int16)
    header.set_data_shape((*stored.shape, 1) if extra_axis else stored.shape)
    header.set_zooms((*spacing_mm, 1.0) if extra_axis else tuple(spacing_mm))
    return header.binaryblock, stored.astype(">i2").tobytes(order="F")


def dicom_files(
    volume: Array,
    axes: str = "LPS",
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    patient: str = "Doe^Jane-123",
    uid: str = "1.2.826.0.1.3680043.8.498.1",
    **fields: Any,
) -> Files:
    """A DICOM series of a RAS+ volume stored along `axes`; `fields` set or (None) remove one."""
    stored, affine = oriented(volume, axes, spacing_mm)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    return {
        f"scan/{patient}/IM{1000 - k}.dcm": _dicom_bytes(
            stored[..., k],
            {
                "PatientID": patient,
                "PatientName": patient,
                "StudyInstanceUID": f"{uid}.9",
                "SeriesInstanceUID": uid,
                "SOPInstanceUID": f"{uid}.{k + 1}",
                "StudyDate": "20200102",
                "ImageOrientationPatient": [*lps[:3, 0] / sizes[0], *lps[:3, 1] / sizes[1]],
                "ImagePositionPatient": [*(lps @ (0, 0, k, 1))[:3]],
                "PixelSpacing": [sizes[1], sizes[0]],
                "SliceThickness": sizes[2],
            }
            | fields,
        )
        for k in range(stored.shape[2])
    }


def _dicom_bytes(pixels: Array, fields: Mapping[str, Any]) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = fields["SOPInstanceUID"]
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.Modality = MRImageStorage, "MR"
    image.Columns, image.Rows = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PixelData = pixels.T.astype("<u2").tobytes()
    for name, value in fields.items():
        if value is not None:
            setattr(image, name, value)
        elif name in image:
            delattr(image, name)
    stream = io.BytesIO()
    image.save_as(stream)
    return stream.getvalue()


def mgh_bytes(volume: Array, axes: str = "RAS", *, gzip: bool = False) -> bytes:
    """A FreeSurfer volume of float voxels stored along `axes`."""
    stored, affine = oriented(volume.astype(np.float32), axes)
    data: bytes = nib.MGHImage(stored, affine).to_bytes()
    return gzip_module.compress(data, compresslevel=1, mtime=0) if gzip else data
