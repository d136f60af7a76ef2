"""How scanner units become greys: by percentiles, ends, sigmas, landmarks, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.files import StopSignal
from mri_gan.ingest.cut.intensity import (
    Curve,
    find_curve,
    find_landmarks,
    foreground_threshold,
    quantise,
    standard_scale,
    take_sample,
)
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.run.prepare import write_store
from mri_gan.store.merge import merge_stores
from mri_gan.store.reader import StoreReader


def curve(voxels: Any, intensity: str, standard: tuple[float, ...] = (), depth: int = 8) -> Curve:
    config = PrepareConfig(intensity=intensity, depth=depth)
    sample = take_sample(voxels)
    return find_curve(voxels, sample, foreground_threshold(sample), config, standard)


def test_minmax_takes_the_whole_range() -> None:
    volume = phantoms.brain_volume().astype(np.float32)
    assert curve(volume, "minmax").window == (volume.min(), volume.max())


def test_zscore_puts_the_mean_of_the_tissue_at_mid_grey_and_three_sigma_at_the_ends() -> None:
    volume = phantoms.brain_volume().astype(np.float32)
    tissue = volume[volume > foreground_threshold(take_sample(volume))]
    found = curve(volume, "zscore")
    expected = (tissue.mean() - 3 * tissue.std(), tissue.mean() + 3 * tissue.std())
    assert found.window == pytest.approx(expected, rel=1e-4)
    assert found.apply(np.array([tissue.mean()]))[0] == pytest.approx(0.5, abs=1e-4)


def test_zscore_does_not_see_the_units_of_the_scanner() -> None:
    volume = phantoms.brain_volume().astype(np.float32)
    one, other = (curve(v, "zscore").apply(v) for v in (volume, 7 * volume + 40))
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(("depth", "top"), [(8, 255), (16, 65535)])
def test_keep_leaves_grey_levels_as_they_are(depth: int, top: int) -> None:
    volume = np.random.default_rng(0).integers(0, top + 1, (9, 9, 9)).astype(np.float32)
    greys = quantise(curve(volume, "keep", depth=depth).apply(volume), depth)
    np.testing.assert_array_equal(greys, volume)


@pytest.mark.parametrize("wrong", [256.0, -1.0, 0.5])
def test_keep_refuses_what_does_not_fit(wrong: float) -> None:
    volume = np.random.default_rng(0).integers(0, 255, (9, 9, 9)).astype(np.float32)
    volume[0, 0, 0] = wrong
    with pytest.raises(DataError, match="keep"):
        curve(volume, "keep")


def warped(seed: int, power: float, gain: float) -> Any:
    """A brain as another scanner would show it: other contrast, other units."""
    volume = phantoms.brain_volume((24, 24, 24), seed=seed)
    return (gain * (volume / 1000) ** power).astype(np.float32)


def test_nyul_brings_scanners_of_other_contrast_together() -> None:
    volumes = [warped(0, 1.0, 900), warped(1, 1.4, 50), warped(2, 0.8, 4000)]
    thresholds = [foreground_threshold(take_sample(volume)) for volume in volumes]
    marks = [
        find_landmarks(take_sample(volume), threshold, (0.5, 99.5))
        for volume, threshold in zip(volumes, thresholds, strict=True)
    ]
    standard = standard_scale(marks)
    assert (standard[0], standard[-1]) == (0, 1)
    assert list(standard) == sorted(standard)

    def medians(mode: str) -> Any:
        found = [
            np.median(curve(volume, mode, standard).apply(volume[volume > threshold]))
            for volume, threshold in zip(volumes, thresholds, strict=True)
        ]
        return np.ptp(found)

    assert medians("nyul") < 0.01
    assert medians("percentile") > 0.05


def test_landmarks_beyond_the_window_are_its_ends() -> None:
    """With white at the median of the tissue its upper deciles are white, too."""
    sample = take_sample(phantoms.brain_volume())
    marks = find_landmarks(sample, foreground_threshold(sample), (0.5, 50.0))
    assert list(marks) == sorted(marks)
    assert marks[5:] == (marks[-1],) * 6
    assert marks[4] < marks[5]


def test_nyul_puts_each_landmark_where_the_standard_has_it() -> None:
    volume = warped(3, 1.2, 300)
    standard = tuple(np.linspace(0, 1, 11) ** 2)
    found = curve(volume, "nyul", standard)
    np.testing.assert_allclose(found.apply(np.array(found.points)), standard, atol=1e-6)


def test_the_standard_scale_is_the_mean_of_scaled_landmarks() -> None:
    assert standard_scale([(0, 2, 10), (100, 300, 1100)]) == (0, 0.2, 1)


def nyul_store(folder: Path, prepare: Any, **choices: Any) -> Path:
    """Ten people, of whom those not in training come from a scanner of another contrast."""
    folder.mkdir()
    for i in range(6):
        power = 1.0 if i < 4 else 3.0
        volume = warped(i, power, 900)
        (folder / f"10{i}.nii").write_bytes(phantoms.nifti_bytes(volume))
    rows = "".join(f"10{i}\t{'train' if i < 4 else 'test'}\n" for i in range(6))
    (folder / "splits.tsv").write_text(rows)
    config = PrepareConfig(intensity="nyul", **choices)
    plan = build_plan([folder], config, split_file=folder / "splits.tsv")
    out = folder.parent / f"{folder.name}-store"
    out.mkdir()
    write_store(plan, config, out, 0, StopSignal())
    return out


def test_nyul_learns_from_the_training_split_only_and_keeps_what_it_learned(
    tmp_path: Path, prepare: Any
) -> None:
    with StoreReader(nyul_store(tmp_path / "v", prepare)) as store:
        learned = store.header["learned"]["landmarks"]
        records = {record.subject: record for record in store.records}
    marks = [records[f"10{i}"].landmarks for i in range(4)]
    assert all(mark is not None for mark in marks)
    expected = standard_scale([mark for mark in marks if mark is not None])
    assert tuple(learned) == expected
    everyone = [record.landmarks or () for record in records.values()]
    assert standard_scale(everyone) != expected
    assert records["100"].window == (marks[0][0], marks[0][-1])  # type: ignore[index]


def test_nyul_takes_the_landmarks_of_another_store(tmp_path: Path, prepare: Any) -> None:
    with StoreReader(nyul_store(tmp_path / "v", prepare)) as store:
        learned = tuple(store.header["learned"]["landmarks"])
    scan = tmp_path / "200.nii"
    scan.write_bytes(phantoms.nifti_bytes(warped(9, 2.0, 70)))
    folder = prepare(tmp_path / "s", scan, intensity="nyul", landmarks=learned)
    with StoreReader(folder) as store:
        assert tuple(store.header["learned"]["landmarks"]) == learned


def test_nyul_without_volumes_to_learn_from_is_refused(tmp_path: Path, prepare: Any) -> None:
    folder = phantoms.slices_folder(tmp_path / "set")
    with pytest.raises(UsageError, match="nyul"):
        prepare(tmp_path / "s", folder, intensity="nyul")


@pytest.mark.parametrize("mode", ["percentile", "minmax", "zscore", "nyul"])
@pytest.mark.parametrize("depth", [8, 16])
def test_every_mode_and_depth_makes_a_store_with_shades(
    tmp_path: Path, prepare: Any, mode: str, depth: int
) -> None:
    scan = tmp_path / "100.nii"
    scan.write_bytes(phantoms.nifti_bytes(phantoms.brain_volume()))
    with StoreReader(prepare(tmp_path / "s", scan, intensity=mode, depth=depth)) as store:
        images = store.read(32, range(len(store)))
        assert images.dtype == (np.uint8 if depth == 8 else np.uint16)
        assert images.max() > 0.7 * np.iinfo(images.dtype).max
        assert len(np.unique(images)) > 50
        assert all(record.window is not None for record in store.records)


def test_zscore_pads_with_the_grey_of_air(tmp_path: Path, prepare: Any) -> None:
    """A black frame around grey air would be learned as a part of the picture."""
    scan = tmp_path / "100.nii"
    volume = phantoms.brain_volume((20, 40, 20))
    volume *= np.random.default_rng(0).exponential(1, volume.shape)  # much contrast: grey air
    scan.write_bytes(phantoms.nifti_bytes(volume))
    with StoreReader(prepare(tmp_path / "s", scan, intensity="zscore")) as store:
        image = store.read(store.max_native, [len(store) // 2])[0, 0]
        _, _, left, _ = store.records[0].padding
        assert left > 5
        frame, air = image[:, :left], image[:3, left:-left]
        assert len(np.unique(frame)) == 1
        assert 10 < frame[0, 0] < 2 * np.median(air)


def test_stores_of_one_standard_scale_can_be_merged_and_others_cannot(
    tmp_path: Path, prepare: Any
) -> None:
    for name, seed in (("100", 0), ("200", 1)):
        data = phantoms.nifti_bytes(warped(seed, 1.0 + seed, 900))
        (tmp_path / f"{name}.nii").write_bytes(data)
    whole = {"split": (100, 0, 0), "intensity": "nyul"}
    one = prepare(tmp_path / "a", tmp_path / "100.nii", **whole)
    with StoreReader(one) as store:
        marks = tuple(store.header["learned"]["landmarks"])
    same = prepare(tmp_path / "b", tmp_path / "200.nii", landmarks=marks, **whole)
    other = prepare(tmp_path / "c", tmp_path / "200.nii", **whole)
    merge_stores([one, same], tmp_path / "m", StopSignal())
    with pytest.raises(UsageError, match="differ in learned"):
        merge_stores([one, other], tmp_path / "n", StopSignal())
