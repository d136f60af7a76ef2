"""Compare with `dcm2niix` what becomes of MR files: `python -m fuzz.against_dcm2niix [FOLDER ...]`.

Without folders: those that come with pydicom, pydicom-data and nibabel. One line per set of files:
volumes of dcm2niix, how many of them have equal voxels and affine here, and why the others are left
out.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from mri_gan.errors import MriganError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.scan import read_source_volume
from mri_gan.ingest.read.volume import Volume

CONFIG = PrepareConfig(ids="keep", also=("derived", "localizers", "phase"))
PLACES = {"pydicom": "data/test_files", "data_store": "data", "nibabel": "nicom/tests/data"}
SAME_MM, SAME_VALUE = 1e-3, 1e-2


def shipped_sets() -> Iterator[tuple[str, list[Path]]]:
    """The MR files of these packages: each alone, but those of a media directory together."""
    folders: dict[str, list[Path]] = {}
    for package, inner in PLACES.items():
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:  # pydicom-data need not be there
            continue
        top = Path(found.origin).parent / inner
        for path in sorted(p for p in top.rglob("*") if p.is_file()):
            if _is_mr(path):
                alone = path.parent == top
                name = path.name if alone else str(path.parent.relative_to(top))
                folders.setdefault(f"{package}: {name}", []).append(path)
    yield from folders.items()


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _is_mr(path: Path) -> bool:
    import pydicom

    try:
        stream = io.BytesIO(_content(path))
        header: Any = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
        return bool(header.get("Modality") == "MR" and header.get("Rows"))
    except Exception:  # it is none of those that are wanted
        return False


def compare(files: Sequence[Path]) -> tuple[int, int, str]:
    """(volumes of dcm2niix, equal ones, reasons for the rest) of some files."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in", Path(folder) / "out"
        source.mkdir()
        out.mkdir()
        for number, path in enumerate(files):
            (source / f"{number:04}").write_bytes(_content(path))
        command = ["dcm2niix", "-z", "n", "-b", "n", "-o", str(out), "-f", "%s_%e_%r", str(source)]
        subprocess.run(command, capture_output=True, check=False)
        paths = sorted(out.glob("*.nii"))
        theirs = [nib.as_closest_canonical(nib.load(path)) for path in paths]
        ours, reasons = _read(source)
        overlays = sum("_ROI" in path.name for path in paths)
        reasons |= (
            {f"{overlays} drawn over a picture (overlays), not scanned"} if overlays else set()
        )
        equal = sum(any(_equal(volume, image) for volume in ours) for image in theirs)
        return len(theirs), equal, "; ".join(sorted(reasons))


def _read(source: Path) -> tuple[list[Volume], set[str]]:
    volumes, reasons = [], set()
    try:
        plan = build_plan([source], CONFIG)
    except MriganError as error:
        why = str(error).partition("no slices or volumes found: ")[2].partition("; exp")[0]
        return [], {why.replace(f"{source}/", "")}
    reasons |= {why for _, why in plan.bad} | set(plan.ignored_kinds)
    for one in plan.sources:
        try:
            volumes.append(read_source_volume(one))
        except MriganError as error:
            reasons.add(error.message)
    return volumes, reasons


def _equal(ours: Volume, theirs: Any) -> bool:
    values = np.asarray(theirs.dataobj, np.float64)
    return (
        ours.voxels.shape == values.shape
        and np.allclose(ours.affine, theirs.affine, atol=SAME_MM)
        and np.allclose(ours.voxels, values, atol=SAME_VALUE)
    )


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    folders = [Path(name) for name in sys.argv[1:]]
    sets = [(f.name, sorted(p for p in f.rglob("*") if p.is_file())) for f in folders]
    totals = np.zeros(2, int)
    for name, files in sets or shipped_sets():
        theirs, equal, reasons = compare(files)
        totals += theirs, equal
        print(f"{name}: {theirs} of dcm2niix, {equal} equal{reasons and ': '}{reasons}")
    print(f"together: {totals[0]} of dcm2niix, {totals[1]} equal")


if __name__ == "__main__":
    main()
