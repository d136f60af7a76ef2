"""The grids of a run say what they show and which side is where."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from phantoms.models import SMALL
from PIL import Image, ImageDraw

from mri_gan.config import CONFIG, SAMPLES
from mri_gan.pictures import GAP, Shows, say_edges
from mri_gan.schedule import Phase
from mri_gan.train import run_folder
from mri_gan.train.run_folder import Run, save_sheet


@pytest.mark.parametrize("edges", [("R", "L"), ()])
def test_a_grid_says_below_which_side_is_where_and_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edges: tuple[str, ...]
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given, **_: written.append(given[2]))
    facts = {"settings": {}, "data": {"image_edges": edges}}
    (tmp_path / CONFIG).write_text(json.dumps(facts))
    run, images = Run(tmp_path, tmp_path, SMALL), torch.zeros(8, 1, 64, 64)
    save_sheet(run, "a.png", images, Shows.SYNTHETIC, ())
    assert written == [*edges, *filter(None, [say_edges(edges)]), Shows.SYNTHETIC.value]


def test_the_picture_of_a_fade_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given, **_: written.append(given[2]))
    monkeypatch.setattr(run_folder, "draw_seeds", lambda *_: torch.zeros(4, 1, 64, 64))
    monkeypatch.setattr(run_folder, "grid_positions", lambda *_: np.arange(8))
    facts = {"settings": {}, "data": {"image_edges": ["R", "L"]}}
    (tmp_path / CONFIG).write_text(json.dumps(facts))
    data, state = SimpleNamespace(conditions=np.zeros((8, 0), np.float32)), SimpleNamespace(g_ema=0)
    phase = Phase(64, 0.5, 4, 0.001)
    run_folder.draw_fade(Run(tmp_path, tmp_path, SMALL), state, phase, data)  # type: ignore[arg-type]
    assert written[:2] == ["R", "L"]
    assert say_edges(("R", "L")) in " ".join(written)
    assert [*written[2:7], written[7]] == [
        *(f"seed 0, alpha {alpha}" for alpha in ("0", "0.25", "0.5", "0.75", "1")),
        "seed 1, alpha 0",
    ]
    assert "psi 1" in written


def test_a_grid_of_samples_says_its_seeds_and_that_of_several_channels_where_each_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given, **_: written.append(given[2]))
    monkeypatch.setattr(run_folder, "draw_seeds", lambda *_: torch.zeros(8, 2, 64, 64))
    monkeypatch.setattr(run_folder, "grid_positions", lambda *_: np.arange(8))
    data = SimpleNamespace(conditions=np.zeros((8, 0), np.float32))
    state, phase = SimpleNamespace(g_ema=0, nimg=9), Phase(64, 1.0, 4, 0.001)
    config = replace(SMALL, channels=2, channel_names=("T1", "mask"))
    (tmp_path / SAMPLES).mkdir()
    run_folder.draw_samples(Run(tmp_path, tmp_path, config), state, phase, data)  # type: ignore[arg-type]
    assert written[:2] == [
        "seeds 0 to 7, row by row, psi 1",
        "each picture, from left to right: T1, mask",
    ]
    with Image.open(tmp_path / SAMPLES / "000000009-0064px.png") as sheet:
        assert sheet.width == 8 * (2 * 128 + GAP) + GAP


def test_a_network_without_styles_has_no_psi(tmp_path: Path) -> None:
    plain = replace(SMALL, arch="dcgan", mixing=False)
    assert run_folder.say_psi(Run(tmp_path, tmp_path, plain)) == []
