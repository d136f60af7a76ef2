"""Made-up scans for tests: every file a user may bring, and every broken one; no real data.

The same arguments give the same bytes on every run. Volumes are in RAS+ order and carry a bright
marker at the patient's left, anterior and superior, so that a mirrored picture shows.
"""

from __future__ import annotations

import gzip as gzip_module
import io
import itertools
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
Files = dict[str, bytes]

SHAPE = (20, 26, 22)
ORIGIN_MM = (-11.0, 7.0, 3.0)
TISSUE, MARKER = 500.0, 1000.0
AKOA_SIDES = ("LEFT", "Left", "left", "L_E_F_T", "RIGHT", "Right", "right", "R_I_G_H_T")
AKOA_VISITS = ("3_", "4", "100_", "101")
ZIP_TIME = (2020, 1, 1, 0, 0, 0)


# Volumes


def marker_index(shape: Sequence[int]) -> tuple[int, int, int]:
    """The voxel at the centre of the marker: low x is left, high y anterior, high z superior."""
    x, y, z = (round(n * share) for n, share in zip(shape, (0.3, 0.7, 0.65), strict=True))
    return x, y, z


def brain_volume(
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    *,
    marker: bool = True,
    marker_radius_mm: float = 1.5,
) -> NDArray[np.float64]:
    """A textured ellipsoid in faint noise [X, Y, Z], with the marker inside it."""
    rng = np.random.default_rng(seed)
    radius = sum(
        ((axis - (n - 1) / 2) / (0.42 * n)) ** 2
        for axis, n in zip(np.ogrid[tuple(slice(n) for n in shape)], shape, strict=True)
    )
    tissue = TISSUE + rng.uniform(-100, 100, shape)
    edge = np.clip((1.2 - np.asarray(radius)) / 0.5, 0, 1)  # voxels half in air, as in real scans
    voxels = edge * tissue + rng.uniform(0, 20, shape)
    if marker:
        near = distance_mm(shape, spacing_mm, marker_index(shape)) <= marker_radius_mm
        voxels[near] = MARKER
    return np.asarray(voxels, np.float64)


def ball_volume(
    shape: tuple[int, int, int], spacing_mm: Sequence[float], radius_mm: float
) -> NDArray[np.float64]:
    """A soft bright ball in faint noise: at half of 1000 it is as round as its radius says."""
    centre = tuple((n - 1) / 2 for n in shape)
    depth_mm = radius_mm - distance_mm(shape, spacing_mm, centre)
    ball = np.clip(depth_mm / max(spacing_mm) + 0.5, 0, 1)
    return np.random.default_rng(0).uniform(0, 1, shape) + 1000 * ball


def distance_mm(
    shape: Sequence[int], spacing_mm: Sequence[float], centre: Sequence[float]
) -> NDArray[np.float64]:
    """The distance of every voxel from a point given in voxels."""
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    squares = [
        ((grid - c) * mm) ** 2 for grid, c, mm in zip(grids, centre, spacing_mm, strict=True)
    ]
    return np.asarray(np.sqrt(squares[0] + squares[1] + squares[2]), np.float64)


def orientations() -> list[str]:
    """All 48 ways to store the axes of a volume, as in `LPS`."""
    return [
        "".join(letters)
        for order in itertools.permutations(("LR", "PA", "IS"))
        for letters in itertools.product(*order)
    ]


