"""Which families an evaluation measures, by the names that a user gives."""

from __future__ import annotations

from collections.abc import Sequence

from mri_gan.evaluate.families import Family
from mri_gan.evaluate.features import FITS, Features, read_fit
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.moments import frechet_family, kernel_family
from mri_gan.evaluate.names import EFFICIENTNET
from mri_gan.evaluate.neighbours import neighbour_family
from mri_gan.evaluate.networks import load_efficientnet
from mri_gan.evaluate.patches import ssim_families, swd_family
from mri_gan.evaluate.profiles import histogram_family, spectrum_family
from mri_gan.evaluate.ssim import scales_at


def build_features(
    names: Sequence[str], reals: ImageSet, device: str, more: Sequence[Features] = ()
) -> list[Features]:
    """The named features, fitted on reals where that is needed, and those of the user."""
    fit = read_fit(reals)
    built = [
        load_efficientnet(device) if name == EFFICIENTNET else FITS[name](fit) for name in names
    ]
    return [*built, *more]


def build_families(
    size: int, count: int, features: Sequence[Features], seed: int = 0
) -> list[Family]:
    """Every family that images of this size have; `count` is that of the larger set."""
    families = [swd_family(size, count, seed), spectrum_family(), histogram_family()]
    if scales_at(size):
        families[1:1] = ssim_families()
    for one in features:
        source = one.source
        families += [
            frechet_family(source, one.dimensions),
            kernel_family(source),
            neighbour_family(source),
        ]
    return families
