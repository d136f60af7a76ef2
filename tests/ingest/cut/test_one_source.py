"""One source becomes its encoded slices, or a reason; it never raises."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from mri_gan.config import LEVELS
from mri_gan.ingest.cut.one_source import process, process_all
from mri_gan.ingest.options import INTENSITIES, PrepareConfig
from mri_gan.ingest.outcome import Learned, Outcome
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.pictures import COMMENT, LAYOUT, SEED, Shows
from mri_gan.store.pyramid import enlarge, levels_below
from mri_gan.store.schema import UPSAMPLED, SliceRecord, decode_pixels

BRAIN = phantoms.brain_volume()


def outcome_of(folder: Path, name: str, data: bytes, **choices: Any) -> Outcome:
    """What becomes of one file."""
    config = PrepareConfig(**choices)
    (folder / name).write_bytes(data)
    return process(build_plan([folder / name], config).sources[0], config)


def records(outcome: Outcome) -> list[SliceRecord]:
    return [SliceRecord.from_json(data) for data, _ in outcome.slices]


def pixels_of(encoded: Any, level: int, dtype: str = "uint8") -> NDArray[Any]:
    n_bytes = level * level * np.dtype(dtype).itemsize
    data = decode_pixels(memoryview(encoded[1][level]), n_bytes)
    return np.frombuffer(data, dtype).reshape(1, level, level)


# Image files


def test_an_image_keeps_its_pixels_at_its_native_level(tmp_path: Path) -> None:
    grey = phantoms.slice_pixels(64, 64)
    outcome = outcome_of(tmp_path, "anna_7.png", phantoms.png_bytes(grey))
    np.testing.assert_array_equal(pixels_of(outcome.slices[0], 64)[0], grey)


def test_every_level_is_there_halved_below_and_pointed_to_above(tmp_path: Path) -> None:
    grey = phantoms.slice_pixels(64, 64)
    _, images = encoded = outcome_of(tmp_path, "a_7.png", phantoms.png_bytes(grey)).slices[0]
    assert sorted(images) == list(LEVELS)
    for level, expected in levels_below(grey[None]).items():
        np.testing.assert_array_equal(pixels_of(encoded, level), expected)
    assert all(images[level][0] == UPSAMPLED for level in LEVELS if level > 64)


def test_materialized_levels_are_written_out(tmp_path: Path) -> None:
    grey = phantoms.slice_pixels(64, 64)
    outcome = outcome_of(tmp_path, "a_7.png", phantoms.png_bytes(grey), materialize=True)
    for level in (128, 1024):
        expected = enlarge(grey[None], level)
        np.testing.assert_array_equal(pixels_of(outcome.slices[0], level), expected)


def test_the_record_of_an_image_says_what_is_known(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, "anna_7.png", phantoms.png_bytes(phantoms.slice_pixels(52, 64)))
    record = records(outcome)[0]
    assert (record.source, record.subject, record.position) == ("anna_7.png", "anna", 7)
    assert (record.native, record.shape, record.padding) == (64, (64, 52), (0, 0, 6, 6))
    assert (record.affine, record.window, record.foreground) == (None, None, None)
    assert record.checksum == zlib.crc32(pixels_of(outcome.slices[0], 64).data)


def test_dark_image_files_are_kept(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, "a.png", phantoms.png_bytes(np.zeros((64, 64), np.uint8)))
    assert len(outcome.slices) == 1


@pytest.mark.parametrize(("depth", "dtype", "factor"), [(8, "uint8", 1), (16, "uint16", 257)])
def test_the_depth_asked_for_is_the_depth_written(
    tmp_path: Path, depth: int, dtype: str, factor: int
) -> None:
    grey = phantoms.slice_pixels(64, 64)
    outcome = outcome_of(tmp_path, "a.png", phantoms.png_bytes(grey), depth=depth)
    expected = grey.astype(dtype) * np.array(factor, dtype)
    np.testing.assert_array_equal(pixels_of(outcome.slices[0], 64, dtype)[0], expected)


# Volumes


def test_a_volume_gives_its_slices_and_counts_its_empty_ones(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, "anna.nii", phantoms.nifti_bytes(BRAIN))
    assert len(outcome.slices) + outcome.empty == 22
    assert outcome.empty >= 2
    positions = [record.position for record in records(outcome)]
    assert positions == list(range(positions[0], positions[-1] + 1))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_record_of_a_cut_says_where_it_was(tmp_path: Path, plane: str) -> None:
    data = phantoms.nifti_bytes(BRAIN, "PIR", gzip=True)
    outcome = outcome_of(tmp_path, "anna.nii.gz", data, plane=plane)
    for record in records(outcome):
        assert record.plane == plane
        assert record.position_mm is not None
        assert record.affine is not None
        assert record.window is not None
        assert 0.02 <= (record.foreground or 0) <= 1
    assert len({record.window for record in records(outcome)}) == 1


@pytest.mark.parametrize("mode", INTENSITIES)
def test_a_volume_gives_the_same_bytes_however_its_numbers_are_stored(
    tmp_path: Path, mode: str
) -> None:
    whole, landmarks = np.floor(BRAIN / 5), tuple(np.linspace(0, 1, 11))
    learned = Learned(landmarks=landmarks)
    config = PrepareConfig(intensity=mode, depth=16 if mode == "keep" else 8)
    found = []
    for dtype in ("uint8", "int16", ">i2", "uint16", "int32", "float32", "float64"):
        (tmp_path / "a.nii").write_bytes(phantoms.nifti_bytes(whole, dtype=dtype))
        source = build_plan([tmp_path / "a.nii"], config).sources[0]
        found.append(process(source, config, learned).slices)
    assert len(found[0]) > 10
    assert all(slices == found[0] for slices in found)


def test_all_orientations_of_a_volume_give_the_same_bytes(tmp_path: Path) -> None:
    volumes = [
        outcome_of(tmp_path, "a.nii", phantoms.nifti_bytes(BRAIN, axes)).slices
        for axes in ("RAS", "LPI", "SAL")
    ]
    assert volumes[0] == volumes[1] == volumes[2]


def test_more_foreground_asked_for_means_fewer_slices(tmp_path: Path) -> None:
    data = phantoms.nifti_bytes(BRAIN)
    all_of_them = outcome_of(tmp_path, "a.nii", data, min_foreground=0.0)
    fuller = outcome_of(tmp_path, "a.nii", data, min_foreground=0.3)
    assert (len(all_of_them.slices), all_of_them.empty) == (22, 0)
    assert 0 < len(fuller.slices) < 18
    assert min(record.foreground or 0 for record in records(fuller)) >= 0.3


def test_a_wider_window_changes_the_grey_levels(tmp_path: Path) -> None:
    data = phantoms.nifti_bytes(BRAIN)
    usual = outcome_of(tmp_path, "a.nii", data).slices[8]
    narrow = outcome_of(tmp_path, "a.nii", data, window=(0.5, 50)).slices[8]
    assert pixels_of(narrow, 32).mean() > pixels_of(usual, 32).mean() + 5


# Reasons


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.png", b"this is no picture", "damaged"),
        ("a.png", b"", "damaged"),
        ("a.png", phantoms.truncated(phantoms.png_bytes(phantoms.slice_pixels())), "damaged"),
        ("a.nii", b"hello", "damaged"),
        ("a.nii.gz", phantoms.truncated(phantoms.nifti_bytes(BRAIN, gzip=True)), "damaged"),
        ("a.nii", phantoms.nifti_bytes(BRAIN * 0 + 1.5), "damaged"),
        ("a.nii", phantoms.nifti_bytes(BRAIN * np.nan), "damaged"),
        ("a.nii", phantoms.nifti_bytes(1.5 + BRAIN * 1e-10), "damaged"),
        ("a.nii", phantoms.nifti_bytes(BRAIN // 300, dtype="uint8"), "mask"),
        ("a.nii", phantoms.nifti_bytes(np.where(BRAIN > 999, BRAIN, 0.5)), "empty"),
    ],
    ids=[
        "text", "nothing", "cut", "no nifti", "cut gzip", "constant", "nan", "nearly constant",
        "labels", "no tissue",
    ],
)  # fmt: skip
def test_bad_sources_are_outcomes_with_a_reason(
    tmp_path: Path, name: str, data: bytes, kind: str
) -> None:
    outcome = outcome_of(tmp_path, name, data)
    assert (outcome.slices, outcome.kind) == ([], kind)
    assert outcome.reason
    assert "\n" not in outcome.reason


def test_a_reason_does_not_repeat_the_name_of_the_source(tmp_path: Path) -> None:
    config = PrepareConfig()
    sources = build_plan([phantoms.bomb_zip(tmp_path / "a.zip")], config).sources
    bomb = next(o for o in process_all(sources, config) if o.kind)
    assert bomb.reason == "looks like a decompression bomb"


def test_all_members_of_a_hostile_archive_have_an_outcome(tmp_path: Path) -> None:
    config = PrepareConfig()
    sources = build_plan([phantoms.hostile_zip(tmp_path / "a.zip")], config).sources
    kinds = {s.name: o.kind for s, o in zip(sources, process_all(sources, config), strict=True)}
    assert {name for name, kind in kinds.items() if kind} == {"set/text_7.png", "set/cut_8.png"}
    assert len(kinds) == 7


@pytest.mark.parametrize("scale", [3e35, 1e-42])
def test_values_at_the_edge_of_float32_do_not_become_garbage(tmp_path: Path, scale: float) -> None:
    data = phantoms.nifti_bytes(BRAIN * scale)
    outcome = outcome_of(tmp_path, "a.nii", data)
    assert outcome.kind == "damaged" or len(outcome.slices) == 18


# Pictures that this program drew: single slices are taken, sheets and charts are not


def png_of_ours(shows: Shows, **texts: str) -> bytes:
    """A slice as Pillow writes it, with the text chunks of our pictures."""
    info = PngImagePlugin.PngInfo()
    for name, value in {COMMENT: shows.value, **texts}.items():
        info.add_itxt(name, value)
    stream = io.BytesIO()
    Image.fromarray(phantoms.slice_pixels()).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("shows", "texts"),
    [
        (Shows.CHART, {}),
        (Shows.BOTH, {}),
        (Shows.LIKENESS, {SEED: "3"}),
        (Shows.REAL, {LAYOUT: "sheet"}),
        (Shows.SYNTHETIC, {}),  # what `test` draws
    ],
)
def test_a_sheet_or_chart_of_ours_is_no_slice(
    tmp_path: Path, shows: Shows, texts: dict[str, str]
) -> None:
    outcome = outcome_of(tmp_path, "a_1.png", png_of_ours(shows, **texts))

    assert (outcome.kind, len(outcome.slices)) == ("drawn", 0)


@pytest.mark.parametrize(
    ("shows", "texts", "notes"),
    [
        (Shows.REAL, {}, ("dropped:PNG iTXt",)),  # what `export` writes
        (Shows.SYNTHETIC, {SEED: "3"}, ("dropped:PNG iTXt", "synthetic")),  # `generate`
    ],
)
def test_single_slices_of_ours_are_taken_and_synthetic_ones_noted(
    tmp_path: Path, shows: Shows, texts: dict[str, str], notes: tuple[str, ...]
) -> None:
    outcome = outcome_of(tmp_path, "a_1.png", png_of_ours(shows, **texts))

    assert [record.notes for record in records(outcome)] == [notes]


def test_colour_in_any_channel_is_counted(tmp_path: Path) -> None:
    grey = phantoms.slice_pixels()
    tinted = np.stack([grey, grey // 2, grey // 3], axis=-1)
    files = {f"p{k}/{c}_1.png": phantoms.png_bytes(grey) for k in range(3) for c in ("T1", "T2")}
    files["p1/T2_1.png"] = phantoms.image_bytes(tinted, format="PNG")
    config = PrepareConfig(channels=("t1", "t2"))
    plan = build_plan([phantoms.write_folder(tmp_path / "v", files)], config)
    notes = [process(source, config).slices[0][0] for source in plan.sources]
    assert [b"colour" in bytes(record) for record in notes] == [False, True, False]
