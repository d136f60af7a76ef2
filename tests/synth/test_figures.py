"""Sheets: every picture in its place, each half of a mix from its source."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from phantoms.models import SMALL, save_untrained
from PIL import ImageDraw

from mri_gan.conditions import Column, Conditions
from mri_gan.errors import UsageError
from mri_gan.nets.build import DrawSettings
from mri_gan.pictures import LINE_PX, say_edges, to_grey
from mri_gan.store.reader import StoreReader
from mri_gan.synth.figures import (
    INTERPOLATION,
    NEAREST,
    NOISE,
    PSIS,
    SAME_NOISE,
    TRUNCATION,
    Drawing,
    bands_of,
    find_nearest,
    interpolation_strip,
    mixed_images,
    mixing_matrix,
    mixing_sheet,
    nearest_slices,
    noise_effect,
    sample_sheet,
    truncation_sweep,
)
from mri_gan.synth.sample import load_trained

TILE = 128 + 2  # pixels with the gap
LABEL = 14
HOW = "psi 0.7"  # what a sheet says below of all its pictures


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    trained = load_trained(save_untrained(tmp_path_factory.mktemp("run"), alpha=1.0))
    return Drawing(trained, DrawSettings(16))


def tile(sheet: np.ndarray, row: int, column: int, label: int = 0) -> np.ndarray:
    """One 16 px picture of a sheet, without its magnification."""
    top, left = 2 + row * (TILE + label), 2 + column * TILE
    return sheet[top : top + 128 : 8, left : left + 128 : 8]


def test_mixing_at_either_end_gives_the_sources_back(drawing: Drawing) -> None:
    coarse, fine = [1, 2], [3, 4, 5]
    all_coarse = mixed_images(drawing, coarse, fine, crossover=6)
    plain = drawing.images(drawing.w(coarse), coarse)
    assert torch.equal(all_coarse, plain.repeat(3, 1, 1, 1))


def test_mixed_pictures_share_their_coarse_layers_with_the_column(drawing: Drawing) -> None:
    strong = replace(drawing, look=DrawSettings(16, psi=1.0))
    mixed = mixed_images(strong, [1, 2], [3, 4]).reshape(2, 2, -1)
    by_column = (mixed[0] - mixed[1]).square().mean()
    by_both = (mixed[0] - mixed[1].flip(0)).square().mean()
    assert 0 < by_column < by_both


def test_sheets_have_a_picture_for_every_seed(drawing: Drawing) -> None:
    for sheet, rows in (
        (sample_sheet(drawing, range(6), 3), 2),
        (mixing_sheet(drawing, [1, 2], [3, 4, 5]), 4),
        (mixing_matrix(drawing, [1, 2], [3, 4]), 7),
    ):
        assert sheet.size == (3 * TILE + 2, rows * (TILE + LABEL) + 2 + LINE_PX)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are written into sheets from now on."""
    texts: list[str] = []

    def note(_self: object, _at: object, label: str, *_: object, **_more: object) -> None:
        texts.append(label)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return texts


def test_sheets_name_the_seed_of_every_picture(drawing: Drawing, written: list[str]) -> None:
    sample_sheet(drawing, [5, 8], 2)
    mixing_sheet(drawing, [1, 2], [3])
    assert written == [
        *("seed 5", "seed 8", HOW),
        *("fine | coarse", "coarse: seed 1", "coarse: seed 2", "fine: seed 3", HOW),
    ]


@pytest.mark.parametrize(
    ("condition", "labels"),
    [(None, "labels of each seed as in training"), ("age=70,group=AD", "age=70, group=AD")],
)
def test_sheets_say_psi_noise_and_labels(
    drawing: Drawing, condition: str | None, labels: str
) -> None:
    assert drawing.how() == HOW
    spec = Conditions((Column("age", low=40, high=90), Column("group", values=("AD", "CN"))))
    labelled = replace(
        drawing,
        trained=replace(drawing.trained, conditions=spec),
        look=DrawSettings(16, psi=0.5, noise=0),
        condition=condition,
    )
    assert labelled.how() == f"psi 0.5, noise 0, {labels}"
    assert labelled.how(psi=False) == f"noise 0, {labels}"


