"""Every format holds the store's pixels, as code that knows nothing of us reads them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import nibabel as nib
import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray
from PIL import Image

from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.export.export import ExportConfig, count_images, describe_export, export
from mri_gan.export.formats import name_folders, safe_name
from mri_gan.files import StopSignal
from mri_gan.pictures import Shows
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]


def exported(folder: Path, out: Path, format: str, **choices: Any) -> Path:
    with StoreReader(folder) as store:
        config = ExportConfig(format, **choices)
        told: list[int] = []
        export(store, config, out, 2, StopSignal(), told.append)
        assert told[-1] == count_images(store, config)
    return out


def pixels(folder: Path, level: int = 64, split: str | None = None) -> NDArray[Any]:
    """The store's own pixels [N, H, W]."""
    with StoreReader(folder) as store:
        return np.asarray(store.read(level, store.indices(split))[:, 0])


def decode(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


# Images


def test_png_folders_hold_the_pixels(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o", "png")
    files = sorted(out.rglob("*.png"), key=lambda path: path.name)
    got = np.stack([decode(path.read_bytes()) for path in files])
    np.testing.assert_array_equal(got, pixels(store))
    with StoreReader(store) as opened:
        expected = [(r.split, r.subject, f"{i:06d}.png") for i, r in enumerate(opened.records)]
    assert [path.relative_to(out).parts for path in files] == expected
    infos = [Image.open(io.BytesIO(path.read_bytes())).info for path in files]
    assert infos == [{"Comment": Shows.REAL.value}] * len(files)  # no name, no date


def test_one_level_of_one_split(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o", "png", level=128, split="train")
    files = sorted(out.rglob("*.png"), key=lambda path: path.name)
    got = np.stack([decode(path.read_bytes()) for path in files])
    np.testing.assert_array_equal(got, pixels(store, 128, "train"))
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "manifest.tsv", "train"]
    with StoreReader(store) as opened:
        assert json.loads((out / "export.json").read_text())["digest"] == opened.digest


def test_16_bit_stores_keep_every_grey(prepare: Prepare, oasis_zip: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "s", oasis_zip, depth=16)
    out = exported(folder, tmp_path / "deep", "png16")
    got = np.stack(
        [decode(p.read_bytes()) for p in sorted(out.rglob("*.png"), key=lambda p: p.name)]
    )
    np.testing.assert_array_equal(got, pixels(folder))
    out = exported(folder, tmp_path / "flat", "png")
    got = np.stack(
        [decode(p.read_bytes()) for p in sorted(out.rglob("*.png"), key=lambda p: p.name)]
    )
    np.testing.assert_array_equal(got.astype(int) * 257, pixels(folder))


def test_anonymous_folders_are_numbers(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o", "png", anonymous=True)
    names = {path.parent.name for path in out.rglob("*.png")}
    assert names == {f"{i:05d}" for i in range(5)}


def test_the_stylegan_zip(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o.zip", "stylegan-zip")
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert json.loads(archive.read("dataset.json")) == {"labels": None}
        got = np.stack([decode(archive.read(n)) for n in names if n.endswith(".png")])
    assert names[:2] == ["00000/img00000000.png", "00000/img00000001.png"]
    np.testing.assert_array_equal(got, pixels(store))


def test_the_stylegan_lmdb_is_told_with_its_largest_size(store: Path, tmp_path: Path) -> None:
    with StoreReader(store) as opened:
        said = describe_export(opened, ExportConfig("stylegan-lmdb"))
    out = exported(store, tmp_path / "o", "stylegan-lmdb")
    with lmdb.open(str(out), readonly=True, lock=False).begin() as txn:
        sizes = {int(bytes(key).split(b"-")[0]) for key, _ in txn.cursor() if b"-" in bytes(key)}
    assert f"give {max(sizes)} as the largest" in said


def test_equal_exports_are_equal_files(store: Path, tmp_path: Path) -> None:
    first = exported(store, tmp_path / "a.zip", "stylegan-zip").read_bytes()
    assert exported(store, tmp_path / "b.zip", "stylegan-zip").read_bytes() == first


def test_the_stylegan_lmdb_has_every_level_in_colour(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o", "stylegan-lmdb")
    env = lmdb.open(str(out), max_readers=32, readonly=True, lock=False, readahead=False)
    with env.begin() as txn:
        length = int((txn.get(b"length") or b"0").decode())
        for level in (8, 64):
            expected = pixels(store, level)
            for i in range(length):
                key = f"{level}-{str(i).zfill(5)}".encode()
                got = decode(txn.get(key) or b"")
                np.testing.assert_array_equal(got, np.stack([expected[i]] * 3, axis=-1))
        assert txn.get(b"128-00000") is None
    env.close()
    assert length == 10


def test_webdataset_shards(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mri_gan.export.formats.SHARD", 4)
    out = exported(store, tmp_path / "o", "webdataset", anonymous=True)
    shards = sorted(out.glob("*.tar"))
    assert [path.name for path in shards] == [f"shard-{i:06d}.tar" for i in range(3)]
    images, facts = [], []
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                assert stream is not None
                data = stream.read()
                if member.name.endswith(".png"):
                    images.append(decode(data))
                else:
                    facts.append(json.loads(data))
    np.testing.assert_array_equal(np.stack(images), pixels(store))
    assert {f["subject"] for f in facts} == {f"{i:05d}" for i in range(5)}
    assert "source" not in facts[0]


# Volumes


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize(("axes", "spacing"), [("LPS", (1, 1, 1)), ("ASL", (1.0, 1.25, 1.5))])
def test_a_landmark_comes_back_to_its_place(
    prepare: Prepare, tmp_path: Path, plane: str, axes: str, spacing: tuple[float, float, float]
) -> None:
    """Within half a voxel, whichever way the volume was stored and cut."""
    shape = (40, 52, 44)
    volume = phantoms.brain_volume(shape, spacing, marker_radius_mm=3)
    scans = tmp_path / "scans"
    data = phantoms.nifti_bytes(volume, axes, spacing)
    phantoms.write_folder(scans, {"sub-07_ses-2_T1w.nii": data})
    folder = prepare(tmp_path / "s", scans, plane=plane, min_foreground=0, window=(0.5, 100.0))
    (path,) = exported(folder, tmp_path / "o", "nifti").rglob("*.nii.gz")
    assert path.relative_to(tmp_path / "o").parts == ("train", "07", "ses-2_volume-0.nii.gz")
    image: Any = nib.load(path)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    voxels = np.asarray(image.dataobj)
    bright = np.argwhere(voxels >= 0.9 * voxels.max())
    found = nib.affines.apply_affine(image.affine, bright.mean(axis=0))
    expected = np.array(phantoms.ORIGIN_MM) + np.array(phantoms.marker_index(shape)) * spacing
    assert np.abs(found - expected).max() < 0.5 * min(spacing)
    through = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    sizes = nib.affines.voxel_sizes(image.affine)
    assert sizes[through] == pytest.approx(spacing[through], rel=1e-3)
    with StoreReader(folder) as opened:
        planar = np.array(opened.records[0].affine)[:, :2]
    in_plane = [size for axis, size in enumerate(sizes) if axis != through]
    np.testing.assert_allclose(in_plane, np.linalg.norm(planar, axis=0), rtol=1e-3)


@pytest.fixture(scope="module")
def mixed(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one person with two T1 and one T2 at one visit, each darkest at another grey."""
    top = tmp_path_factory.mktemp("mixed")
    names = {"run-1_T1w": 0, "run-2_T1w": 50, "T2w": 150}
    files = {f"sub-07_ses-1_{name}.nii": ramp(darkest) for name, darkest in names.items()}
    return prepare(top / "s", phantoms.write_folder(top / "in", files), **AS_THEY_ARE)


AS_THEY_ARE: dict[str, Any] = {"intensity": "keep", "min_foreground": 0, "fit": "keep"}


def ramp(darkest: int) -> bytes:
    return phantoms.nifti_bytes((darkest + np.arange(16 * 16 * 3) % 100).reshape(16, 16, 3))


def test_volumes_of_several_contrasts_are_named_by_theirs(mixed: Path, tmp_path: Path) -> None:
    out = exported(mixed, tmp_path / "o", "nifti")
    darkest = {path.name: np.asarray(image_of(path).dataobj).min() for path in out.rglob("*.gz")}
    assert darkest == {
        "ses-1_t1_volume-0.nii.gz": 0,
        "ses-1_t1_volume-1.nii.gz": 50,
        "ses-1_t2_volume-0.nii.gz": 150,
    }


def image_of(path: Path) -> Any:
    return nib.load(path)


def test_pictures_of_several_contrasts_are_named_by_theirs(mixed: Path, tmp_path: Path) -> None:
    out = exported(mixed, tmp_path / "o", "png")
    darkest = {path.name: decode(path.read_bytes()).min() for path in out.rglob("*.png")}
    names = [f"{i:06d}_{'t2' if i < 3 else 't1'}.png" for i in range(9)]
    assert darkest == dict(zip(names, np.repeat([150, 0, 50], 3), strict=True))


def test_a_nifti_header_names_nobody(prepare: Prepare, tmp_path: Path) -> None:
    data = phantoms.nifti_bytes(phantoms.brain_volume())
    scans = phantoms.write_folder(tmp_path / "scans", {"sub-JaneDoe_T1w.nii": data})
    folder = prepare(tmp_path / "s", scans)
    (path,) = exported(folder, tmp_path / "o", "nifti", anonymous=True).rglob("*.nii.gz")
    assert "JaneDoe" not in str(path)
    assert b"JaneDoe" not in gzip.decompress(path.read_bytes())


def test_slices_without_geometry_are_no_volume(store: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="carry no geometry"):
        exported(store, tmp_path / "o", "nifti")
    assert list(tmp_path.iterdir()) == []


def test_a_gap_between_slices_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    volume = phantoms.brain_volume()
    volume[:, :, 8] = 0
    scans = phantoms.write_folder(tmp_path / "v", {"sub-1_T1w.nii": phantoms.nifti_bytes(volume)})
    folder = prepare(tmp_path / "s", scans)
    with pytest.raises(DataError, match=r"1 to 2 mm apart"):
        exported(folder, tmp_path / "o", "nifti")


# Where it goes


def test_a_target_in_the_way_is_refused_and_kept(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o", "png", level=8)
    with pytest.raises(UsageError, match="already exists"):
        exported(store, out, "png")
    exported(store, out, "webdataset", overwrite=True)
    assert sorted(p.name for p in out.iterdir()) == ["export.json", "shard-000000.tar"]
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_overwrite_never_deletes_what_no_export_wrote(store: Path, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "o", "png", level=8)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no export wrote"):
        exported(store, out, "png", overwrite=True)
    with pytest.raises(UsageError, match="no export wrote"):
        exported(store, tmp_path, "png", overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_stop_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    stop = StopSignal()
    stop.signum = 15
    with StoreReader(store) as opened, pytest.raises(Stopped):
        export(opened, ExportConfig("png"), tmp_path / "o", 2, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_slices_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "s", phantoms.slices_folder(tmp_path / "a"), split=(100, 0, 0))
    with pytest.raises(UsageError, match="no slices in split test"):
        exported(folder, tmp_path / "o", "png", split="test")


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ({"format": "gif"}, "--format gif"),
        ({"format": "png", "level": 100}, "100"),
        ({"format": "nifti", "level": 64}, "--level"),
    ],
)
def test_impossible_wishes_are_refused(choices: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        ExportConfig(**choices)


@pytest.mark.parametrize("name", ["../x", "/etc", "a\\b", "..", "", "con", "ä\udcff\n", "x" * 300])
def test_folder_names_are_harmless(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not set(safe) & set("/\\\n:")
    assert not safe.startswith(".")
    assert len(safe) <= 81


def test_two_subjects_never_share_a_folder() -> None:
    names = name_folders(["a/b", "a_b", "A_B", "a_b~2"])
    assert len({name.lower() for name in names.values()}) == 4


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Müller", "Mueller"),
        ("Mu\u0308ller", "Mueller"),  # as macOS spells it
        ("Möller", "Moeller"),
        ("Größe", "Groesse"),
        ("René", "Rene"),
        ("Łukasz Ørsted", "Lukasz_Orsted"),
        ("Åse", "Aase"),
        ("Nguyễn", "Nguyen"),
        ("Иванов", "Иванов"),
        ("Γιώργος", "Γιώργος"),
        ("山田 太郎", "山田_太郎"),
        ("sub-01", "sub-01"),
        ("PT 3", "PT_3"),
        ("a😀b", "a_b"),
    ],
)
def test_letters_beyond_ascii_stay_readable(tmp_path: Path, name: str, folder: str) -> None:
    assert safe_name(name) == folder
    assert safe_name(folder) == folder  # and is spelled no further
    (tmp_path / folder).mkdir()


def test_long_names_of_other_alphabets_fit_a_file_system(tmp_path: Path) -> None:
    for name in ("山" * 300, "\U00020000" * 300, "я" * 300):
        (tmp_path / f"{safe_name(name)}~0000").mkdir()


def test_who_is_spelled_like_another_is_told_apart_by_the_own_name_only() -> None:
    people = ["Müller", "Möller", "Mueller", "MÜLLER", "sub-01", "PT 3", "PT_3", "René", "Renè"]
    folders = name_folders(people)
    assert len({folder.casefold() for folder in folders.values()}) == len(people)
    assert list(folders) == people
    kept = {"Möller": "Moeller", "Mueller": "Mueller", "sub-01": "sub-01", "PT_3": "PT_3"}
    assert {who: folders[who] for who in kept} == kept
    assert re.fullmatch(r"Mueller~[0-9a-f]{4}", folders["Müller"])
    assert name_folders(["Mueller", "Müller"])["Müller"] == folders["Müller"]
    assert name_folders(people[::-1])["PT 3"] == folders["PT 3"]


# Masks


LABELS = (0, 2, 41, 300)  # more than a byte holds


@pytest.fixture(scope="module")
def masked(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one volume of 16 bits and its mask, no slice left out."""
    folder = tmp_path_factory.mktemp("masked")
    data = {
        "sub-1_T1w.nii": phantoms.nifti_bytes(phantoms.brain_volume(), "LPS", (1.0, 1.5, 2.0)),
        "sub-1_dseg.nii": phantoms.nifti_bytes(mask_volume(), "RSP", (1.0, 1.5, 2.0)),
    }
    scans = phantoms.write_folder(folder / "scans", data)
    return prepare(folder / "s", scans, masks=True, depth=16, min_foreground=0)


def mask_volume() -> NDArray[Any]:
    """Labels in the parts of the head: RAS+ voxels."""
    volume = phantoms.brain_volume()
    return np.take(LABELS, np.digitize(volume, np.quantile(volume, (0.5, 0.7, 0.9)))).astype("i4")


def test_a_mask_lies_beside_its_picture_with_the_labels_of_its_source(
    masked: Path, tmp_path: Path
) -> None:
    out = exported(masked, tmp_path / "o", "png")
    pictures = sorted(p for p in out.rglob("*.png") if "mask" not in p.name)
    for path in pictures:
        mask = decode(path.with_name(f"{path.stem}_mask.png").read_bytes())
        assert mask.shape == decode(path.read_bytes()).shape
        assert set(np.unique(mask)) <= set(LABELS)
    assert len(pictures) == 22
    assert len(list(out.rglob("*.png"))) == 44


def test_masks_in_shards_are_a_part_of_their_sample(masked: Path, tmp_path: Path) -> None:
    (shard,) = exported(masked, tmp_path / "o", "webdataset").glob("*.tar")
    with tarfile.open(shard) as tar:
        names = tar.getnames()
    assert names[:3] == ["000000.png", "000000.mask.png", "000000.json"]
    assert len(names) == 3 * 22


@pytest.mark.parametrize("format", ["stylegan-zip", "stylegan-lmdb"])
def test_stylegan_gets_the_pictures_alone(masked: Path, tmp_path: Path, format: str) -> None:
    exported(masked, tmp_path / "o", format, level=32)


def test_a_mask_comes_back_as_a_volume_on_its_scan(masked: Path, tmp_path: Path) -> None:
    """Every voxel of the labels where it was, in millimetres."""
    out = exported(masked, tmp_path / "o", "nifti")
    scan: Any = nib.load(next(out.rglob("volume-0.nii.gz")))
    mask: Any = nib.load(next(out.rglob("volume-0_mask.nii.gz")))
    np.testing.assert_array_equal(scan.affine, mask.affine)
    assert scan.shape == mask.shape
    labels = np.asarray(mask.dataobj)
    truth = mask_volume()
    inside = np.argwhere(truth == LABELS[3])
    millimetres = np.array(phantoms.ORIGIN_MM) + inside * (1.0, 1.5, 2.0)
    voxels = nib.affines.apply_affine(np.linalg.inv(mask.affine), millimetres)
    found = labels[tuple(np.floor(voxels + 0.5).astype(int).T)]
    assert (found == LABELS[3]).mean() > 0.9  # nearest neighbours at the edge may differ
    assert set(np.unique(labels)) == set(LABELS)


def test_a_table_says_which_file_is_the_mask_of_which(masked: Path, tmp_path: Path) -> None:
    for format, suffix in (("png", ".png"), ("nifti", ".nii.gz")):
        out = exported(masked, tmp_path / format, format)
        with (out / "manifest.tsv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        assert {row["mask"] for row in rows} == {
            row["file"].replace(suffix, f"_mask{suffix}") for row in rows
        }
        assert all((out / row["mask"]).is_file() for row in rows)
