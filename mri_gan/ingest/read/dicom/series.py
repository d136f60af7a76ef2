"""DICOM series to volumes; nothing that identifies a person leaves this module."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError, SeriesError, UsageError
from mri_gan.ingest.outcome import about
from mri_gan.ingest.read.dicom.elements import EXPLICIT_LE, Elements, read_elements
from mri_gan.ingest.read.dicom.headers import (
    MOSAIC_TAGS,
    Place,
    axes_of,
    count_frames,
    find_affine,
    in_units,
    is_filled,
    number,
    position_of,
    size_of,
    text,
    unpack,
)
from mri_gan.values import say_count

if TYPE_CHECKING:
    from mri_gan.ingest.read.volume import Volume


# Elements by which files are distinguished and sorted, and those without which there is no picture.
PLANNED = {
    *(0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080060, 0x0008103E, 0x00100020),
    *(0x00181030, 0x00180081, 0x0020000D, 0x0020000E, 0x00200032, 0x00200037, 0x00280008),
    *(0x00280010, 0x00280002, 0x00280011, 0x00280100, 0x00180010),
    *MOSAIC_TAGS,
}
PICTURED = {
    *(0x00180080, 0x00180082, 0x00181060, 0x00181314, 0x00189087, 0x00200012, 0x00200013),
    *(0x00200100, 0x00180050, 0x00180088, 0x00280004, 0x00280006, 0x00280030, 0x00280101),
    *(0x00280102, 0x00280103, 0x00280120, 0x00280121, 0x00281052, 0x00281053, 0x00283000),
    *(0x52009229, 0x52009230),
}
# What a picture consists of, by name; of all the rest the names are reported.
_DICOM_PICTURE = """
    Rows Columns PixelData PixelSpacing SliceThickness SamplesPerPixel
    PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation
    ImagePositionPatient ImageOrientationPatient RescaleSlope RescaleIntercept
    SmallestImagePixelValue LargestImagePixelValue SpacingBetweenSlices RescaleType
    SpecificCharacterSet PlanarConfiguration PixelPaddingValue
"""
DICOM_PICTURE = frozenset(_DICOM_PICTURE.split())
# By what volumes of one series differ, the first that does
TELLING = (
    *("TemporalPositionIdentifier", "DiffusionBValue", "InversionTime", "FlipAngle"),
    *("RepetitionTime", "AcquisitionNumber", "TriggerTime"),
)
SAME_PLACE_MM = 1e-3
DIRECTORY, FRAMES = 0x00041220, 0x52009230


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise UsageError("DICOM needs one more package", "pip install 'mrigan[dicom]'") from error
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return pydicom


def read_data_set(data: bytes, header_only: bool) -> tuple[Any, Elements]:
    """A data set of the elements that matter, and what else the file holds.

    Raises DataError for files that are cut short or hold more than a scan could.
    """
    pydicom = _pydicom()
    wanted = PLANNED if header_only else PLANNED | PICTURED
    found = read_elements(data, wanted, pixels=not header_only)
    data_set = pydicom.filereader.read_dataset(
        io.BytesIO(found.kept), found.implicit, found.little, bytelength=len(found.kept)
    )
    data_set.file_meta = pydicom.dataset.FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = found.syntax or EXPLICIT_LE
    data_set.is_implicit_VR, data_set.is_little_endian = found.implicit, found.little
    return data_set, found


def read_series(files: Sequence[bytes], chosen: int | None = None, labels: bool = False) -> Volume:
    """The volume of a series, its slices sorted along their normal.

    A file of several frames may hold several volumes, of which `chosen` is taken. Raises DataError
    where it is not one evenly spaced stack, or naming a damaged file by its number; SeriesError
    where one must be chosen, LabelMapError for label maps.
    """
    import nibabel as nib

    from mri_gan.ingest.read.volume import MAX_VOXELS, build_volume, our_errors

    def about_nth(nth: int) -> AbstractContextManager[None]:
        return about(f"file {nth + 1} of {len(files)}") if len(files) > 1 else nullcontext()

    def read_nth(nth: int) -> tuple[Any, Elements]:
        with about_nth(nth), our_errors("DICOM file"):
            return read_data_set(files[nth], header_only=False)

    def unpack_one(header: Any, found: Elements) -> NDArray[Any]:
        with about_nth(places[id(found)]), our_errors("DICOM file"):
            return in_units(unpack(header, found), header).T

    with our_errors("DICOM series"):
        read = [read_nth(nth) for nth in range(len(files))]
        places = {id(found): nth for nth, (_, found) in enumerate(read)}
        first, found = read[0]
        if math.prod((len(read), count_frames(first), *size_of(first))) > MAX_VOXELS:
            raise DataError(f"more than {MAX_VOXELS} voxels")
        if FRAMES in found.tags:
            stack, affine = choose_frames(first, unpack(first, found), chosen)
        else:
            across = np.cross(*axes_of(first))
            read.sort(key=lambda one: float(across @ position_of(one[0])))
            read = choose_volume(read, across, chosen)
            found = read[0][1]
            affine = find_affine([Place(one) for one, _ in read])
            stack = np.stack([unpack_one(*one) for one in read], axis=-1)
        if str(first.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
            stack = np.nanmax(stack) - stack
        volume = build_volume(nib.Nifti1Image(stack, affine), labels, dropped_names(found))
        return replace(volume, axes="".join(nib.aff2axcodes(affine)))


def choose_volume(
    read: Sequence[tuple[Any, Elements]], across: NDArray[np.float64], chosen: int | None
) -> list[tuple[Any, Elements]]:
    """The files of one volume, of a sorted series that may hold several at the same places.

    Raises SeriesError, which says by what they differ, unless one is `chosen`; files that do not
    make whole volumes are given back as they are.
    """
    depths = np.array([float(across @ position_of(header)) for header, _ in read])
    starts = np.flatnonzero(np.diff(depths, prepend=-np.inf) > SAME_PLACE_MM)
    count = len(read) // len(starts)
    if count < 2 or (starts != np.arange(len(starts)) * count).any() or len(read) % count:
        return list(read)
    places = [list(read[i : i + count]) for i in range(0, len(read), count)]
    name = next((name for name in TELLING if _tells_apart(places, name)), "")
    if chosen is None or chosen >= count:
        last = count - 1
        raise SeriesError(
            f"{count} volumes in one series, differing in {name or 'nothing in their headers'}",
            f"choose one with --volume (0 to {last})",
        )
    order = name or "InstanceNumber"
    return [sorted(place, key=lambda one: number(one[0], order, 0))[chosen] for place in places]


def _tells_apart(places: Sequence[Sequence[tuple[Any, Elements]]], name: str) -> bool:
    """Whether the files at every place have the same values of an element, each its own."""
    found = [sorted(number(header, name, math.nan) for header, _ in place) for place in places]
    distinct = len(set(found[0])) == len(found[0]) and not any(map(math.isnan, found[0]))
    return distinct and all(np.allclose(values, found[0], rtol=1e-4) for values in found)


def dropped_names(found: Elements) -> tuple[str, ...]:
    """What a file holds beside geometry and scale, by name; private elements count as one."""
    from pydicom.datadict import keyword_for_tag

    names = {keyword_for_tag(tag) or "private fields" for tag in found.tags}
    return tuple(sorted(names - DICOM_PICTURE))


# Enhanced multi-frame DICOM: every frame with a place of its own, as Philips and Siemens XA write,
# in the functional groups of DICOM PS3.3 section C.7.6.16

TURN_DIGITS, ECHO_DIGITS = 2, 2  # what distinguishes stacks and echoes


def choose_frames(
    header: Any, pixels: NDArray[Any], chosen: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Voxels [X, Y, Z] and affine [4, 4] of one volume of a file.

    Raises SeriesError where there are several and none is chosen.
    """
    each = header.PerFrameFunctionalGroupsSequence
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    if len(each) != len(pixels):
        raise DataError(f"{say_count(len(pixels), 'frame')}, but positions of {len(each)}")
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    frames = [_Frame(header, one, shared[0]) for one in each]
    volumes = _volumes(frames)
    if chosen is None and len(volumes) > 1:
        raise SeriesError(f"{len(volumes)} volumes in one file", "choose one with --volume")
    number_ = (chosen or 0) if len(volumes) > 1 else 0
    if number_ >= len(volumes):
        raise DataError(f"has no volume {number_} (of {len(volumes)}, counted from 0)")
    stack = [in_units(pixels[i], header, frames[i].scale).T for i in volumes[number_]]
    return np.stack(stack, axis=-1), find_affine([frames[i].place for i in volumes[number_]])


