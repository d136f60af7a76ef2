"""Who somebody is stays out of the store: not in names, orders, splits, reasons or tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest
from click.testing import CliRunner, Result

from mri_gan.cli.main import cli
from mri_gan.errors import UsageError
from mri_gan.ingest.options import KEY_FILE, PrepareConfig
from mri_gan.ingest.plan.people import KEY_BYTES, find_key, pseudonym, scrub
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
ONE, OTHER = bytes(KEY_BYTES), bytes(range(KEY_BYTES))
PSEUDONYM = re.compile(r"p[0-9a-f]{12}")


def plan_of(source: Path, key: bytes = ONE, **choices: str) -> Plan:
    return build_plan([source], PrepareConfig(**choices), lambda: key)  # type: ignore[arg-type]


def subjects(plan: Plan) -> list[str]:
    return [source.naming.subject for source in plan.sources]


def mrigan(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def everything_in(folder: Path) -> bytes:
    """All bytes of all files of a store, but for the key."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != KEY_FILE)
    return b"".join(p.read_bytes() + p.name.encode() for p in files)


@pytest.fixture
def knees(tmp_path: Path) -> Path:
    """Eight people of the OAI, one of them with a damaged slice."""
    files = phantoms.akoa_files(people=8, slices=2)
    name = next(n for n in files if "OAI9000003" in n)
    return phantoms.write_zip(tmp_path / "akoa.zip", files | {name: b"this is no picture"})


# What a store shows


def test_a_store_of_oai_knees_holds_no_number_of_a_person(knees: Path, tmp_path: Path) -> None:
    result = mrigan("prepare", knees, "--out", tmp_path / "s", "--workers", "0")
    assert result.exit_code == 1
    assert "OAI9000003_BaseLine" in result.stderr  # the user is told; the store is not
    content = everything_in(tmp_path / "s")
    assert b"preview.png" in content
    assert b"manifest.tsv" in content
    assert not re.search(rb"OAI9|900000\d", content)
    with StoreReader(tmp_path / "s") as store:
        assert all(PSEUDONYM.fullmatch(record.subject) for record in store.records)
        assert len({record.subject for record in store.records}) == 8
        assert {record.side for record in store.records} == {"left", "right"}
        (entry,) = store.skipped()
        assert PSEUDONYM.match(entry["source"])


@pytest.mark.parametrize("day", ["2024-03-12", "12.03.2024", "20240312"])
def test_a_date_that_a_table_calls_the_session_is_hidden(tmp_path: Path, day: str) -> None:
    scans = phantoms.write_folder(tmp_path / "scans", {"a.nii": b"", "b.nii": b""})
    table = tmp_path / "people.tsv"
    table.write_text(f"file\tperson\tsession\na.nii\tA1\t{day}\nb.nii\tA1\t2\n")
    config = PrepareConfig(ids="pseudonym")
    plan = build_plan([scans], config, lambda: ONE, people_file=table)
    said = {source.naming.session for source in plan.sources}
    assert said == {pseudonym(day, ONE, "session"), "2"}


def test_ids_can_be_kept(knees: Path) -> None:
    plan = plan_of(knees, ids="keep")
    assert subjects(plan)[0] == "OAI9000000"
    assert plan.true_labels == {}


def test_other_ids_are_kept_unless_pseudonyms_are_asked_for(oasis_zip: Path) -> None:
    assert set(subjects(plan_of(oasis_zip))) == {"001", "002", "003", "004", "005"}
    hidden = plan_of(oasis_zip, ids="pseudonym")
    assert all(PSEUDONYM.fullmatch(subject) for subject in subjects(hidden))
    assert {s.naming.split for s in hidden.sources} == {"train", "validate", "test"}


@pytest.mark.parametrize(
    "name",
    ["9123456/img_1.png", "knee-OAI9123456/l/1.png", "oai_9123456_left.nii.gz", "x/9123456_2.png"],
)
def test_numbers_like_those_of_the_oai_are_seen_in_any_layout(tmp_path: Path, name: str) -> None:
    archive = phantoms.write_zip(tmp_path / "a.zip", {f"top/{name}": b"", "top/other_1.png": b""})
    by_name = {s.hidden: s.naming.subject for s in plan_of(archive).sources}
    assert by_name[True] == pseudonym("9123456", ONE)
    assert by_name[False] == "other"


