"""MS-SSIM against scikit-image at one scale, and what it says of blur and of equal images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from mri_gan.evaluate.evaluation import build_families
from mri_gan.evaluate.patches import WEIGHTS, ms_ssim, scales_at, ssim_families

rng = np.random.default_rng(0)


def pictures(size: int, count: int = 4) -> NDArray[np.float32]:
    smooth = gaussian_filter(rng.random((count, size, size)), (0, 1, 1))
    return np.asarray(smooth / smooth.max(), np.float32)


def reference(a: NDArray[np.float32], b: NDArray[np.float32], k1: float = 0.01) -> float:
    """scikit-image's SSIM of one scale, over places that hold a whole window.

    With a very large K1 luminance counts as equal: what is left is contrast times structure.
    """
    _, full = structural_similarity(
        a.astype(float),
        b.astype(float),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
        K1=k1,
    )
    return float(full[5:-5, 5:-5].mean())


def test_one_scale_is_scikit_images_ssim() -> None:
    a, b = pictures(16), pictures(16)
    a[0] = b[0] + 0.1  # alike, so that the range is covered
    expected = [max(0, reference(x, y)) for x, y in zip(a, b, strict=True)]
    assert max(expected) > 0.5
    assert ms_ssim(a, b) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("size", "scales"), [(64, 3), (256, 5)])
def test_several_scales_are_the_product_of_scikit_images_by_wangs_weights(
    size: int, scales: int
) -> None:
    """Equation 7 of Wang 2003: luminance at the coarsest scale alone."""
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    a = pictures(size, 2)
    b = np.float32(0.7) * a + np.float32(0.2) * pictures(size, 2)
    expected = np.ones(2)
    halved = [a, b]
    for scale, weight in enumerate(weights / weights.sum()):
        k1 = 0.01 if scale == scales - 1 else 1e6
        expected *= [reference(x, y, k1) ** weight for x, y in zip(*halved, strict=True)]
        halved = [x.reshape(2, len(x[0]) // 2, 2, -1, 2).mean((2, 4)) for x in halved]
    assert expected.max() < 0.95
    assert ms_ssim(a, b) == pytest.approx(expected, abs=1e-5)


def test_fakes_that_are_all_alike_are_more_alike_than_people() -> None:
    """Each image is compared with the next; the last with the first."""
    own, told = ssim_families()[1], ssim_families()[0]
    one = pictures(16, 1)
    people = pictures(16, 5)
    reals = dict(own.source.describe(people, 0)) | {"group": np.arange(5)}
    fakes = dict(own.source.describe(one.repeat(5, 0), 0)) | {"group": np.arange(5)}
    real = ms_ssim(people, np.roll(people, -1, 0)).mean()
    values = told.compare(reals, fakes)
    assert values == pytest.approx({"ms-ssim[fake]": 1, "ms-ssim[real]": real}, abs=1e-6)
    assert own.compare(reals, fakes)["ms-ssim[fake-real]"] == pytest.approx(1 - real, abs=1e-6)


def test_pairs_of_one_person_do_not_count() -> None:
    """Two slices of each of three people: every second pair is of one person."""
    people = pictures(16, 3)
    slices = people.repeat(2, 0)
    described = dict(ssim_families()[0].source.describe(slices, 0))
    table = described | {"group": np.array([0, 0, 1, 1, 2, 2])}
    expected = ms_ssim(people, np.roll(people, -1, 0)).mean()
    found = ssim_families()[0].compare(table, table)["ms-ssim[real]"]
    assert found == pytest.approx(expected, abs=1e-6)


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


def test_images_below_the_window_have_no_similarity() -> None:
    with_window = {
        size: "ms-ssim" in [f.name for f in build_families(size, 9, ())] for size in (8, 16)
    }
    assert with_window == {8: False, 16: True}
