"""The page in a real browser: it works, is quiet, and asks the network for nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phantoms.runs import AUDIT, FIGURE, make_run, write_result

from mri_gan.charts import WITHIN
from mri_gan.report.comparison import build_comparison
from mri_gan.report.facts import read_run
from mri_gan.report.page import build_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; Debian: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # In a container without user namespaces Chromium's own sandbox cannot start.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    folder = make_run(tmp_path / "R")
    path = folder / "report.html"
    path.write_text(build_report(read_run(folder)), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Any]:
    """The page on a phone, in the dark, with what it complained about and asked for."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(page_file.as_uri())
    yield page
    page.close()


def test_it_loads_without_a_complaint_and_asks_for_nothing(opened: Any, page_file: Path) -> None:
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert opened.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_the_slider_changes_the_picture(opened: Any) -> None:
    image, slider = opened.locator("[data-frames] img"), opened.locator("input[type=range]")
    newest = image.get_attribute("src")
    assert opened.locator("output").inner_text() == "Synthetic: 4 kimg, 16 px"
    slider.focus()
    slider.press("Home")  # by keyboard, as some people must
    assert opened.locator("output").inner_text() == "Synthetic: 1 kimg, 8 px"
    assert image.get_attribute("src") != newest
    assert slider.get_attribute("aria-valuetext") == "Synthetic: 1 kimg, 8 px"


def test_play_ends_at_the_newest_picture(opened: Any) -> None:
    from playwright.sync_api import expect

    newest = opened.locator("[data-frames] img").get_attribute("src")
    button = opened.locator("[data-frames] button")
    opened.locator("input[type=range]").press("Home")
    button.click()
    expect(button).to_have_text("Stop")
    expect(button).to_have_text("Play", timeout=20_000)
    assert opened.locator("[data-frames] img").get_attribute("src") == newest


def test_it_fits_a_phone(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


LONG = "stylegan2_oasis3_T1w_axial_256px_ada_gamma0.0002_batch32_seed0_2026-11-29"


@pytest.mark.parametrize("width", [390, 1200])
def test_long_names_of_runs_fit_every_page(browser: Any, tmp_path: Path, width: int) -> None:
    runs = [read_run(make_run(tmp_path / f"{LONG}{end}", lr=lr)) for end, lr in (("", 1), ("b", 2))]
    for text in (build_report(runs[0]), build_comparison(runs)):
        (tmp_path / "p.html").write_text(text, encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto((tmp_path / "p.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        charts = page.locator("svg.chart").all()
        assert charts
        for chart in charts:  # whole, without scrolling
            assert chart.evaluate("c => c.parentNode.scrollWidth <= c.parentNode.clientWidth")
        page.close()


def test_many_settings_stand_in_columns_across_the_page(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.goto(page_file.as_uri())
    rows = page.locator(".many tr")
    assert len({round(row.bounding_box()["x"]) for row in rows.all()}) > 1
    page.close()


@pytest.mark.parametrize(("width", "beyond"), [(1200, False), (400, True)])
def test_the_table_of_figures_fits_or_scrolls_within_its_own_box(
    browser: Any, tmp_path: Path, width: int, beyond: bool
) -> None:
    folder = make_run(tmp_path / "R")
    figure = {**FIGURE, "name": "alpha-precision[random-cnn]", "reading": WITHIN}
    write_result(folder, "evaluation", {"figures": [figure, {**figure, "name": "swd[64px]"}]})
    (tmp_path / "r.html").write_text(build_report(read_run(folder)), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto((tmp_path / "r.html").as_uri())
    box = page.locator(".wide")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert box.evaluate("box => box.scrollWidth > box.clientWidth") is beyond
    assert box.evaluate("box => getComputedStyle(box).overflowX") == "auto"
    assert box.locator("caption span").bounding_box()["width"] <= width  # of its own, not cut
    box.focus()  # by keyboard, too
    assert box.evaluate("box => box === document.activeElement")
    page.close()


@pytest.mark.parametrize("width", [390, 700, 1300])
@pytest.mark.parametrize("media", ["screen", "print"])
def test_tables_of_three_columns_lie_over_no_other(
    browser: Any, tmp_path: Path, width: int, media: str
) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "audit", {**AUDIT, "views": VIEWS * 3})
    with (folder / "metrics.jsonl").open("a") as stream:
        for nimg in (4000, 4512):
            line = {"nimg": nimg, "resolution": 16, "problems": {"collapse": NOISE}}
            stream.write(json.dumps(line) + "\n")
    (tmp_path / "r.html").write_text(build_report(read_run(folder)), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.emulate_media(media=media)
    page.goto((tmp_path / "r.html").as_uri())
    boxes = page.locator(".columns .row").all()
    assert len(boxes) == 2
    for box in boxes:
        assert box.evaluate("b => b.scrollWidth <= b.clientWidth"), box.inner_text()
        assert box.evaluate("b => b.clientWidth == b.parentNode.clientWidth")
    page.close()


VIEWS: Any = AUDIT["views"]
NOISE = "samples differ from each other 4.3 times as much as real slices do: noise, not slices"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(opened: Any, scheme: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.2, criterion 1.4.3)."""
    opened.emulate_media(color_scheme=scheme)
    for name in ("--ink", "--dim", "--accent", "--warn", "--bad", "--good"):
        assert contrast(colour(opened, name), colour(opened, "--paper")) >= 4.5, name


def colour(page: Any, name: str) -> tuple[int, int, int]:
    text = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}')")
    value = text.strip().removeprefix("#")
    return int(value[:2], 16), int(value[2:4], 16), int(value[4:], 16)


def contrast(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(rgb: tuple[int, int, int]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _unit(rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _unit(rgb: tuple[int, int, int]) -> list[float]:
    return [value / 255 for value in rgb]


def test_names_of_rows_stay_in_view_while_a_wide_table_scrolls(
    browser: Any, tmp_path: Path
) -> None:
    runs = [read_run(make_run(tmp_path / f"{LONG}{i}", lr=1e-3 * (i + 1))) for i in range(8)]
    (tmp_path / "p.html").write_text(build_comparison(runs), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((tmp_path / "p.html").as_uri())
    box = page.locator(".wide").first
    name = box.locator("tbody th").first
    before = name.bounding_box()["x"]
    box.evaluate("box => { box.scrollLeft = 200 }")
    assert box.evaluate("box => box.scrollLeft") == 200
    assert name.bounding_box()["x"] == before
    page.close()


@pytest.mark.parametrize("width", [390, 1300])
def test_a_term_of_a_setting_is_not_cut_within_a_word(
    browser: Any, page_file: Path, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(page_file.as_uri())
    rooms = page.evaluate(WORDS_FIT)
    assert rooms
    assert min(rooms) >= 0
    page.close()


# How much room the longest word of each setting's name leaves in its cell
WORDS_FIT = """() => [...document.querySelectorAll(".many th")].map(cell => {
  const probe = document.createElement("span");
  const font = getComputedStyle(cell).font;
  probe.style.cssText = "position: absolute; white-space: nowrap; font: " + font;
  document.body.append(probe);
  const widths = cell.textContent.split(/[ -]/).map(word => {
    probe.textContent = word; return probe.getBoundingClientRect().width; });
  probe.remove();
  return cell.clientWidth - parseFloat(getComputedStyle(cell).paddingRight) - Math.max(...widths);
})"""
