"""One turned bit anywhere in a `.nii.gz`: the same slices as without it, or refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery

N_FLIPS = 200


def flip_many(nursery: Nursery, folder: Path, count: int) -> tuple[int, int, list[int]]:
    """How many flips were refused, how many did no harm, and the bits that got through."""
    draw = random.Random(11)
    whole = phantoms.nifti_bytes(phantoms.brain_volume((12, 14, 10)), gzip=True)
    # A good slice beside it, so that there is a store in any case.
    sources = phantoms.write_folder(
        folder / "set",
        {"sub1/a_1.png": phantoms.png_bytes(phantoms.slice_pixels()), "sub2/scan.nii.gz": whole},
    )
    out = folder / "whole"
    assert nursery("prepare", sources, "--out", out, "-q", "--workers", "0").code == 0
    expected = faults.digest(nursery, out)
    refused, harmless, silent = 0, 0, []
    for number, bit in enumerate(draw.sample(range(8 * len(whole)), count)):
        (sources / "sub2" / "scan.nii.gz").write_bytes(phantoms.flipped(whole, bit))
        out = folder / str(number)
        ended = nursery("prepare", sources, "--out", out, "-q", "--workers", "0")
        if ended.code == 1 and len(ended.complaints) == 1 and "scan.nii.gz" in ended.err:
            facts = json.loads(nursery("info", out, "--json").out)
            assert facts["skipped"] == {"damaged": 1}
            assert facts["slices"] == 1
            refused += 1
        elif ended.code == 0 and faults.digest(nursery, out) == expected:
            harmless += 1
        else:
            silent.append(bit)
    return refused, harmless, silent


def test_some_flips(nursery: Nursery, tmp_path: Path) -> None:
    refused, harmless, silent = flip_many(nursery, tmp_path, 10)
    assert silent == []
    assert refused + harmless == 10


@pytest.mark.slow
def test_200_flips(nursery: Nursery, tmp_path: Path, tell: Callable[[str], None]) -> None:
    refused, harmless, silent = flip_many(nursery, tmp_path, N_FLIPS)
    tell(f"flips: {refused} refused, {harmless} without effect, {len(silent)} written silently")
    assert silent == []
    assert refused + harmless == N_FLIPS
    assert refused > 0.9 * N_FLIPS
