"""Download-free features: fitted on reals, the same on every call, equal to their references."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms.heads import draw_heads
from scipy.ndimage import gaussian_filter
from scipy.stats import kurtosis, skew
from sklearn.decomposition import PCA

from mri_gan.config import DOWNLOAD_FREE
from mri_gan.evaluate.features import (
    FITS,
    NAMES,
    describe_one,
    describe_textures,
    fit_cnn,
    fit_pca,
    shrink,
)

rng = np.random.default_rng(0)
FIT = rng.random((120, 16, 16), np.float32) ** 2
NEW = rng.random((10, 16, 16), np.float32)


def test_the_names_on_the_command_line_are_those_that_can_be_built() -> None:
    assert tuple(FITS) == DOWNLOAD_FREE


@pytest.mark.parametrize("name", FITS)
def test_features_are_the_same_on_every_call_and_have_the_scale_of_the_reals(name: str) -> None:
    features = FITS[name](FIT)
    assert features.name == name
    found = features.extract(FIT)
    assert found.shape == (120, features.dimensions)
    assert found.mean(0) == pytest.approx(np.zeros(features.dimensions), abs=1e-3)
    assert 0.3 < (found**2).mean() < 1.001
    again = FITS[name](FIT)
    assert np.array_equal(again.extract(NEW), features.extract(NEW))


def test_components_are_those_of_scikit_learn() -> None:
    found = fit_pca(FIT).extract(NEW)
    reference = PCA(50, svd_solver="full").fit(FIT.reshape(120, -1)).transform(NEW.reshape(10, -1))
    ratio = np.abs(found) / np.abs(reference)
    assert ratio == pytest.approx(np.full_like(ratio, np.median(ratio)), rel=5e-3)


def test_large_images_are_averaged_for_components_and_the_random_network() -> None:
    image = rng.random((2, 128, 128), np.float32)
    assert shrink(image)[1, 3, 5] == pytest.approx(image[1, 6:8, 10:12].mean())
    assert shrink(NEW).shape == NEW.shape
    assert fit_cnn(image).extract(image).shape == (2, 96)


def test_first_order_features_are_scipys() -> None:
    values = dict(zip(NAMES, describe_one(NEW[0]), strict=True))
    flat = NEW[0].astype(float).ravel()
    assert values["mean"] == pytest.approx(flat.mean())
    assert values["skewness"] == pytest.approx(skew(flat), abs=1e-5)
    assert values["kurtosis"] == pytest.approx(kurtosis(flat, fisher=False), rel=1e-5)
    assert values["p90"] == pytest.approx(np.percentile(flat, 90))


def test_blur_raises_homogeneity_and_lowers_contrast() -> None:
    sharp, smooth = describe_textures(NEW), describe_textures(gaussian_filter(NEW, (0, 1, 1)))
    column = {name: i for i, name in enumerate(NAMES)}
    assert (smooth[:, column["contrast-1px"]] < sharp[:, column["contrast-1px"]]).all()
    assert (smooth[:, column["homogeneity-1px"]] > sharp[:, column["homogeneity-1px"]]).all()


def test_shares_of_the_patterns_sum_to_1() -> None:
    assert describe_textures(NEW)[:, -10:].sum(1) == pytest.approx(np.ones(10))


def test_a_trace_of_grain_on_a_black_frame_is_no_texture() -> None:
    """A deviation of 2.5 of 255 greys moves the patterns less than another person does."""
    heads, others = draw_heads(4, seed=1), draw_heads(4, seed=2)
    grain = np.random.default_rng(0).normal(0, 2.5 / 255, heads.shape)
    first = NAMES.index("lbp-0")
    plain, grainy, strange = (
        describe_textures(np.asarray(np.clip(images, 0, 1), np.float32)).mean(0)[first:]
        for images in (heads, heads + grain, others)
    )
    blurred = describe_textures(np.asarray(gaussian_filter(heads, (0, 1, 1)))).mean(0)[first:]
    assert np.abs(grainy - plain).sum() < 0.1
    assert np.abs(blurred - plain).sum() > 3 * np.abs(strange - plain).sum()
