"""Where header and picture seem to disagree about how a volume is oriented.

Four things can be detected. A header may contradict itself or say nothing. A head or a brain is its
own mirror image from left to right and in no other direction, so a better mirror along another axis
means that the axes are mixed up. A volume that fits the others of its set better after it has been
turned was probably stored another way, and so was a brain without its skull that is more like the
average brain then. What cannot be detected: left against right, because both
sides of a head look alike and a left knee is the mirror image of a right one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mri_gan.ingest.read.volume import Volume

SIDE = 16
FINE = 2  # samples per cell and axis
MIRRORED = 0.8  # correlation with the mirror image from which on it is one
BETTER = 0.1  # of correlation: what a turn must gain to be believed
ALIKE = 0.6  # and what it must reach
ENOUGH = 4  # volumes, to know what the set looks like
LIKE_A_BRAIN = 0.8  # correlation with the average brain from which on a volume is one
CLEARLY = 0.08  # more of it in another orientation
TEMPLATE = "mni152_16.bin"  # uint8 [SIDE, SIDE, SIDE], by tools/make_template.py
AXIS_NAMES = ("left to right", "front to back", "top to bottom")

Cube = NDArray[np.float32]  # [SIDE, SIDE, SIDE], mean 0 and length 1


def make_cube(volume: Volume, threshold: float) -> Cube | None:
    """The volume's tissue, boxed and brought to 16^3; None where there is too little."""
    inside = volume.voxels > threshold
    steps = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(inside.mean(axis=others) > 0.01)
        if len(filled) < 4:
            return None
        steps.append(np.linspace(filled[0], filled[-1], FINE * SIDE).round().astype(int))
    shades = np.clip(volume.voxels[np.ix_(*steps)] - threshold, 0, None)
    top = np.percentile(shades, 98) or 1
    cells = np.minimum(shades / top, 1).reshape((SIDE, FINE) * 3).mean(axis=(1, 3, 5))
    cells = cells - cells.mean()
    length = float(np.linalg.norm(cells))
    return np.asarray(cells / length, np.float32) if length > 0 else None


def header_doubts(header: Any) -> Iterator[str]:
    """What a NIfTI header says against itself."""
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None and qform is None:
        yield "the header does not record its orientation"
    elif sform is not None and qform is not None:
        ways = ["".join(map(str, nib.aff2axcodes(affine))) for affine in (sform, qform)]
        if ways[0] != ways[1]:
            yield f"the header says both {ways[0]} (sform) and {ways[1]} (qform)"


def mirror_doubts(cube: Cube) -> Iterator[str]:
    """Whether another axis than left-right is the one along which the volume is mirrored."""
    likeness = [float((cube * np.flip(cube, axis)).sum()) for axis in range(3)]
    best = int(np.argmax(likeness))
    if best != 0 and likeness[best] >= MIRRORED and likeness[best] > likeness[0] + BETTER:
        yield f"it is mirrored from {AXIS_NAMES[best]}, where a head is from left to right"


def true_axes(cube: Cube) -> str:
    """Which way the axes of a brain truly point, as in `PIR`, where its header says RAS.

    Empty where it is oriented as its header says, or too unlike the average brain to be judged:
    a head with its skin is not. Left and right look alike: of the two answers the one is given that
    turns the brain and does not mirror it.
    """
    likeness = _likeness(cube)
    best = max(likeness.values())
    if best < LIKE_A_BRAIN or best - max(likeness["RAS"], likeness["LAS"]) < CLEARLY:
        return ""
    first, second = sorted(likeness, key=lambda name: -likeness[name])[:2]
    is_turn = np.linalg.det(_turn_matrix(first)) > 0
    return "".join(nib.aff2axcodes(_turn_matrix(first if is_turn else second).T))


def is_judged(cube: Cube | None) -> bool:
    """Whether a volume is so much like a brain without its skull that `true_axes` judges it."""
    return cube is not None and max(_likeness(cube).values()) >= LIKE_A_BRAIN


def _likeness(cube: Cube) -> dict[str, float]:
    """Correlation with the average brain in each of the 48 orientations."""
    brain = average_brain()
    return {name: float((turned * brain).sum()) for name, turned in _turns(cube)}


def brain_doubts(cube: Cube) -> Iterator[str]:
    """Whether a brain is truly oriented otherwise than its header says."""
    axes = true_axes(cube)
    if axes:
        yield f"its axes, R A S by the header, look like {axes} (left and right look alike)"


@functools.lru_cache(maxsize=1)
def average_brain() -> Cube:
    """The symmetric mean of MNI152 (Fonov et al., NeuroImage 54, 2011) as `make_cube` makes it."""
    data = resources.files("mri_gan.ingest.cut").joinpath(TEMPLATE).read_bytes()
    cells = np.frombuffer(data, np.uint8).astype(np.float32).reshape((SIDE,) * 3)
    cells = cells - cells.mean()
    return np.asarray(cells / np.linalg.norm(cells), np.float32)


def _turn_matrix(axes: str) -> NDArray[np.float64]:
    """From the directions that a header says to the true ones, where its RAS is truly `axes`."""
    way = nib.orientations.axcodes2ornt(axes)
    return np.asarray(nib.orientations.inv_ornt_aff(way, (1, 1, 1)).T, np.float64)


def reorient(volume: Volume, axes: str) -> Volume:
    """The volume turned so that it is oriented as its header says, where that is truly `axes`."""
    way = nib.orientations.axcodes2ornt(axes)
    voxels = np.ascontiguousarray(nib.orientations.apply_orientation(volume.voxels, way))
    back = nib.orientations.inv_ornt_aff(way, volume.voxels.shape)  # to the old voxels
    return replace(volume, voxels=voxels, affine=_turn_matrix(axes) @ volume.affine @ back)


def set_doubts(cubes: Sequence[Cube | None]) -> list[str]:
    """For each volume that its orientation differs from the others of its set, or an empty text."""
    known = [cube for cube in cubes if cube is not None]
    if len(known) < ENOUGH:
        return [""] * len(cubes)
    total = np.sum(known, axis=0)
    return ["" if cube is None else _turn_to(cube, total - cube) for cube in cubes]


def _turn_to(cube: Cube, others: NDArray[np.float32]) -> str:
    others = others / max(float(np.linalg.norm(others)), 1e-9)
    likeness = {name: float((turned * others).sum()) for name, turned in _turns(cube)}
    name = max(likeness, key=lambda n: likeness[n])
    gain = likeness[name] - likeness["RAS"]
    if name in ("RAS", "LAS") or likeness[name] < ALIKE or gain < BETTER:
        return ""
    return "its orientation differs from the other volumes of its kind"


def _turns(cube: Cube) -> Iterator[tuple[str, Cube]]:
    """All 48 ways to lay a cube, named by where its axes would have to point instead."""
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turned = cube.transpose(order)
            turned = np.flip(turned, tuple(axis for axis in range(3) if flips[axis]))
            letters = ("RAS"[a] if not f else "LPI"[a] for a, f in zip(order, flips, strict=True))
            yield "".join(letters), turned
