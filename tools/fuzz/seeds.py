"""Good files to start from, each with the pixels that another library reads from it."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import phantoms
from numpy.typing import NDArray

Pixels = NDArray[Any]
STACK = phantoms.brain_volume().astype(np.int16)
SLICE = phantoms.slice_pixels(24, 24, seed=1)


class Kind(NamedTuple):
    """Files of one kind: a name, good bytes, and another library's reading of them."""

    suffix: str
    make: Callable[[int], bytes]
    read_elsewhere: Callable[[bytes], Pixels | None]


def _dicom(number: int) -> bytes:
    fields: dict[str, Any] = {"RescaleSlope": 1 + number % 3, "RescaleIntercept": -(number % 5)}
    if number % 4 == 0:
        fields["ImageType"] = ["ORIGINAL", "PRIMARY", "M"]
    volume = phantoms.brain_volume()[..., 8 + number % 4 : 9 + number % 4]
    return next(iter(phantoms.dicom_files(np.floor(volume), **fields).values()))


def _read_dicom(data: bytes) -> Pixels | None:
    import pydicom

    header = pydicom.dcmread(io.BytesIO(data))
    if header.ImageOrientationPatient != [1, 0, 0, 0, 1, 0] or header.get("PixelPaddingValue"):
        return None  # turned, or padded: then its pixels are not where they are stored
    slope = float(header.get("RescaleSlope") or 1)
    values = header.pixel_array.astype(np.float32) * slope
    return np.asarray(values + float(header.get("RescaleIntercept") or 0))


def _nifti(number: int) -> bytes:
    return phantoms.nifti_bytes(STACK, gzip=bool(number % 2))


def _read_nifti(data: bytes) -> Pixels | None:
    import gzip

    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    image = nib.Nifti1Image.from_bytes(data)
    return np.asarray(nib.as_closest_canonical(image).dataobj, np.float32)


def _png(number: int) -> bytes:
    return phantoms.png_bytes(SLICE.astype(np.uint16) * 257 if number % 2 else SLICE)


def _read_png(data: bytes) -> Pixels | None:
    import png

    width, height, rows, info = png.Reader(bytes=data).read()
    if info["planes"] != 1 or "palette" in info or info["bitdepth"] not in (8, 16):
        return None
    return np.vstack([np.asarray(row) for row in rows]).reshape(height, width)


def _tiff(number: int) -> bytes:
    import tifffile

    stream = io.BytesIO()
    how: Any = "miniswhite" if number % 3 == 0 else "minisblack"
    page = SLICE.astype(np.uint16) * 257 if number % 2 else SLICE
    tifffile.imwrite(stream, page, photometric=how, compression="zlib" if number % 5 == 0 else None)
    return stream.getvalue()


def _read_tiff(data: bytes) -> Pixels | None:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        if len(file.pages) != 1 or page.photometric > 1 or page.sampleformat != 1:
            return None
        if page.ndim != 2 or page.bitspersample not in (8, 16) or page.subfiletype:
            return None
        if any(tag in page.tags for tag in (266, 274, 338)):
            return None
        whole = len(page.dataoffsets) * page.rowsperstrip == page.imagelength
        if not whole or 277 not in page.tags or 278 not in page.tags:
            return None  # strips that do not make up the picture are read this way or that
        values = page.asarray()
        return np.asarray(np.iinfo(values.dtype).max - values if page.photometric == 0 else values)


def _tar(number: int) -> bytes:
    stream = io.BytesIO()
    form = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)[number % 3]
    with tarfile.open(fileobj=stream, mode="w:gz" if number % 2 else "w", format=form) as archive:
        for name in ("a_1.png", "b" * (120 if number % 3 != 2 else 20) + "_2.png", "notes.txt"):
            info = tarfile.TarInfo(name)
            data = _png(0) if name.endswith("png") else b"text"
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("c_3.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a_1.png"
        archive.addfile(link)
    return stream.getvalue()


def _zip(number: int) -> bytes:
    stream = io.BytesIO()
    how = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)[number % 3]
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name in ("a_1.png", "b_2.png", "notes.txt"):
            archive.writestr(name, _png(0) if name.endswith("png") else b"text")
    return stream.getvalue()


def _nothing(_: bytes) -> Pixels | None:
    return None


def _saved(write: Callable[..., Any], *arguments: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *arguments)
    return stream.getvalue()


def _mat(_: int) -> bytes:
    from scipy.io import savemat

    return _saved(savemat, {"image": STACK})


def _nrrd(_: int) -> bytes:
    sizes = " ".join(map(str, STACK.shape))
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nencoding: raw\nendian: little\n\n"
    return head.encode() + STACK.tobytes("F")


KINDS = {
    "dicom": Kind(".dcm", _dicom, _read_dicom),
    "nifti": Kind(".nii.gz", _nifti, _read_nifti),
    "png": Kind(".png", _png, _read_png),
    "tiff": Kind(".tif", _tiff, _read_tiff),
    "tar": Kind(".tar", _tar, _nothing),
    "zip": Kind(".zip", _zip, _nothing),
    "mgh": Kind(".mgz", lambda n: phantoms.mgh_bytes(STACK, gzip=bool(n % 2)), _nothing),
    "npy": Kind(".npy", lambda _: _saved(np.save, STACK), _nothing),
    "npz": Kind(".npz", lambda _: _saved(np.savez_compressed, STACK), _nothing),
    "mat": Kind(".mat", _mat, _nothing),
    "nrrd": Kind(".nrrd", _nrrd, _nothing),
}
