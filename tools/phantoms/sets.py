"""Whole data sets as {path: bytes}: what users bring, and what nobody should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phantoms.formats import Files, analyze_bytes
from phantoms.images import png_bytes, slice_pixels
from phantoms.volumes import Array, brain_volume, oriented
from phantoms.writing import truncated

AKOA_SIDES = ("LEFT", "Left", "left", "L_E_F_T", "RIGHT", "Right", "right", "R_I_G_H_T")
AKOA_VISITS = ("3_", "4", "100_", "101")
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


def twin_files() -> Files:
    """Three people in three splits, one of whom has a slice of another."""
    splits = {"sub00": "train", "sub01": "validate", "sub02": "test"}
    files = {f"{splits[n.split('/')[0]]}/{n}": data for n, data in slice_files(people=3).items()}
    return files | {"test/sub02/slice_0.png": files["train/sub00/slice_1.png"]}


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
