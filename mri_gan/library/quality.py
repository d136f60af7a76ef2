"""How good a model is, and whether it copies: `mrigan evaluate` and `audit` as functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mri_gan.config import DOWNLOAD_FREE
from mri_gan.evaluate.audit import Audit
from mri_gan.evaluate.audit import audit as audit_sets
from mri_gan.evaluate.evaluation import Evaluation, build_families, build_features, read_people
from mri_gan.evaluate.evaluation import evaluate as evaluate_sets
from mri_gan.evaluate.images import ImageSet, check_fit, check_size, fakes_of, images_in, reals_of
from mri_gan.evaluate.membership import training_conditions
from mri_gan.library.drawing import Model, load_model
from mri_gan.nets.build import pick_device
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import settings_to_draw
from mri_gan.train.data import was_trained_on

DEPTH = 8  # bits of the pictures that `generate` writes
ALL = 1 << 40  # more slices than there are
Judged = str | Path | Model


def evaluate(
    model: Judged,
    store: str | Path,
    *,
    split: str = "train",
    count: int = 10_000,
    fakes: int | None = None,
    features: Sequence[str] = DOWNLOAD_FREE,
    resamples: int = 100,
    size: int | None = None,
    psi: float = 1.0,
    noise: float = 1.0,
    seed: int = 0,
    device: str = "auto",
) -> Evaluation:
    """Compare a model, checkpoint, run folder, or folder of pictures, with one split of a store.

    Every figure of the result stands beside its noise floor; docs/evaluation.md says what each
    can show. Raises UsageError where they do not go together, DataError for too few people.
    """
    device = pick_device(device)
    with StoreReader(Path(store)) as opened:
        judged = _take(model, opened, fakes, count, size, psi, noise, seed, device)
        reals, apart = read_people(opened, split, judged.size, count, seed)
        if fakes is None and len(judged) > len(reals):
            judged = _take(model, opened, len(reals), count, judged.size, psi, noise, seed, device)
        built = build_features(tuple(features), apart, device)
        families = build_families(judged.size, max(len(reals), len(judged)), built, seed)
        return evaluate_sets(reals, judged, families, resamples, seed)


def audit(
    model: Judged,
    store: str | Path,
    *,
    count: int = 1000,
    size: int | None = None,
    psi: float = 0.7,
    noise: float = 1.0,
    seed: int = 0,
    device: str = "auto",
) -> Audit:
    """Look for copies of training slices among the samples: `.verdict` is pass, fail or undecided.

    Samples are drawn as `generate` draws them. A model of another store is always undecided.
    Raises UsageError where model and store do not go together, DataError for too few people.
    """
    device = pick_device(device)
    with StoreReader(Path(store)) as opened:
        samples = _take(model, opened, count, count, size, psi, noise, seed, device, DEPTH)
        train = reals_of(opened, ("train",), samples.size, ALL, seed)
        apart = [s for s in ("validate", "test") if len(opened.indices(s))]
        held_out = reals_of(opened, tuple(apart), samples.size, ALL, seed) if apart else None
        right = None
        if isinstance(model, Model) or not _is_pictures(Path(model)):
            drawn = model if isinstance(model, Model) else load_model(model, device)
            right = was_trained_on(drawn.trained, opened)
        return audit_sets(samples, train, held_out, right, seed=seed)


def _take(
    model: Judged,
    store: StoreReader,
    wanted: int | None,
    limit: int,
    size: int | None,
    psi: float,
    noise: float,
    seed: int,
    device: str,
    depth: int | None = None,
) -> ImageSet:
    """The images to judge: drawn, or those of a folder of pictures."""
    if not isinstance(model, Model) and _is_pictures(Path(model)):
        found, _ = images_in(Path(model), size, limit, seed)
        check_size(store, found.size)
        return found
    trained = (model if isinstance(model, Model) else load_model(model, device)).trained
    size = trained.size if size is None else size
    check_fit(trained, store, size)
    look = settings_to_draw(trained, size, psi, noise)
    first = seed * 1_000_000  # as on the command line: the seeds of two calls do not meet
    seeds = range(first, first + (wanted or limit))
    bits = int(store.header["depth"])
    return fakes_of(trained, look, seeds, depth or bits, training_conditions(store, trained))


def _is_pictures(path: Path) -> bool:
    return path.is_dir() and not any(path.glob("*.pt"))
