"""`mrigan export`: what it prints and how it says no."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest
from click.testing import CliRunner, Result

from mri_gan.cli.data import export as command
from mri_gan.cli.main import cli
from mri_gan.export.export import FORMATS

NAMES = ("Anna Weber", "Bert Kurz", "Carl Lang")
Prepare = Callable[..., Path]


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False)


def test_the_formats_on_offer_are_those_that_exist() -> None:
    assert command.FORMATS == FORMATS


def test_one_line_tells_what_was_written(store: Path, tmp_path: Path) -> None:
    result = export(store, "--format", "stylegan-zip", "--out", tmp_path / "o.zip")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "o.zip: 10 images" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["o.zip"]


def test_json_counts_the_images_of_a_split(store: Path, tmp_path: Path) -> None:
    result = export(store, "--format", "png", "--split", "test", "--json", "--out", tmp_path / "o")
    assert json.loads(result.stdout)["images"] == 2


def test_quiet_says_nothing(store: Path, tmp_path: Path) -> None:
    assert export(store, "--format", "png", "-q", "--out", tmp_path / "o").output == ""


def test_what_is_in_the_way_is_one_line(store: Path, tmp_path: Path) -> None:
    result = export(store, "--format", "png", "--out", tmp_path)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "--overwrite" in result.stderr


def test_slices_without_geometry_are_one_line(store: Path, tmp_path: Path) -> None:
    result = export(store, "--format", "nifti", "--out", tmp_path / "o")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "no geometry" in result.stderr


@pytest.mark.parametrize(
    ("format_", "options", "warned"),
    [
        ("png", [], True),
        ("webdataset", [], True),
        ("png", ["--anonymous"], False),
        ("png", ["-q"], False),
        ("stylegan-zip", [], False),
    ],
)
def test_an_export_under_what_looks_like_names_is_a_warning(
    tmp_path: Path, prepare: Prepare, format_: str, options: list[str], warned: bool
) -> None:
    files = {f"{who}/slice_1.png": phantoms.png_bytes(phantoms.slice_pixels()) for who in NAMES}
    folder = prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "in", files))
    result = export(folder, "--format", format_, *options, "--out", tmp_path / "o")
    said = (
        "warning: people are called Anna Weber and the like, and the export keeps that: if these "
        "are names, add --anonymous\n"
    )
    assert result.stderr == said * warned