def test_both_knees_and_all_visits_are_one_person(tmp_path: Path) -> None:
    """In folders of any shape; so they cannot be in two splits either."""
    names = ["OAI9000001/left/a_1.png", "OAI9000001/right/v00/b_1.png", "9000001_c_1.png"]
    archive = phantoms.write_zip(tmp_path / "a.zip", dict.fromkeys(names, b""))
    assert len(set(subjects(plan_of(archive)))) == 1


def test_dicom_names_need_the_key_too(tmp_path: Path) -> None:
    files = phantoms.dicom_files(phantoms.brain_volume(), patient="Doe^Jane-123")
    name = next(iter(files))
    files |= {name.replace("IM", "BAD"): b"no dicom"}
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    mrigan("prepare", archive, "--out", tmp_path / "s", "--workers", "0")
    assert not re.search(rb"Doe\^J|Jane-1|BAD10|IM100", everything_in(tmp_path / "s"))
    assert set(subjects(plan_of(archive))).isdisjoint(subjects(plan_of(archive, OTHER)))


def test_a_session_that_looks_like_a_date_is_hidden_and_a_visit_is_not(tmp_path: Path) -> None:
    naming = r"(?P<subject>p\d)_(?P<session>\d+)_(?P<slice>\d)"
    names = {"p1_20200102_1.png": b"", "p1_3_1.png": b""}
    archive = phantoms.write_zip(tmp_path / "a.zip", names)
    plan = plan_of(archive, ids="pseudonym", naming=naming)
    sessions = {source.naming.session for source in plan.sources}
    assert "3" in sessions
    assert not any("2020" in session for session in sessions)


# What the key decides


def test_the_key_decides_names_order_and_splits(tmp_path: Path) -> None:
    archive = phantoms.akoa_zip(tmp_path / "akoa.zip", people=30)
    orders = {}
    for key in (ONE, OTHER):
        plan = plan_of(archive, key)
        orders[key] = [
            (int(found[1]), source.naming.split)
            for source in plan.sources
            if (found := re.search("OAI(9[0-9]+)", source.member.name))
        ]
    assert sorted(orders[ONE]) != orders[ONE] != orders[OTHER]
    assert {n for n, split in orders[ONE] if split == "test"} != {
        n for n, split in orders[OTHER] if split == "test"
    }


def test_the_same_key_gives_the_same_store(tmp_path: Path) -> None:
    archive = phantoms.akoa_zip(tmp_path / "akoa.zip", people=3)
    for name in ("a", "b"):
        done = mrigan(
            "prepare", archive, "--out", tmp_path / name, "--id-key", tmp_path / "k", "-q"
        )
        assert done.exit_code == 0
    one, other = (StoreReader(tmp_path / name) for name in ("a", "b"))
    with one, other:
        assert one.digest == other.digest


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    archive = phantoms.akoa_zip(tmp_path / "akoa.zip", people=2)
    said = mrigan("prepare", archive, "--out", tmp_path / "s", "--workers", "0")
    assert "s/ids.key can undo" in said.stdout
    key = tmp_path / "s" / KEY_FILE
    assert key.stat().st_mode & 0o77 == 0
    before = key.read_bytes()
    again = mrigan("prepare", archive, "--out", tmp_path / "s", "--overwrite", "-q")
    assert (again.exit_code, key.read_bytes()) == (0, before)


def test_no_key_is_made_where_none_is_needed(tmp_path: Path, oasis_zip: Path) -> None:
    mrigan("prepare", oasis_zip, "--out", tmp_path / "s", "--workers", "0", "-q")
    assert not (tmp_path / "s" / KEY_FILE).exists()


def test_a_dry_run_makes_no_key(tmp_path: Path) -> None:
    archive = phantoms.akoa_zip(tmp_path / "akoa.zip", people=2)
    assert mrigan("prepare", archive, "--out", tmp_path / "s", "--dry-run").exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"akoa.zip"}


def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("hello")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        find_key(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "hello"


def test_a_crossed_split_names_the_person_and_not_the_pseudonym(tmp_path: Path) -> None:
    files = {"train/OAI9000001_1.png": b"", "test/OAI9000001_2.png": b""}
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    with pytest.raises(UsageError, match="9000001"):
        plan_of(archive)


def test_folders_called_as_words_of_a_reason_leave_it_readable() -> None:
    reason = "its slices are not evenly spaced; is a file missing?"
    assert scrub(reason, ["/x/slices/file/IM0010.dcm"]) == reason
    assert scrub("anna_smith/a.dcm is cut", ["/x/anna_smith/a.dcm"]) == "it/it is cut"
