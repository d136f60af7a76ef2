"""Small files that would fill the memory are refused, while planning as well as while reading."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantoms
import pytest
from phantoms.sevenzip import LZMA2, describe_files, encode_header, one_block, pack_lzma2

from mri_gan.ingest.read import sevenzip

DEFLATE = b"\x03\4\1\x08"
GIB = MOST_BYTES = 1 << 30
CHILD = """
import sys
from pathlib import Path
from mri_gan.errors import MriganError
from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.options import PrepareConfig
try:
    plan = build_plan([Path(sys.argv[1])], PrepareConfig(ids="keep"))
    outcomes = [process(source, PrepareConfig()) for source in plan.sources]
    told = [reason for _, reason in plan.bad] + [o.reason for o in outcomes if o.reason]
except MriganError as error:
    told = [str(error)]
status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory
print(int(status.split("VmHWM:")[1].split()[0]) * 1024, told)
"""


def deflated_dicom(n_bytes: int) -> bytes:
    """A data set of so many zeros as pixels, deflated."""
    good = next(iter(phantoms.dicom_files(np.zeros((8, 8, 1)), PatientID="a").values()))
    head = good[: good.index(b"\xe0\x7f\x10\x00")]
    meta_end = 132 + 12 + struct.unpack_from("<I", head, 140)[0]
    plain = head[meta_end:] + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", n_bytes)
    syntax = b"1.2.840.10008.1.2.1.99"
    meta = b"\2\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(plain)
    for _ in range(n_bytes >> 20):
        packed += packer.compress(bytes(1 << 20))
    return bytes(128) + b"DICM" + meta + packed + packer.flush()


def rle_dicom(side: int, n_bytes: int) -> bytes:
    """A picture of side^2 pixels, packed in runs (PS3.5 annex G) of so many bytes of zeros."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import RLELossless

    good = next(iter(phantoms.dicom_files(np.zeros((8, 8, 1)), PatientID="a").values()))
    header = pydicom.dcmread(io.BytesIO(good))
    header.Rows = header.Columns = side
    runs = b"\x81\0" * (n_bytes // 2 // 128)  # each says: 128 times the next byte
    offsets = struct.pack("<16I", 2, 64, 64 + len(runs), *[0] * 13)
    header.PixelData = encapsulate([offsets + runs + runs])
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = RLELossless
    stream = io.BytesIO()
    header.save_as(stream)
    return stream.getvalue()


def many_items(count: int) -> bytes:
    """A data set with a sequence of so many empty items, before its pixels."""
    good = next(iter(phantoms.dicom_files(np.zeros((8, 8, 1)), PatientID="a").values()))
    at = good.index(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * count
    return good[:at] + b"\x30\x00\x10\x00SQ\0\0" + struct.pack("<I", len(items)) + items + good[at:]


def many_elements(count: int) -> bytes:
    """A data set of so many private elements side by side."""
    good = next(iter(phantoms.dicom_files(np.zeros((8, 8, 1)), PatientID="a").values()))
    at = good.index(b"\xe0\x7f\x10\x00")
    rest = b"".join(struct.pack("<HH2sH", 0x31, i & 0xFFFF, b"LO", 2) + b"ab" for i in range(count))
    return good[:at] + rest + good[at:]


def long_header(kind: bytes, n_bytes: int) -> bytes:
    """A tar whose first header announces a name or attributes of so many bytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, n_bytes
    head = info.tobuf(tarfile.GNU_FORMAT)
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9) as packed:
        packed.write(head)
        for _ in range(n_bytes >> 20):
            packed.write(b"x" * (1 << 20))
    return stream.getvalue()


def large_pages(count: int, side: int) -> bytes:
    """A TIFF of so many deflated pages that share one strip."""
    import tifffile

    stream = io.BytesIO()
    page = np.zeros((side, side), np.uint8)
    with tifffile.TiffWriter(stream) as writer:
        for _ in range(count):
            writer.write(page, compression="zlib", metadata=None, photometric="minisblack")
    return stream.getvalue()


def zeros_nifti(shape: tuple[int, ...]) -> bytes:
    head = phantoms.nifti_bytes(np.zeros((4, 4, 4), np.float64), dtype="float64")[:352]
    changed = bytearray(head)
    struct.pack_into("<8h", changed, 40, 3, *shape, 1, 1, 1, 1)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(bytes(changed))
    for _ in range(shape[0] * shape[1] * shape[2] * 8 >> 20):
        packed += packer.compress(bytes(1 << 20))
    return packed + packer.flush()


def npz_of_zeros(start: bytes, n_bytes: int) -> bytes:
    """A NumPy archive whose array begins so and goes on in zeros."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("arr_0.npy", "w", force_zip64=True) as file,
    ):
        file.write(start)
        for _ in range(n_bytes >> 20):
            file.write(bytes(1 << 20))
    return stream.getvalue()


def npy_start(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def mat_of_zeros(n_bytes: int) -> bytes:
    """A MATLAB file whose array of 16^3 voxels has so many bytes, compressed."""

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content

    body = element(6, struct.pack("<II", 9, 0)) + element(5, struct.pack("<4i", 16, 16, 16, 1))
    body += element(1, b"image   ") + struct.pack("<II", 2, n_bytes)
    packer = zlib.compressobj(9)
    packed = packer.compress(struct.pack("<II", 14, len(body) + n_bytes) + body)
    for _ in range(n_bytes >> 20):
        packed += packer.compress(bytes(1 << 20))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    return head + element(15, packed + packer.flush())


def hdf5_chunk(n_bytes: int) -> bytes:
    """An array of 64^3 voxels that lie in one chunk of so many bytes."""
    import h5py

    stream, chunks = io.BytesIO(), (n_bytes >> 20, 1024, 1024)
    with h5py.File(stream, "w") as file:
        array = file.create_dataset(
            "image", (64,) * 3, "u1", chunks=chunks, maxshape=(None,) * 3, compression="gzip"
        )
        packer = zlib.compressobj(9)
        packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(n_bytes >> 20))
        array.id.write_direct_chunk((0, 0, 0), packed + packer.flush())
    return stream.getvalue()


def tar_of_zeros(pack: Callable[[bytes], bytes], n_bytes: int) -> bytes:
    info = tarfile.TarInfo("a.nii")
    info.size = n_bytes
    return pack(info.tobuf() + bytes(n_bytes))


def empty_files(count: int) -> bytes:
    """The header of a 7z of so many empty files, which is a few hundred bytes when packed."""
    return b"\1" + describe_files([("a", b"")] * count) + b"\0"


BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "deflated DICOM": ("a.dcm", lambda: deflated_dicom(1 << 30), "bomb"),
    "DICOM items": ("a.dcm", lambda: many_items(2_000_000), "more than 400000 elements"),
    "DICOM elements": ("a.dcm", lambda: many_elements(2_000_000), "elements"),
    "RLE, longer than it says": ("a.dcm", lambda: rle_dicom(64, 2 << 30), "more packed bytes"),
    "RLE, a little longer": ("a.dcm", lambda: rle_dicom(8, 32 << 20), "label map"),
    "RLE size": ("a.dcm", lambda: rle_dicom(30_000, 1 << 20), "voxels"),
    "PAX header": ("a.tar.gz", lambda: long_header(tarfile.XHDTYPE, 2 << 30), "too long"),
    "GNU long name": ("a.tgz", lambda: long_header(tarfile.GNUTYPE_LONGNAME, 2 << 30), "too long"),
    "TIFF pages": ("a.tif", lambda: large_pages(30, 8000), "too many"),
    "gzipped NIfTI": ("a.nii.gz", lambda: zeros_nifti((512, 512, 512)), "bomb"),
    "NPZ, longer than it says": ("a.npz", lambda: npz_of_zeros(npy_start((16,) * 3), GIB), "more"),
    "NPZ header": (
        "a.npz",
        lambda: npz_of_zeros(b"\x93NUMPY\2\0" + struct.pack("<I", GIB), GIB),
        "header is too long",
    ),
    "NPZ shape": ("a.npz", lambda: npz_of_zeros(npy_start((1 << 20,) * 3), 1 << 20), "bomb"),
    "MATLAB": ("a.mat", lambda: mat_of_zeros(GIB), "more or less"),
    "HDF5 chunk": ("a.h5", lambda: hdf5_chunk(GIB), "bomb"),
    "7z": ("a.7z", lambda: one_block(LZMA2, pack_lzma2(bytes(GIB)), GIB), "bomb"),
    "7z, longer than it says": (
        "a.7z",
        lambda: one_block(DEFLATE, zlib.compress(bytes(GIB), 1, wbits=-15), 20_000),
        "damaged",
    ),
    "7z files": ("a.7z", lambda: encode_header(empty_files(sevenzip.MAX_FILES), b""), "suffix"),
    "7z header": ("a.7z", lambda: encode_header(b"\1" + bytes(GIB), b""), "bomb"),
    "tar.xz": ("a.tar.xz", lambda: tar_of_zeros(lzma.compress, 600 << 20), "bomb"),
    "tar.bz2": ("a.tar.bz2", lambda: tar_of_zeros(bz2.compress, 300 << 20), "bomb"),
}


@pytest.mark.parametrize(
    "kind",
    [
        "deflated DICOM",
        "DICOM items",
        "DICOM elements",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in list(BOMBS)[3:]),
    ],
)
def test_a_bomb_is_one_line_in_bounded_memory(
    tmp_path: Path, kind: str, tell: Callable[[str], None]
) -> None:
    name, make, expected = BOMBS[kind]
    path = tmp_path / name
    path.write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
    )
    peak, _, told = done.stdout.partition(" ")
    assert expected in told
    assert int(peak) < MOST_BYTES
    tell(f"{kind}: a file of {path.stat().st_size:,} bytes, peak {int(peak) >> 20} MiB")
