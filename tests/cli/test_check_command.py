"""`mrigan check`: a table when all is well, one line and exit code 1 when not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lmdb
import pytest
from click.testing import CliRunner, Result

from mri_gan.cli.main import cli
from mri_gan.ingest.options import GIVEN_FILE
from mri_gan.store.schema import index_key


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def damaged(store: Path, tmp_path: Path) -> Path:
    """A store whose image at 16 px of every slice is nonsense."""
    shutil.copytree(store, tmp_path / "damaged")
    env = lmdb.open(str(tmp_path / "damaged"), max_dbs=16)
    with env.begin(write=True, db=env.open_db(b"0016", create=False)) as txn:
        for index in range(10):
            txn.put(index_key(index), b"\x00nonsense")
    env.close()
    return tmp_path / "damaged"


def test_a_whole_store_gives_a_table_with_the_speed(store: Path) -> None:
    result = check(store)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "intact" in result.stdout
    assert "MB/s" in result.stdout


def test_json_says_ok(store: Path) -> None:
    facts = json.loads(check(store, "--json").stdout)
    assert (facts["ok"], facts["slices"], facts["images"], facts["bad"]) == (True, 10, 80, [])


def test_quiet_says_nothing(store: Path) -> None:
    assert check(store, "--quiet", "--threads", "1").output == ""


def test_damage_is_one_line_with_the_first_keys(damaged: Path) -> None:
    result = check(damaged)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    for text in (str(damaged), "slice 0 at 16 px", "slice 2 at 16 px", "and 7 more"):
        assert text in result.stderr


def test_what_is_missing_beside_the_data_is_a_warning(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "s")
    for name in ("manifest.tsv", "splits.tsv"):
        (tmp_path / "s" / name).unlink()
    result = check(tmp_path / "s")
    assert result.exit_code == 0
    assert "intact" in result.stdout
    assert f"s: without manifest.tsv, splits.tsv, {GIVEN_FILE}; the same mrigan" in result.stderr
    facts = json.loads(check(tmp_path / "s", "--json").stdout)
    assert (facts["ok"], facts["missing"]) == (True, ["manifest.tsv", "splits.tsv", GIVEN_FILE])


def test_json_lists_all_damage(damaged: Path) -> None:
    result = check(damaged, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert [(b["level"], b["slice"]) for b in facts["bad"]] == [(16, i) for i in range(10)]


def test_a_folder_that_is_no_store_is_one_line(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
