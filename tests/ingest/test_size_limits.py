"""What a run may cost: address space, disk, and memory that does not grow with the archive."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantoms

from mri_gan.store.check import check_store
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
GIB = 1 << 30


def noisy_zip(path: Path, count: int) -> Path:
    """Slices of 256 px that compress about as scans do."""
    rng = np.random.default_rng(0)
    files = {}
    for i in range(count):
        pixels = phantoms.slice_pixels(256, 256, seed=i).astype(float)
        noisy = np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)
        files[f"s/p{i}_1.png"] = phantoms.png_bytes(noisy)
    return phantoms.write_zip(path, files)


def test_8_gib_of_address_space_are_enough(tmp_path: Path) -> None:
    """As on cluster nodes that limit jobs by `ulimit -v`; workers inherit the limit."""
    archive = noisy_zip(tmp_path / "a.zip", 40)
    command = ["prepare", str(archive), "--out", str(tmp_path / "s"), "--workers", "2", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "mri_gan", *command],
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 * GIB, 8 * GIB)),
    )
    assert done.returncode == 0
    with StoreReader(tmp_path / "s") as store:
        assert len(store) == 40


def test_the_disk_holds_little_more_than_the_images(tmp_path: Path, prepare: Prepare) -> None:
    folder = prepare(tmp_path / "s", noisy_zip(tmp_path / "a.zip", 60))
    payload = check_store(folder, 1).stored_bytes
    used = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    assert payload > 60 * 30_000
    assert used <= 1.3 * payload
