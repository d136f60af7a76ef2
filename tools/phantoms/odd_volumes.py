"""Volumes in files that are odd but valid: one and the same scan, told in many ways.

All hold `SCAN` (or say what differs), so that its axial slices must come out alike.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from phantoms.formats import Files, dicom_files, mgh_bytes, nifti_bytes
from phantoms.volumes import Array, oriented

SHAPE = (32, 32, 6)
X, Y, Z = np.mgrid[0:32, 0:32, 0:6]
# Whole numbers 0..240, more than a label map has, and not alike when turned.
SCAN = np.asarray(3 * X + 2 * Y + 13 * Z + 20 * ((X > 9) & (Y > 20)), np.float64)


@dataclass(frozen=True)
class OddVolume:
    """Files of one scan and its voxels [X, Y, Z] in RAS+ order."""

    name: str
    files: Files
    voxels: Array


Case = tuple[str, Files, Array]


def odd_volumes() -> list[OddVolume]:
    """All of them."""
    parts = (_types, _turned, _headers, _packed, _pairs, _others)
    return [OddVolume(*case) for part in parts for case in part()]


def _types() -> Iterator[Case]:
    for dtype in ("uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"):
        yield f"voxels of {dtype}", {"1.nii": nifti_bytes(SCAN, dtype=dtype)}, SCAN
    low = SCAN - 120
    yield "voxels of int8", {"1.nii": nifti_bytes(low, dtype="int8")}, low
    for slope, inter in ((2.5, -1000.0), (-1.0, 300.0)):
        data = nifti_bytes(SCAN, dtype="int16", slope=slope, inter=inter)
        yield f"slope {slope}", {"1.nii": data}, slope * SCAN + inter
    unscaled = _edited(nifti_bytes(SCAN, dtype="int16"), scl_slope=0.0, scl_inter=7.0)
    yield "slope 0, which means none", {"1.nii": unscaled}, SCAN
    holes = np.where((X == 3) & (Y == 4), np.nan, SCAN)
    yield "holes of NaN", {"1.nii": nifti_bytes(holes)}, np.nan_to_num(holes, nan=np.nanmin(holes))


def _turned() -> Iterator[Case]:
    for axes in ("LAS", "LPI", "ASL", "PIR", "SRP", "IAL"):
        yield f"stored as {axes}", {"1.nii": nifti_bytes(SCAN, axes, dtype="int16")}, SCAN
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    yield "oblique by 11 degrees", {"1.nii": nifti_bytes(SCAN, affine=turn, dtype="int16")}, SCAN


def _headers() -> Iterator[Case]:
    data = nifti_bytes(SCAN, "LPS", dtype="int16")
    yield "qform only", {"1.nii": _edited(data, sform_code=0, qform_code=1)}, SCAN
    yield "sform only", {"1.nii": _edited(data, qform_code=0)}, SCAN
    # Without both, Analyze's habit holds: x runs to the left, y forward, z up.
    nowhere = _edited(nifti_bytes(SCAN, dtype="int16"), sform_code=0, qform_code=0)
    yield "no orientation at all", {"1.nii": nowhere}, SCAN[::-1]
    image = nib.Nifti2Image(SCAN.astype(np.int16), np.eye(4))
    yield "NIfTI-2", {"1.nii": image.to_bytes()}, SCAN
    header = nib.Nifti1Header(endianness=">")
    swapped = nib.Nifti1Image(SCAN.astype(np.int16), np.eye(4), header)
    yield "big-endian", {"1.nii": swapped.to_bytes()}, SCAN
    longer = nib.Nifti1Image(SCAN.astype(np.int16), np.eye(4))
    longer.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"a comment of a scanner"))
    yield "a header extension", {"1.nii": longer.to_bytes()}, SCAN
    for axes in (4, 5):
        shape = (*SHAPE, *[1] * (axes - 3))
        stacked = nib.Nifti1Image(SCAN.astype(np.int16).reshape(shape), np.eye(4))
        yield f"{axes} axes, the last of length 1", {"1.nii": stacked.to_bytes()}, SCAN


def _packed() -> Iterator[Case]:
    data = nifti_bytes(SCAN, dtype="int16")
    half = len(data) // 2
    parts = gzip.compress(data[:half]) + gzip.compress(data[half:])
    yield "gzip in two members", {"1.nii.gz": parts}, SCAN
    yield "gzip with zeros after it", {"1.nii.gz": gzip.compress(data) + bytes(512)}, SCAN
    named = io.BytesIO()
    with gzip.GzipFile("patient.nii", "wb", fileobj=named) as file:
        file.write(data)
    yield "gzip with a name", {"1.NII.GZ": named.getvalue()}, SCAN
    stored = zlib.compressobj(0, wbits=31)
    yield "gzip that packs nothing", {"1.nii.gz": stored.compress(data) + stored.flush()}, SCAN
    yield "gzip without its suffix", {"1.nii": gzip.compress(data)}, SCAN
    yield "the suffix of gzip without it", {"1.nii.gz": data}, SCAN


def _pairs() -> Iterator[Case]:
    stored, _ = oriented(SCAN, "LAS")
    for order, name in (("<", "little"), (">", "big")):
        header = nib.AnalyzeHeader(endianness=order)
        header.set_data_dtype(np.int16)
        header.set_data_shape(SHAPE)
        header.set_zooms((1.0, 1.0, 1.0))
        voxels = stored.astype(f"{order}i2").tobytes(order="F")
        files = {"1.hdr": header.binaryblock, "1.img": voxels}
        yield f"{name}-endian Analyze pair", files, SCAN
    packed = {"1.hdr": files["1.hdr"], "1.img.gz": gzip.compress(voxels)}
    yield "Analyze pair with packed voxels", packed, SCAN
    pair = nib.Nifti1Pair(oriented(SCAN, "PIR")[0].astype(np.int16), oriented(SCAN, "PIR")[1])
    maps: Any = nib.Nifti1Pair.make_file_map({"header": io.BytesIO(), "image": io.BytesIO()})
    pair.to_file_map(maps)
    halves = {key: maps[key].fileobj.getvalue() for key in ("header", "image")}
    yield "NIfTI pair", {"1.hdr": halves["header"], "1.img": halves["image"]}, SCAN


def _others() -> Iterator[Case]:
    yield "MGH", {"1.mgh": mgh_bytes(SCAN, "LIA")}, SCAN
    yield "MGZ", {"1.mgz": mgh_bytes(SCAN, "RSP", gzip=True)}, SCAN
    change: list[tuple[str, dict[str, Any], Callable[[Array], Array]]] = [
        ("DICOM", {}, lambda v: v),
        (
            "DICOM with a slope",
            {"RescaleSlope": "2", "RescaleIntercept": "-50"},
            lambda v: 2 * v - 50,
        ),
        (
            "DICOM of MONOCHROME1",
            {"PhotometricInterpretation": "MONOCHROME1"},
            lambda v: v.max() - v,
        ),
        ("signed DICOM", {"PixelRepresentation": 1}, lambda v: v),
        ("12-bit DICOM", {"BitsStored": 12, "HighBit": 11}, lambda v: v),
    ]
    for name, fields, alter in change:
        yield name, dicom_files(SCAN, **fields), alter(SCAN)
    yield "DICOM from below", dicom_files(SCAN, "LPI"), SCAN
    yield "DICOM of coronal slices", dicom_files(SCAN, "LIP"), SCAN


def _edited(data: bytes, **fields: Any) -> bytes:
    """A NIfTI-1 file with other values in its header."""
    header = nib.Nifti1Header(data[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + data[348:]
