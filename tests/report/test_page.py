"""The page of one run, and that of several."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from phantoms.runs import AUDIT, FIGURE, UTILITY, make_run, write_result

from mri_gan.cli.main import cli
from mri_gan.report.facts import read_run
from mri_gan.report.page import build_comparison, build_report
from mri_gan.report.sections import thin_out, train_command


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    tags = Tags(build_report(read_run(make_run(tmp_path / "R")))).found
    targets = [a[n] for _, a in tags for n in ("src", "href") if a.get(n)]
    assert len(targets) > 10
    assert all(str(t).startswith(("data:", "#")) for t in targets)


def test_every_picture_says_what_it_is(tmp_path: Path) -> None:
    images = [
        a for tag, a in Tags(build_report(read_run(make_run(tmp_path / "R")))).found if tag == "img"
    ]
    assert len(images) == 2
    assert [str(a["alt"]).split()[0] for a in images] == ["Synthetic", "Real"]


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    (folder / "<script>alert(1)<.png").write_bytes((folder / "reals.png").read_bytes())
    write_result(folder, "evaluation", {"figures": [{**FIGURE, "name": "</script><b>"}]})
    page = build_report(read_run(folder))
    assert "<script>alert" not in page
    assert "</script><b>" not in page


def test_frames_of_the_slider_are_all_grids_in_order(tmp_path: Path) -> None:
    page = build_report(read_run(make_run(tmp_path / "R")))
    labels = re.findall(r'"label": "synthetic, (\S+) kimg, (\d+) px"', page)
    assert labels == [("1", "8"), ("2", "8"), ("3", "16"), ("4", "16")]


def test_results_of_evaluate_are_shown_with_their_floor(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    document = {
        "figures": [FIGURE],
        "counts": {"fakes": 100, "reals": 90, "people": 13},
        "store": {"split": "train"},
        "size": 32,
        "left_out": [{"family": "kid", "needs": 500, "has": 90}],
    }
    write_result(folder, "evaluation", document, "spectrum.png")
    page = build_report(read_run(folder))
    for text in ("swd 32 px", "20 .. 23", "9.5", "of 13 people", "kid needs 500", "spectrum"):
        assert text in page
    assert "mrigan evaluate R" not in page


def test_a_failed_audit_says_so_in_words_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "audit", AUDIT, "worst-pairs.png")
    page = build_report(read_run(folder))
    assert '<p class="verdict fail"><strong>fail: 3 samples are more like' in page
    for text in (
        "halves",
        "2.031",
        "1.234",
        "750",
        "0.43 .. 0.797",
        "of 13 people",
        "psi 0.7",
        "worst",
    ):
        assert text in page


def test_a_pass_beside_a_critic_that_knows_its_people_is_not_green(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    known = {"verdict": "pass", "sentence": "pass: none", "warning": "the critic knows them"}
    write_result(folder, "audit", {**AUDIT, **known})
    page = build_report(read_run(folder))
    assert 'class="verdict pass"' not in page
    assert "the critic knows them" in page


def test_usefulness_is_told_beside_real_slices_and_a_guess(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "utility", UTILITY)
    rows = re.findall(
        r'<th scope="row">([^<]*)</th><td class="number">([^<]*)</td>',
        build_report(read_run(folder)),
    )
    assert ("real slices", "0.91") in rows
    assert ("synthetic slices", "0.82") in rows
    assert ("nothing (a guess)", "0.1") in rows


def test_what_is_missing_comes_with_its_command(tmp_path: Path) -> None:
    page = build_report(read_run(make_run(tmp_path / "R")))
    for command in ("mrigan test R", "mrigan evaluate R --data STORE", "mrigan audit R"):
        assert command in page


def test_the_command_to_reproduce_has_what_differs_from_the_defaults(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "my run", kimg=2.5, phase=600, lr=0.002))
    assert train_command(run) == (
        "mrigan train STORE --max-size 16 --phase 600 --kimg 2.5 --lr 0.002 --mixing --out 'my run'"
    )


def test_long_runs_keep_their_last_frame() -> None:
    assert thin_out(range(1000), 60)[-1] == 999
    assert len(thin_out(range(1000), 60)) == 60


def test_a_comparison_shows_what_differs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A", lr=0.001, seed=1), make_run(tmp_path / "B", lr=0.002, seed=1)]
    for run in runs:
        write_result(run, "evaluation", {"figures": [FIGURE]})
    page = build_comparison([read_run(run) for run in runs])
    rows = re.findall(r'<th scope="row">([^<]*)</th>', page)
    assert "lr" in rows
    assert "seed" not in rows
    assert "swd 32 px" in rows


def test_runs_on_other_data_are_told_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A"), make_run(tmp_path / "B")]
    config = runs[1] / "config.json"
    config.write_text(config.read_text().replace('"d1"', '"d2"'))
    assert "trained on different data" in build_comparison([read_run(run) for run in runs])


def test_the_commands_write_pages(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "A"), make_run(tmp_path / "B")
    assert CliRunner().invoke(cli, ["report", str(a)]).exit_code == 0
    assert (a / "report.html").read_text().startswith("<!doctype html>")
    out = tmp_path / "new" / "c.html"
    assert CliRunner().invoke(cli, ["compare", str(a), str(b), "--out", str(out)]).exit_code == 0
    assert "2 runs side by side" in out.read_text()


@pytest.mark.parametrize("arguments", [["A"], ["A", "A"]])
def test_what_cannot_be_compared_is_a_usage_error(tmp_path: Path, arguments: list[str]) -> None:
    folder = make_run(tmp_path / "A")
    result = CliRunner().invoke(cli, ["compare", *(str(folder) for _ in arguments)])
    assert result.exit_code == 2
    assert "mrigan: " in result.output
