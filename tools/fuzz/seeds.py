"""Good files to start from, each with the pixels that another library reads from it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import phantoms
from numpy.typing import NDArray
from phantoms.packed_dicom import SYNTAXES, packed_dicom
from phantoms.sevenzip import write_7z

Pixels = NDArray[Any]
STACK = phantoms.brain_volume().astype(np.int16)
SLICE = phantoms.slice_pixels(24, 24, seed=1)


class DamagedError(Exception):
    """Another library finds the pixels damaged: none may be read."""


class Kind(NamedTuple):
    """Files of one kind: a name, good bytes, and another library's reading of them."""

    suffix: str
    make: Callable[[int], bytes]
    read_elsewhere: Callable[[bytes], Pixels | None]
    suffix_of_second: str = ""  # of a kind in two files, whose bytes MARK separates here


MARK = b"\n# the second file begins\n"


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


def _packed_dicom(number: int) -> bytes:
    return packed_dicom(list(SYNTAXES)[number % len(SYNTAXES)])


def _nifti(number: int) -> bytes:
    return phantoms.nifti_bytes(STACK, gzip=bool(number % 2))


def _read_nifti(data: bytes) -> Pixels | None:
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    image = nib.Nifti1Image.from_bytes(data)
    voxels = np.asarray(nib.as_closest_canonical(image).dataobj, np.float32)
    return voxels.reshape(voxels.shape[:3]) if voxels.size == np.prod(voxels.shape[:3]) else None


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


def _sevenzip(number: int) -> bytes:
    files = {"a_1.png": _png(0), "b_2.png": _png(0), "c.txt": b"text", "d.txt": b""}
    with tempfile.TemporaryDirectory() as folder:
        path = write_7z(Path(folder) / "a.7z", files, encoded=bool(number % 2))
        return path.read_bytes()


def _read_sevenzip(_: bytes) -> Pixels:
    """Its images are all alike, and both they and the archive have their sums."""
    return SLICE


def _nothing(_: bytes) -> Pixels | None:
    return None


def _saved(write: Callable[..., Any], *arguments: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *arguments)
    return stream.getvalue()


def _mat(number: int) -> bytes:
    from scipy.io import savemat

    data = _saved(savemat, {"image": STACK}, True, "5", False, bool(number % 2))
    return b"MATLAB 5.0 MAT-file".ljust(116) + data[116:]  # without the time of day


def _read_mat(data: bytes) -> Pixels | None:
    """The array, where it is a packed file with one of our first tags; zlib checks its sum."""
    good = _mat(1)
    if data[124:136] != good[124:136]:
        return None
    try:
        stream = zlib.decompressobj()
        stream.decompress(data[136 : len(good)])
    except zlib.error as error:
        raise DamagedError from error
    if not stream.eof:
        raise DamagedError
    return STACK.transpose(1, 0, 2)[::-1, ::-1]


def _nrrd(number: int) -> bytes:
    sizes, how = " ".join(map(str, STACK.shape)), "gzip" if number % 2 else "raw"
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nencoding: {how}\n"
    values = STACK.tobytes("F")
    packed = gzip.compress(values, mtime=0) if number % 2 else values
    return f"{head}endian: little\n\n".encode() + packed


def _read_nrrd(data: bytes) -> Pixels | None:
    for number in (0, 1):
        good = _nrrd(number)
        head = good[: good.index(b"\n\n") + 2]
        if data.startswith(head):
            return _unpacked(data[len(head) :], bool(number))[::-1, ::-1]
    return None


def _hdf5(number: int) -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        how = {"compression": "gzip", "chunks": (2, *STACK.shape[1:])} if number % 2 else {}
        file.create_dataset("reconstruction_rss", data=STACK, **how)
        file.attrs["max"] = 1.0
    return stream.getvalue()


def _read_hdf5(data: bytes) -> Pixels | None:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        values = file["reconstruction_rss"][()]
    plain = values.shape == STACK.shape and values.dtype == STACK.dtype
    return values.transpose(2, 1, 0)[::-1, ::-1] if plain else None


def _mha(number: int) -> bytes:
    packed = zlib.compress(STACK.tobytes("F")) if number % 2 else STACK.tobytes("F")
    more = f"CompressedData = True\nCompressedDataSize = {len(packed)}\n" if number % 2 else ""
    sizes = " ".join(map(str, STACK.shape))
    head = f"ObjectType = Image\nNDims = 3\nBinaryData = True\n{more}"
    head += "BinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
    head += f"Offset = 0 0 0\nElementSpacing = 1 1 1\nDimSize = {sizes}\n"
    return f"{head}ElementType = MET_SHORT\nElementDataFile = LOCAL\n".encode() + packed


def _read_mha(data: bytes) -> Pixels | None:
    """The voxels of a file with one of our headers; DamagedError where zlib finds damage."""
    for number in (0, 1):
        good = _mha(number)
        head = good[: good.index(b"LOCAL\n") + 6]
        if data.startswith(head):
            return _unpacked(data[len(head) :], bool(number))[::-1, ::-1]
    return None


def _unpacked(data: bytes, packed: bool) -> Pixels:
    """STACK's values; raises DamagedError where they are not all there."""
    try:
        stream = zlib.decompressobj(47)
        data = stream.decompress(data) if packed else data[: STACK.nbytes]
        whole = len(data) == STACK.nbytes and (stream.eof or not packed)
    except zlib.error as error:
        raise DamagedError from error
    if not whole:
        raise DamagedError
    return np.frombuffer(data, "<i2").reshape(STACK.shape, order="F")


