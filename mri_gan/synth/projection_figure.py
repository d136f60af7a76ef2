"""The picture of a projection: target, result, difference and the way there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mri_gan.files import write_bytes


def draw_projection(
    path: Path,
    target: NDArray[np.float32],  # [C, H, W], -1..1
    result: NDArray[np.float32],
    losses: list[float],
) -> None:
    """Four panels as one PNG, written atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 4)
    for panel, image, title in zip(panels, (target, result), ("target", "synthetic"), strict=False):
        panel.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1)
        panel.set_title(title)
    difference = (result - target).mean(axis=0) * 127.5
    most = max(1.0, float(np.abs(difference).max()))
    shown = panels[2].imshow(difference, cmap="RdBu_r", vmin=-most, vmax=most)
    panels[2].set_title(f"difference, rms {root_mean_square(target, result):.1f} of 255")
    figure.colorbar(shown, ax=panels[2], label="grey levels")
    for panel in panels[:3]:
        panel.axis("off")
    panels[3].semilogy(losses)
    panels[3].set(title="distance", xlabel="step")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": "mrigan"})
    write_bytes(path, stream.getvalue())


def as_picture(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """[C, H, W] of -1..1 as [H, W] or [H, W, 3] of 0..1."""
    scaled = np.clip((image + 1) / 2, 0, 1)
    return np.asarray(scaled.transpose(1, 2, 0) if len(scaled) == 3 else scaled[0], np.float32)


def root_mean_square(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The difference of two images of -1..1 in grey levels of 255."""
    return float(np.sqrt(np.square(a - b).mean()) * 127.5)
