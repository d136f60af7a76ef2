"""Enhanced multi-frame DICOM: every frame with a place of its own, as Philips and Siemens XA write.

The functional groups are those of DICOM PS3.3 section C.7.6.16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError, SeriesError
from mri_gan.ingest.read.dicom.headers import Place, find_affine, is_filled, number, text
from mri_gan.ingest.read.dicom.unpacking import in_units

SAME_PLACE_MM = 1e-3
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
        raise DataError(f"{len(pixels)} frames, but positions of {len(each)}")
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    frames = [_Frame(header, one, shared[0]) for one in each]
    volumes = _volumes(frames)
    if chosen is None and len(volumes) > 1:
        raise SeriesError(f"{len(volumes)} volumes in one file", "choose one with --volume")
    number_ = chosen or 0
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
    volumes: list[list[int]] = []
    before, nth = -np.inf, 0
    for depth, i in sorted(zip(depths, stack, strict=True)):
        nth = nth + 1 if depth - before < SAME_PLACE_MM else 0
        before = depth
        while len(volumes) <= nth:
            volumes.append([])
        volumes[nth].append(i)
    return volumes
