"""What a projection leaves on disk besides its picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mri_gan.files import write_bytes
from mri_gan.synth.encoding import png_bytes, to_depth
from mri_gan.synth.project import Projection
from mri_gan.synth.sample import Trained


def save_projection(out: Path, found: Projection, trained: Trained) -> None:
    """`result.png`, the drawing, marked as synthetic; `projection.npz`: ws [L, D] and noise."""
    arrays = {f"noise_{i:02d}": image.cpu().numpy()[0, 0] for i, image in enumerate(found.noise)}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, ws=found.ws[0].cpu().numpy(), **arrays)
    write_bytes(out / "projection.npz", stream.getvalue())
    image = to_depth(found.image.numpy(), 8)
    pixels = image if len(image) == 3 else image[:1]
    facts = {"generator": trained.digest, "made by": "projection of a given image"}
    write_bytes(out / "result.png", png_bytes(pixels, facts))
