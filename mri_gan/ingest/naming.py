"""File names read as the user says, by `--layout` or `--naming`, or as they look."""

from __future__ import annotations

import re

from mri_gan.config import PrepareConfig
from mri_gan.errors import UsageError
from mri_gan.ingest.layouts import SPLIT_FOLDERS, identify, identify_class, identify_forced
from mri_gan.ingest.sources import Naming
from mri_gan.preparation import NAMING_EXAMPLE
from mri_gan.settings import AUTO

EXAMPLES = {
    "oasis-course": "keras_png_slices_train/case_001_slice_0.nii.png",
    "akoa": "OAI9000000_BaseLine_3_de3d1_SAG_3D_DESS_WE_LEFT.nii.gz_0.png",
    "oasis1": "OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
    "bids": "sub-01_ses-1_T1w.nii.gz",
    "neurite": "OASIS_OAS1_0001_MR1/norm.nii.gz",
    "learn2reg": "imagesTr/OASIS_0001_0000.nii.gz",
}


def identify_as(name: str, prefix: str, config: PrepareConfig) -> Naming:
    """Read a member's path; raises UsageError where it does not fit what the user asked for."""
    if config.naming != AUTO:
        return _by_pattern(name, config.naming)
    if config.classes:
        return _by_class(name, prefix)
    if config.layout == AUTO:
        return identify(name, prefix)
    found = identify_forced(name, prefix, config.layout)
    if found is None:
        raise UsageError(
            f"{name}: is not named as --layout {config.layout} has it",
            f"such as {EXAMPLES[config.layout]}",
        )
    return found


def _by_pattern(name: str, pattern: str) -> Naming:
    found = re.search(pattern, name)
    if found is None or not found["subject"]:
        raise UsageError(
            f"{name}: --naming {pattern} finds no subject in it", f"example: {NAMING_EXAMPLE}"
        )
    said = {key: value or "" for key, value in found.groupdict().items()}
    return Naming(
        "naming",
        subject=said["subject"],
        session=said.get("session", ""),
        split=_split(name, said.get("split", "")),
        side=said.get("side", "").lower(),
        position=_position(name, said.get("slice", "")),
        mask=bool(said.get("mask", "")),
        label=said.get("class", ""),
    )


def _by_class(name: str, prefix: str) -> Naming:
    found = identify_class(name, prefix)
    if found is None:
        raise UsageError(
            f"{name}: lies in no class folder", "put it into one, or leave --classes out"
        )
    return found


def _split(name: str, word: str) -> str:
    if word and word.lower() not in SPLIT_FOLDERS:
        raise UsageError(
            f"{name}: --naming finds the split {word}", f"use one of {', '.join(SPLIT_FOLDERS)}"
        )
    return SPLIT_FOLDERS[word.lower()] if word else ""


def _position(name: str, digits: str) -> int:
    if not digits:
        return -1
    if not digits.isdecimal():
        raise UsageError(f"{name}: --naming finds the slice {digits}", r"use (?P<slice>\d+)")
    return int(digits)
