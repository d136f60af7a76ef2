"""Figures while training goes on: a few of them, at some of the checkpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mri_gan.checkpoint import checkpoint_nimg
from mri_gan.config import read_metrics
from mri_gan.evaluate.evaluation import build_families, build_features, evaluate, read_people
from mri_gan.evaluate.images import ImageSet, fakes_of
from mri_gan.evaluate.membership import training_conditions
from mri_gan.files import write_text
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import load_trained, settings_to_draw

FILE = "evaluation.jsonl"
IMAGES = 512  # of each set
RESAMPLES = 20
FEATURES = ("random-cnn",)


@dataclass(frozen=True)
class Watch:
    """Measures checkpoints of one run as they come, every N images, into `FILE`."""

    run: Path
    store: Path
    every: int  # images between two evaluations
    device: str = "cpu"
    seed: int = 0

    def evaluate_checkpoint(self, checkpoint: Path) -> dict[str, Any] | None:
        """Evaluate a checkpoint when it is due; returns the line written, or None.

        Lines of a lost continuation of the run are dropped.
        """
        nimg = checkpoint_nimg(checkpoint)
        lines = [line for line in read_metrics(self.run / FILE) if line["nimg"] < nimg]
        if lines and nimg - lines[-1]["nimg"] < self.every:
            return None
        # Building networks draws from the global generator, which is not ours to use up.
        with torch.random.fork_rng():
            line = score_checkpoint(self.store, checkpoint, self.device, self.seed)
        text = "".join(json.dumps(line) + "\n" for line in [*lines, line])
        write_text(self.run / FILE, text)
        return line


def score_checkpoint(store: Path, checkpoint: Path, device: str, seed: int) -> dict[str, Any]:
    """One line: nimg, size, and each figure with its value and its noise floor."""
    trained = load_trained(checkpoint, device)
    look = settings_to_draw(trained, psi=1.0)
    with StoreReader(store) as opened:
        reals, apart = read_people(opened, "train", look.size, IMAGES, seed)
        conditions = training_conditions(opened, trained)
        depth = int(opened.header["depth"])
        fakes = fakes_of(trained, look, range(len(reals)), depth, conditions)
        return {
            "nimg": trained.nimg,
            "size": look.size,
            **measure(reals, apart, fakes, device, seed),
        }


def measure(
    reals: ImageSet, apart: ImageSet, fakes: ImageSet, device: str, seed: int
) -> dict[str, Any]:
    """Seconds, and the figures by name: value, floor, and the value at the floor's counts.

    Features are fitted on other people, `apart`.
    """
    features = build_features(FEATURES, apart, device)
    families = build_families(reals.size, len(reals), features, seed)
    result = evaluate(reals, fakes, families, RESAMPLES, seed)
    figures = {
        figure["name"]: {kind: figure[kind] for kind in ("value", "floor", "at_floor")}
        for figure in result.to_dict()["figures"]
    }
    seconds = result.real_s + result.fake_s + result.compare_s
    return {"seconds": round(seconds, 2), "figures": figures}
