"""What to do when the memory is too small for a level."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from mri_gan.checkpoint import list_checkpoints
from mri_gan.errors import DataError
from mri_gan.schedule import phase_at
from mri_gan.train.run import Run
from mri_gan.train.state import TrainState

# How torch's allocator for the CPU says it, in a plain RuntimeError.
CPU_ALLOCATOR = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


@contextlib.contextmanager
def out_of_memory_told(run: Run, state: TrainState) -> Iterator[None]:
    """Within, running out of memory is one line that names the level and what would fit.

    Raises DataError; the state is as it was at the last checkpoint.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        phase = phase_at(run.config, state.nimg)
        saved = list_checkpoints(run.folder)
        how = f"go on in another --out by --ckpt {saved[0]} --transfer" if saved else "begin anew"
        raise DataError(
            f"{run.folder}: out of memory on {run.options.device} at {phase.resolution} px with "
            f"{phase.batch} images per step",
            f"{how} with a smaller --batch, or a lower --max-size or --capacity",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the processor or a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in CPU_ALLOCATOR)