class _Frame:
    """What the functional groups say of one frame."""

    def __init__(self, header: Any, own: Any, shared: Any) -> None:
        def group(name: str) -> Any:
            for where in (own, shared):
                if name in where and len(where[name].value):
                    return where[name].value[0]
            return None

        sizes, plane = group("PixelMeasuresSequence"), group("PlaneOrientationSequence")
        position = group("PlanePositionSequence")
        if sizes is None or plane is None or position is None:
            raise DataError("multi-frame DICOM without frame positions")
        self.place = Place(position, sizes, plane)
        scale = group("PixelValueTransformationSequence")
        self.scale = header if scale is None else scale
        echo, kind = group("MREchoSequence"), group("MRImageFrameTypeSequence")
        has_echo = echo is not None and is_filled(echo, "EffectiveEchoTime")
        self.echo_ms = number(echo, "EffectiveEchoTime") if has_echo else 0.0
        self.kind = "" if kind is None else text(kind, "FrameType")


def _volumes(frames: Sequence[_Frame]) -> list[list[int]]:
    """The frames of each volume, sorted along their normal."""
    stacks: dict[Any, list[int]] = {}
    for number_, frame in enumerate(frames):
        turned = np.round([*frame.place.along, *frame.place.down], TURN_DIGITS) + 0.0
        key = (frame.kind, round(frame.echo_ms, ECHO_DIGITS), *turned.tolist())
        stacks.setdefault(key, []).append(number_)
    return [volume for stack in stacks.values() for volume in _split(frames, stack)]


def _split(frames: Sequence[_Frame], stack: Sequence[int]) -> list[list[int]]:
    """The n-th frames at every place, for each n; the order of the file is that of time."""
    first = frames[stack[0]].place
    across = np.cross(first.along, first.down)
    depths = [float(across @ frames[i].place.corner) for i in stack]
    volumes: dict[int, list[int]] = {}
    before, nth = -np.inf, 0
    for depth, i in sorted(zip(depths, stack, strict=True)):
        nth = nth + 1 if depth - before < SAME_PLACE_MM else 0
        before = depth
        volumes.setdefault(nth, []).append(i)
    return list(volumes.values())