PAR_GENERAL = """
# CLINICAL TRYOUT             Research image export tool     V4.2
.    Patient name                       :   a
.    Examination name                   :   b
.    Protocol name                      :   T1
.    Examination date/time              :   2026.01.01 / 11:27:34
.    Max. number of slices/locations    :   {}
.    Max. number of echoes              :   1
.    Max. number of dynamics            :   1
.    Preparation direction              :   Right-Left
.    Scan resolution  (x, y)            :   {} {}
.    Repetition time [ms]               :   4.364
.    FOV (ap,fh,rl) [mm]                :   200 100 200
.    Angulation midslice(ap,fh,rl)[degr]:   0 0 0
.    Off Centre midslice(ap,fh,rl) [mm] :   0 0 0
.    Dynamic scan      <0=no 1=yes> ?   :   0
.    Diffusion         <0=no 1=yes> ?   :   0

"""
PAR_SLICE = (
    "{} 1 1 1 0 2 {} 16 100 {} {} {} {} 1 133 231 0 0 0 0 {} 0 10 0 0 1 0 2 2 2 2 0 0 0 1 8 0 0 0 "
    "7 0 1 1 0 0 0 0 0 1\n"
)


def _parrec(number: int) -> bytes:
    columns, rows, count = STACK.shape
    lines = [
        PAR_SLICE.format(i + 1, i, columns, rows, -(number % 5), 1 + number % 3, 10 * i)
        for i in range(count)
    ]
    text = PAR_GENERAL.format(count, columns, rows) + "".join(lines)
    return text.encode() + MARK + STACK.tobytes("F")


def _read_parrec(data: bytes) -> Pixels | None:
    from nibabel.fileholders import FileHolder

    header, mark, voxels = data.partition(MARK)
    files = {"header": io.StringIO(header.decode("latin-1")), "image": io.BytesIO(voxels)}
    holders = {name: FileHolder(fileobj=file) for name, file in files.items()}
    image = nib.parrec.PARRECImage.from_file_map(holders)
    return _canonical(image) if mark else None


def _canonical(image: Any) -> Pixels:
    values = np.asarray(image.dataobj, np.float32)
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image(values, image.affine)).dataobj)


def _read_minc(data: bytes) -> Pixels:
    from nibabel.externals.netcdf import netcdf_file
    from nibabel.minc1 import Minc1File, MincImageArrayProxy

    file = Minc1File(netcdf_file(io.BytesIO(data), mmap=False))
    values = np.asarray(MincImageArrayProxy(file), np.float32)
    image = nib.Nifti1Image(values, file.get_affine())
    return np.asarray(nib.as_closest_canonical(image).dataobj)


def _minc(_: int) -> bytes:
    from nibabel.externals.netcdf import netcdf_file

    stream = io.BytesIO()
    file = netcdf_file(stream, "w")
    for name, length in zip(("zspace", "yspace", "xspace"), STACK.shape, strict=True):
        file.createDimension(name, length)
        axis = file.createVariable(name, "i", ())
        axis.step, axis.start, axis.spacing = 1.0, 0.0, b"regular__"
    image = file.createVariable("image", "h", ("zspace", "yspace", "xspace"))
    image[:] = STACK
    image.signtype = b"signed__"
    image.valid_range = np.array([0.0, 32767.0])
    for name, value in (("image-max", 1000.0), ("image-min", 0.0)):
        file.createVariable(name, "d", ("zspace",))[:] = value
    file.flush()
    return stream.getvalue()


def _stylegan_zip(number: int) -> bytes:
    stream = io.BytesIO()
    names = [f"00000/img0000000{i}.png" for i in range(3)]
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, _png(0))
        labels = [[name, i % 2] for i, name in enumerate(names)] if number % 2 else None
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return stream.getvalue()


KINDS = {
    "dicom": Kind(".dcm", _dicom, _read_dicom),
    "packed-dicom": Kind(".dcm", _packed_dicom, _nothing),
    "nifti": Kind(".nii.gz", _nifti, _read_nifti),
    "png": Kind(".png", _png, _read_png),
    "tiff": Kind(".tif", _tiff, _read_tiff),
    "tar": Kind(".tar", _tar, _nothing),
    "zip": Kind(".zip", _zip, _nothing),
    "7z": Kind(".7z", _sevenzip, _read_sevenzip),
    "mgh": Kind(".mgz", lambda n: phantoms.mgh_bytes(STACK, gzip=bool(n % 2)), _nothing),
    "npy": Kind(".npy", lambda _: _saved(np.save, STACK), _nothing),
    "npz": Kind(".npz", lambda _: _saved(np.savez_compressed, STACK), _nothing),
    "mat": Kind(".mat", _mat, _read_mat),
    "nrrd": Kind(".nrrd", _nrrd, _read_nrrd),
    "hdf5": Kind(".h5", _hdf5, _read_hdf5),
    "mha": Kind(".mha", _mha, _read_mha),
    "minc": Kind(".mnc", _minc, _read_minc),
    "parrec": Kind(".par", _parrec, _read_parrec, ".rec"),
    "stylegan-zip": Kind(".zip", _stylegan_zip, _nothing),
}
