"""Volumes are cut as they were acquired, contrasts lie on each other, brains lie as they should."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantoms
import pytest
from make_template import VOLUME, template_bytes

from mri_gan.errors import UsageError
from mri_gan.ingest.cut import orientation
from mri_gan.ingest.cut.one_volume import find_true_axes
from mri_gan.ingest.cut.slices import acquired_plane
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.read.volume import Volume, read_volume
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
HEAD = phantoms.brain_volume()
WAYS = [
    (order, flips)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((0, 1), repeat=3)
]


def volume_of(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    return Volume(np.zeros(shape, np.float32), np.diag([*spacing, 1.0]))


@pytest.mark.parametrize(
    ("shape", "spacing", "plane"),
    [
        ((20, 128, 128), (5.0, 0.9, 0.9), "sagittal"),
        ((128, 20, 128), (0.9, 5.0, 0.9), "coronal"),
        ((128, 128, 20), (0.9, 0.9, 5.0), "axial"),
        ((160, 192, 1), (1.0, 1.0, 1.0), "axial"),
        ((160, 1, 192), (1.0, 1.0, 1.0), "coronal"),
        ((160, 192, 160), (1.0, 1.0, 1.0), ""),
        ((176, 256, 256), (1.2, 0.94, 0.94), ""),
    ],
)
def test_thick_slices_say_their_plane(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], plane: str
) -> None:
    assert acquired_plane(volume_of(shape, spacing)) == plane


def test_a_volume_is_cut_as_it_was_acquired_unless_asked_otherwise(
    tmp_path: Path, prepare: Prepare
) -> None:
    files = {
        "p1.nii": phantoms.nifti_bytes(HEAD[::4], spacing_mm=(4, 1, 1)),
        "p2.nii": phantoms.nifti_bytes(HEAD),
    }
    folder = phantoms.write_folder(tmp_path / "set", files)
    with StoreReader(prepare(tmp_path / "s", folder)) as store:
        planes = {(record.subject, record.plane) for record in store.records}
        assert planes == {("p1", "sagittal"), ("p2", "axial")}
        assert store.summary["planes"].keys() == {"sagittal", "axial"}
    with StoreReader(prepare(tmp_path / "a", folder, plane="axial")) as store:
        assert {record.plane for record in store.records} == {"axial"}
        assert store.summary["acquired_otherwise"] == {"sagittal": 1}


# Contrasts as channels

BRATS = ("t1", "t1ce", "t2", "flair")


def brats(folder: Path, people: int = 2) -> Path:
    files = {}
    for number in range(people):
        for k, contrast in enumerate((*BRATS, "seg")):
            who = f"BraTS2021_{number:05}"
            voxels = np.roll(HEAD, k, axis=0) if contrast != "seg" else np.round(HEAD / HEAD.max())
            files[f"{who}/{who}_{contrast}.nii"] = phantoms.nifti_bytes(voxels)
    return phantoms.write_folder(folder, files)


def test_channels_hold_what_each_contrast_alone_would(tmp_path: Path, prepare: Prepare) -> None:
    top = brats(tmp_path / "set")
    with StoreReader(prepare(tmp_path / "all", top, channels=BRATS)) as store:
        assert store.channel_names == BRATS
        together = store.read(32, list(range(len(store))))
        places = [(record.subject, record.position) for record in store.records]
    for channel, contrast in enumerate(BRATS):
        with StoreReader(prepare(tmp_path / contrast, top, contrast=(contrast,))) as store:
            alone = store.read(32, list(range(len(store))))
            found = {
                (r.subject, r.position): one for r, one in zip(store.records, alone, strict=True)
            }
        for place, image in zip(places, together, strict=True):
            if place in found:  # a slice may be empty in one contrast alone
                np.testing.assert_array_equal(image[channel], found[place][0])


def test_contrasts_that_lie_apart_cost_their_head_and_lone_ones_are_counted(
    tmp_path: Path, prepare: Prepare
) -> None:
    top = brats(tmp_path / "set", people=3)
    moved = phantoms.nifti_bytes(HEAD, affine=np.diag([1.0, 1, 1, 1]) + 9 * np.eye(4, k=3))
    (top / "BraTS2021_00000" / "BraTS2021_00000_t2.nii").write_bytes(moved)
    (top / "BraTS2021_00001" / "BraTS2021_00001_flair.nii").unlink()
    with StoreReader(prepare(tmp_path / "s", top, channels=BRATS)) as store:
        assert {record.subject for record in store.records} == {"BraTS2021_00002"}
        partners = {"left out with its partner": 3}
        assert store.summary["skipped"] == {"damaged": 1, "incomplete set": 3, **partners}
        (entry,) = store.skipped()
        assert "its t2 (BraTS2021_00000_t2.nii) is 20.0 mm away" in entry["reason"]
        assert {kind for _, kind, _ in store.summary["unpaired"]} == {"incomplete set"}


@pytest.mark.parametrize("ids", ["keep", "pseudonym"])
def test_every_file_of_sets_of_channels_is_accounted_for(
    tmp_path: Path, prepare: Prepare, ids: str
) -> None:
    """Of 01 the second contrast is 4-D, 02 has one contrast, and 03 one of them twice."""
    names = [f"sub-{who}/anat/sub-{who}_T{n}w.nii" for who in ("01", "03", "04") for n in (1, 2)]
    names += ["sub-02/anat/sub-02_T1w.nii", "sub-03/anat/sub-03_run-2_T1w.nii"]
    files = dict.fromkeys(names, phantoms.nifti_bytes(HEAD))
    files[names[1]] = phantoms.nifti_bytes(np.stack([HEAD, HEAD], axis=-1), affine=np.eye(4))
    top = phantoms.write_folder(tmp_path / "set", files)
    choices = {"channels": ("t1", "t2"), "ids": ids, "split": (100, 0, 0)}
    with StoreReader(prepare(tmp_path / "s", top, **choices)) as store:
        summary, (entry,) = store.summary, store.skipped()
    counts = {"4-D": 1, "left out with its partner": 1}
    counts |= {"incomplete set": 1, "repeat of a channel": 1}
    assert summary["skipped"] == counts
    assert summary["files"]["left_out"] == sum(counts.values()) == 4
    labels = {label: why for label, _, why in summary["unpaired"]}
    if ids == "pseudonym":
        assert not any("sub-" in text for text in [*labels, *labels.values(), *entry.values()])
        return
    assert labels == {
        "set/sub-02/anat/sub-02_T1w.nii": "there is no t2 of this head and visit",
        "set/sub-03/anat/sub-03_run-2_T1w.nii": "the first t1 of this visit is taken",
    }
    assert entry["source"] == "set/sub-01/anat/sub-01_T2w.nii"
    assert entry["reason"].startswith("2 volumes in one file")
    assert entry["reason"].endswith("; its t1 (sub-01_T1w.nii) is left out with it")


def test_slices_in_image_files_become_channels_too(tmp_path: Path, prepare: Prepare) -> None:
    pixels = {
        f"p{p}_{c}_{k}.png": phantoms.slice_pixels(32, 32, seed=10 * k + n)
        for p in (1, 2)
        for n, c in enumerate(("t1", "t2"))
        for k in (0, 1)
    }
    files = {name: phantoms.png_bytes(array) for name, array in pixels.items()}
    folder = phantoms.write_folder(tmp_path / "set", files)
    with StoreReader(prepare(tmp_path / "s", folder, channels=("t2", "t1"))) as store:
        assert (len(store), store.channel_names) == (4, ("t2", "t1"))
        record = store.records[1]
        (image,) = store.read(32, [1])
        for channel, contrast in enumerate(("t2", "t1")):
            name = f"{record.subject}_{contrast}_{record.position}.png"
            np.testing.assert_array_equal(image[channel], pixels[name])


def test_channels_that_nobody_has_are_refused(tmp_path: Path, prepare: Prepare) -> None:
    with pytest.raises(UsageError, match="--channels swi: no scan has this contrast") as refused:
        prepare(tmp_path / "s", brats(tmp_path / "set"), channels=("t1", "swi"))
    assert str(refused.value.hint).startswith("choose from ")
    phantoms.slices_folder(tmp_path / "plain", people=2, slices=1)
    with pytest.raises(UsageError) as refused:
        prepare(tmp_path / "s", tmp_path / "plain", contrast=("t1",))
    assert refused.value.hint == "no name says a contrast here"


@pytest.mark.parametrize("choice", [{"masks": True}, {"contrast": ("t1",)}])
def test_channels_go_with_no_other_channels(choice: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--channels"):
        PrepareConfig(channels=("t1", "t2"), **choice)  # type: ignore[arg-type]


def test_the_mask_of_a_head_belongs_to_all_its_contrasts(tmp_path: Path, prepare: Prepare) -> None:
    with StoreReader(prepare(tmp_path / "s", brats(tmp_path / "set"), masks=True)) as store:
        assert store.summary["skipped"] == {}
        assert len({record.source for record in store.records}) == 8


def test_slices_of_an_array_have_no_millimetres_and_the_plane_of_their_folder_only(
    tmp_path: Path, prepare: Prepare
) -> None:
    stack = phantoms.brain_volume().transpose(2, 1, 0)
    stream = io.BytesIO()
    np.save(stream, stack)
    files = {"100.npy": stream.getvalue(), "MRNet/train/sagittal/0001.npy": stream.getvalue()}
    phantoms.write_folder(tmp_path / "set", files)
    with StoreReader(prepare(tmp_path / "s", tmp_path / "set")) as store:
        records = store.records
    assert {r.plane for r in records if r.source == "100.npy"} == {""}
    assert {r.plane for r in records if r.source != "100.npy"} == {"sagittal"}
    known = [(r.affine, r.position_mm, r.pixel_mm) for r in records]
    assert set(known) == {(None, None, None)}
    assert len({r.position for r in records}) > 10
    assert all(r.foreground and r.window for r in records)


# Which way a brain lies


@pytest.fixture(scope="module")
def brain() -> Volume:
    return read_volume(VOLUME.read_bytes())


def test_the_template_is_made_of_the_demo_volume() -> None:
    path = Path(orientation.__file__).with_name(orientation.TEMPLATE)
    assert path.read_bytes() == template_bytes()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_way_to_lie_wrong_is_named_and_undone(
    brain: Volume, way: tuple[tuple[int, ...], ...]
) -> None:
    order, flips = way
    voxels = np.flip(brain.voxels.transpose(order), tuple(a for a in range(3) if flips[a]))
    wrong = Volume(voxels, np.diag([*brain.spacing[list(order)], 1.0]))
    # Axis k came from axis order[k] of a volume in RAS+.
    true = "".join(
        ("LPI" if flip else "RAS")[axis] for axis, flip in zip(order, flips, strict=True)
    )
    found = find_true_axes(wrong)
    if true in ("RAS", "LAS"):  # left and right are not judged
        assert found == ""
        return
    assert found in (true, true.translate(str.maketrans("LR", "RL")))
    turned = orientation.reorient(wrong, found)
    matches = [np.array_equal(some, brain.voxels) for some in (turned.voxels, turned.voxels[::-1])]
    assert any(matches)
    np.testing.assert_allclose(turned.affine[:3, :3], np.diag(brain.spacing), atol=1e-9)


def test_what_is_no_brain_is_not_judged() -> None:
    rng = np.random.default_rng(1)
    for voxels in (HEAD[::-1].T, rng.normal(100, 9, (60, 70, 50)), np.ones((9, 9, 9))):
        assert find_true_axes(Volume(voxels.astype(np.float32), np.eye(4))) == ""


def test_a_turned_brain_is_reported_and_turned_back(
    tmp_path: Path, prepare: Prepare, brain: Volume
) -> None:
    small = brain.voxels[::3, ::3, ::3]
    wrong = phantoms.nifti_bytes(
        np.ascontiguousarray(small.transpose(2, 0, 1)), spacing_mm=(3, 3, 3)
    )
    folder = phantoms.write_folder(tmp_path / "set", {"p1.nii": wrong})
    right = phantoms.write_folder(
        tmp_path / "right", {"p1.nii": phantoms.nifti_bytes(small, spacing_mm=(3, 3, 3))}
    )
    with StoreReader(prepare(tmp_path / "s", folder)) as store:
        assert store.summary["turned"] == {"SRA": 1}
    with (
        StoreReader(prepare(tmp_path / "t", folder, reorient=True)) as store,
        StoreReader(prepare(tmp_path / "r", right)) as expected,
    ):
        indices = list(range(len(expected)))
        np.testing.assert_array_equal(store.read(64, indices), expected.read(64, indices))


# Sizes


@pytest.mark.parametrize(("side", "level"), [(28, 32), (137, 256), (64, 64)])
def test_fit_keep_leaves_every_pixel_and_pads(
    tmp_path: Path, prepare: Prepare, side: int, level: int
) -> None:
    pixels = phantoms.slice_pixels(side, side)
    folder = phantoms.write_folder(tmp_path / "set", {"p1_1.png": phantoms.png_bytes(pixels)})
    with StoreReader(prepare(tmp_path / "s", folder, fit="keep")) as store:
        record = store.records[0]
        assert (record.native, record.scale) == (level, (1.0, 1.0))
        top, left = record.padding[0], record.padding[2]
        image = store.read(level, [0])[0, 0]
        np.testing.assert_array_equal(image[top : top + side, left : left + side], pixels)
        assert image.sum() == pixels.sum()
        assert "resized" not in store.summary


def test_resampling_is_reported(tmp_path: Path, prepare: Prepare) -> None:
    files = {"p1_1.png": phantoms.png_bytes(phantoms.slice_pixels(28, 28))}
    folder = phantoms.write_folder(tmp_path / "set", files)
    with StoreReader(prepare(tmp_path / "s", folder)) as store:
        assert store.summary["resized"] == {"28 x 28 to 32 x 32": 1}
