"""A split file decides who is where, and nobody is in two splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest
from click.testing import CliRunner

from mri_gan.cli.main import cli
from mri_gan.errors import UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.plan.splits import read_splits, say_nobody, share_out
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]


def table(folder: Path, text: str, name: str = "splits.tsv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def splits_of(source: Path, file: Path) -> dict[str, str]:
    plan = build_plan([source], PrepareConfig(), split_file=file)
    return {s.naming.subject: s.naming.split for s in plan.sources}


@pytest.mark.parametrize(
    "text",
    [
        "subject\tsplit\nsub00\ttest\nsub01\ttrain\nsub02\tval\n",
        "sub00,test\nsub01,train\n\nsub02,validation\n",
        "age,split,participant_id\n70,TEST,sub00\n71,Train,sub01\n72,valid,sub02\n",
        "﻿subject,split\r\nsub00,testing\r\nsub01,training\r\nsub02,validate\r\nmore,train\r\n",
    ],
)
def test_tables_of_many_shapes_say_the_same(tmp_path: Path, text: str) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", people=3)
    found = splits_of(folder, table(tmp_path, text))
    assert found == {"sub00": "test", "sub01": "train", "sub02": "validate"}


def test_the_file_wins_over_a_shipped_split(tmp_path: Path, oasis_zip: Path) -> None:
    rows = "".join(f"00{n}\t{'test' if n == 1 else 'train'}\n" for n in range(1, 6))
    assert splits_of(oasis_zip, table(tmp_path, rows)) == {
        "001": "test",
        **{f"00{n}": "train" for n in range(2, 6)},
    }


def test_a_stores_own_table_gives_the_same_splits_again(tmp_path: Path, prepare: Prepare) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", people=10, slices=1, size=16)
    prepare(tmp_path / "s", folder, split=(40, 30, 30), seed=5)
    with StoreReader(tmp_path / "s") as store:
        expected = {record.subject: record.split for record in store.records}
    assert len(set(expected.values())) == 3
    assert splits_of(folder, tmp_path / "s" / "splits.tsv") == expected


def test_pseudonyms_are_understood_as_well_as_true_numbers(tmp_path: Path) -> None:
    archive = phantoms.akoa_zip(tmp_path / "akoa.zip", people=4)
    common = ["--id-key", tmp_path / "k", "--workers", "0", "-q"]

    def digest(name: str, *arguments: str | Path) -> str:
        command = ["prepare", archive, "--out", tmp_path / name, *common, *arguments]
        assert CliRunner().invoke(cli, [str(a) for a in command]).exit_code == 0
        with StoreReader(tmp_path / name) as store:
            return store.digest

    rows = "".join(f"OAI900000{n}\t{'train' if n < 2 else 'test'}\n" for n in range(4))
    first = digest("a", "--split-file", table(tmp_path, rows))
    assert digest("b", "--split-file", tmp_path / "a" / "splits.tsv") == first
    assert digest("c", "--seed", "1") != first


@pytest.mark.parametrize(
    ("people", "per_cent", "counts"),
    [
        (7, (70, 20, 10), (5, 1, 1)),  # of 4.9, 1.4 and 0.7
        (5, (50, 30, 20), (3, 1, 1)),  # of 2.5, 1.5 and 1: of equal parts the first
        (3, (80, 10, 10), (3, 0, 0)),  # of 2.4, 0.3 and 0.3
        (10, (0, 0, 100), (0, 0, 10)),
    ],
)
def test_people_are_shared_out_by_the_largest_remainders(
    people: int, per_cent: tuple[int, ...], counts: tuple[int, ...]
) -> None:
    shared = share_out([f"p{i}" for i in range(people)], per_cent, 0)
    given = [list(shared.values()).count(split) for split in ("train", "validate", "test")]
    assert tuple(given) == counts


def test_another_seed_shares_people_out_otherwise_and_their_order_does_not_matter() -> None:
    names = [f"p{i}" for i in range(40)]
    first = share_out(names, (50, 25, 25), 0)
    assert share_out(names[::-1], (50, 25, 25), 0) == first
    assert share_out(names, (50, 25, 25), 1) != first


def test_a_person_in_two_splits_is_named(tmp_path: Path) -> None:
    file = table(tmp_path, "p1\ttrain\np2\ttest\np1\ttest\n")
    with pytest.raises(UsageError, match=r"splits\.tsv: subject p1 is in two splits"):
        read_splits(file)


def test_people_whom_the_file_forgets_are_named(tmp_path: Path) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", people=4)
    with pytest.raises(UsageError, match="no split for subject sub01 and 2 more"):
        splits_of(folder, table(tmp_path, "sub00\ttrain\n"))


@pytest.mark.parametrize("text", ["p1\n", "p1\tsometimes\n", "subject\tsplit\np1\n"])
def test_lines_that_say_nothing_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"splits\.tsv:\d: is not a subject and a split"):
        read_splits(table(tmp_path, text))


def test_a_split_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "splits.tsv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match=r"splits\.tsv: its letters are not UTF-8"):
        read_splits(tmp_path / "splits.tsv")


def test_a_shipped_split_that_crosses_a_person_is_refused(tmp_path: Path) -> None:
    files = {"train/x/sub-01_T1w.nii": b"", "test/sub-01_T2w.nii": b""}
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    with pytest.raises(UsageError, match="subject 01 is in two splits"):
        build_plan([archive], PrepareConfig())


def test_empty_splits_are_listed_as_a_person_says_it() -> None:
    assert say_nobody([]) == ""
    for splits, said in (
        (["test"], "nobody is in test: "),
        (["validate", "test"], "nobody is in validate and test: "),
        (["train", "validate", "test"], "nobody is in train, validate and test: "),
    ):
        assert say_nobody(splits).startswith(said)
