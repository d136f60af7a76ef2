"""Labels of people in exports, as the table of their tree has them, and none in anonymous ones."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray
from PIL import Image

from mri_gan.export.export import ExportConfig, describe_export, export
from mri_gan.export.formats import Manifest, Selection
from mri_gan.files import StopSignal
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import SliceRecord

Prepare = Callable[..., Path]
AS_THEY_ARE: dict[str, Any] = {"intensity": "keep", "min_foreground": 0, "fit": "keep"}


def exported(folder: Path, out: Path, format: str, **choices: Any) -> Path:
    with StoreReader(folder) as store:
        export(store, ExportConfig(format, **choices), out, 2, StopSignal())
    return out


def decode(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


def image_of(path: Path) -> Any:
    return nib.load(path)


def ramp(darkest: int) -> bytes:
    return phantoms.nifti_bytes((darkest + np.arange(16 * 16 * 3) % 100).reshape(16, 16, 3))


PEOPLE = {  # as the table of the tree has them; one is older than 89, with a rare diagnosis
    "07": {"age": "93.5", "sex": "F", "diagnosis": "Kuru"},
    "08": {"age": "71", "sex": "M", "diagnosis": "CN"},
}


@pytest.fixture(scope="module")
def labelled(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of T1 and T2 of two people whose labels a table says, but nothing of a third."""
    top = tmp_path_factory.mktemp("labelled")
    lines = ["participant_id\tage\tsex\tdiagnosis"]
    lines += ["\t".join((f"sub-{who}", *row.values())) for who, row in PEOPLE.items()]
    files = {"participants.tsv": "\n".join(lines).encode()}
    for who in ("07", "08", "09"):
        for kind, darkest in (("T1w", 0), ("T2w", 150)):
            files[f"sub-{who}/ses-1/anat/sub-{who}_ses-1_{kind}.nii"] = ramp(darkest)
    scans = phantoms.write_folder(top / "in", files)
    return prepare(top / "s", scans, split=(100, 0, 0), **AS_THEY_ARE)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_shards_hold_the_labels_of_people(labelled: Path, tmp_path: Path) -> None:
    (shard,) = exported(labelled, tmp_path / "o", "webdataset").glob("*.tar")
    seen = set()
    with tarfile.open(shard) as tar:
        for name in (name for name in tar.getnames() if name.endswith(".json")):
            facts = json.load(tar.extractfile(name) or io.BytesIO())
            darkest = decode((tar.extractfile(name[:-4] + "png") or io.BytesIO()).read()).min()
            assert facts["contrast"] == ("t2" if darkest else "t1")
            told = {
                key: f"{value:g}" if key == "age" else value
                for key, value in facts.get("labels", {}).items()
            }
            assert told == PEOPLE.get(facts["subject"], {})
            seen.add(facts["subject"])
    assert seen == {"07", "08", "09"}


@pytest.mark.parametrize("format", ["png", "nifti"])
def test_folders_have_a_table_of_their_files(labelled: Path, tmp_path: Path, format: str) -> None:
    out = exported(labelled, tmp_path / "o", format)
    rows = rows_of(out)
    suffix = ".png" if format == "png" else ".nii.gz"
    files = {str(p.relative_to(out)) for p in out.rglob("*") if p.name.endswith(suffix)}
    assert {row["file"] for row in rows} == files
    assert len(rows) == len(files) == (18 if format == "png" else 6)
    assert list(rows[0])[:3] == ["file", "subject", "split"]
    for row in rows:
        path = out / row["file"]
        read = decode(path.read_bytes()) if format == "png" else np.asarray(image_of(path).dataobj)
        assert row["contrast"] == ("t2" if read.min() else "t1")
        assert (row["split"], row["subject"]) == Path(row["file"]).parts[:2]
        assert (row["session"], row["plane"]) == ("1", "axial")
        nothing = dict.fromkeys(PEOPLE["07"], "")
        assert {key: row[key] for key in nothing} == PEOPLE.get(row["subject"], nothing)
    if format == "png":
        assert [row["position"] for row in rows] == ["0", "1", "2"] * 6
    else:
        assert "position" not in rows[0]


@pytest.mark.parametrize("format", ["png", "nifti", "webdataset", "stylegan-zip"])
def test_an_anonymous_export_holds_no_label_of_people(
    labelled: Path, tmp_path: Path, format: str
) -> None:
    out = exported(labelled, tmp_path / "o", format, anonymous=True)
    files = [path for path in (out, *out.rglob("*")) if path.is_file()]
    content = b"".join(path.read_bytes() for path in files if path.suffix not in (".png", ".gz"))
    assert not [word for word in (b"93.5", b"Kuru", b"diagnosis", b"sex") if word in content]
    if format in ("png", "nifti"):
        assert {row["subject"] for row in rows_of(out)} == {"00000", "00001", "00002"}
        assert {row["contrast"] for row in rows_of(out)} == {"t1", "t2"}


def test_labels_that_nobody_wrote_are_told(prepare: Prepare, tmp_path: Path) -> None:
    names = [f"{kind}/p{i}_{i}.png" for i, kind in enumerate(("AD", "CN"))]
    files = dict.fromkeys(names, phantoms.png_bytes(phantoms.slice_pixels()))
    scans = phantoms.write_folder(tmp_path / "in", files)
    folder = prepare(tmp_path / "s", scans, classes=True, split=(100, 0, 0))
    for anonymous, told in ((False, "labels: class (0 AD, 1 CN)"), (True, "labels: left out")):
        out = tmp_path / f"{anonymous}.zip"
        exported(folder, out, "stylegan-zip", anonymous=anonymous)
        with StoreReader(folder) as opened:
            said = describe_export(opened, ExportConfig("stylegan-zip", anonymous=anonymous))
        assert said.startswith(told)
        with zipfile.ZipFile(out) as archive:
            assert (json.loads(archive.read("dataset.json"))["labels"] is None) == anonymous


def test_what_a_label_is_called_never_hides_the_file(tmp_path: Path) -> None:
    labels: dict[str, str | float] = {"file": "x", "subject": "y", "age": 70.0, "site": "=1+2"}
    record = SliceRecord("a.png", "1", "train", 64, labels=labels)
    table = Manifest(Selection((0,), {"1": "one"}))
    table.add({"": "train/one/0.png"}, record, position=True)
    table.write(tmp_path)
    row = {"file": "train/one/0.png", "subject": "one", "split": "train", "age": "70"}
    assert rows_of(tmp_path) == [row | {"site": "'=1+2"}]
