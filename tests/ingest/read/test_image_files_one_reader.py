"""One picture is the same to prepare, to `evaluate --images` and to `project`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mri_gan.errors import DataError
from mri_gan.evaluate.images import read_image
from mri_gan.ingest.read.image_files import read_grey_file
from mri_gan.store.reader import StoreReader
from mri_gan.synth.project import read_target

TURN = 0x0112  # the orientation of EXIF; 3 is upside down
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def float_tiff(path: Path) -> Path:
    tifffile.imwrite(path, np.full((8, 8), 0.5, np.float32))
    return path


def turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[TURN] = 3
    Image.fromarray(RAMP).save(path.with_suffix(".png"), exif=exif)
    return path.with_suffix(".png")


def transparent(path: Path) -> Path:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:, :4, 3] = 0
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (float_tiff, np.full((8, 8), 0.5)),
        (turned, RAMP[::-1, ::-1] / 255),
        (transparent, np.tile([0.0] * 4 + [1.0] * 4, (8, 1))),
    ],
)
def test_every_command_sees_the_same_greys(
    tmp_path: Path,
    prepare: Callable[..., Path],
    write: Callable[[Path], Path],
    expected: np.ndarray,
) -> None:
    path = write(tmp_path / "a.tif")
    with StoreReader(prepare(tmp_path / "store", path, depth=16)) as store:
        prepared = store.read(8, np.array([0]))[0, 0] / 65535
    np.testing.assert_allclose(prepared, expected, atol=1e-4)
    np.testing.assert_allclose(read_grey_file(path), expected, atol=1e-4)
    np.testing.assert_allclose(read_image(path, 8), expected, atol=1e-4)
    np.testing.assert_allclose((read_target(path, 8, 1)[0, 0] + 1) / 2, expected, atol=1e-4)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"a\.png: "):
        read_grey_file(tmp_path / "a.png")
