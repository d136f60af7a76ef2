"""The grids of a run say what they show and which side is where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms.models import SMALL
from PIL import ImageDraw

from mri_gan.config import CONFIG
from mri_gan.pictures import Shows, say_edges
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
