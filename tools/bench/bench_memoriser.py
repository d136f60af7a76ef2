"""What the audit says of a model that has learned its training slices by heart.

    python tools/bench/bench_memoriser.py STORE     # a prepared store of 12 people or more

Makes two stores: one trains on a few slices of five people of STORE and holds out all others,
the second has the others alone. A small DCGAN is trained on the first for hundreds of passes and
audited on both.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

import mri_gan
from mri_gan.evaluate.audit import Audit, say_verdict
from mri_gan.store.reader import StoreReader

TRAINED, HELD_OUT = 5, 5  # people; HELD_OUT of the other store
BATCH = 8


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--size", default=64, show_default=True, help="Pixels.")
@click.option("--slices", default=8, show_default=True, help="Slices of each person.")
@click.option("--passes", default=600, show_default=True, help="Over the training slices.")
@click.option("--samples", default=500, show_default=True, help="To audit.")
@click.option("--threads", default=0, help="CPU threads  [default: all].")
@click.option("--work", type=click.Path(path_type=Path), default=None, help="Keep the run there.")
def main(
    store: Path,
    size: int,
    slices: int,
    passes: int,
    samples: int,
    threads: int,
    work: Path | None,
) -> None:
    """Train a memorising DCGAN on five people of STORE, and audit it on two stores."""
    if threads:
        torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as made:
        click.echo(
            json.dumps(measure(store, work or Path(made), size, slices, passes, samples), indent=2)
        )


def measure(
    store: Path, work: Path, size: int, slices: int, passes: int, samples: int
) -> dict[str, Any]:
    """Verdicts on the model's own store and on another one."""
    people = read_people(store, size, slices)
    names = sorted(people)
    known, others = names[:TRAINED], names[TRAINED:]
    own = write_store(work / "own", people, known, others)
    other = write_store(work / "other", people, others[HELD_OUT:], others[:HELD_OUT])
    started = time.perf_counter()
    images = TRAINED * slices
    run = mri_gan.train(
        own,
        work / "run",
        arch="dcgan",
        max_size=size,
        kimg=passes * images / 1000,
        batch=BATCH,
        capacity=0.25,
        latent_dim=16,
        loss="r1",
        gp_weight=1.0,
        ema_kimg=1.0,
    )
    trained_s = time.perf_counter() - started
    return {
        "training": {
            "people": TRAINED,
            "slices": images,
            "passes": passes,
            "seconds": round(trained_s),
        },
        "own store": describe(mri_gan.audit(run.checkpoint, own, count=samples)),
        "other store": describe(mri_gan.audit(run.checkpoint, other, count=samples)),
    }


def read_people(store: Path, size: int, slices: int) -> dict[str, Any]:
    """So many slices [n, S, S] of each person, evenly spread over its stack."""
    with StoreReader(store) as opened:
        rows: dict[str, list[int]] = {}
        for index, record in enumerate(opened.records):
            rows.setdefault(record.subject, []).append(index)
        return {
            name: opened.read(
                size, np.array(own)[np.linspace(0, len(own) - 1, slices).round().astype(int)]
            )[:, 0]
            for name, own in rows.items()
        }


def write_store(
    folder: Path, people: dict[str, Any], train: list[str], held_out: list[str]
) -> Path:
    """A store with these people in its splits, from images named as in a course archive."""
    for split, names in (("train", train), ("test", held_out)):
        target = folder / "images" / f"keras_png_slices_{split}"
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            number = sorted(people).index(name)
            for k, image in enumerate(people[name]):
                Image.fromarray(image).save(target / f"case_{number:03d}_slice_{k}.nii.png")
    mri_gan.prepare(folder / "images", folder / "store", workers=0)
    return folder / "store"


def describe(result: Audit) -> dict[str, Any]:
    """The verdict and what it rests on."""
    return {
        "verdict": result.verdict,
        "sentence": say_verdict(result),
        "samples above a limit": result.copies,
        "people copied": result.people_copied,
        "share nearer than any person": round(result.near, 3),
    }


if __name__ == "__main__":
    main()
