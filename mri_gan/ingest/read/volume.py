"""NIfTI, Analyze 7.5 and FreeSurfer's MGH to a Volume in RAS+ orientation.

Headers are checked before they are believed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError, LabelMapError, MriganError, SeriesError
from mri_gan.files import one_line
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.inflate import GZIP_MAGIC, gunzip, gunzip_start
from mri_gan.ingest.source import MAX_MEMBER_BYTES, Member, Source

MAX_VOXELS = 1 << 28  # 1 GiB of float32; a 512^3 scan is half of that
MAX_VALUE = 1e30  # beyond, windowing overflows float32
MAX_LABELS = 40  # a label map has few values; real scans have hundreds
NIFTI_1_HEADER, NIFTI_2_HEADER = 348, 540
# Fields of a header that are kept; all others that hold something are reported by name.
_NIFTI_PICTURE = """
    sizeof_hdr dim datatype bitpix pixdim vox_offset scl_slope scl_inter qform_code sform_code
    quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z srow_x srow_y srow_z magic
    xyzt_units regular extents dim_info cal_max cal_min slice_start slice_end slice_code glmax
    glmin eol_check dim_un0 funused1 vox_units
"""
NIFTI_PICTURE = frozenset(_NIFTI_PICTURE.split())
SPARE_BYTES = 1 << 20  # that may follow the voxels, as padding or a footer

# nibabel would write a line to standard error for every odd header field.
nib.imageglobals.logger.setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Volume:
    """Voxels [X, Y, Z] in RAS+ orientation, and the affine voxel -> mm [4, 4].

    They are whole numbers of at most 16 bits where the file has such, else float32.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64]
    dropped: tuple[str, ...] = ()  # fields of the header that say something else
    header: Any = None  # of a NIfTI file, for what it says of itself
    axes: str = ""  # of a DICOM series' voxels, as in LPS
    placed: bool = True  # whether the file says how large voxels are and which way they point

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Size of a voxel along X, Y, Z in mm."""
        return np.asarray(nib.affines.voxel_sizes(self.affine), np.float64)


def read_volume(data: bytes, labels: bool = False, chosen: int | None = None) -> Volume:
    """A volume from the bytes of a `.nii` or `.nii.gz` file; a single slice is one as well.

    Raises DataError for anything that is not one finite 3-D scan, LabelMapError for label maps
    unless `labels` are wanted, SeriesError for several volumes of which none is `chosen`.
    """
    with our_errors("NIfTI"):
        image = take_one(parse_image(data, chosen), chosen)
        volume = build_volume(image, labels, nifti_fields(image.header))
        return replace(volume, header=image.header)


def nifti_fields(header: Any) -> tuple[str, ...]:
    """What a NIfTI or Analyze header holds beside geometry and scale."""
    rest = (name for name in header if name not in NIFTI_PICTURE)
    # More than zeros and spaces
    names = [name for name in rest if np.asarray(header[name]).tobytes().strip(b"\0 ")]
    extensions = ["extensions"] if len(getattr(header, "extensions", ())) else []
    return tuple(sorted([*names, *extensions]))


@contextlib.contextmanager
def our_errors(kind: str) -> Iterator[None]:
    """Turn whatever a reader raises within into a DataError that names the kind of file."""
    try:
        # nibabel warns of odd but harmless header fields; what matters is checked here.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MriganError:
        raise
    except (MemoryError, OverflowError) as error:
        raise DataError("too large for this machine's memory") from error
    except Exception as error:  # nibabel lets a dozen exception types through for odd headers
        raise DataError(f"unreadable {kind} ({one_line(error)})") from error


def parse_image(data: bytes, chosen: int | None) -> nib.Nifti1Image:
    """The image of a `.nii` or `.nii.gz` file, whose header says no more than its bytes hold.

    Raises DataError otherwise, SeriesError for several volumes of which none is `chosen`.
    """
    packed = data[:2] == GZIP_MAGIC
    head = gunzip_start(data, NIFTI_2_HEADER) if packed else data
    if len(head) < NIFTI_1_HEADER:
        raise DataError("too short for a NIfTI header")
    kind = nib.Nifti2Image if head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nib.Nifti1Image
    # Extensions, which may be long, are behind the header: four zeros say that there are none.
    size = NIFTI_2_HEADER if kind is nib.Nifti2Image else NIFTI_1_HEADER
    header = parse_header(kind.header_class, head[:size] + bytes(4))
    n_bytes = check_header(header, None if packed else len(data), chosen)
    if packed:
        data = gunzip(data, n_bytes + SPARE_BYTES)
        check_header(header, len(data), chosen)
    return _without_copy(kind.from_bytes(data), data)


def _without_copy(image: nib.Nifti1Image, data: bytes) -> nib.Nifti1Image:
    """The image with its voxels where they are in memory, if they need no conversion."""
    proxy: Any = image.dataobj
    if not is_narrow(proxy.dtype) or (proxy.slope, proxy.inter) != (1, 0):
        return image
    stored = np.frombuffer(data, proxy.dtype, math.prod(proxy.shape), proxy.offset)
    return type(image)(stored.reshape(proxy.shape, order="F"), image.affine, image.header)


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Whether numbers are kept as a file has them: whole ones of at most 16 bits."""
    return dtype.kind in "ui" and dtype.itemsize <= 2


