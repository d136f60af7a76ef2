"""What a person moves, and that what they keep is what the other commands draw."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from click.testing import CliRunner
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.cli.main import cli
from mri_gan.conditions import Column, Conditions
from mri_gan.config import CONFIG
from mri_gan.errors import UsageError
from mri_gan.explore import scene as scenes
from mri_gan.explore.scene import Explorer, controls
from mri_gan.explore.server import build_page
from mri_gan.pictures import (
    Shows,
    png_bytes,
    read_mark,
    read_slice_mark,
    say_channels,
    to_stored,
)
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import load_trained, settings_to_draw
from mri_gan.synth.walk import Walk, path_styles

LABELS = Conditions(
    (Column("position", (), 0.5, 0.3, 0.0, 1.0), Column("group", ("AD", "CN"), gaps=True))
)


def explorer_of(folder: Path, **settings: Any) -> Explorer:
    return Explorer(load_trained(save_untrained(folder, dataclasses.replace(SMALL, **settings))))


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    return explorer_of(tmp_path_factory.mktemp("explore"), conditions=LABELS)


def test_controls_are_those_that_the_network_has(explorer: Explorer, tmp_path: Path) -> None:
    shown = controls(explorer)
    assert shown["sizes"] == [8, 16]
    assert len(shown["moves"]) == 6
    assert [column["title"] for column in shown["columns"]] == ["slice position", "group"]
    assert shown["columns"][1]["values"] == ["AD", "CN", "unknown"]
    plain = controls(explorer_of(tmp_path, arch="dcgan", mixing=False, max_size=16))
    assert (plain["has_styles"], plain["has_noise"], plain["moves"]) == (False, False, [])
    assert (plain["sizes"], plain["columns"]) == ([16], [])
    assert plain["only_styled"] == "only stylegan and stylegan2 have styles, and this is a dcgan"


def test_the_sides_are_shown_as_the_run_recorded_them(tmp_path: Path) -> None:
    path = save_untrained(tmp_path, SMALL)
    assert controls(Explorer(load_trained(path)))["notes"] == []
    facts = {"settings": {}, "data": {"image_edges": ["R", "L"]}}
    (tmp_path / CONFIG).write_text(json.dumps(facts))
    explorer = Explorer(load_trained(path))
    assert controls(explorer)["edges"] == ("R", "L")
    page = build_page(explorer, "n", tmp_path)
    left, right = (
        page.index('<b aria-hidden="true">R</b>'),
        page.index('<b aria-hidden="true">L</b>'),
    )
    assert left < page.index("<canvas") < right
    assert "R | L: the left edge of a picture is the right side of the body." in page


def test_every_control_changes_the_image(explorer: Explorer) -> None:
    start = {"seed": "3", "noise": "0"}
    before = explorer.draw(explorer.read_scene(start))
    for name, value in {
        "seed": "4", "psi": "0.2", "noise": "1", "detail_seed": "9", "move0": "3", "move5": "-3",
        "label0": "0.9", "label1": "CN", "blend": "0.5",
    }.items():  # fmt: skip
        scene = explorer.read_scene({**start, name: value})
        assert np.abs(explorer.draw(scene) - before).max() > 1e-4, name


def test_a_move_of_a_whole_direction_is_its_spread(explorer: Explorer) -> None:
    """Psi 0 leaves the mean style, so that the move is all that differs: closed form."""
    assert explorer.found is not None
    scene = explorer.read_scene({"psi": "0", "move1": "2"})
    expected = 2 * explorer.found.spread[1] * explorer.found.vectors[1]
    np.testing.assert_allclose(explorer._moved(scene)[0].numpy(), expected.numpy(), rtol=1e-6)


def test_a_blend_is_the_way_that_walk_takes(explorer: Explorer) -> None:
    drawing = Drawing(
        explorer.trained, settings_to_draw(explorer.trained, 16), "position=0.5,group=AD"
    )
    way = path_styles(drawing, Walk((3, 4), 4, "z"))
    for quarter in (1, 4):
        scene = explorer.read_scene({"seed": "3", "blend": str(quarter / 4)})
        blended = explorer._blended(scene, explorer._condition(scene))[0]
        np.testing.assert_allclose(blended.numpy(), way[quarter].numpy(), atol=1e-5)


def test_a_network_without_styles_blends_too(tmp_path: Path) -> None:
    small = dataclasses.replace(SMALL, arch="dcgan", mixing=False, max_size=16)
    plain = Explorer(load_trained(save_untrained(tmp_path, small, alpha=1.0)))
    there, half, here = (
        plain.draw(plain.read_scene({"seed": seed, "blend": blend}))
        for seed, blend in (("3", "1"), ("3", "0.5"), ("4", "0"))
    )
    np.testing.assert_allclose(there, here, atol=1e-5)
    assert np.abs(half - here).max() > 1e-4


def test_a_preview_differs_by_rounding_only(explorer: Explorer) -> None:
    scene = explorer.read_scene({"seed": "3", "detail_seed": "4"})
    np.testing.assert_allclose(explorer.draw(scene), explorer.draw(scene, exact=True), atol=1e-5)


def test_a_wide_network_is_shown_in_half_precision_and_saved_in_full(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "WIDE", 0)
    monkeypatch.setattr(scenes, "pick_precision", lambda *_: "bf16")
    wide = Explorer(explorer.trained)
    assert wide.halved
    assert not explorer.halved
    scene = explorer.read_scene({"seed": "3", "psi": "1", "noise": "0"})
    full = explorer.draw(scene, exact=True)
    assert 1e-5 < np.abs(wide.draw(scene) - full).mean() < 0.05  # of -1..1
    np.testing.assert_array_equal(wide.draw(scene, exact=True), full)


def test_what_is_saved_is_what_generate_draws(explorer: Explorer, tmp_path: Path) -> None:
    form = {"seed": "7", "psi": "0.5", "label0": "0.25", "label1": "CN"}
    scene = explorer.read_scene(form)
    path = explorer.save(scene, tmp_path / "kept")
    words = ["generate", str(explorer.trained.path), "--seeds", "7", "--psi", "0.5"]
    words += ["--condition", scene.condition, "--out", str(tmp_path / "drawn")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    with Image.open(path) as kept, Image.open(tmp_path / "drawn" / "seed000007.png") as drawn:
        assert kept.tobytes() == drawn.tobytes()
        assert json.loads(str(kept.info["scene"]))["psi"] == 0.5
        assert kept.info["seed"] == "7"
    assert read_mark(path) is Shows.SYNTHETIC


@pytest.mark.parametrize("names", [("T1", "T2"), ("T1", "T2", "FLAIR"), ("T1", "T2", "mask")])
def test_contrasts_stand_beside_each_other_on_the_page_and_in_what_is_saved(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    explorer = explorer_of(tmp_path, channels=len(names), channel_names=names)
    page = controls(explorer)
    assert (page["across"], page["notes"]) == (len(names), [say_channels(names)])
    scene = explorer.read_scene({})
    path = explorer.save(scene, tmp_path / "kept")
    drawn = to_stored(explorer.draw(scene, exact=True))
    with Image.open(path) as kept:
        assert np.array_equal(np.asarray(kept), np.concatenate(drawn, axis=1))
    assert read_slice_mark(path.read_bytes()) == (Shows.SYNTHETIC, False)  # no slice of one head
    assert [made["file"] for made in explorer.list_saved(tmp_path / "kept")] == [path.name]


def test_the_same_scene_is_one_file_and_another_is_another(
    explorer: Explorer, tmp_path: Path
) -> None:
    one, other = (explorer.read_scene({"seed": "7", "move0": move}) for move in ("1", "2"))
    for scene in (one, other, one):
        explorer.save(scene, tmp_path)
    assert len(list(tmp_path.glob("seed000007-*.png"))) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "-1"), ("seed", "9" * 30), ("seed", "1.5"), ("seed", "²"), ("seed", ""),
        ("size", "64"), ("size", "12"), ("psi", "nan"), ("blend", "1.1"), ("psi", "9"),
        ("noise", "inf"),
        ("move0", "4"), ("crossover", "99"), ("detail_seed", "x"), ("label0", "x"),
        ("label1", "bogus"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named(explorer: Explorer, name: str, value: str) -> None:
    with pytest.raises(UsageError):
        explorer.read_scene({name: value})


def test_words_for_a_scene(explorer: Explorer) -> None:
    scene = explorer.read_scene(
        {"seed": "3", "blend": "0.25", "detail_seed": "4", "move1": "-1.5", "label1": "CN"}
    )
    assert explorer.describe(scene) == (
        "seed 3, 25% towards the next seed, 16 px, truncation 0.7, "
        "detail of seed 4 after 4 layers, direction 2 -1.5, position 0.5, group CN"
    )
    scene = explorer.read_scene({"detail_seed": "4", "crossover": "1"})
    assert "detail of seed 4 after 1 layer," in explorer.describe(scene)


def test_what_a_label_is_not_given_is_told_as_unknown(tmp_path: Path) -> None:
    ages = Conditions((Column("age", (), 60.0, 10.0, 40.0, 80.0, gaps=True),))
    explorer = explorer_of(tmp_path, conditions=ages)
    scene = explorer.read_scene({"label0": "unknown"})
    assert explorer.describe(scene).endswith("truncation 0.7, age unknown")
    assert explorer.form_of(scene)["label0"] == "unknown"
    assert controls(explorer)["columns"][0]["gaps"]


def test_saved_images_are_listed_again_the_newest_first(explorer: Explorer, tmp_path: Path) -> None:
    forms = ({"seed": "7", "move1": "-1.5", "label1": "unknown"}, {"seed": "8", "detail_seed": "2"})
    scenes_made = [explorer.read_scene(form) for form in forms]
    paths = [explorer.save(scene, tmp_path) for scene in scenes_made]
    for age, path in enumerate(paths):
        os.utime(path, (age, age))
    listed = explorer.list_saved(tmp_path)
    assert [one["file"] for one in listed] == [path.name for path in reversed(paths)]
    assert listed[1]["text"] == explorer.describe(scenes_made[0])
    for one, scene in zip(listed, reversed(scenes_made), strict=True):
        fields = dict(parse_qsl(one["query"], keep_blank_values=True))
        assert explorer.read_scene(fields) == scene


@pytest.mark.parametrize(
    "facts",
    [
        {"generator": "another"},
        {"scene": "{}"},
        {"scene": "[]"},
        {"scene": "no JSON"},
        {"scene": '{"seed": -1, "size": 16, "moves": [], "labels": []}'},
        {"scene": '{"seed": 1, "size": 16, "moves": [], "labels": 3}'},
    ],
)
def test_other_images_in_the_folder_are_not_listed(
    explorer: Explorer, tmp_path: Path, facts: dict[str, str]
) -> None:
    scene = json.dumps(dataclasses.asdict(explorer.read_scene({})))
    kept = {"generator": explorer.trained.digest, "scene": scene, **facts}
    (tmp_path / "seed000001-a.png").write_bytes(png_bytes(np.zeros((1, 8, 8), np.uint8), kept))
    assert explorer.list_saved(tmp_path) == []
    assert explorer.list_saved(tmp_path / "nowhere") == []
