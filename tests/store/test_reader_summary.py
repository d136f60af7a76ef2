"""A store counted: people once per split, ages of people and not of slices, sides of the body."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from phantoms import png_bytes, slice_pixels, write_folder

from mri_gan.store.counts import count_slices
from mri_gan.store.reader import (
    StoreReader,
    count_classes,
    describe_ages,
    describe_data_set,
    find_edges,
)
from mri_gan.store.schema import SliceRecord

# Radiological display of an axial slice: columns go from the right of the body to its left.
LEFTWARD = ((-1.0, 0.0, 90.0), (0.0, -1.0, 90.0), (0.0, 0.0, 5.0))
RIGHTWARD = ((1.0, 0.0, -90.0), (0.0, -1.0, 90.0), (0.0, 0.0, 5.0))
SAGITTAL = ((0.0, 0.0, 5.0), (-1.0, 0.0, 90.0), (0.0, -1.0, 90.0))


def record(subject: str, split: str = "train", native: int = 64, **more: Any) -> SliceRecord:
    return SliceRecord(f"{subject}-{native}.png", subject, split, native, **more)


def test_people_count_once_in_each_split_and_splits_stand_in_their_usual_order() -> None:
    records = [record("c", "test"), record("a"), record("a", native=128), record("b")]
    counted = count_slices(records)
    assert counted["slices"] == 4
    assert counted["subjects"] == 3
    assert list(counted["split_subjects"].items()) == [("train", 2), ("test", 1)]
    assert counted["split_slices"] == {"train": 3, "test": 1}
    assert (counted["native"], counted["max_native"]) == ({"64": 3, "128": 1}, 128)


def test_sessions_and_contrasts_are_counted_where_there_are_several() -> None:
    records = [record("a", session="1", contrast="t1"), record("a", session="2", contrast="t2")]
    records += [record("b", session="1", contrast="t1")]
    counted = count_slices(records)
    assert (counted["sessions"], counted["contrasts"]) == (3, {"t1": 2, "t2": 1})
    assert (
        count_slices([record("a", session="1"), record("b")])
        .keys()
        .isdisjoint({"sessions", "contrasts"})
    )


def test_notes_are_counted_by_source() -> None:
    records = [record("a", notes=("face", "dropped:descrip")), record("b", notes=("face",))]
    counted = count_slices(records)
    assert (counted["faces"], counted["dropped_fields"]) == (2, {"descrip": 1})


def test_labels_are_counted_by_person_with_whoever_lacks_them() -> None:
    records = [record("a", labels={"age": 20.0, "sex": "F"})] * 3
    records += [record("b", labels={"age": 60.0, "sex": "M"}), record("c", labels={"sex": "F"})]
    assert count_slices([*records, record("d")])["labels"] == {
        "age": {"people": 2, "missing": ["c", "d"], "least": 20.0, "most": 60.0},
        "sex": {"people": 3, "missing": ["d"], "classes": {"F": 2, "M": 1}},
    }


def test_an_empty_store_counts_to_nothing() -> None:
    counted = count_slices([])
    assert counted["max_native"] == 0
    assert "labels" not in counted


def test_ages_are_those_of_people_however_many_slices_they_have() -> None:
    records = [record("a", labels={"Age": 20.0})] * 5
    records += [record("b", labels={"age": 60.0}), record("c", labels={"sex": "F"})]
    assert describe_ages(records) == {"people": 2, "least": 20.0, "median": 40.0, "most": 60.0}


def test_people_are_counted_by_class_however_many_slices_they_have() -> None:
    rows: dict[str, Any] = {"a": "AD", "b": "CN", "c": "CN"}
    records = [
        record(name, labels={"diagnosis": group, "Sex": "F", "age": "90+", "score": 7.0})
        for name, group in rows.items()
        for _ in range(3)
    ]
    assert count_classes([*records, record("d")]) == {"diagnosis": {"AD": 1, "CN": 2}}


def test_a_data_sheet_counts_the_people_of_class_folders(
    prepare: Callable[..., Path], tmp_path: Path
) -> None:
    names = [f"{group}/p{n}_slice_0.png" for group, n in (("AD", 1), ("CN", 2), ("CN", 3))]
    pictures = {name: png_bytes(slice_pixels(32, 32, n)) for n, name in enumerate(names)}
    write_folder(tmp_path / "set", pictures)
    with StoreReader(prepare(tmp_path / "store", tmp_path / "set", classes=True)) as store:
        assert describe_data_set(store)["classes"] == {"class": {"AD": 1, "CN": 2}}


@pytest.mark.parametrize(
    ("affines", "edges"),
    [
        ([LEFTWARD], ["R", "L"]),
        ([RIGHTWARD], ["L", "R"]),
        ([LEFTWARD, RIGHTWARD], []),
        ([SAGITTAL], []),
        ([LEFTWARD, None], []),
    ],
)
def test_edges_are_named_where_all_slices_agree(affines: list[Any], edges: list[str]) -> None:
    assert find_edges([record("a", affine=affine) for affine in affines]) == edges