def parse_header(kind: type[nib.AnalyzeHeader], data: bytes) -> nib.AnalyzeHeader:
    """The header that a file begins with.

    Raises DataError where nibabel would repair it by a guess: of another size, or without the sizes
    of voxels that nothing else gives.
    """
    header: nib.AnalyzeHeader = kind.from_fileobj(io.BytesIO(data), check=False)
    if int(header["sizeof_hdr"]) != header.sizeof_hdr:
        raise DataError("its header does not begin as one; it is damaged")
    placed = "sform_code" in header.keys() and header["sform_code"] > 0  # noqa: SIM118
    if not placed and (header["pixdim"][1:4] == 0).any():
        raise DataError("voxel sizes make no sense; its header is damaged")
    header.check_fix()
    return header


def check_header(header: nib.AnalyzeHeader, n_bytes: int | None, chosen: int | None = None) -> int:
    """The bytes of the file that it announces.

    Raises DataError unless it holds slices or volumes that `n_bytes` can hold, where they are
    known, and SeriesError for several volumes of which none is `chosen`.
    """
    shape = header.get_data_shape()
    dtype = header.get_data_dtype()
    if len(shape) < 2 or min(shape) < 1:
        raise DataError(f"shape {shape} is not one 3-D volume", "split or squeeze it first")
    if dtype.kind not in "uif":
        raise DataError(f"voxel type {dtype} is not a plain number")
    check_shape(shape, chosen)
    announced: int = int(header["vox_offset"]) + math.prod(shape) * int(dtype.itemsize)
    if n_bytes is not None and announced > n_bytes:
        raise DataError("shorter than its header announces (truncated?)")
    if announced > MAX_MEMBER_BYTES:
        raise DataError(f"announces {announced} bytes, more than {MAX_MEMBER_BYTES}")
    return announced


def check_shape(shape: Sequence[int], chosen: int | None = None) -> None:
    """Raise unless voxels of a shape [X, Y, Z, volumes ...] are not too many, and one is chosen."""
    if math.prod(shape[:3]) > MAX_VOXELS:
        raise DataError(f"{math.prod(shape[:3])} voxels, more than {MAX_VOXELS}")
    count = math.prod(shape[3:])
    if count > 1 and chosen is None:
        text = " x ".join(map(str, shape))
        raise SeriesError(
            f"{count} volumes in one file (shape {text} is not one 3-D volume)",
            "choose one with --volume",
        )
    if chosen is not None and 1 < count <= chosen:  # the only one is taken whatever is chosen
        raise DataError(f"has no volume {chosen} (of {count}, counted from 0)")


def take_one(image: nib.Nifti1Image, chosen: int | None) -> nib.Nifti1Image:
    """The image of one volume [X, Y, Z] of those that `check_shape` let pass."""
    shape = image.shape
    if len(shape) == 3:
        return image
    if math.prod(shape[3:]) == 1:
        voxels = image.dataobj
        whole = np.asarray(voxels).reshape((*shape, 1)[:3], order="F")
    else:
        place = np.unravel_index(chosen or 0, shape[3:], order="F")
        whole = np.asarray(image.dataobj[(..., *map(int, place))])
    dtype = whole.dtype if is_narrow(whole.dtype) else np.float32
    return type(image)(whole.astype(dtype, copy=False), image.affine, image.header)


