"""The demonstration says why its samples may show no brains."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import demo
import pytest

from mri_gan.config import METRICS


@pytest.mark.parametrize(("nimg", "blobs"), [(1200, True), (1000 * demo.ENOUGH_KIMG, False)])
def test_too_few_images_are_explained_with_the_command_that_goes_on(
    tmp_path: Path, nimg: int, blobs: bool
) -> None:
    (tmp_path / METRICS).write_text(json.dumps({"nimg": nimg}) + "\n")
    said = demo.explain_blobs(tmp_path, tmp_path / "my store", 2.5)
    assert bool(said) == blobs
    if blobs:
        reason, command = said.splitlines()
        assert "1.2 thousand images in 2.5 minutes" in reason
        assert reason.endswith("To continue (about 6 times):")
        _, *words = shlex.split(command)
        assert words == [*map(str, demo.train_words(tmp_path / "my store", tmp_path, 2.5))]
