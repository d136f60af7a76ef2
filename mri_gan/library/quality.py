"""How good a model is, and whether it copies: `mrigan evaluate` and `audit` as functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mri_gan.config import DOWNLOAD_FREE, FEATURE_NAMES, SPLITS, require, require_one_of
from mri_gan.evaluate.audit import FEWEST_SAMPLES, Audit, count_queries
from mri_gan.evaluate.audit import audit as audit_sets
from mri_gan.evaluate.copies.planting import USUAL
from mri_gan.evaluate.evaluation import (
    Evaluation,
    build_families,
    build_features,
    compare_both,
    describe_both,
    read_people,
)
from mri_gan.evaluate.images import (
    ImageSet,
    check_fit,
    check_size,
    fakes_of,
    images_in,
    read_look,
    reals_of,
)
from mri_gan.evaluate.membership import Membership, judge_membership, training_conditions
from mri_gan.evaluate.verdict import describe_beside
from mri_gan.files import digest_file
from mri_gan.library.arguments import public, require_least
from mri_gan.library.drawing import Model, load_model
from mri_gan.nets.build import DrawSettings, pick_device
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Trained, settings_to_draw
from mri_gan.train.data import was_trained_on
from mri_gan.values import StrPath, as_path

DEPTH = 8  # bits of the pictures that `generate` writes
ALL = 1 << 40  # more slices than there are
SEEDS_APART = 1_000_000  # the seeds of two calls do not meet
HELD_OUT = ("validate", "test")


@dataclass(frozen=True)
class Judged:
    """The images to judge: where they come from, at which size, and what results say of them."""

    size: int
    take_images: Callable[[int], ImageSet]  # the first N
    facts: dict[str, Any]
    beside: Path  # where results go by default
    trained: Trained | None = None
    look: DrawSettings | None = None
    conditions: Tensor | None = None  # of training slices [M, K]

    @property
    def generator(self) -> tuple[Trained, DrawSettings, Tensor | None]:
        """What it takes to draw more of a checkpoint's images."""
        assert self.trained is not None
        assert self.look is not None
        return self.trained, self.look, self.conditions


def judge_pictures(
    store: StoreReader, folder: Path, count: int, size: int | None, seed: int
) -> Judged:
    """At most `count` pictures of a folder; size None is their own."""
    found, resizer = images_in(folder, size, count, seed)
    check_size(store, found.size)
    facts = {"images": folder.resolve().name, "size": found.size, "resizer": resizer}
    return Judged(found.size, lambda _: found, facts | read_look(folder), Path())


def judge_model(
    store: StoreReader,
    trained: Trained,
    size: int | None,
    psi: float,
    noise: float,
    seed: int,
    depth: int | None = None,
) -> Judged:
    """Images of a generator; size None is the largest trained, `depth` None that of the store.

    Raises DataError or UsageError where model and store do not go together.
    """
    size = trained.size if size is None else size
    look = settings_to_draw(trained, size, psi, noise)
    check_fit(trained, store, size)
    first, bits = seed * SEEDS_APART, depth or int(store.header["depth"])
    conditions = training_conditions(store, trained)
    source = "each column drawn alone" if conditions is None else "of training slices"
    facts = {
        "model": describe_model(trained),
        "size": size,
        "resizer": "none",
        "psi": look.psi,
        "noise": noise,
        "conditions": source if trained.conditions else "none",
    }
    return Judged(
        size,
        lambda wanted: fakes_of(trained, look, range(first, first + wanted), bits, conditions),
        facts,
        trained.path.parent,
        trained,
        look,
        conditions,
    )


def describe_model(trained: Trained) -> dict[str, Any]:
    """What the results say of the checkpoint: names only, since a path can identify people."""
    return {
        "run": trained.path.resolve().parent.name,
        "file": trained.path.name,
        "sha256": digest_file(trained.path),
        "nimg": trained.nimg,
    }


def read_held_out(store: StoreReader, size: int, seed: int) -> ImageSet | None:
    """Slices of people that were never trained on, or None where the store has none."""
    if not any(len(store.indices(split)) for split in HELD_OUT):
        return None
    return reals_of(store, HELD_OUT, size, ALL, seed)


