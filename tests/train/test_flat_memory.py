"""Memory stays flat over steps and over changes of resolution."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mri_gan.config import Stage, TrainConfig
from mri_gan.train.loop import train
from mri_gan.train.run_folder import Progress, Run, RunOptions

PAGE_KIB = 4
STATM = Path("/proc/self/statm")


def resident_mib() -> float:
    """What the system says this process holds."""
    return int(STATM.read_text().split()[1]) * PAGE_KIB / 1024


def live_tensors() -> int:
    """How many tensors Python holds."""
    gc.collect()
    # By type: `isinstance` asks the things themselves, and some warn when they are asked.
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def config_of(steps: int) -> TrainConfig:
    """Three levels, a third of the steps each, every second one fading in for half of them."""
    third = 4 * steps // 3
    levels = (
        Stage(8, 0, third, 4),
        Stage(16, third // 2, third // 2, 4),
        Stage(32, third // 2, third // 2, 4),
    )
    return TrainConfig(
        max_size=32, schedule=levels, capacity=1 / 64, latent_dim=8, mixing=True, flip=True
    )


def watch(
    store: Path, folder: Path, steps: int, measure: Callable[[], float], every: int
) -> dict[int, list[float]]:
    """A run; what was measured every so many steps, by resolution."""
    config = config_of(steps)
    seen: dict[int, list[float]] = {}

    def look(progress: Progress) -> None:
        if progress.nimg // config.schedule[0].batch % every == 0:
            seen.setdefault(progress.phase.resolution, []).append(measure())

    train(Run(store, folder, config, RunOptions(ahead=2, snap_kimg=steps / 250), on_step=look))
    return seen


def test_no_tensor_is_left_behind_by_steps_levels_or_checkpoints(
    store: Path, tmp_path: Path
) -> None:
    gc.collect()
    gc.freeze()  # what is there already, a million objects, is not looked through 30 times
    try:
        before = live_tensors()
        seen = watch(store, tmp_path, 300, live_tensors, 10)
        after = live_tensors()
    finally:
        gc.unfreeze()
    assert set(seen) == {8, 16, 32}
    for counts in seen.values():
        # Statistics of the steps since the last tick and a batch read in advance come and go.
        assert max(counts[1:]) - min(counts[1:]) < 60
    assert after <= before + 5


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="reads Linux's own count")
def test_memory_is_flat_over_10_000_steps_and_over_levels(
    store: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    watch(store, tmp_path / "warm", 300, resident_mib, 50)
    seen = watch(store, tmp_path / "long", 10_000, resident_mib, 100)
    again = watch(store, tmp_path / "again", 300, resident_mib, 50)
    growth = {size: round(kept[-1] - kept[len(kept) // 4], 1) for size, kept in seen.items()}
    after = round(max(again[32]) - max(seen[32]), 1)
    tell(f"resident MiB gained over 10,000 steps, by level: {growth}; by a run after: {after}")
    assert max(growth.values()) < 20
    assert after < 20