def test_sheets_of_several_channels_show_all_and_say_which_is_where(
    tmp_path: Path, written: list[str]
) -> None:
    config = replace(SMALL, channels=2, channel_names=("T1", "mask"))
    drawing = Drawing(load_trained(save_untrained(tmp_path, config)), DrawSettings(16))
    sheet = sample_sheet(drawing, [1, 2], 2)
    assert sheet.width == 2 * (2 * 128 + 2) + 2
    assert written[-1] == "each picture, from left to right: T1, mask"
    drawn = to_grey(drawing.images(drawing.w([1, 2]), [1, 2]).numpy())
    both = np.asarray(sheet)[2:130:8, 2:258:8]
    assert np.array_equal(both, np.concatenate([drawn[0, 0], drawn[0, 1]], axis=1))


def test_the_truncation_sweep_runs_from_the_mean_to_the_plain_sample(drawing: Drawing) -> None:
    sheet = np.asarray(truncation_sweep(drawing, [1, 2]))
    plain = replace(drawing, look=DrawSettings(16, psi=1.0))
    expected = to_grey(plain.images(plain.w([1, 2]), [1, 2]).numpy())[:, 0]
    for row in (0, 1):
        assert np.array_equal(tile(sheet, row, PSIS.index(1.0), LABEL), expected[row])


@pytest.mark.parametrize(
    ("layers", "cuts"), [(4, (1, 2)), (6, (2, 4)), (8, (2, 5)), (10, (4, 8)), (18, (4, 8))]
)
def test_coarse_middle_and_fine_layers_cover_all(layers: int, cuts: tuple[int, int]) -> None:
    assert bands_of(layers) == [slice(0, cuts[0]), slice(*cuts), slice(cuts[1], layers)]


def test_a_strip_begins_and_ends_with_its_pair(drawing: Drawing) -> None:
    sheet = np.asarray(interpolation_strip(drawing, [(1, 2)], 5))
    ends = to_grey(drawing.images(drawing.w([1, 2]), [1, 1]).numpy())[:, 0]
    assert np.array_equal(tile(sheet, 0, 0, LABEL), ends[0])
    assert np.array_equal(tile(sheet, 0, 4, LABEL), ends[1])


def test_a_strip_of_a_network_without_styles_goes_through_z(
    tmp_path: Path, written: list[str]
) -> None:
    path = save_untrained(tmp_path, replace(SMALL, arch="dcgan", mixing=False, max_size=16))
    interpolation_strip(Drawing(load_trained(path), DrawSettings(16)), [(1, 2)], 3)
    assert written[-1] == INTERPOLATION.format("z")  # and no psi


def test_strips_say_what_changes_and_its_values(drawing: Drawing, written: list[str]) -> None:
    interpolation_strip(drawing, [(1, 2)], 5)
    said = INTERPOLATION.format("w") + SAME_NOISE
    assert written == ["seed 1", "25%", "50%", "75%", "seed 2", said, HOW]
    written.clear()
    truncation_sweep(drawing, [7])
    assert written == [*(f"seed 7, psi {value:g}" for value in PSIS), TRUNCATION]
    written.clear()
    noise_effect(drawing, [1])
    assert written[0] == "seed 1, no noise"
    assert " ".join(written[4:]) == f"{NOISE} {HOW}"


def test_sheets_say_which_side_is_where_as_the_run_recorded_it(
    drawing: Drawing, tmp_path: Path, written: list[str]
) -> None:
    facts = {"settings": {}, "data": {"image_edges": ["R", "L"]}}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    moved = replace(drawing, trained=replace(drawing.trained, path=tmp_path / "a.pt"))
    sample_sheet(moved, range(4), 4)
    assert {"R", "L", say_edges(("R", "L"))} < set(written)


