"""`mrigan import` as used: bring in, draw from, train on; and be told what is wrong."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from phantoms import ada_pickles, foreign

import mri_gan as mg
from mri_gan.checkpoint import load_checkpoint
from mri_gan.cli.main import cli
from mri_gan.synth.sample import load_trained


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("foreign")
    found = {name: folder / name for name in ("ada.pkl", "port2.pt", "port1.model")}
    ada_pickles.save_ada_pickle(found["ada.pkl"])
    port2 = {"g_ema": foreign.port2_generator(1), "g": foreign.port2_generator(2)}
    extra = {"d": foreign.port2_critic(3), "args": Namespace(size=16), "latent_avg": torch.ones(12)}
    torch.save(port2 | extra, found["port2.pt"])
    torch.save({"g_running": foreign.port1_generator(1, trained=32)}, found["port1.model"])
    return found


@pytest.mark.parametrize(
    ("name", "size", "arch"),
    [("ada.pkl", 16, "stylegan2"), ("port2.pt", 16, "stylegan2"), ("port1.model", 32, "stylegan")],
)
def test_what_is_imported_can_be_drawn_from_and_trained_on(
    files: dict[str, Path], store: Path, tmp_path: Path, name: str, size: int, arch: str
) -> None:
    ckpt = tmp_path / "own.pt"
    done = mrigan("import", files[name], "--to-channels", 1, "--out", ckpt)
    assert done.exit_code == 0, done.stderr
    assert f"{size} px, 1 channel" in done.stdout
    assert load_checkpoint(ckpt).config.blur_bias == (arch == "stylegan")
    done = mrigan("generate", ckpt, "--seeds", "0-1", "--out", tmp_path / "fakes")
    assert done.exit_code == 0, done.stderr
    assert len(list((tmp_path / "fakes").glob("seed*.png"))) == 2
    assert mrigan("test", ckpt, "--rows", 1, "--cols", 2, "--out", tmp_path).exit_code == 0
    words = ("--arch", arch, "--ckpt", ckpt, "--transfer", "--kimg", 0.016, "--batch", 8)
    done = mrigan("train", store, *words, "--out", tmp_path / "run", "--phase", 8)
    assert done.exit_code == 0, done.stderr
    fresh = "0 start from scratch" if arch == "stylegan2" else "start from scratch"
    assert fresh in done.stderr
    assert load_trained(tmp_path / "run").config.model == load_checkpoint(ckpt).config.model


def test_python_takes_the_shape_of_imported_networks_too(
    files: dict[str, Path], store: Path, tmp_path: Path
) -> None:
    ckpt = tmp_path / "own.pt"
    done = mrigan("import", files["ada.pkl"], "--to-channels", 1, "--out", ckpt)
    assert done.exit_code == 0, done.stderr
    settings: dict[str, Any] = {
        "arch": "stylegan2",
        "kimg": 0.016,
        "batch": 8,
        "phase": 8,
        "device": "cpu",
    }
    run = mg.train(store, tmp_path / "run", start_from=ckpt, transfer=True, **settings)
    assert run.config.model == load_checkpoint(ckpt).config.model


def test_a_mean_of_w_in_the_file_is_kept_and_one_is_made_where_it_lacks(
    files: dict[str, Path], tmp_path: Path
) -> None:
    assert mrigan("import", files["port2.pt"], "--out", tmp_path / "a.pt").exit_code == 0
    assert torch.equal(load_trained(tmp_path / "a.pt").generator.w_avg, torch.ones(12))
    done = mrigan("import", files["port1.model"], "--out", tmp_path / "b.pt")
    assert "taken over 10,000 latents" in done.stderr
    assert load_trained(tmp_path / "b.pt").generator.w_avg.abs().max() > 0


def test_a_smaller_size_of_a_progressive_network_can_be_taken(
    files: dict[str, Path], tmp_path: Path
) -> None:
    done = mrigan("import", files["port1.model"], "--size", 16, "--out", tmp_path / "b.pt")
    assert done.exit_code == 0
    assert load_trained(tmp_path / "b.pt").size == 16


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["{tmp}/none.pkl", "--out", "{tmp}/o.pt"], 1, "none.pkl"),
        (["{tmp}", "--out", "{tmp}/o.pt"], 2, "is a folder"),
        (["{ada}", "--out", "{ada}"], 2, "exists"),
        (["{ada}", "--out", "{ada}/o.pt"], 1, "File exists: choose another name"),
        (["{ada}", "--out", "{tmp}/o.pt", "--to-channels", "2"], 2, "3 to 1 is possible"),
        (["{ada}", "--out", "{tmp}/o.pt", "--size", "8"], 2, "16 px only"),
        (["{port}", "--out", "{tmp}/o.pt", "--size", "48"], 2, "choose one of 8, 16, 32"),
    ],
)
def test_a_mistake_is_one_line(
    files: dict[str, Path], tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    places = {"tmp": tmp_path, "ada": files["ada.pkl"], "port": files["port1.model"]}
    done = mrigan("import", *[word.format(**places) for word in words])
    assert done.exit_code == code
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr


def test_a_network_of_three_channels_on_a_grey_store_is_told_how_to_become_grey(
    files: dict[str, Path], store: Path, tmp_path: Path
) -> None:
    assert mrigan("import", files["ada.pkl"], "--out", tmp_path / "own.pt").exit_code == 0
    words = ("--arch", "stylegan2", "--ckpt", tmp_path / "own.pt", "--transfer", "--kimg", 0.008)
    done = mrigan("train", store, *words, "--batch", 8, "--out", tmp_path / "run", "--phase", 8)
    assert done.exit_code == 0, done.stderr
    assert "--to-channels 1" in done.stderr
    without = [word for word in words if word != "--transfer"]
    done = mrigan("train", store, *without, "--out", tmp_path / "other")
    assert done.exit_code == 2
    assert "--to-channels 1" in done.stderr


@pytest.mark.parametrize("name", ["ada.pkl", "port2.pt", "port1.model"])
@pytest.mark.parametrize("command", ["train", "test"])
def test_another_programs_file_in_place_of_a_checkpoint_is_told_of_import(
    files: dict[str, Path], store: Path, tmp_path: Path, name: str, command: str
) -> None:
    words = [store, "--ckpt", files[name], "--transfer"] if command == "train" else [files[name]]
    done = mrigan(command, *words, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "mrigan import" in done.stderr
