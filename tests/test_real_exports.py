"""Exports of real archives, where they lie beside the repository: in their place, left on left.

They may not be part of it (their licences forbid that), so these tests say "skipped" elsewhere;
the same rules are tested on generated volumes in `tests/exchange`.
"""

import tarfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.measure import label, regionprops

from mri_gan.export.export import ExportConfig, export
from mri_gan.files import StopSignal
from mri_gan.store.reader import StoreReader

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real archives at {REAL}")
STEP = 3  # every third voxel along each axis is compared
HEAD = "sub-01_ses-006_run-001_T1w.nii.gz"  # whole, 0.90 x 0.94 x 0.94 mm
CAPSULE = "1002_SS.nii.gz"  # its person wore a vitamin-E capsule on the left of the forehead


def exported(store: Path, out: Path) -> Any:
    with StoreReader(store) as opened:
        export(opened, ExportConfig("nifti"), out, 2, StopSignal())
    (file,) = out.rglob("*volume-0.nii.gz")
    return nib.load(file)


def likeness(found: Any, original: Any, *, mirrored: bool = False, off: int = 0) -> float:
    """Correlation of an exported volume with the original, each put in its place in mm."""
    data = np.asarray(original.dataobj, np.float32).reshape(original.shape[:3])
    indices = np.indices([n // STEP for n in data.shape]).reshape(3, -1) * STEP
    values = np.minimum(data[tuple(indices)], np.percentile(data[data > 0], 99.5))
    places = indices.astype(float)
    places[0] = data.shape[0] - 1 - places[0] if mirrored else places[0] + off
    places = (
        np.linalg.inv(found.affine) @ original.affine @ np.vstack([places, np.ones(len(values))])
    )
    shades = map_coordinates(np.asarray(found.dataobj, np.float32), places[:3], order=1)
    inside = ((places[:3] >= 0) & (places[:3] <= np.array(found.shape)[:, None] - 1)).all(axis=0)
    return float(np.corrcoef(shades[inside], values[inside])[0, 1])


@pytest.mark.parametrize(
    ("name", "plane"),
    [(CAPSULE, "axial"), (CAPSULE, "coronal"), (CAPSULE, "sagittal"), (HEAD, "coronal")],
)
def test_an_exported_volume_lies_on_its_original(
    prepare: Any, tmp_path: Path, name: str, plane: str
) -> None:
    """One voxel off, or with left on right, it would not."""
    original = nib.load(REAL / "volumes" / name)
    found = exported(prepare(tmp_path / "s", REAL / "volumes" / name, plane=plane), tmp_path / "e")
    here = likeness(found, original)
    assert here > 0.995
    assert here - likeness(found, original, off=1) > 0.005
    assert here - likeness(found, original, mirrored=True) > 0.1


def test_an_exported_disc_lies_on_its_original(prepare: Any, tmp_path: Path) -> None:
    disc = REAL / "oasis1_disc_like.tar.gz"
    with StoreReader(prepare(tmp_path / "s", disc)) as store:
        export(store, ExportConfig("nifti"), tmp_path / "e", 2, StopSignal())
    with tarfile.open(disc) as archive:
        archive.extractall(tmp_path / "disc", filter="data")
    files = sorted((tmp_path / "e").rglob("*volume-0.nii.gz"))
    assert len(files) == 2
    for file in files:
        (header,) = (tmp_path / "disc").rglob(f"{file.parent.name}*_t88_masked_gfc.hdr")
        assert likeness(nib.load(file), nib.load(header)) > 0.995


def test_the_capsule_on_the_left_of_the_forehead_is_on_the_right_of_the_picture(
    prepare: Any, tmp_path: Path
) -> None:
    with StoreReader(prepare(tmp_path / "s", REAL / "volumes" / CAPSULE)) as store:
        images = store.read(256, range(len(store)))[:, 0]
        sizes = [_capsule(image)[0] for image in images]
        row = int(np.argmax(sizes))
        _, centre, middle = _capsule(images[row])
        affine = np.array(store.records[row].affine)
        assert sizes[row] > 10
        assert centre[1] > middle[1]
        x, middle_x = ((affine @ (c, r, 1))[0] for r, c in (centre, middle))
        assert x < middle_x - 20  # RAS+ millimetres: left is negative
        assert centre[0] < middle[0]  # and it is in front


def _capsule(image: NDArray[Any]) -> tuple[int, tuple[float, float], tuple[float, float]]:
    """The size and centre of the largest bright spot outside the brain, and the brain's centre."""
    spots = sorted(regionprops(label(image > 128)), key=lambda spot: spot.area)
    if len(spots) < 2:
        return 0, (0.0, 0.0), (0.0, 0.0)
    return int(spots[-2].area), spots[-2].centroid, spots[-1].centroid
