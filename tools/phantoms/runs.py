"""Made-up run folders and results of the judging commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from mri_gan.config import TrainConfig
from mri_gan.pictures import Shows, save_png

FIGURE = {
    "name": "swd 32 px",
    "value": 21.5,
    "low": 20.0,
    "high": 23.0,
    "at_floor": 24.0,
    "floor": 9.5,
    "better": "low",
}


def make_run(folder: Path, ticks: int = 4, **settings: Any) -> Path:
    """Write what a run of `ticks` thousand images leaves, without training; returns its folder."""
    (folder / "samples").mkdir(parents=True)
    config = TrainConfig(**{"max_size": 16, "mixing": True, **settings})
    facts = {"settings": config.to_dict(), "data_digest": "d1", "torch": "2.13.0"}
    (folder / "config.json").write_text(json.dumps(facts))
    lines = [metrics_line(i) for i in range(1, ticks + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    for i in range(1, ticks + 1):
        grid = Image.new("L", (24, 12), 20 * i)
        name = f"{1000 * i:09d}-{lines[i - 1]['resolution']:04d}px.png"
        save_png(folder / "samples" / name, grid, Shows.SYNTHETIC)
    save_png(folder / "reals.png", Image.new("L", (24, 12), 200), Shows.REAL)
    save_png(folder / "loss.png", Image.new("L", (24, 12), 100), Shows.CHART)
    return folder


AUDIT = {
    "version": 2,
    "verdict": "fail",
    "sentence": "fail: 3 samples are more like a training slice",
    "false_alarms": 0.01,
    "psi": 0.7,
    "noise": 1.0,
    "counts": {
        "samples": 300,
        "train": 416,
        "train_people": 13,
        "held_out": 128,
        "held_out_people": 4,
    },
    "recall": {"exact": 1.0, "rotation 10": 0.75},
    "views": [
        {
            "name": "halves",
            "limit": 1.234,
            "copies": 3,
            "share": 0.01,
            "likeness": {"samples": {"max": 2.031}, "people": {"max": 0.844}},
        }
    ],
    "membership": {"auc": 0.613, "low": 0.43, "high": 0.797, "rate": 0.05},
    "warning": None,
}
UTILITY = {
    "task": "position",
    "measure": "correlation",
    "train_on_real": {"value": 0.91, "low": 0.88, "high": 0.93},
    "train_on_synthetic": {"value": 0.82, "low": 0.77, "high": 0.85},
    "guess": 0.1,
    "kept": 0.89,
    "labels": "conditions",
    "counts": {"train_images": 416, "test_images": 128, "test_people": 4},
}


def metrics_line(i: int) -> dict[str, Any]:
    return {
        "nimg": 1000 * i,
        "resolution": 8 if i < 3 else 16,
        "alpha": 1.0,
        "d_loss": -1.0 - i,
        "g_loss": 2.0 + i,
        "penalty": None if i == 2 else 0.5,
        "skipped": 1 if i == 2 else 0,
        "seconds": 2.5,
        "images_per_s": 400.0,
        "data_wait": 0.001,
    }


def write_result(
    run: Path, name: str, document: dict[str, Any], picture: str = "", shows: Shows = Shows.CHART
) -> None:
    """What a judging command would leave in the run folder."""
    (run / name).mkdir()
    (run / name / f"{name}.json").write_text(json.dumps(document))
    if picture:
        save_png(run / name / picture, Image.new("L", (9, 9), 50), shows)
