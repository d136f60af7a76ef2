"""MS-SSIM against scikit-image at one scale, and what it says of blur and of equal images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from mri_gan.errors import UsageError
from mri_gan.evaluate.patches import WEIGHTS, ms_ssim, scales_at

rng = np.random.default_rng(0)


def pictures(size: int, count: int = 4) -> NDArray[np.float32]:
    smooth = gaussian_filter(rng.random((count, size, size)), (0, 1, 1))
    return np.asarray(smooth / smooth.max(), np.float32)


def reference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """scikit-image's SSIM of one scale, over places that hold a whole window."""
    _, full = structural_similarity(
        a.astype(float),
        b.astype(float),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(full[5:-5, 5:-5].mean())


def test_one_scale_is_scikit_images_ssim() -> None:
    a, b = pictures(16), pictures(16)
    a[0] = b[0] + 0.1  # alike, so that the range is covered
    expected = [max(0, reference(x, y)) for x, y in zip(a, b, strict=True)]
    assert max(expected) > 0.5
    assert ms_ssim(a, b) == pytest.approx(expected, abs=1e-6)


def test_scales_follow_the_size_and_their_weights_sum_to_1() -> None:
    assert [scales_at(s) for s in (8, 16, 32, 64, 128, 256, 1024)] == [0, 1, 2, 3, 4, 5, 5]
    assert sum(WEIGHTS) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("size", [16, 32, 64, 256])
def test_equal_images_score_1_at_every_size(size: int) -> None:
    a = pictures(size, 2)
    assert ms_ssim(a, a) == pytest.approx([1, 1])


def test_it_falls_as_images_differ_more_and_is_symmetric() -> None:
    a, b = pictures(64), pictures(64)
    mixed = np.float32(0.8) * a + np.float32(0.2) * b
    near, far = ms_ssim(a, mixed), ms_ssim(a, b)
    assert (near > far).all()
    assert ms_ssim(b, a) == pytest.approx(far)


def test_images_below_the_window_are_refused() -> None:
    with pytest.raises(UsageError, match="11 px"):
        ms_ssim(pictures(8), pictures(8))