def build_volume(
    image: nib.Nifti1Image, labels: bool = False, dropped: tuple[str, ...] = ()
) -> Volume:
    """The image's voxels in RAS+ order, finite, and no label map unless `labels` are wanted."""
    image = nib.funcs.squeeze_image(image)
    _check_affine(np.asarray(image.affine, np.float64))
    canonical = nib.as_closest_canonical(image)
    # In the order in which the file has them: for NIfTI, axial slices are one after another.
    narrow = isinstance(canonical.dataobj, np.ndarray) and is_narrow(canonical.dataobj.dtype)
    dtype = canonical.dataobj.dtype.newbyteorder("=") if narrow else np.float32
    voxels = np.asarray(canonical.dataobj, dtype)
    affine = np.asarray(canonical.affine, np.float64)
    if voxels.ndim != 3:
        raise DataError(f"shape {voxels.shape} is not one 3-D volume")
    voxels = voxels if narrow else _finite(voxels)
    if not labels and is_label_map(voxels):
        raise LabelMapError("a label map, not a scan")
    return Volume(voxels, affine, dropped)


def _check_affine(affine: NDArray[np.float64]) -> None:
    """Raise DataError unless voxels have a size between a micrometre and a metre."""
    sizes = nib.affines.voxel_sizes(affine)
    if not np.isfinite(affine).all() or sizes.min() < 1e-3 or sizes.max() > 1e3:
        raise DataError("voxel sizes make no sense; its header is damaged")