# What stands beside the figures in `evaluation.json` and `audit.json`

OTHER_STORE = (
    "the model was trained on other data than this store: people of this split may be among those "
    "it was trained on, and the figures say nothing about new people; give --trained-on STORE to "
    "see who is in both"
)


def say_both(both: Collection[str] | None, right: bool | None) -> str | None:
    """A warning for results, without names; None where the store is the run's own.

    `both` are the people of another store that were trained on, None where nobody knows.
    """
    if right is not False:
        return None
    if both is None:
        return OTHER_STORE
    if not both:
        return (
            "the model was trained on other data than this store; no name of a person is in both, "
            "but one person may have two names"
        )
    return (
        f"the model was trained on {len(both)} of the people that it is judged by: for them the "
        "figures say nothing about new people"
    )


def describe_store(store: StoreReader) -> dict[str, Any]:
    """What the results say of the store."""
    return {
        "name": store.folder.resolve().name,
        "digest": store.digest,
        "depth": int(store.header["depth"]),
        "channel": store.channel_names[0],
        "channels": store.channels,
    }


def describe_evaluation(
    store: StoreReader,
    judged: Judged,
    split: str,
    reals: ImageSet,
    apart: ImageSet,
    resamples: int,
    seed: int,
    files: Sequence[Path] = (),
    both: Collection[str] | None = None,
) -> dict[str, Any]:
    """What was compared, and how; `files` are networks of the user's."""
    right = was_trained_on(judged.trained, store)
    return {
        "format": "mrigan-evaluation",
        "version": 1,
        **judged.facts,
        "store": {**describe_store(store), "split": split},
        "trained_on_this_store": right,
        "people_in_both": None if both is None else len(both),
        "warning": say_both(both, right),
        "features_fitted_on": {"people": len(np.unique(apart.groups)), "compared": apart is reals},
        "features_files": {path.name: digest_file(path) for path in files},
        "seed": seed,
        "resamples": resamples,
    }


def refuse_trained_on(judged: Judged, features: Collection[str]) -> None:
    """Raise UsageError where the run's own critic saw the features that are to judge it."""
    seen = judged.trained.config.critic_features if judged.trained else ""
    require(
        not seen or seen not in features,
        f"--features {seen}: the critic of this run was trained on them",
        "choose others, such as efficientnet-lite2, random-cnn and texture",
    )


