"""Make the coarse brain that orientations are judged by, from the demo's MNI152 volume.

python tools/make_template.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mri_gan.ingest.cut import orientation
from mri_gan.ingest.cut.intensity import foreground_threshold, take_sample
from mri_gan.ingest.read.volume import read_volume

ROOT = Path(__file__).parents[1]
VOLUME = ROOT / "data" / "demo" / "mni152_t1_1mm.nii.gz"


def template_bytes() -> bytes:
    """The symmetric average brain as uint8 [16, 16, 16]."""
    volume = read_volume(VOLUME.read_bytes())
    cube = orientation.make_cube(volume, foreground_threshold(take_sample(volume.voxels)))
    assert cube is not None, "a brain fills its box"
    cells = cube + cube[::-1]
    low, high = float(cells.min()), float(cells.max())
    return np.round((cells - low) / (high - low) * 255).astype(np.uint8).tobytes()


if __name__ == "__main__":
    target = ROOT / "mri_gan" / "ingest" / "cut" / orientation.TEMPLATE
    target.write_bytes(template_bytes())