def _finite(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace NaN and infinities by the smallest finite value: background, not signal."""
    low, high = float(voxels.min()), float(voxels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        good = np.isfinite(voxels)
        if not good.any():
            raise DataError("no finite voxel")
        voxels = np.where(good, voxels, voxels[good].min())
        low, high = float(voxels.min()), float(voxels.max())
    largest = max(abs(low), abs(high))
    if largest > MAX_VALUE or 0 < largest < 1 / MAX_VALUE:
        raise DataError(f"values up to {largest:.0e}; its scale is damaged")
    return voxels


def is_label_map(voxels: NDArray[Any]) -> bool:
    """Whether all voxels are whole numbers of which there are few.

    A few decide most cases; the whole volume is looked at only when they agree.
    """
    some = voxels[(slice(None, None, 7),) * voxels.ndim]
    for part in (some, voxels):
        if (part != np.round(part)).any() or len(np.unique(part)) > MAX_LABELS:
            return False
    return True


# Stacks of slices of many people, [W, H, N] or [W, H, 1, N], of which a table says whose


def read_stack_shape(member: Member) -> tuple[int, int, int]:
    """Width, height and number of slices; raises DataError for what is not a stack of slices."""
    with our_errors("NIfTI"):
        width, height, *rest = _open_stack(member).shape
        if len(rest) not in (1, 2) or rest[:-1] not in ([], [1]):
            shape = " x ".join(map(str, (width, height, *rest)))
            raise DataError(f"shape {shape} is not a stack of grey slices")
        return width, height, rest[-1]


def read_slice(member: Member, number: int) -> Volume:
    """One slice of a stack as a volume [W, H, 1]; raises DataError where it is damaged."""
    with our_errors("NIfTI"):
        image = _open_stack(member)
        voxels = np.asarray(image.dataobj[..., number])
        dtype = voxels.dtype if is_narrow(voxels.dtype) else np.float32
        flat = voxels.astype(dtype).reshape((*voxels.shape, 1)[:3])
        return build_volume(type(image)(flat, image.affine, image.header))


@functools.lru_cache(maxsize=1)  # a worker reads the slices of a stack one after another
def _open_stack(member: Member) -> nib.Nifti1Image:
    return parse_image(read_member(member), chosen=0)


# Pairs of a header and bare voxels

# Analyze does not store how a scan is oriented. Left-anterior-superior is what nibabel, SPM and
# OASIS-1's T88 images take for granted; scans of OASIS-1 that are not yet in T88 space are
# stored sagittally.
USUAL_AXES = "LAS"
SAGITTAL_AXES = "ASL"
SAGITTAL_NAMES = re.compile(r"_mpr-\d+_anon\.|_sbj_111\.", re.IGNORECASE)
NIFTI_PAIR = b"ni1\0"


def axes_of(source: Source) -> str:
    """Towards where the voxels of a pair run, judged by its name."""
    sagittal = source.naming.layout == "oasis1" and SAGITTAL_NAMES.search(source.name)
    return SAGITTAL_AXES if sagittal else USUAL_AXES


def read_pair(
    header: bytes,
    voxels: bytes,
    axes: str = USUAL_AXES,
    labels: bool = False,
    chosen: int | None = None,
) -> Volume:
    """A volume from the bytes of a header and its voxels, each of them gzipped or not.

    Raises DataError for anything that is not one finite 3-D scan, LabelMapError for label maps
    unless `labels` are wanted, SeriesError for several volumes of which none is `chosen`.
    """
    with our_errors("Analyze pair"):
        if header[:2] == GZIP_MAGIC:
            header = gunzip(header, SPARE_BYTES)
        if len(header) < NIFTI_1_HEADER:
            raise DataError("too short for an Analyze header")
        is_nifti = header[344:348] == NIFTI_PAIR
        kind = nib.nifti1.Nifti1PairHeader if is_nifti else nib.AnalyzeHeader
        parsed = parse_header(kind, header)
        if voxels[:2] == GZIP_MAGIC:
            voxels = gunzip(voxels, check_header(parsed, None, chosen) + SPARE_BYTES)
        check_header(parsed, len(voxels), chosen)
        affine = parsed.get_best_affine() if is_nifti else affine_of(parsed, axes)
        image = take_one(nib.Nifti1Image(_voxels(parsed, voxels), affine), chosen)
        return build_volume(image, labels, nifti_fields(parsed))


def _voxels(header: nib.AnalyzeHeader, data: bytes) -> NDArray[Any]:
    # The window makes up for a slope, but for the sign of it, and Analyze has none.
    shape = header.get_data_shape()
    start = int(header["vox_offset"])
    flat = np.frombuffer(data, header.get_data_dtype(), math.prod(shape), start)
    slope = header.get_slope_inter()[0] or 1.0
    voxels = flat.reshape(shape, order="F")
    if slope == 1 and is_narrow(voxels.dtype):
        return voxels
    return voxels.astype(np.float32) * np.float32(slope)


def affine_of(header: nib.AnalyzeHeader, axes: str) -> NDArray[np.float64]:
    """Voxel -> mm with the middle of the volume at 0 [4, 4]."""
    sizes = np.asarray(header.get_zooms()[:3], np.float64)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, sign) in enumerate(nib.orientations.axcodes2ornt(axes)):
        affine[int(axis), column] = sign * sizes[column]
    centre = (np.asarray(header.get_data_shape()[:3]) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ centre
    return affine


# MGH

MGH_HEADER = 284
SCAN_PARAMETERS_BYTES = 20  # after the voxels: times and angles
TYPE_BYTES = {0: 1, 1: 4, 3: 4, 4: 2}  # unsigned char, int, float, short


def read_mgh(data: bytes, labels: bool = False) -> Volume:
    """A volume from the bytes of a `.mgh` or `.mgz` file; raises like `read_volume`."""
    with our_errors("MGH"):
        if data[:2] == GZIP_MAGIC:
            head = gunzip_start(data, MGH_HEADER)
            data = gunzip(data, _check_mgh(head) + SPARE_BYTES)
        if _check_mgh(data) > len(data):
            raise DataError("shorter than its header announces (truncated?)")
        image = nib.MGHImage.from_bytes(data)
        voxels = np.asarray(image.dataobj, dtype=np.float32)
        return build_volume(nib.Nifti1Image(voxels, image.affine), labels, _tags_of(data))


def _tags_of(data: bytes) -> tuple[str, ...]:
    """Whether there are tags after the voxels: commands, with names of files and people."""
    *shape, kind = struct.unpack_from(">5i", data, 4)
    end = MGH_HEADER + math.prod(shape) * TYPE_BYTES[kind] + SCAN_PARAMETERS_BYTES
    return ("tags",) if len(data) > end else ()


def _check_mgh(data: bytes) -> int:
    """The bytes that a header announces."""
    if len(data) < MGH_HEADER:
        raise DataError("too short for an MGH header")
    version, *shape, kind = struct.unpack_from(">6i", data)
    if version != 1 or kind not in TYPE_BYTES:
        raise DataError("unreadable MGH (unknown version or voxel type)")
    if min(shape) < 1 or shape[3] != 1:
        raise DataError(f"shape {tuple(shape)} is not one 3-D volume", "split or squeeze it first")
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(f"{math.prod(shape)} voxels, more than {MAX_VOXELS}")
    n_bytes: int = MGH_HEADER + math.prod(shape) * TYPE_BYTES[kind]
    return n_bytes
