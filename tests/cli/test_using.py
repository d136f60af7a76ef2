"""`walk`, `directions`, `project`, `export-model`: files come out, mistakes are one line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.cli.main import cli
from mri_gan.conditions import Column, Conditions
from mri_gan.pictures import LINE_PX


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("using")
    save_untrained(folder)
    return folder


ONLY_STYLES = "only stylegan and stylegan2 have styles, and this is a progan"
ONLY_NOISE = "only stylegan and stylegan2 add noise, and this is a progan"


@pytest.fixture(scope="module")
def without_styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("progan")
    save_untrained(folder, dataclasses.replace(SMALL, arch="progan", mixing=False))
    return folder


def test_a_walk_is_a_moving_picture(run: Path, tmp_path: Path) -> None:
    done = mrigan("walk", run, "--seeds", "0-1", "--loop", "--out", tmp_path / "walk.gif")
    assert done.exit_code == 0, done.stderr
    with Image.open(tmp_path / "walk.gif") as picture:
        assert getattr(picture, "n_frames", 1) > 10
        assert picture.size == (128, 128 + 2 * LINE_PX)  # a caption, and what it shows


@pytest.mark.parametrize("words", [("walk", "--steps", 2), ("directions", "--sweeps")])
def test_moving_pictures_show_which_side_is_which(tmp_path: Path, words: tuple[str, ...]) -> None:
    run, out = tmp_path / "run", tmp_path / "made"
    run.mkdir()
    save_untrained(run)
    facts = {"settings": {}, "data": {"image_edges": ["R", "L"]}}
    corners = []
    for known in (facts, {}):
        (run / "config.json").write_text(json.dumps(known))
        name = out / "walk.gif" if words[0] == "walk" else out
        assert mrigan(words[0], run, *words[1:], "--out", name).exit_code == 0
        with Image.open(next(out.glob("*.gif"))) as picture:
            corners.append(picture.convert("L").crop((2, 2, 12, 12)).tobytes())
    assert corners[0] != corners[1]


def test_labels_may_be_given_one_by_one_and_an_exported_model_says_which_it_draws(
    tmp_path: Path,
) -> None:
    columns = (
        Column("sex", values=("F", "M"), gaps=True),
        Column("age", mean=60.0, scale=9.0, low=40, high=80),
    )
    spec = Conditions(columns)
    save_untrained(tmp_path / "run", dataclasses.replace(SMALL, conditions=spec))
    words = ("--condition", "age=60", "--condition", "sex=M")
    done = mrigan("generate", tmp_path / "run", "--seeds", "0-1", *words, "--out", tmp_path / "a")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "a" / "manifest.tsv").read_text().count("sex M, age 60") == 2
    cards = []
    for asked in (words, ("--condition", "age=70,sex=M")):
        to = ("--format", "safetensors", "--out", tmp_path / "b")
        done = mrigan("export-model", tmp_path / "run", *asked, *to)
        assert "every image is of sex M, age" in done.stdout
        assert done.exit_code == 0, done.stderr
        cards.append((tmp_path / "b" / "MODEL_CARD.md").read_text())
    assert "sex M, age 60" in cards[0]
    assert "sex M, age 70" in cards[1]


def test_a_truncation_that_changes_nothing_is_said_to(
    without_styles: Path, run: Path, tmp_path: Path
) -> None:
    words = ("generate", without_styles, "--seeds", "0", "--out")
    told = mrigan(*words, tmp_path / "a", "--psi", 0.2)
    assert f"warning: --psi 0.2 changes nothing: {ONLY_STYLES}\n" in told.stderr
    told = mrigan(*words, tmp_path / "n", "--noise", 0.5)
    assert f"warning: --noise 0.5 changes nothing: {ONLY_NOISE}\n" in told.stderr
    assert "changes nothing" not in mrigan(*words, tmp_path / "b").stderr
    styled = mrigan("generate", run, *words[2:], tmp_path / "c", "--psi", 0.2, "--noise", 0.5)
    assert "changes nothing" not in styled.stderr


def test_directions_that_a_network_lacks_are_refused_with_the_reason(
    without_styles: Path, tmp_path: Path
) -> None:
    done = mrigan("directions", without_styles, "--out", tmp_path / "d")
    assert done.exit_code == 2
    assert done.stderr.endswith(f"has no directions: {ONLY_STYLES}\n")


def test_directions_come_as_strips_and_numbers(run: Path, tmp_path: Path) -> None:
    words = ("--count", 1, "--sweeps", "--out", tmp_path / "d")
    assert mrigan("directions", run, *words).exit_code == 0
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert {"directions.npz", "sefa-16px.png", "pca-16px.png"} <= names
    with Image.open(tmp_path / "d" / "sefa-01-16px.gif") as picture:
        assert picture.size == (128, 128 + 2 * LINE_PX)


def test_a_picture_is_projected(run: Path, tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((16, 16)).save(tmp_path / "slice.png")
    words = (tmp_path / "slice.png", "--ckpt", run, "--steps", 3, "--out", tmp_path / "found")
    done = mrigan("project", *words)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "found" / "projection.png").is_file()


def test_a_walk_between_projections_of_a_network_without_styles_is_in_z(
    without_styles: Path, tmp_path: Path
) -> None:
    Image.linear_gradient("L").resize((16, 16)).save(tmp_path / "slice.png")
    words = (tmp_path / "slice.png", "--ckpt", without_styles, "--steps", 1)
    assert mrigan("project", *words, "--out", tmp_path / "found").exit_code == 0
    ends = ("--styles", tmp_path / "found" / "projection.npz") * 2
    done = mrigan("walk", without_styles, *ends, "--steps", 2, "--out", tmp_path / "walk.gif")
    assert done.stdout.endswith("walk.gif: 3 frames in z\n")


def test_a_model_is_exported_with_its_card(run: Path, tmp_path: Path) -> None:
    words = ("--format", "torchscript", "--out", tmp_path / "model")
    assert mrigan("export-model", run, *words).exit_code == 0
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"generator.pt", "MODEL_CARD.md"}


@pytest.mark.parametrize(("millimetres", "warned"), [("8", False), ("1", True)])
def test_a_pixel_that_is_not_that_of_training_is_doubted(
    tmp_path: Path, millimetres: str, warned: bool
) -> None:
    save_untrained(tmp_path / "run", dataclasses.replace(SMALL, pixel_mm=4.0))  # at 32 px
    words = ("--format", "nifti", "--pixel-mm", millimetres, "--out", tmp_path / "out")
    done = mrigan("generate", tmp_path / "run", "--seeds", "0", *words)
    assert done.exit_code == 0, done.stderr
    assert ("training slices had 8 mm at this size" in done.stderr) is warned


@pytest.mark.parametrize(
    "words",
    [
        ["walk", "{run}", "--seeds", "0-1", "--steps", "2", "--out", "{tmp}/walk.gif"],
        ["test", "{run}", "--figure", "samples", "--figure", "strip", "--out", "{tmp}/sheets"],
        ["export-model", "{run}", "--format", "torchscript", "--out", "{tmp}/model"],
        ["directions", "{run}", "--out", "{tmp}/d", "--count", "2"],
    ],
    ids=lambda words: words[0],
)
def test_files_are_named_for_programs(run: Path, tmp_path: Path, words: list[str]) -> None:
    done = mrigan(*[word.format(run=run, tmp=tmp_path) for word in words], "--json")
    assert done.exit_code == 0, done.stderr
    files = {Path(name) for name in json.loads(done.stdout)["files"]}
    assert files == {path for path in tmp_path.rglob("*") if path.is_file()}


def test_figures_that_nobody_chose_and_a_network_lacks_are_left_out_in_plain_words(
    without_styles: Path, tmp_path: Path
) -> None:
    done = mrigan("test", without_styles, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""  # of mixing, which nobody asked for
    done = mrigan("test", without_styles, "--figure", "all", "--out", tmp_path)
    said = f"left out: mixing, matrix, truncation ({ONLY_STYLES})\nleft out: noise ({ONLY_NOISE})\n"
    assert (done.exit_code, done.stderr) == (0, said)
    both = ("--figure", "samples", "--figure", "mixing")
    refused = mrigan("test", without_styles, *both, "--out", tmp_path / "none")
    assert refused.exit_code == 2
    assert refused.stderr == f"mrigan: --figure mixing: {ONLY_STYLES}\n"
    assert not list((tmp_path / "none").iterdir())  # refused before anything is written


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["walk", "{run}", "--size", "512", "--out", "{tmp}/w.gif"], 2),
        (["walk", "{run}", "--out", "{tmp}/w.mp4"], 2),
        (["test", "{run}", "--out", "{tmp}/figs.svg"], 2),
        (["generate", "{run}", "--seeds", "0", "--out", "{tmp}/a.PNG"], 2),
        (["walk", "{tmp}/none", "--out", "{tmp}/w.gif"], 1),
        (["directions", "{run}", "--size", "512", "--out", "{tmp}/d"], 2),
        (["directions", "{without_styles}", "--out", "{tmp}/d"], 2),
        (["project", "{tmp}/none.png", "--ckpt", "{run}", "--out", "{tmp}/f"], 1),
        (["project", "{run}/ckpt-000000000.pt", "--ckpt", "{run}", "--out", "{tmp}/f"], 1),
        (["export-model", "{run}", "--format", "onnx", "--size", "512", "--out", "{tmp}/m"], 2),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, without_styles: Path, tmp_path: Path, words: list[str], code: int
) -> None:
    places = {"run": run, "without_styles": without_styles, "tmp": tmp_path}
    done = mrigan(*[word.format(**places) for word in words])
    assert done.exit_code == code, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mrigan: ")


def test_one_image_is_told_as_one(run: Path, tmp_path: Path) -> None:
    done = mrigan("generate", run, "--seeds", "7", "--out", tmp_path / "one")
    assert "one: 1 synthetic image, 1 new, " in done.stdout
    done = mrigan("generate", run, "--seeds", "7,8", "--out", tmp_path / "one")
    assert "one: 2 synthetic images, 1 new, " in done.stdout
