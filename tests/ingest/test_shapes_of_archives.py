"""The same scans in other boxes are the same store: nested, renamed, split over archives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest

from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
TOP = "keras_png_slices_data/"


def digest(folder: Path) -> str:
    with StoreReader(folder) as store:
        return store.digest


@pytest.fixture(scope="module")
def reference(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("course")
    return digest(prepare(folder / "s", phantoms.oasis_course_zip(folder / "a.zip")))


@pytest.mark.parametrize("top", ["", TOP, TOP + TOP, "copy of/my data/" + TOP])
def test_a_course_archive_may_be_nested(
    tmp_path: Path, prepare: Prepare, reference: str, top: str
) -> None:
    archive = phantoms.oasis_course_zip(tmp_path / "a.zip", top=top)
    assert digest(prepare(tmp_path / "s", archive)) == reference


@pytest.mark.parametrize("masks", [False, True])
def test_a_course_archive_may_have_folders_of_slices(
    tmp_path: Path, prepare: Prepare, masks: bool
) -> None:
    files = phantoms.oasis_course_files()
    deep = {"/slices/".join(name.rsplit("/", 1)): data for name, data in files.items()}
    archive = phantoms.write_zip(tmp_path / "a.zip", {TOP + n: d for n, d in deep.items()})
    with StoreReader(prepare(tmp_path / "s", archive, masks=masks)) as store:
        assert store.summary["split_subjects"] == {"train": 3, "validate": 1, "test": 1}
        assert (len(store), store.summary["masks"]) == (10, 0 if masks else 10)
        assert store.channels == 1 + masks


def test_a_folder_and_its_tars_hold_the_same(
    tmp_path: Path, prepare: Prepare, reference: str
) -> None:
    # In the order of names: a gzipped tar is read in its own order.
    files = dict(sorted(phantoms.oasis_course_files().items()))
    phantoms.write_folder(tmp_path, files)
    boxes = [tmp_path / TOP.rstrip("/")]
    boxes += [phantoms.write_tar(tmp_path / name, files) for name in ("a.tar", "a.tar.gz")]
    for i, box in enumerate(boxes):
        assert digest(prepare(tmp_path / f"s{i}", box)) == reference


def test_several_archives_make_one_store_and_masks_may_lie_apart(
    tmp_path: Path, prepare: Prepare
) -> None:
    files = phantoms.oasis_course_files()
    parts = {
        "train.zip": {n: d for n, d in files.items() if "slices_train" in n},
        "rest.zip": {n: d for n, d in files.items() if "_train" not in n and "seg_" not in n},
        "masks.tar": {n: d for n, d in files.items() if "seg_" in n},
    }
    write = {".zip": phantoms.write_zip, ".tar": phantoms.write_tar}
    paths = [write[Path(name).suffix](tmp_path / name, part) for name, part in parts.items()]
    scan = tmp_path / "0042.nii.gz"
    scan.write_bytes(phantoms.nifti_bytes(phantoms.brain_volume(), gzip=True))
    knees = phantoms.akoa_zip(tmp_path / "knees.zip", people=2)
    with StoreReader(prepare(tmp_path / "s", *paths, scan, knees)) as store:
        assert store.summary["layouts"] == ["akoa", "oasis-course", "volumes"]
        assert store.summary["subjects"] == 5 + 1 + 2
        assert store.summary["masks"] == 10
    with StoreReader(prepare(tmp_path / "m", *paths, masks=True)) as store:
        assert (len(store), store.channels) == (10, 2)


def test_slices_of_one_person_in_two_archives_are_one_person(
    tmp_path: Path, prepare: Prepare
) -> None:
    """In one split, therefore."""
    names = [f"{a}_{k}.png" for a in ("anna", "bob", "cy", "dan") for k in range(4)]
    data = {name: phantoms.png_bytes(phantoms.slice_pixels(16, 16)) for name in names}
    halves = [
        phantoms.write_zip(tmp_path / f"{half}.zip", dict(list(data.items())[half::2]))
        for half in (0, 1)
    ]
    with StoreReader(prepare(tmp_path / "s", *halves, split=(50, 50, 0))) as store:
        assert len({(record.subject, record.split) for record in store.records}) == 4
