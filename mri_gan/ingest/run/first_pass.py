"""What `prepare` must know of all sources before it can write the first one.

It is learned once, kept in the store's header, and taken from there when work goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from mri_gan.errors import Stopped, UsageError
from mri_gan.files import StopSignal
from mri_gan.ingest.guard import reading
from mri_gan.ingest.outcome import Learned
from mri_gan.ingest.source import Source
from mri_gan.preparation import PrepareConfig

if TYPE_CHECKING:
    from mri_gan.ingest.run.ordered_pool import Workers


CHUNK = 16
LOOK_AT, LEARN_FROM = 16, 400  # image files, evenly spread
PRELOAD = "mri_gan.ingest.run.first_pass"

Result = TypeVar("Result")


def learn(
    sources: Sequence[Source],
    config: PrepareConfig,
    workers: Workers,
    stop: StopSignal,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Learned:
    """Read what must be known beforehand; raises UsageError where it makes no sense."""
    masks, volumes = _masks(sources, config), _training_volumes(sources, config)
    if config.masks and not masks:
        raise UsageError(
            "--masks: no source has a mask",
            "see docs/data.md for their names, or leave --masks out",
        )
    window, darkness = _look_at_images(sources, config, workers)
    no_labels: tuple[int, ...] = ()
    found = _over(_labels_of_all, masks, no_labels, workers, stop, on_progress)
    labels = _together(found, config.depth) if config.masks else ()
    if config.intensity != "nyul" or config.landmarks:
        return Learned(labels, config.landmarks, window, darkness)
    function = functools.partial(_landmarks_of_all, config=config)
    no_marks: tuple[float, ...] = ()
    marks = _over(function, volumes, no_marks, workers, stop, lambda n: on_progress(len(masks) + n))
    return Learned(labels, _standard(marks), window, darkness)


def _look_at_images(
    sources: Sequence[Source], config: PrepareConfig, workers: Workers
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The window of 16-bit images, and how dark the others are; read by a worker process."""
    from mri_gan.ingest.run.ordered_pool import OrderedPool, open_engine

    flat = [source for source in sources if not source.is_volume]
    if not flat:
        return (), ()
    teachers = [source for source in flat if source.naming.split == "train"] or flat
    work = _spread(flat, LOOK_AT), _spread(teachers, LEARN_FROM)
    function = functools.partial(_look_at_all, config=config)
    with open_engine(min(workers, 1) if isinstance(workers, int) else workers, PRELOAD) as engine:
        pool = OrderedPool(function, lambda _: ((), ()), engine)
        return next(iter(pool.map([[work]])))[1]


def _spread(sources: Sequence[Source], count: int) -> Sequence[Source]:
    return sources[:: max(1, len(sources) // count)]


def _look_at_all(
    work: Sequence[tuple[Sequence[Source], Sequence[Source]]], config: PrepareConfig
) -> list[tuple[tuple[float, ...], tuple[int, ...]]]:
    return [_look_at(some, teachers, config) for some, teachers in work]


def _look_at(
    some: Sequence[Source], teachers: Sequence[Source], config: PrepareConfig
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    from mri_gan.ingest.cut.image_window import find_darkness, find_image_window

    window = find_image_window(some, teachers, config)
    return window, () if window else find_darkness(some)


def count_teachers(sources: Sequence[Source], config: PrepareConfig) -> int:
    """How many masks and volumes `learn` reads."""
    return len(_masks(sources, config)) + len(_training_volumes(sources, config))


def _masks(sources: Sequence[Source], config: PrepareConfig) -> list[Source]:
    return [s.mask for s in sources if s.mask is not None] if config.masks else []


def _training_volumes(sources: Sequence[Source], config: PrepareConfig) -> list[Source]:
    """What `nyul` learns from, unless it is given landmarks."""
    if config.intensity != "nyul" or config.landmarks:
        return []
    return [s for s in sources if s.is_volume and s.naming.split == "train"]


def _standard(marks: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The standard scale of the volumes that could be read."""
    if not any(marks):
        raise UsageError(
            "--intensity nyul: no volume in the training split to learn from",
            "use another --split or --intensity, or take --landmarks of another store",
        )
    from mri_gan.ingest.cut.intensity import standard_scale

    return standard_scale([found for found in marks if found])


def _landmarks_of_all(volumes: Sequence[Source], config: PrepareConfig) -> list[tuple[float, ...]]:
    return [_landmarks_of(source, config) for source in volumes]


def _landmarks_of(source: Source, config: PrepareConfig) -> tuple[float, ...]:
    from mri_gan.ingest.cut import intensity
    from mri_gan.ingest.cut.intensity import take_sample
    from mri_gan.ingest.read.scan import read_source_volume

    with reading(source.member.label):  # a problem is reported when its slices are written
        sample = take_sample(read_source_volume(source).voxels)
        threshold = intensity.foreground_threshold(sample)
        return intensity.find_landmarks(sample, threshold, config.window)
    return ()


def _over(
    function: Callable[[Sequence[Source]], list[Result]],
    sources: Sequence[Source],
    lost: Result,
    workers: Workers,
    stop: StopSignal,
    on_progress: Callable[[int], object],
) -> list[Result]:
    """The function's results over all sources, by worker processes."""
    results: list[Result] = []
    if not sources:
        return results
    # Workers import this module, too, and do without these.
    from mri_gan.ingest.run.ordered_pool import OrderedPool, open_engine

    step = 1 if any(source.is_volume for source in sources) else CHUNK
    chunks = [sources[i : i + step] for i in range(0, len(sources), step)]
    with open_engine(workers, PRELOAD) as engine:
        for _, result in OrderedPool(function, lambda _: lost, engine).map(chunks):
            results.append(result)
            on_progress(len(results))
            if stop:
                raise Stopped(
                    "stopped before anything was written",
                    "run the same command again",
                    stop.signum or 2,
                )
    return results


def _labels_of_all(masks: Sequence[Source]) -> list[tuple[int, ...]]:
    return [_labels_of(mask) for mask in masks]


def _labels_of(mask: Source) -> tuple[int, ...]:
    from mri_gan.ingest.plan.masks import read_label_values

    with reading(mask.member.label):  # a problem is reported when its slices are written
        return read_label_values(mask)
    return ()


def _together(found: Sequence[tuple[int, ...]], depth: int) -> tuple[int, ...]:
    labels = tuple(sorted({label for some in found for label in some} | {0}))
    if len(labels) > 1 << depth:
        raise UsageError(
            f"--masks: the masks hold {len(labels)} labels, more than {depth} bits can hold",
            "use --depth 16, or check that these are masks",
        )
    return labels
