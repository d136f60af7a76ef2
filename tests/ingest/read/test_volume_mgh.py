"""FreeSurfer volumes give the voxels that were stored, or an error."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import phantoms
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.volume import read_mgh

BRAIN = phantoms.brain_volume().astype(np.float32)


@pytest.mark.parametrize("axes", ["RAS", "LIA", "LPS"])
@pytest.mark.parametrize("gzip", [False, True])
def test_voxels_come_out_canonical(axes: str, gzip: bool) -> None:
    volume = read_mgh(phantoms.mgh_bytes(BRAIN, axes, gzip=gzip))
    np.testing.assert_array_equal(volume.voxels, BRAIN)
    np.testing.assert_allclose(volume.affine[:3, 3], phantoms.ORIGIN_MM, atol=1e-3)


def test_tags_behind_the_voxels_are_reported() -> None:
    """FreeSurfer writes 20 bytes of scan parameters, then the commands that made the file."""
    data = phantoms.mgh_bytes(BRAIN)[: 284 + 4 * BRAIN.size] + bytes(20)
    assert read_mgh(data).dropped == ()
    assert read_mgh(data + b"\0\0\0\3mri_convert JaneDoe.mgz").dropped == ("tags",)


@pytest.mark.parametrize("name", ["0042_t1.mgz", "0042_t1.mgh"])
def test_it_is_a_source_like_any_other(tmp_path: Path, name: str) -> None:
    data = phantoms.mgh_bytes(BRAIN, gzip=name.endswith("z"))
    plan = build_plan([phantoms.write_zip(tmp_path / "a.zip", {name: data})], PrepareConfig())
    assert plan.sources[0].naming.subject == "0042"
    assert process(plan.sources[0], PrepareConfig()).slices


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_truncated_files_are_refused(gzip: bool, share: float) -> None:
    with pytest.raises(DataError):
        read_mgh(phantoms.truncated(phantoms.mgh_bytes(BRAIN, gzip=gzip), share))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((30000, 30000, 30000, 1), "more than"),
        ((20, 26, 22, 2), "not one 3-D volume"),
        ((0, 26, 22, 1), "not one 3-D volume"),
        ((200, 26, 22, 1), "shorter than"),
    ],
)
def test_headers_are_not_believed(shape: tuple[int, ...], message: str) -> None:
    data = bytearray(phantoms.mgh_bytes(BRAIN))
    struct.pack_into(">4i", data, 4, *shape)
    with pytest.raises(DataError, match=message):
        read_mgh(bytes(data))


def test_flipped_bits_of_a_packed_file_never_give_other_voxels() -> None:
    data = phantoms.mgh_bytes(BRAIN, gzip=True)
    for bit in random.Random(0).sample(range(80, 8 * len(data)), 50):
        try:
            np.testing.assert_array_equal(read_mgh(phantoms.flipped(data, bit)).voxels, BRAIN)
        except DataError:
            continue
