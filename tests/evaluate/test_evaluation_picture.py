"""The picture of an evaluation: a row for each figure with a floor, and a mark of what it is."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA

from mri_gan.charts import save_figures
from mri_gan.evaluate.evaluation import Figure, lay_flat, save_map
from mri_gan.pictures import Shows, read_mark

FIGURE = Figure("fd[pca]", 2, 1, 3, 1, 2, 0.5, 1.5, "outside", "lower", "")


def height_of(path: Path, *figures: Figure) -> int:
    save_figures(path, figures)
    with Image.open(path) as image:
        return image.height


def test_two_figures_share_a_row_and_those_without_a_floor_have_none(tmp_path: Path) -> None:
    unknown = dataclasses.replace(FIGURE, floor=float("nan"))
    one = height_of(tmp_path / "a.png", FIGURE)
    assert height_of(tmp_path / "b.png", FIGURE, FIGURE, unknown) == one
    assert height_of(tmp_path / "c.png", FIGURE, FIGURE, FIGURE) > one


def test_the_picture_is_marked_as_a_chart(tmp_path: Path) -> None:
    save_figures(tmp_path / "a.png", [FIGURE])
    assert read_mark(tmp_path / "a.png") is Shows.CHART


def test_the_same_figures_print_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        save_figures(tmp_path / name, [FIGURE])
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_print_states_what_it_shows(tmp_path: Path) -> None:
    save_figures(tmp_path / "a.pdf", [FIGURE])
    save_figures(tmp_path / "a.svg", [FIGURE])
    assert b"/Subject (CHART: drawn from numbers" in (tmp_path / "a.pdf").read_bytes()
    drawn = (tmp_path / "a.svg").read_text()
    assert "<dc:description>CHART: drawn from numbers" in drawn
    assert "<dc:title>Figures of quality beside those of real halves</dc:title>" in drawn


def test_print_has_no_fonts_that_journals_refuse(tmp_path: Path) -> None:
    save_figures(tmp_path / "a.pdf", [FIGURE])
    printed = (tmp_path / "a.pdf").read_bytes()
    assert b"/CIDFontType2" in printed  # TrueType
    assert b"/Type3" not in printed


def test_the_numbers_beside_both_columns_have_a_heading(tmp_path: Path) -> None:
    save_figures(tmp_path / "a.svg", [FIGURE, FIGURE])
    assert (tmp_path / "a.svg").read_text().count(">real halves<") == 2


def test_a_row_names_its_unit_and_writes_large_numbers_out(tmp_path: Path) -> None:
    figure = dataclasses.replace(FIGURE, name="seam", unit="%", at_floor=11700.0, floor=-3.25)
    save_figures(tmp_path / "a.svg", [figure])
    drawn = (tmp_path / "a.svg").read_text()
    assert ">seam (%) \N{DOWNWARDS ARROW}<" in drawn
    assert ">11,700 / -3.25<" in drawn
    assert "the larger value without its sign" in drawn


def test_fakes_and_people_have_their_own_colours(tmp_path: Path) -> None:
    save_figures(tmp_path / "a.png", [FIGURE])
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ((0xB2, 0x43, 0x2F), (0x2F, 0x6D, 0xB2)):
        assert (pixels == colour).all(1).any()


def test_a_mark_at_0_is_whole(tmp_path: Path) -> None:
    reds = []
    for value in (0.0, 0.5):
        figure = dataclasses.replace(FIGURE, at_floor=value, low=value, high=value, floor=1.0)
        save_figures(tmp_path / "a.png", [figure])
        with Image.open(tmp_path / "a.png") as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        reds.append(int((pixels == (0xB2, 0x43, 0x2F)).all(1).sum()))
    assert abs(reds[0] - reds[1]) <= 0.05 * reds[1]


def two_sets() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    spread = np.arange(1, 6)
    reals, fakes = (rng.normal(mean, spread, (40, 5)).astype(np.float32) for mean in (0, 3))
    return reals, fakes


def test_the_map_is_that_of_a_principal_component_analysis_of_both_sets() -> None:
    expected = PCA(2).fit_transform(np.concatenate(two_sets()))
    _, placed = lay_flat(*two_sets())
    signs = np.sign((placed * expected).sum(0))
    np.testing.assert_allclose(placed * signs, expected, atol=1e-3)


def test_the_map_is_a_chart_with_a_column_for_each_kind_of_features(tmp_path: Path) -> None:
    save_map([tmp_path / "one.png", tmp_path / "one.pdf"], {"pca": two_sets()})
    save_map([tmp_path / "two.png"], {"pca": two_sets(), "texture": two_sets()})
    assert read_mark(tmp_path / "two.png") is Shows.CHART
    assert b"/Type3" not in (tmp_path / "one.pdf").read_bytes()  # which journals refuse
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width == 2 * one.width
        assert two.height == one.height


def test_the_map_names_its_axes_and_both_sets_above_all_points(tmp_path: Path) -> None:
    save_map([tmp_path / "map.svg"], {"pca": two_sets()})
    texts = list(ET.parse(tmp_path / "map.svg").iter("{http://www.w3.org/2000/svg}text"))
    heights = {text.text: float(text.get("y", "nan")) for text in texts}
    named = {f"{way} {i}" for way in ("principal component", "t-SNE") for i in (1, 2)}
    assert named < set(heights)
    assert heights["synthetic"] == heights["real"] < heights["pca, principal components"]
