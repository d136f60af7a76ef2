"""Stacks of slices of many people, as PACGAN has them: each slice is the person's of its row."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.store.reader import StoreReader

PEOPLE = ["002_S_0295", "002_S_0295", "011_S_4827", "002_S_0413"]
LABELS = "1100"


def stack(size: int, count: int, flat: bool = False) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A stack [size, size, 1, count], or without the third axis, of which no two slices agree."""
    values = np.random.default_rng(size).integers(0, 256, (size, size, 1, count), np.int16)
    return values[:, :, 0] if flat else values


def packed(values: Any) -> bytes:
    image = nib.Nifti1Image(values, np.eye(4))
    stream = io.BytesIO()
    image.to_file_map({"image": nib.FileHolder(fileobj=stream)})
    return stream.getvalue()


def table(people: list[str], labels: str = LABELS) -> bytes:
    rows = [
        f"{i},{label},{who}" for i, (who, label) in enumerate(zip(people, labels, strict=False))
    ]
    return "\n".join(["ID,Label,Subject_ID", *rows, ""]).encode()


def plan_of(folder: Path, files: dict[str, bytes], **choices: Any) -> Plan:
    phantoms.write_folder(folder, files)
    return build_plan([folder], PrepareConfig(**choices))


@pytest.mark.parametrize("flat", [False, True])
def test_each_slice_has_the_person_and_the_class_of_its_row(
    tmp_path: Path, prepare: Any, flat: bool
) -> None:
    values = stack(32, 4, flat)
    phantoms.write_folder(
        tmp_path / "set",
        {"ADNI_train/Real32x32.nii": packed(values), "ADNI_train/labels.csv": table(PEOPLE)},
    )
    folder = prepare(tmp_path / "store", tmp_path / "set", intensity="keep")
    with StoreReader(folder) as store:
        found = [(r.subject, (r.labels or {})["class"], r.split) for r in store.records]
        pixels = store.read(32, range(4))
    assert sorted(found) == sorted(zip(PEOPLE, LABELS, ["train"] * 4, strict=True))
    # Shown as volumes are: patient's right on the left, anterior up.
    shown = values.reshape(32, 32, 4)[::-1, ::-1].T.astype(np.uint8)
    assert {one.tobytes() for one in pixels} == {one.tobytes() for one in shown}


def test_the_id_is_the_place_in_the_stack(tmp_path: Path) -> None:
    rows = table(PEOPLE).splitlines()
    turned = b"\n".join([rows[0], *rows[:0:-1]])
    files = {"a/Real32x32.nii": packed(stack(32, 4)), "a/labels.csv": turned}
    plan = plan_of(tmp_path / "s", files)
    assert [s.naming.subject for s in plan.sources if s.slice_number == 2] == [PEOPLE[2]]


def test_smaller_copies_are_counted_and_folders_are_splits(tmp_path: Path) -> None:
    files = {
        "ADNI_train/Real32x32.nii": packed(stack(32, 4)),
        "ADNI_train/Real16x16.nii": packed(stack(16, 4)),
        "ADNI_train/labels.csv": table(PEOPLE),
        "ADNI_test/Real32x32.nii": packed(stack(32, 2)),
        "ADNI_test/labels.csv": table(["127_S_1427", "136_S_0086"]),
    }
    plan = plan_of(tmp_path / "set", files)
    assert len(plan.sources) == 6
    assert plan.left_out == {"smaller copy": 1}
    assert {s.naming.subject: s.naming.split for s in plan.sources} == {
        **dict.fromkeys(PEOPLE, "train"),
        **dict.fromkeys(["127_S_1427", "136_S_0086"], "test"),
    }
    assert plan.listed == len(files)


@pytest.mark.parametrize(
    ("values", "people", "reason"),
    [
        (stack(32, 4), PEOPLE[:3], "holds 4 slices, and labels.csv beside it has 3 of them"),
        (stack(32, 4), [*PEOPLE[:3], ""], "has no Subject_ID for 1"),
        (np.zeros((8, 8, 3, 4), np.int16), PEOPLE, "is not a stack of grey slices"),
    ],
)
def test_a_stack_that_disagrees_with_its_table_is_left_out(
    tmp_path: Path, values: Any, people: list[str], reason: str
) -> None:
    files = {
        "a/Real.nii": packed(values),
        "a/labels.csv": table(people),
        "b/p1.nii": phantoms.nifti_bytes(phantoms.brain_volume()),
    }
    plan = plan_of(tmp_path / "set", files)
    assert [source.member.name for source in plan.sources] == ["set/b/p1.nii"]
    assert [reason in why for _, why in plan.bad] == [True]


def test_a_stack_cut_short_is_one_line(tmp_path: Path) -> None:
    data = packed(stack(32, 4))
    files = {
        "a/Real.nii": data[: len(data) // 2],
        "a/labels.csv": table(PEOPLE),
        "b/p1.nii": phantoms.nifti_bytes(phantoms.brain_volume()),
    }
    plan = plan_of(tmp_path / "set", files)
    assert [why for _, why in plan.bad] == ["shorter than its header announces (truncated?)"]


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_numbers_of_a_network_that_this_program_wrote_are_no_damage(
    tmp_path: Path, prepare: Any
) -> None:
    wide, small = np.ones((8, 512), np.float32), np.ones((16, 16), np.float32)
    folder = prepare(
        tmp_path / "store",
        phantoms.write_folder(
            tmp_path / "in",
            {
                "fit/projection.npz": npz(ws=wide, noise_00=small, noise_01=small),
                "dirs/directions.npz": npz(pca_vectors=wide, pca_spread=wide, pca_weight=wide),
                "sub-01/scan.npz": npz(image=phantoms.brain_volume()),
            },
        ),
    )
    with StoreReader(folder) as store:
        assert {record.subject for record in store.records} == {"sub-01"}
        assert store.describe()["skipped"] == {"drawn": 2}