@dataclass(frozen=True)
class ToAudit:
    """What an audit compares, and whether the model was trained on this store, where known."""

    samples: ImageSet
    train: ImageSet
    held_out: ImageSet | None
    right: bool | None

    @property
    def total(self) -> int:
        """How many images an audit compares with the training slices, those and copies too."""
        return count_queries(self.samples, self.train, self.held_out, self.kinds)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of copies to plant: none for another store, which has no detection rates."""
        return () if self.right is False else USUAL


def gather_to_audit(store: StoreReader, judged: Judged, count: int, seed: int) -> ToAudit:
    """The first `count` samples, and the people of the store."""
    train = reals_of(store, ("train",), judged.size, ALL, seed)
    held_out = read_held_out(store, judged.size, seed)
    right = was_trained_on(judged.trained, store)
    return ToAudit(judged.take_images(count), train, held_out, right)


def audit_judged(
    store: StoreReader, judged: Judged, sets: ToAudit, seed: int, tell: Callable[[int], None]
) -> Audit:
    """The audit with all that `audit.json` says; `tell` gets how many more images are done."""
    result = audit_sets(
        sets.samples, sets.train, sets.held_out, sets.right, sets.kinds, seed=seed, tell=tell
    )
    result.facts = {
        "format": "mrigan-audit",
        "version": 2,
        **judged.facts,
        "store": describe_store(store),
        "trained_on_this_store": sets.right,
        "seed": seed,
        **describe_beside(result, *infer_members(store, judged, sets, seed)),
    }
    return result


def infer_members(
    store: StoreReader, judged: Judged, sets: ToAudit, seed: int
) -> tuple[Membership | None, str]:
    """What the critic knows of training people, or None and the reason why that is not known."""
    if judged.trained is None:
        return None, "pictures without a checkpoint"
    found, why = judge_membership(judged.trained, store, sets.train, sets.held_out, seed)
    if found and sets.right is False:
        return None, "the model was trained on other people"
    return found, why


# As functions


@public
def evaluate(
    model: StrPath | Model,
    store: StrPath,
    *,
    split: str = "train",
    count: int = 10_000,
    fakes: int | None = None,
    features: str | Sequence[str] = DOWNLOAD_FREE,
    resamples: int = 100,
    size: int | None = None,
    psi: float = 1.0,
    noise: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare a model, checkpoint, run folder, or folder of pictures, with one split of a store.

    Every figure of the result stands beside its noise floor; docs/evaluation.md says what each
    can show. Nothing is written: for reports, use `mrigan evaluate`. `on_progress` is called with
    the images done and their number; each counts twice, when it is read and when its set is
    compared, which takes longer. Raises UsageError where they do not go together, DataError for
    too few people.
    """
    require_least(1, count=count, fakes=fakes, resamples=resamples)
    names = (features,) if isinstance(features, str) else tuple(features)
    for name in names:
        require_one_of("features", name, FEATURE_NAMES)
    require_one_of("split", split, SPLITS)
    device = pick_device(device)
    with StoreReader(as_path(store)) as opened:
        judged = _find_images(model, opened, count, size, psi, noise, seed, device)
        refuse_trained_on(judged, names)
        reals, apart = read_people(opened, split, judged.size, count, seed)
        drawn = judged.take_images(fakes or len(reals))
        built = build_features(names, apart, device)
        families = build_families(judged.size, max(len(reals), len(drawn)), built, seed)
        images = len(reals) + len(drawn)
        tell = counted(on_progress, 2 * images)
        both = describe_both(reals, drawn, families, seed, tell)
        shares = iter(split_evenly(images, len(both.families)))
        both.result.facts = describe_evaluation(
            opened, judged, split, reals, apart, resamples, seed
        )
        return compare_both(both, resamples, seed, lambda _: tell(next(shares)))


@public
def audit(
    model: StrPath | Model,
    store: StrPath,
    *,
    count: int = 1000,
    size: int | None = None,
    psi: float = 0.7,
    noise: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Look for copies of training slices among the samples: `.verdict` is pass, fail or undecided.

    Samples are those of a model, checkpoint or run folder, drawn as `generate` draws them, or the
    pictures of a folder. A model of another store is always undecided. Nothing is written: for
    reports, use `mrigan audit`.
    `on_progress` is called with the images compared and their number, real slices and copies made
    on purpose included.
    Raises UsageError where model and store do not go together, DataError for too few people.
    """
    require_least(FEWEST_SAMPLES, count=count)
    device = pick_device(device)
    with StoreReader(as_path(store)) as opened:
        judged = _find_images(model, opened, count, size, psi, noise, seed, device, DEPTH)
        sets = gather_to_audit(opened, judged, count, seed)
        return audit_judged(opened, judged, sets, seed, counted(on_progress, sets.total))


def counted(on_progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    """A function that is told how many more images are done, and passes on how many are by then."""
    so_far = 0

    def add(more: int) -> None:
        nonlocal so_far
        so_far += more
        if on_progress is not None:
            on_progress(so_far, total)

    return add


def split_evenly(total: int, parts: int) -> list[int]:
    """A total as so many whole numbers that are as equal as can be."""
    ends = [total * part // parts for part in range(parts + 1)]
    return [end - begin for begin, end in itertools.pairwise(ends)]


def _find_images(
    model: StrPath | Model,
    store: StoreReader,
    count: int,
    size: int | None,
    psi: float,
    noise: float,
    seed: int,
    device: str,
    depth: int | None = None,
) -> Judged:
    """The images to judge: drawn, or those of a folder of pictures."""
    require_least(0, seed=seed)
    if not isinstance(model, Model):
        path = as_path(model)
        if path.is_dir() and not any(path.glob("*.pt")):
            return judge_pictures(store, path, count, size, seed)
        model = load_model(path, device)
    return judge_model(store, model.trained, size, psi, noise, seed, depth)
