"""The grids of a run say what they show and which side is where."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from phantoms.models import SMALL
from PIL import ImageDraw

from mri_gan.config import CONFIG
from mri_gan.pictures import Shows, say_edges
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
    save_sheet(run, "a.png", images, np.zeros((8, 0), np.float32), Shows.SYNTHETIC)
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
