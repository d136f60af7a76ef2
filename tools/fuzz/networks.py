"""Damaged files of other programs' networks: each is read or refused in one line."""

from __future__ import annotations

import functools
import io
import random
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from phantoms import ada_pickles, foreign

from fuzz.mutations import mutate
from fuzz.running import Found, watch_all, watch_file
from mri_gan.errors import MriganError
from mri_gan.synth.foreign.bring import read_foreign

WIDTHS = {4: 4, 8: 4}  # small, so that what is damaged is mostly structure


@functools.cache
def network_file(number: int) -> bytes:
    """A good file: snapshots of StyleGAN2-ADA, then checkpoints of two ports, then safetensors."""
    if number < 4:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.pkl"
            value, _ = ada_pickles.snapshot(classes=2 * (number % 2), widths=WIDTHS, w=4)
            ada_pickles.save_networks(path, value, protocol=number + 2)
            return path.read_bytes()
    if number >= 8:
        half = {f"g_ema.{n}": t.half() for n, t in foreign.port2_generator(1, WIDTHS, w=4).items()}
        return safetensors.torch.save(half)
    older = foreign.port1_generator(1, 16, {4: 4, 8: 4, 16: 4}, w=4)
    newer = {"g_ema": foreign.port2_generator(1, WIDTHS, w=4), "d": foreign.port2_critic(2, WIDTHS)}
    stream = io.BytesIO()
    value = {"g_running": older} if number >= 6 else newer
    torch.save(value, stream, _use_new_zipfile_serialization=number % 2 == 0)
    return stream.getvalue()


def run_networks(count: int, seed: int) -> Found:
    """Read `count` damaged files of networks; the same seed gives the same files."""
    found = Found("network", seed)
    with watch_all(found), tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            chance = random.Random(f"{seed}:network:{number}")
            path = Path(folder) / "network"
            which = chance.randrange(10)
            kind = "network" if which < 8 else "safetensors"
            path.unlink(missing_ok=True)  # to write over a file waits for the disk
            path.write_bytes(mutate(kind, network_file(which), chance))
            with watch_file(found, number):
                _read(found, path)
    return found


def _read(found: Found, path: Path) -> None:
    try:
        read_foreign(path)
        found.read += 1
    except MriganError:
        found.refused += 1
