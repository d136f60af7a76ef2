"""One digest, whatever the number of workers, the order of directories and the container."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery

N_RUNS = 24
WORKERS = (1, 2, 4)
ORDERS = (1, 2, 3, 4)

# What the file system lists comes in a shuffled order.
SHUFFLED = """
import os, random
_scandir, _listdir = os.scandir, os.listdir
class Shuffled:
    def __init__(self, path="."):
        with _scandir(path) as entries:
            self.entries = sorted(entries, key=lambda entry: entry.name)
        random.Random(f"{SEED}{path}").shuffle(self.entries)
        self.left = iter(self.entries)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    close = __exit__
    def __iter__(self):
        return self.left
    def __next__(self):
        return next(self.left)
def listdir(path="."):
    names = sorted(_listdir(path))
    random.Random(f"{SEED}{path}").shuffle(names)
    return names
os.scandir, os.listdir = Shuffled, listdir
"""


@pytest.fixture(scope="module")
def files() -> phantoms.Files:
    """Something of each kind, a damaged file and a mask among them."""
    volume = phantoms.brain_volume((12, 14, 10))
    header, voxels = phantoms.analyze_bytes(volume)
    series = phantoms.dicom_files(volume, patient="p7")
    return {
        f"set/{name}": data
        for name, data in (
            phantoms.slice_files(people=5, slices=3)
            | series
            | {
                "sub08/t1.nii.gz": phantoms.nifti_bytes(volume, "LPS", gzip=True),
                "sub09/t1.hdr": header,
                "sub09/t1.img": voxels,
                "sub10/t1.mgz": phantoms.mgh_bytes(volume, gzip=True),
                "sub01/slice_9.png": b"no picture",
                "sub01/slice_1_mask.png": phantoms.png_bytes(phantoms.slice_pixels()),
            }
        ).items()
    }


def digests(
    nursery: Nursery, folder: Path, files: phantoms.Files, runs: list[tuple[int, int, str]]
) -> list[str]:
    """The digest of every run of (workers, order, container)."""
    phantoms.write_folder(folder, files)
    found = []
    for workers, seed, kind in runs:
        source = folder / "set"
        if kind == "zip":
            pairs = list(files.items())
            random.Random(seed).shuffle(pairs)
            source = phantoms.write_zip(folder / f"{workers}-{seed}.zip", pairs)
        out = folder / f"out-{workers}-{seed}-{kind}"
        ended = faults.run(
            *faults.mrigan(
                *("prepare", source, "--out", out, "-q", "--workers", str(workers)),
                *("--id-key", folder / "ids.key"),  # DICOM names follow from it
                prelude=f"SEED = {seed}\n{SHUFFLED}",
            )
        )
        assert (ended.code, len(ended.complaints)) == (1, 1), ended.err  # the damaged file
        assert nursery("check", out, "-q").code == 0
        found.append(faults.digest(nursery, out))
    return found


def test_some_runs_give_one_digest(nursery: Nursery, tmp_path: Path, files: phantoms.Files) -> None:
    found = digests(nursery, tmp_path, files, [(1, 1, "zip"), (2, 2, "folder")])
    assert len(found) == 2
    assert len(set(found)) == 1


@pytest.mark.slow
def test_24_runs_give_one_digest(nursery: Nursery, tmp_path: Path, files: phantoms.Files) -> None:
    found = digests(nursery, tmp_path, files, list(product(WORKERS, ORDERS, ("folder", "zip"))))
    assert len(found) == N_RUNS
    assert len(set(found)) == 1
