"""`mri_gan.prepare` leaves what `mrigan prepare` leaves."""

from __future__ import annotations

import tomllib
from pathlib import Path

from click.testing import CliRunner

import mri_gan as mg
from mri_gan.cli.main import cli


def test_a_store_is_prepared_again_by_the_command_from_the_file_beside_it(
    oasis_zip: Path, tmp_path: Path
) -> None:
    made = mg.prepare(
        oasis_zip, tmp_path / "A", workers=0, split=(60, 20, 20), fit="crop", masks=False,
        min_foreground=0.1, contrast=[],
    )  # fmt: skip
    kept = tomllib.loads((tmp_path / "A" / "prepare.toml").read_text())
    assert kept == {
        "workers": 0, "split": [60, 20, 20], "fit": "crop", "masks": False, "min-foreground": 0.1,
    }  # fmt: skip
    words = ["--config", str(tmp_path / "A" / "prepare.toml"), "--out", str(tmp_path / "B")]
    done = CliRunner().invoke(cli, ["prepare", str(oasis_zip), *words, "--quiet"])
    assert done.exit_code == 0, done.output
    with mg.open_store(tmp_path / "A") as first, mg.open_store(tmp_path / "B") as second:
        assert first.header["options"] == second.header["options"]
        assert made.digest == first.digest == second.digest


def test_a_table_that_the_function_was_given_must_be_given_again(
    oasis_zip: Path, tmp_path: Path
) -> None:
    first = mg.prepare(oasis_zip, tmp_path / "A", workers=0)
    splits = first.folder / "splits.tsv"
    again = mg.prepare(oasis_zip, tmp_path / "B", workers=0, split_file=splits)
    words = ["--config", str(again.folder / "prepare.toml"), "--out", str(tmp_path / "C")]
    done = CliRunner().invoke(cli, ["prepare", str(oasis_zip), *words])
    assert done.exit_code == 2
    assert "made with --split-file, whose file it does not name: give --split" in done.stderr
