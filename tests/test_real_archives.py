"""Real archives in the shapes that users have, where they lie beside the repository.

They may not be part of it (their licences forbid that), so these tests say "skipped" elsewhere;
the same rules are tested on generated archives in `tests/ingest`.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mri_gan.config import LEVELS
from mri_gan.ingest.cut.faces import shows_face
from mri_gan.ingest.cut.intensity import foreground_threshold, take_sample
from mri_gan.ingest.cut.orientation import make_cube, mirror_doubts, set_doubts
from mri_gan.ingest.read.volume import Volume, read_volume
from mri_gan.store.reader import StoreReader

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real archives at {REAL}")


def read_everything(store: StoreReader) -> None:
    """Every slice at every level, in batches; the reader checks each record."""
    for level in LEVELS:
        step = max(1, (1 << 24) // level**2)
        for start in range(0, len(store), step):
            batch = store.read(level, range(start, min(start + step, len(store))))
            assert batch.shape[1:] == (1, level, level)


def test_oasis_course_archive(prepare: Any, tmp_path: Path) -> None:
    with StoreReader(prepare(tmp_path, REAL / "oasis_like.zip", workers=2)) as store:
        summary = store.summary
        assert (summary["slices"], summary["subjects"], summary["masks"]) == (544, 17, 544)
        assert summary["split_subjects"] == {"train": 13, "validate": 2, "test": 2}
        assert not any("seg_" in record.source for record in store.records)
        read_everything(store)
        with zipfile.ZipFile(REAL / "oasis_like.zip") as archive:
            for i, record in enumerate(store.records):
                data = archive.read(f"keras_png_slices_data/{record.source}")
                pixels = np.asarray(Image.open(io.BytesIO(data)))
                assert np.array_equal(store.read(256, [i])[0, 0], pixels)
                assert f"_{record.split}/case_{record.subject}_" in record.source


def test_akoa_archive(prepare: Any, tmp_path: Path) -> None:
    folder = prepare(tmp_path, REAL / "akoa_like.zip", workers=2, ids="keep")
    with StoreReader(folder) as store:
        assert (store.summary["slices"], store.summary["subjects"]) == (192, 7)
        assert {record.side for record in store.records} == {"left", "right"}
        spelled = {record.source.split("_WE_")[1].split(".")[0] for record in store.records}
        assert {"L_E_F_T", "R_I_G_H_T"} < spelled
        assert {record.padding for record in store.records} == {(16, 16, 0, 0)}
        edges = store.read(256, range(192))[:, 0]
        assert not edges[:, :16].any()
        assert not edges[:, -16:].any()
        splits = {(record.subject, record.split) for record in store.records}
        assert len(splits) == 7
        read_everything(store)


def test_volumes(prepare: Any, tmp_path: Path) -> None:
    with StoreReader(prepare(tmp_path, REAL / "volumes", workers=2)) as store:
        assert store.summary["subjects"] == 7
        assert store.summary["masks"] == 1
        assert not any("tissues" in record.source for record in store.records)
        assert {"01"} < {record.subject for record in store.records}
        read_everything(store)


def test_oasis_1_disc(prepare: Any, tmp_path: Path) -> None:
    with StoreReader(prepare(tmp_path, REAL / "oasis1_disc_like.tar.gz", workers=2)) as store:
        assert store.summary["layouts"] == ["oasis1"]
        assert (store.summary["subjects"], store.summary["masks"]) == (2, 2)
        assert {record.session for record in store.records} == {"1"}
        read_everything(store)


def test_an_oasis_1_disc_shows_left_where_good_headers_have_it(
    prepare: Any, tmp_path: Path
) -> None:
    """The disc's second person is also a NIfTI volume, whose header says which side is which."""
    disc = StoreReader(prepare(tmp_path / "1", REAL / "oasis1_disc_like.tar.gz"))
    nifti = StoreReader(prepare(tmp_path / "2", REAL / "volumes" / "1000_SS.nii.gz"))
    with disc, nifti:
        rows = [i for i, r in enumerate(disc.records) if r.subject == "OAS1_9061"]
        ours = boxed(disc.read(256, [rows[len(rows) // 2]])[0, 0])
        theirs = [boxed(nifti.read(256, [i])[0, 0]) for i in range(len(nifti))]
        straight, mirrored = (
            max(similarity(side, other) for other in theirs) for side in (ours, ours[:, ::-1])
        )
        assert straight > 0.98
        assert straight > mirrored + 0.02


def similarity(one: Any, other: Any) -> float:
    """The correlation of two pictures enlarged to the same size."""
    a, b = (
        np.asarray(Image.fromarray(np.ascontiguousarray(x)).resize((96, 96))) for x in (one, other)
    )
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def boxed(pixels: Any) -> Any:
    """The part of a picture that is not black."""
    rows, columns = (np.flatnonzero((pixels > 20).any(axis)) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_dicom_series(prepare: Any, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    with StoreReader(prepare(tmp_path, REAL / "knee_dicom", plane="sagittal")) as store:
        assert (len(store), store.summary["subjects"]) == (24, 1)
        assert {record.shape for record in store.records} == {(256, 256)}
        assert not any("E3655" in record.source for record in store.records)
        read_everything(store)


def test_masks_of_the_real_archives(prepare: Any, tmp_path: Path) -> None:
    course = prepare(tmp_path / "1", REAL / "oasis_like.zip", workers=2, masks=True)
    disc = prepare(tmp_path / "2", REAL / "oasis1_disc_like.tar.gz", workers=2, masks=True)
    with StoreReader(course) as store:
        assert (len(store), store.summary["skipped"]) == (544, {})
        assert store.header["learned"]["mask_labels"] == [0, 85, 170, 255]
        with zipfile.ZipFile(REAL / "oasis_like.zip") as archive:
            for i in range(0, 544, 17):
                name = store.records[i].source.replace("slices_", "slices_seg_")
                data = archive.read("keras_png_slices_data/" + name.replace("case_", "seg_"))
                pixels = np.asarray(Image.open(io.BytesIO(data)))
                assert np.array_equal(store.read(256, [i])[0, 1], pixels)
    with StoreReader(disc) as store:
        assert store.header["learned"]["mask_labels"] == [0, 1, 2, 3]
        image, mask = store.read(256, range(0, len(store), 5)).transpose(1, 0, 2, 3)
        white, fluid = image[mask == 255].mean(), image[mask == 85].mean()
        assert white > 2 * fluid  # white matter is bright in T1, fluid is dark


def volumes() -> Iterator[tuple[str, Volume, float]]:
    """The real heads and brains, each with its threshold of tissue."""
    for path in sorted((REAL / "volumes").glob("*.nii.gz")):
        if "tissues" not in path.name:
            volume = read_volume(path.read_bytes())
            yield path.name, volume, foreground_threshold(take_sample(volume.voxels))


def test_only_the_head_that_was_not_defaced_shows_a_face() -> None:
    found = {name: shows_face(volume, level) for name, volume, level in volumes()}
    assert len(found) == 7
    assert [name for name, face in found.items() if face] == ["sub-01_ses-006_run-001_T1w.nii.gz"]


def test_the_head_with_its_face_cut_off_shows_none() -> None:
    (head, level), *_ = [(v, t) for name, v, t in volumes() if name.startswith("sub-")]
    _, y, z = (
        axis * mm for axis, mm in zip(np.indices(head.voxels.shape), head.spacing, strict=True)
    )
    inside = head.voxels > level
    forehead, crown = y[inside].max(), z[inside].max()
    cut = 0.9 * (forehead - y) + z < crown - 67
    assert not shows_face(Volume(np.where(cut, 0, head.voxels), head.affine), level)


def test_turned_brains_are_doubted_and_others_are_not() -> None:
    brains = [(v, t) for name, v, t in volumes() if name.endswith("_SS.nii.gz")]
    cubes = [make_cube(volume, level) for volume, level in brains]
    assert set_doubts(cubes) == [""] * 6
    assert [doubt for cube in cubes if cube is not None for doubt in mirror_doubts(cube)] == []
    turns: list[Callable[[Any], Any]] = [
        lambda v: v.transpose(0, 2, 1),
        lambda v: v.transpose(2, 1, 0),
        lambda v: v.transpose(1, 0, 2),
        lambda v: v[:, ::-1],
        lambda v: v[:, :, ::-1],
        lambda v: v[::-1, ::-1],
    ]
    for i, (volume, level) in enumerate(brains):
        for turn in turns:
            turned = make_cube(Volume(turn(volume.voxels), np.eye(4)), level)
            doubts = set_doubts([*cubes[:i], turned, *cubes[i + 1 :]])
            assert [bool(doubt) for doubt in doubts] == [k == i for k in range(6)]


def test_one_field_of_view_and_a_range_of_slices(prepare: Any, tmp_path: Path) -> None:
    folder = prepare(tmp_path, REAL / "volumes", workers=2, fov=256.0, slices="0.3:0.7", every=9)
    with StoreReader(folder) as store:
        assert {record.pixel_mm for record in store.records} == {1.0}
        assert len({record.subject for record in store.records}) == 7
        assert store.summary["empty_slices"] == 0
        read_everything(store)