def test_the_nearest_slices_say_which_side_is_where_too(
    drawing: Drawing, store: Path, tmp_path: Path, written: list[str]
) -> None:
    facts = {"settings": {}, "data": {"image_edges": ["R", "L"]}}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    moved = replace(drawing, trained=replace(drawing.trained, path=tmp_path / "a.pt"))
    with StoreReader(store) as reader:
        nearest_slices(moved, range(4), reader)
    assert {"R", "L", say_edges(("R", "L"))} < set(written)


def test_the_deviation_map_is_white_where_noise_changes_most(drawing: Drawing) -> None:
    sheet = np.asarray(noise_effect(drawing, [1, 2]))
    maps = [tile(sheet, row, 3, LABEL) for row in (0, 1)]
    assert max(m.max() for m in maps) == 255
    assert not np.array_equal(tile(sheet, 0, 1, LABEL), tile(sheet, 0, 2, LABEL))


def test_the_nearest_slice_of_a_training_slice_is_itself(store: Path) -> None:
    with StoreReader(store) as reader:
        train = reader.indices("train")
        best, distance = find_nearest(to_grey(reader.read(16, train)), reader, 16)
        assert distance.max() < 0.1
        assert np.array_equal(reader.read(16, best), reader.read(16, train))


def test_the_nearest_slice_has_a_distance_with_its_unit_and_the_sample_its_seed(
    drawing: Drawing, store: Path, written: list[str]
) -> None:
    with StoreReader(store) as reader:
        nearest_slices(drawing, [3, 4], reader)
        samples = to_grey(drawing.images(drawing.w([3, 4]), [3, 4]).numpy())
        _, far = find_nearest(samples, reader, 16)
    assert written[0::2][:2] == ["synthetic, seed 3", "synthetic, seed 4"]
    assert written[1::2][:2] == [f"real, rms {value:.3g} of 255" for value in far]
    assert " ".join(written[4:]) == f"{NEAREST} {HOW}"


def test_the_nearest_slice_is_so_in_all_channels() -> None:
    slices = np.zeros((3, 2, 8, 8), np.uint8)
    slices[:, 0], slices[:, 1] = 7, np.array([90, 60, 30])[:, None, None]
    read = SimpleNamespace(indices=lambda _: np.arange(3), read=lambda _, rows: slices[rows])
    best, distance = find_nearest(slices[1:2] + np.uint8(4), read, 8)  # type: ignore[arg-type]
    assert (best.tolist(), distance.tolist()) == ([1], [4])


def test_a_network_of_contrasts_and_a_store_of_others_are_not_compared(
    tmp_path: Path, store: Path
) -> None:
    config = replace(SMALL, channels=2, channel_names=("T1", "T2"))
    drawing = Drawing(load_trained(save_untrained(tmp_path, config)), DrawSettings(16))
    with StoreReader(store) as reader, pytest.raises(UsageError, match="holds image, not T1, T2"):
        nearest_slices(drawing, [1], reader)


def test_colours_of_a_network_are_compared_with_a_grey_store_by_the_first(
    tmp_path: Path, store: Path, written: list[str]
) -> None:
    drawing = Drawing(
        load_trained(save_untrained(tmp_path, replace(SMALL, channels=3))), DrawSettings(16)
    )
    with StoreReader(store) as reader:
        assert nearest_slices(drawing, [1, 2], reader).width == 4 * TILE + 2


def test_each_sample_stands_beside_its_nearest_slice(drawing: Drawing, store: Path) -> None:
    with StoreReader(store) as reader:
        sheet = np.asarray(nearest_slices(drawing, [1, 2], reader))
        samples = to_grey(drawing.images(drawing.w([1, 2]), [1, 2]).numpy())
        best, _ = find_nearest(samples, reader, 16)
        for i in (0, 1):
            assert np.array_equal(tile(sheet, 0, 2 * i, LABEL), samples[i, 0])
            assert np.array_equal(
                tile(sheet, 0, 2 * i + 1, LABEL), to_grey(reader.read(16, best))[i, 0]
            )
