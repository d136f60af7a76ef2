"""Which slices are trained on, and what is known of each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import phantoms
import pytest

from mri_gan.conditions import encode_labels
from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.store.reader import StoreReader
from mri_gan.train.data import (
    describe_labels,
    digest_data,
    find_conditions,
    has_all,
    load_training_data,
    train_indices,
    typical_pixel_mm,
    typical_scan_mm,
)

CONFIG = TrainConfig(max_size=16)


def subjects(store: Path) -> list[str]:
    with StoreReader(store) as opened:
        return sorted({opened.records[i].subject for i in train_indices(opened)})


def with_table(
    store: Path, tmp_path: Path, lines: list[str], names: list[str], missing: str = "unknown"
) -> tuple[TrainConfig, Path]:
    table = tmp_path / "labels.tsv"
    table.write_text("\n".join(["subject\tage\tgroup", *lines]) + "\n")
    with StoreReader(store) as opened:
        spec = find_conditions(opened, names, table, missing)
    return replace(CONFIG, conditions=spec, missing=missing), table


def test_only_training_slices_are_shown(store: Path) -> None:
    data = load_training_data(store, CONFIG, None)
    with StoreReader(store) as opened:
        assert {opened.records[i].split for i in data.indices} == {"train"}
        assert 0 < len(data.indices) < len(opened)
        assert data.digest == opened.digest
    assert data.conditions.shape == (len(data.indices), 0)


def test_a_store_of_other_channels_is_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="channels"):
        load_training_data(store, replace(CONFIG, channels=3), None)


def test_a_table_gives_each_subject_its_conditions(store: Path, tmp_path: Path) -> None:
    people = subjects(store)
    lines = [f"{name}\t{60 + i}\t{'AB'[i % 2]}" for i, name in enumerate(people)]
    config, table = with_table(store, tmp_path, lines, ["group", "age"])
    data = load_training_data(store, config, table)
    with StoreReader(store) as opened:
        for row, index in zip(data.conditions, data.indices, strict=True):
            i = people.index(opened.records[index].subject)
            labels: dict[str, str | float] = {"group": "AB"[i % 2], "age": 60.0 + i}
            assert np.array_equal(row, encode_labels(config.conditions, labels))
    assert data.unlabelled == data.left_out == 0


def test_slices_without_a_label_are_unknown_or_skipped(store: Path, tmp_path: Path) -> None:
    first, *others = subjects(store)
    lines = [f"{name}\t{60 + i}\tA" for i, name in enumerate(others)]
    whole = len(load_training_data(store, CONFIG, None).indices)
    unknown = load_training_data(store, *with_table(store, tmp_path, lines, ["age"]))
    skipped = load_training_data(store, *with_table(store, tmp_path, lines, ["age"], "skip"))
    assert len(unknown.indices) == whole
    assert unknown.unlabelled == skipped.left_out == whole - len(skipped.indices) > 0
    said = "; ".join(describe_labels(CONFIG, unknown))
    assert said.startswith(f"{unknown.unlabelled} of {whole} training slices lack a label and are")
    few = replace(skipped, left_out=1, unlabelled=1)
    assert list(describe_labels(CONFIG, few)) == [
        "1 training slice lacks a label and is left out",
        f"1 of {len(few.indices)} training slices lacks a label and is trained as unknown; "
        "--missing skip leaves out what lacks one",
    ]
    assert unknown.conditions.shape[1] == 2
    assert skipped.conditions.shape[1] == 1
    with StoreReader(store) as opened:
        people = {opened.records[i].subject for i in skipped.indices}
    assert people == set(others)
    assert first not in people


def test_other_labels_are_other_training_data(store: Path, tmp_path: Path) -> None:
    people = subjects(store)
    lines = [f"{name}\t{60 + i}\tA" for i, name in enumerate(people)]
    swapped = [f"{name}\t{60 + i}\tA" for i, name in enumerate(reversed(people))]
    digests = {
        load_training_data(store, *with_table(store, tmp_path, rows, ["age"])).digest
        for rows in (lines, swapped)
    }
    assert len(digests) == 2


def test_a_table_of_other_people_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"labels\.tsv: names none of the subjects"):
        with_table(store, tmp_path, ["nobody\t60\tA"], ["age"])


def test_people_of_a_table_that_the_store_lacks_are_named(store: Path, tmp_path: Path) -> None:
    """Unless it has all people of the store too: tables are often of a whole study."""
    with StoreReader(store) as opened:
        people = sorted({record.subject for record in opened.records})
    few, others = people[1:], ["x1", "x2", "x3", "x4", "x5"]
    lines = [f"{name}\t{60 + i}\tA" for i, name in enumerate([*few, *others])]
    config, table = with_table(store, tmp_path, lines, ["age"])
    said = "in labels.tsv but not in the store: x1, x2, x3 and 2 more"
    assert load_training_data(store, config, table).doubts == (said,)
    config, table = with_table(store, tmp_path, [*lines, f"{people[0]}\t7\tA"], ["age"])
    assert load_training_data(store, config, table).doubts == ()
    config, table = with_table(store, tmp_path, lines[: len(few)], ["age"])
    assert load_training_data(store, config, table).doubts == ()


def test_zeros_that_a_spreadsheet_dropped_are_found(
    prepare: Callable[..., Path], tmp_path: Path
) -> None:
    """Of 01 to 10 only the 10 is left as it was."""
    names = [f"{number:02d}" for number in range(1, 11)]
    for number, name in enumerate(names):
        volume = phantoms.nifti_bytes(phantoms.brain_volume((24, 24, 6), seed=number))
        (tmp_path / f"sub-{name}_T1w.nii").write_bytes(volume)
    folder = prepare(tmp_path / "s", *sorted(tmp_path.glob("*.nii")), split=(100, 0, 0))
    lines = [f"{int(name)}\t{60 + int(name)}\tA" for name in names]
    config, table = with_table(folder, tmp_path, lines, ["age"])
    hint = "spreadsheets drop leading zeros: write 01 for 1"
    assert load_training_data(folder, config, table).doubts == (
        f"in labels.tsv but not in the store: 1, 2, 3 and 6 more; {hint}",
        "age is 70 wherever it is known, so it tells nothing else",
    )
    with pytest.raises(UsageError, match="names none of the subjects") as refused:
        with_table(folder, tmp_path, lines[:9], ["age"])
    assert refused.value.hint.endswith(hint)
    config, table = with_table(folder, tmp_path, [*lines, "77\t8\tA"], ["age"])
    named, _ = load_training_data(folder, config, table).doubts
    assert named == "in labels.tsv but not in the store: 1, 2, 3 and 7 more"


def test_more_pixels_than_any_slice_has_are_doubted(store: Path) -> None:
    said = "--max-size 128: no slice has more than 64 px, so all are enlarged"
    for size, doubts in ((64, ()), (128, (said,))):
        assert load_training_data(store, replace(CONFIG, max_size=size), None).doubts == doubts


def test_fewer_pixels_in_some_slices_are_doubted(
    prepare: Callable[..., Path], tmp_path: Path
) -> None:
    sizes = (64, 64, 64, 32, 16)
    pictures = [phantoms.png_bytes(phantoms.slice_pixels(n, n, seed=n)) for n in sizes]
    names = [f"train/case_00{n}_slice_0.nii.png" for n in range(len(sizes))]
    phantoms.write_folder(tmp_path / "set", dict(zip(names, pictures, strict=True)))
    made = prepare(tmp_path / "store", tmp_path / "set")
    for size, doubts in (
        (16, ()),
        (32, ("--max-size 32: 1 of 5 slices have fewer pixels and are enlarged",)),
        (64, ("--max-size 64: 2 of 5 slices have fewer pixels and are enlarged",)),
    ):
        assert load_training_data(made, replace(CONFIG, max_size=size), None).doubts == doubts


def test_the_edge_of_a_pixel_scales_with_the_size_and_is_unknown_for_pictures(
    store: Path, prepare: Callable[..., Path], tmp_path: Path
) -> None:
    volume = phantoms.nifti_bytes(phantoms.brain_volume((40, 40, 12)))
    (tmp_path / "sub-01_T1w.nii").write_bytes(volume)
    volumes = prepare(tmp_path / "store", tmp_path / "sub-01_T1w.nii")
    with StoreReader(volumes) as opened:
        record = opened.records[0]
        assert record.pixel_mm is not None
        assert typical_pixel_mm(opened, record.native) == pytest.approx(record.pixel_mm)
        assert typical_pixel_mm(opened, 8) == pytest.approx(record.pixel_mm * record.native / 8)
    with StoreReader(store) as opened:
        assert typical_pixel_mm(opened, 8) is None


def test_how_long_a_scan_is_as_the_usual_person_is(
    store: Path, prepare: Callable[..., Path], tmp_path: Path
) -> None:
    """From the centre of the first slice kept to that of the last: all of 12, 2.5 mm apart."""
    for number, slices in enumerate((12, 12, 8)):
        volume = phantoms.brain_volume((40, 40, slices))
        data = phantoms.nifti_bytes(volume, spacing_mm=(1.0, 1.0, 2.5))
        (tmp_path / f"sub-{number}_T1w.nii").write_bytes(data)
    names = sorted(tmp_path.glob("*.nii"))
    volumes = prepare(tmp_path / "scans", *names, split=(100, 0, 0), min_foreground=0.0)
    with StoreReader(volumes) as opened:
        assert typical_scan_mm(opened) == pytest.approx(11 * 2.5)
    with StoreReader(store) as opened:
        assert typical_scan_mm(opened) is None


def test_the_digest_sees_which_slice_has_which_label() -> None:
    first, second = np.array([0, 1]), np.array([1, 0])
    labels = np.array([[1.0], [2.0]], np.float32)
    assert digest_data("s", first, labels) != digest_data("s", second, labels)
    assert digest_data("s", first, labels) != digest_data("t", first, labels)
    assert digest_data("s", first, labels[:, :0]) == "s"


def test_a_slice_that_lacks_one_of_two_labels_lacks_labels() -> None:
    assert has_all({"age": 70.0, "group": "CN"}, ["age", "group"])
    assert not has_all({"age": 70.0}, ["age", "group"])
