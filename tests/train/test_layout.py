"""The order of axes in memory: measured once and kept, so that a run ends with the same bits."""

import json
from pathlib import Path

import pytest
import torch

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.config import CONFIG, TrainConfig
from mri_gan.nets.convolution import innermost
from mri_gan.train import loop
from mri_gan.train.loop import pick_layout, train
from mri_gan.train.run_folder import Run, RunOptions
from mri_gan.train.state import build_state, measure_innermost

SMALL = TrainConfig(max_size=8, phase=64, batch=8, capacity=1 / 32, latent_dim=8)
CPU = torch.device("cpu")


def measures(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    monkeypatch.setattr(loop, "measure_innermost", lambda low: ratio)


def weights(folder: Path) -> str:
    return digest(load_checkpoint(list_checkpoints(folder)[0]).state)


@pytest.mark.parametrize(("ratio", "layout"), [(3.4, "channels-last"), (1.9, ""), (0.5, "")])
def test_channels_lie_innermost_where_that_is_much_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: float, layout: str
) -> None:
    measures(monkeypatch, ratio)
    run = pick_layout(Run(tmp_path, tmp_path, SMALL))
    assert run.config.layout == layout
    state = build_state(run.config, CPU)
    kernels = [p for p in state.g.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
    assert {innermost(kernel) for kernel in kernels} == {layout != ""}


def test_a_run_goes_on_in_the_order_that_it_began_with_to_the_same_bits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut, plain = (tmp_path / name for name in ("whole", "cut", "plain"))
    for folder in (whole, cut, plain):
        folder.mkdir()
    measures(monkeypatch, 3.0)
    train(Run(store, whole, SMALL))
    train(Run(store, cut, SMALL, RunOptions(minutes=1e-9)))
    assert json.loads((cut / CONFIG).read_text())["settings"]["layout"] == "channels-last"
    measures(monkeypatch, 1.0)  # as on another machine
    train(Run(store, cut, SMALL))
    train(Run(store, plain, SMALL))
    assert weights(cut) == weights(whole)
    assert weights(plain) != weights(whole)  # other roundings, or this test shows nothing


@pytest.mark.parametrize("text", ["{}", "[", '{"settings": {"layout": "x"}}', '{"settings": []}'])
def test_without_a_word_on_it_the_order_is_that_of_earlier_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    measures(monkeypatch, 3.0)
    (tmp_path / CONFIG).write_text(text)
    (tmp_path / "ckpt-000000008.pt").touch()  # begun
    assert pick_layout(Run(tmp_path, tmp_path, SMALL)).config.layout == ""


def test_the_measurement_is_one_number_for_a_process() -> None:
    first = measure_innermost(False)
    assert first > 0
    assert measure_innermost(False) == first
