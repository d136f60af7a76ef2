"""Labels of slices: from their records, their place in the scan, and a table."""

from pathlib import Path
from typing import Any

import pytest

from mri_gan.errors import UsageError
from mri_gan.store.labels import read_label_table, relative_positions, say_commas, slice_labels
from mri_gan.store.schema import SliceRecord

AFFINE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))


def record(subject: str = "1", position: int = -1, **more: Any) -> SliceRecord:
    return SliceRecord(
        more.pop("source", f"{subject}_{position}.png"), subject, "train", 64, position=position,
        **more,
    )  # fmt: skip


def test_positions_are_relative_to_the_scan_and_not_to_the_store() -> None:
    records = [record("1", p) for p in (10, 20, 30)] + [record("2", p) for p in (0, 1)]
    assert relative_positions(records) == [0, 0.5, 1, 0, 1]


def test_knees_sessions_and_volumes_are_scans_of_their_own() -> None:
    ranges = ((0, 9), (3, 5))
    knees = [record("1", p, side=s) for s, r in zip("lr", ranges, strict=True) for p in r]
    visits = [record("1", p, session=s) for s, r in zip("ab", ranges, strict=True) for p in r]
    volumes = [
        record("2", p, source=s, affine=AFFINE)
        for s, r in zip("xy", ranges, strict=True)
        for p in r
    ]
    kinds = [
        record("1", p, contrast=c) for c, r in zip(("t1", "t2"), ranges, strict=True) for p in r
    ]
    for records in (knees, visits, volumes, kinds):
        assert relative_positions(records) == [0, 1, 0, 1]


def test_arrays_of_one_person_are_a_scan_each_although_they_lie_nowhere() -> None:
    two = [
        record("1", k, source=f"{name}.npy", foreground=0.5)
        for name, n in (("a", 3), ("b", 2))
        for k in range(n)
    ]
    assert relative_positions(two) == [0, 0.5, 1, 0, 1]


def test_slices_without_order_have_no_position() -> None:
    assert relative_positions([record("1"), record("1"), record("2", 7)]) == [None] * 3
    assert relative_positions([record("1"), record("1", 2), record("1", 6)]) == [None, 0, 1]
    assert "position" not in slice_labels([record("1")])[0]


def test_records_tell_side_plane_and_the_labels_of_their_table() -> None:
    labels = slice_labels([record("1", 0, side="left", plane="axial", labels={"age": 70.0})])
    assert labels == [{"side": "left", "plane": "axial", "age": 70.0}]


def test_records_tell_session_and_contrast_where_there_are_any() -> None:
    told: dict[str, Any] = {"session": "2", "contrast": "t1"}
    assert slice_labels([record("1", **told), record("2")]) == [told, {}]
    own = record("1", **told, labels={"contrast": "T1 with agent"})
    assert slice_labels([own])[0]["contrast"] == "T1 with agent"
    table: dict[str, dict[str, str | float]] = {"1": {"contrast": "mine", "session": "late"}}
    assert slice_labels([own], table) == [{"contrast": "mine", "session": "late"}]


def test_a_table_is_joined_by_subject_or_source_and_wins() -> None:
    records = [record("1", labels={"age": 70.0}), record("2", source="a/b/scan.nii.gz")]
    table: dict[str, dict[str, str | float]] = {
        "1": {"age": 71.0, "group": "CN"},
        "scan.nii.gz": {"group": "AD"},
    }
    assert slice_labels(records, table) == [{"age": 71.0, "group": "CN"}, {"group": "AD"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "subject\tage\tgroup\n1\t70\tCN\n2\tn/a\t AD \n\n"),
        ("t.csv", "participant_id,age,group\nsub-1,70,CN\nsub-2,,AD\n"),
        ("t.tsv", "\ufeffage\tSubject\tgroup\n70\t1\tCN\n\t2\tAD\n"),
        ("t.csv", "\ufeffsubject;age;group\r\n1;70;CN\r\n2;;AD\r\n"),  # of Excel in German
    ],
)
def test_tables_give_numbers_as_numbers_and_leave_gaps_out(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    table = read_label_table(tmp_path / name)
    assert table == {"1": {"age": 70.0, "group": "CN"}, "2": {"group": "AD"}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("person\tage\n1\t2\n", "no column subject "),
        ("subject\n1\n", "beside labels"),
        ("subject\tage\n1\t2\n1\t3\n", "1 has two different lines"),
    ],
)
def test_what_is_no_table_of_labels_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(UsageError, match=says) as error:
        read_label_table(tmp_path / "t.tsv")
    assert "t.tsv" in str(error.value)


def test_a_table_of_another_encoding_is_told_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("subject,group\nM\u00fcller,CN\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"t\.csv: its letters are not UTF-8: save it as UTF-8"):
        read_label_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "age", "said"),
    [
        ("subject;age;site\n1;71,5;a,b\n2;65;c\n", 71.5, ["age"]),
        ("subject\tage\n1\t71,5\n2\tn/a\n", 71.5, ["age"]),
        ('subject,age\n1,"71,50"\n', 71.5, ["age"]),
        ("subject;age\n1;71,5\n2;old\n", "71,5", []),  # not all are numbers
        ("subject;age\n1;71,500\n2;1,250\n", "71,500", []),  # they may be thousands
        ("subject,age\n1,71.5\n", 71.5, []),
    ],
)
def test_decimal_commas_are_numbers_where_all_of_a_column_are(
    tmp_path: Path, text: str, age: float | str, said: list[str]
) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert read_label_table(tmp_path / "t.csv")["1"]["age"] == age
    assert say_commas(text) == said


def test_a_file_of_excel_is_told_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(UsageError, match=r"t\.xlsx: is an Excel file: save it as CSV UTF-8"):
        read_label_table(tmp_path / "t.xlsx")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.tsv"):
        read_label_table(tmp_path / "gone.tsv")
