"""Damaged files of other programs' networks: each is read or refused in one line."""

from __future__ import annotations

import functools
import io
import random
import signal
import tempfile
import time
import traceback
from pathlib import Path

import torch
from phantoms import ada_pickles, foreign

from fuzz.mutations import mutate
from fuzz.running import HANG_S, Found, HangError, ring
from mri_gan.errors import MriganError
from mri_gan.synth.foreign.bring import read_foreign

WIDTHS = {4: 4, 8: 4}  # small, so that what is damaged is mostly structure


@functools.cache
def network_file(number: int) -> bytes:
    """A good file: snapshots of StyleGAN2-ADA, then checkpoints of the two common ports."""
    if number < 4:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.pkl"
            value, _ = ada_pickles.snapshot(classes=2 * (number % 2), widths=WIDTHS, w=4)
            ada_pickles.save_networks(path, value, protocol=number + 2)
            return path.read_bytes()
    older = foreign.port1_generator(1, 16, {4: 4, 8: 4, 16: 4}, w=4)
    newer = {"g_ema": foreign.port2_generator(1, WIDTHS, w=4), "d": foreign.port2_critic(2, WIDTHS)}
    stream = io.BytesIO()
    value = {"g_running": older} if number >= 6 else newer
    torch.save(value, stream, _use_new_zipfile_serialization=number % 2 == 0)
    return stream.getvalue()


def run_networks(count: int, seed: int) -> Found:
    """Read `count` damaged files of networks; the same seed gives the same files."""
    found = Found("network", seed)
    before = signal.signal(signal.SIGALRM, ring)
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                chance = random.Random(f"{seed}:network:{number}")
                path = Path(folder) / "network"
                path.write_bytes(mutate("network", network_file(chance.randrange(8)), chance))
                _try(found, path, number)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    found.seconds = round(time.perf_counter() - start, 1)
    return found


def _try(found: Found, path: Path, number: int) -> None:
    found.files += 1
    start = time.perf_counter()
    signal.alarm(HANG_S)
    try:
        read_foreign(path)
        found.read += 1
    except MriganError:
        found.refused += 1
    except HangError:
        found.hangs.append(number)
    except Exception:
        found.tracebacks.append(f"{number}: {traceback.format_exc(limit=-2)}")
    finally:
        signal.alarm(0)
    found.slowest_s = max(found.slowest_s, round(time.perf_counter() - start, 2))
