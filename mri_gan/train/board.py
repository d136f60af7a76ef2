"""A run's curves and pictures for TensorBoard, beside the files that need no viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mri_gan.errors import UsageError
from mri_gan.runs import SAMPLES

FOLDER = "tensorboard"
NOT_CURVES = ("nimg",)


class Board:
    """Writes to `RUN/tensorboard`; the step on every axis is nimg.

    Raises UsageError when tensorboard is not installed. What an interrupted run wrote beyond the
    point from which it continues is hidden by TensorBoard's own purge.
    """

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard: tensorboard is not installed",
                'pip install "mrigan[tensorboard]"',
            ) from error
        self._run = run
        self._open = SummaryWriter
        self._writer: Any = None

    def write_line(self, line: dict[str, Any]) -> None:
        """One line of metrics as scalars."""
        writer = self._at(line["nimg"])
        for name, value in line.items():
            if name not in NOT_CURVES and value is not None:
                writer.add_scalar(name, value, line["nimg"])

    def write_checkpoint(self, path: Path) -> None:
        """The sample grid that was drawn with a checkpoint."""
        nimg = int(path.stem.rpartition("-")[2])
        for grid in (self._run / SAMPLES).glob(f"{nimg:09d}-*.png"):
            with Image.open(grid) as picture:
                pixels = np.asarray(picture.convert("L"))
            self._at(nimg).add_image("samples", pixels, nimg, dataformats="HW")
        self._writer.flush()

    def _at(self, nimg: int) -> Any:
        """The writer, opened when the first step is known: later ones of a lost run are purged."""
        if self._writer is None:
            self._writer = self._open(str(self._run / FOLDER), purge_step=nimg)
        return self._writer

    def close(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()