def oriented(
    volume: Array, axes: str, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)
) -> tuple[Array, NDArray[np.float64]]:
    """The RAS+ volume stored along other axes, and the affine that says so."""
    order = ["RLAPSI".index(letter) // 2 for letter in axes]
    stored = volume.transpose(order)
    affine = np.eye(4)
    affine[:3] = 0
    affine[:3, 3] = ORIGIN_MM
    for column, (axis, letter) in enumerate(zip(order, axes, strict=True)):
        positive = letter in "RAS"
        affine[axis, column] = spacing_mm[axis] if positive else -spacing_mm[axis]
        if not positive:
            stored = np.flip(stored, column)
            affine[axis, 3] += spacing_mm[axis] * (volume.shape[axis] - 1)
    return np.ascontiguousarray(stored), affine


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


OASIS_1_PATHS = {
    "t88_masked_gfc": "PROCESSED/MPRAGE/T88_111/{0}_mpr_n4_anon_111_t88_masked_gfc",
    "t88_gfc": "PROCESSED/MPRAGE/T88_111/{0}_mpr_n4_anon_111_t88_gfc",
    "subj_111": "PROCESSED/MPRAGE/SUBJ_111/{0}_mpr_n4_anon_sbj_111",
    "raw": "RAW/{0}_mpr-1_anon",
    "raw2": "RAW/{0}_mpr-2_anon",
    "fseg": "FSL_SEG/{0}_mpr_n4_anon_111_t88_masked_gfc_fseg",
}
OASIS_1_AXES = {"raw": "ASL", "raw2": "ASL", "subj_111": "ASL"}


def oasis_disc_files(
    sessions: Sequence[str] = ("OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0002_MR1"),
    kinds: Sequence[str] = tuple(OASIS_1_PATHS),
) -> Files:
    """An OASIS-1 disc: every session with all versions of its scan and the tissue masks."""
    files: Files = {}
    for seed, session in enumerate(sessions):
        for kind in kinds:
            volume: Array = brain_volume(seed=seed)
            if kind == "fseg":
                volume = np.digitize(volume, (100, 400, 900))
            stored, _ = oriented(volume, OASIS_1_AXES.get(kind, "LAS"))
            stem = f"disc1/{session}/{OASIS_1_PATHS[kind].format(session)}"
            files[f"{stem}.hdr"], files[f"{stem}.img"] = analyze_bytes(stored)
    return files


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
    stream = io.BytesIO()
    image.save_as(stream)
    return stream.getvalue()


def mgh_bytes(volume: Array, axes: str = "RAS", *, gzip: bool = False) -> bytes:
    """A FreeSurfer volume of float voxels stored along `axes`."""
    stored, affine = oriented(volume.astype(np.float32), axes)
    data: bytes = nib.MGHImage(stored, affine).to_bytes()
    return gzip_module.compress(data, compresslevel=1, mtime=0) if gzip else data


# Images


def slice_pixels(width: int = 64, height: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """One grey slice [height, width]: an off-centre ellipse of tissue in dark air."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    dx, dy = rng.uniform(-0.15, 0.15, 2)
    inside = ((x - dx) / 0.7) ** 2 + ((y - dy) / 0.8) ** 2 < 1
    tissue = 130 + 60 * np.cos(5 * x + rng.uniform(0, 6)) + rng.normal(0, 3, (height, width))
    return np.asarray(np.clip(np.where(inside, tissue, rng.uniform(0, 4, y.shape)), 0, 255), "u1")


def image_bytes(array: Array, mode: str = "", format: str = "PNG", **save: Any) -> bytes:
    """An image file of the pixels, converted to a Pillow mode first where one is given."""
    image = Image.fromarray(array)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, format, **save)
    return stream.getvalue()


def png_bytes(array: Array, mode: str = "") -> bytes:
    """A PNG file of the pixels."""
    return image_bytes(array, mode, "PNG")


# Data sets as {path: bytes}


def oasis_course_files(
    people: Mapping[str, int] | None = None,
    slices: int = 2,
    *,
    masks: bool = True,
    top: str = "keras_png_slices_data/",
    size: int = 64,
) -> Files:
    """The OASIS course archive: `people` per shipped split, numbered through all splits."""
    people = people or {"train": 3, "validate": 1, "test": 1}
    files: Files = {}
    number = 0
    for split, count in people.items():
        for _ in range(count):
            number += 1
            for k in range(slices):
                pixels = slice_pixels(size, size, seed=100 * number + k)
                name = f"{number:03d}_slice_{k}.nii.png"
                files[f"{top}keras_png_slices_{split}/case_{name}"] = png_bytes(pixels)
                if masks:
                    labels = (pixels // 64 * 85).astype(np.uint8)
                    files[f"{top}keras_png_slices_seg_{split}/seg_{name}"] = png_bytes(labels)
    return files


def akoa_files(people: int = 8, slices: int = 1) -> Files:
    """The AKOA archive: 260 x 228 px, RGB with equal channels, every spelling of side and visit."""
    files: Files = {}
    for i in range(people):
        side, visit = AKOA_SIDES[i % len(AKOA_SIDES)], AKOA_VISITS[i % len(AKOA_VISITS)]
        scan = f"OAI{9000000 + i}_BaseLine_{visit}de3d1_SAG_3D_DESS_WE_{side}.nii.gz"
        for k in range(slices):
            pixels = slice_pixels(260, 228, seed=1000 + 50 * i + k)
            files[f"AKOA_Analysis/{scan}_{k}.png"] = png_bytes(pixels, "RGB")
    return files


def slice_files(people: int = 5, slices: int = 3, size: int = 64) -> Files:
    """Plain slices, one folder per subject."""
    return {
        f"sub{i:02d}/slice_{k}.png": png_bytes(slice_pixels(size, size, seed=10 * i + k))
        for i in range(people)
        for k in range(slices)
    }


def hostile_files() -> list[tuple[str, bytes]]:
    """Members that no archive should have, and one good slice; names may repeat."""
    good = png_bytes(slice_pixels(seed=1))
    return [
        ("set/good_1.png", good),
        ("../outside_2.png", png_bytes(slice_pixels(seed=2))),
        ("/etc/absolute_3.png", png_bytes(slice_pixels(seed=3))),
        ("set\\back_4.png", png_bytes(slice_pixels(seed=4))),
        ("__MACOSX/set/._good_1.png", b"\0\5\26\7 resource fork"),
        ("set/twice_5.png", png_bytes(slice_pixels(seed=5))),
        ("set/twice_5.png", png_bytes(slice_pixels(seed=6))),
        ("set/text_7.png", b"this is no picture\n"),
        ("set/cut_8.png", truncated(good)),
        ("set/readme.txt", b"hello\n"),
    ]


def truncated(data: bytes, share: float = 0.5) -> bytes:
    """The first part of a file, as a broken download leaves it."""
    return data[: int(len(data) * share)]


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes with one bit turned."""
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


# Writing them


def write_zip(
    path: Path,
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """A zip with fixed times; a list of pairs may repeat names."""
    pairs = files.items() if isinstance(files, Mapping) else files
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in pairs:
            info = zipfile.ZipInfo("placeholder", ZIP_TIME)
            info.filename = name  # as it is: the constructor would tidy the name
            info.compress_type = method
            archive.writestr(info, data)
    return path


def write_tar(path: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Path:
    """A tar with fixed times, gzipped where its name says so."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    packed = path.suffix in (".gz", ".tgz")
    data = stream.getvalue()
    path.write_bytes(gzip_module.compress(data, compresslevel=1, mtime=0) if packed else data)
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """The files below a folder."""
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def oasis_course_zip(path: Path, **choices: Any) -> Path:
    """`oasis_course_files` as a zip."""
    return write_zip(path, oasis_course_files(**choices))


def akoa_zip(path: Path, people: int = 8, slices: int = 1) -> Path:
    """`akoa_files` as a zip."""
    return write_zip(path, akoa_files(people, slices))


def slices_folder(path: Path, people: int = 5, slices: int = 3, size: int = 64) -> Path:
    """`slice_files` as a folder."""
    return write_folder(path, slice_files(people, slices, size))


def hostile_zip(path: Path) -> Path:
    """`hostile_files` as a zip; writing the same name twice is the point here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return write_zip(path, hostile_files())


def bomb_zip(path: Path, n_bytes: int = 8 << 20) -> Path:
    """A good slice and a member of zeros that packs about a thousand to one."""
    return write_zip(path, {"good_1.png": png_bytes(slice_pixels()), "bomb_2.png": bytes(n_bytes)})
