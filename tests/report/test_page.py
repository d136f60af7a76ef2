"""The page of one run, and that of several."""

from __future__ import annotations

import base64
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from phantoms.runs import AUDIT, FIGURE, UTILITY, make_run, write_result
from PIL import Image

from mri_gan.charts import FEW_PEOPLE, MORE_UPRIGHT, WITHIN
from mri_gan.cli.main import cli
from mri_gan.evaluate.evaluation import NEARER
from mri_gan.pictures import Shows, save_png
from mri_gan.report.comparison import answers, build_comparison
from mri_gan.report.facts import read_run
from mri_gan.report.judging import (
    MEASURES,
    copies_answer,
    figure_table,
    say_audited,
    say_compared,
    say_left,
    say_membership,
    sum_up,
)
from mri_gan.report.page import breakable, build_report
from mri_gan.report.sections import CAPTIONS, thin_out


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
    assert [a["alt"] for a in images] == ["Synthetic: 4 kimg, 16 px"]


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    (folder / "<script>alert(1)<.png").write_bytes((folder / "reals.png").read_bytes())
    write_result(folder, "evaluation", {"figures": [{**FIGURE, "name": "</script><b>"}]})
    page = build_report(read_run(folder))
    assert "<script>alert" not in page
    assert "</script><b>" not in page


def test_frames_of_the_slider_are_all_grids_in_order(tmp_path: Path) -> None:
    page = build_report(read_run(make_run(tmp_path / "R")))
    labels = re.findall(r'"label": "Synthetic: (\S+) kimg, (\d+) px"', page)
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
    write_result(folder, "audit", AUDIT)
    page = build_report(read_run(folder))
    assert '<p class="verdict fail"><strong>fail: 3 samples are more like' in page
    for text in ("halves", "2.031", "1.234", "750", "0.430 .. 0.797", "of 13 people", "psi 0.7"):
        assert text in page
    assert page.index("fail: 3 samples") < page.index("<img")  # verdicts come first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "pass"}, "no copy of a kind listed below was found"),
        ({"verdict": "fail"}, "some of them copy people of the training set"),
        ({"verdict": "undecided"}, "nothing is known about whether they copy people"),
        (
            {"verdict": "undecided", "copies": 0},
            "(300 samples, psi 0.7, noise 1): no copy of the kinds that would be detected (exact) "
            "was found. Whether others are copies is not known.",
        ),
        (
            {"verdict": "undecided", "copies": 0, "recall": {"exact": 0.9}},
            "nothing is known about whether they copy people",
        ),
        ({"verdict": "pass", "trained_on_this_store": False}, "nothing is known about whether"),
    ],
)
def test_the_page_begins_with_what_is_known_for_sharing(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "audit", {**AUDIT, **changes})
    answer = build_report(read_run(folder)).partition("What may be shared?")[2].partition("<h3")[0]
    assert said in answer
    for always in ("gives no permission", "Checkpoints (.pt): keep them", "Exported models"):
        assert always in answer


@pytest.mark.parametrize("limits", [{}, {"limits": "they give a false alarm in 1% of audits"}])
def test_the_rate_of_false_alarms_is_told_once(tmp_path: Path, limits: dict[str, str]) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "audit", {**AUDIT, **limits})
    answer = copies_answer(read_run(folder))
    assert sum(limit.count("a false alarm in 1%") for limit in answer.limits) == 1


def test_usefulness_stands_beside_real_slices_and_a_guess(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "utility", UTILITY)
    rows = re.findall(
        r'<th scope="row">([^<]*)</th><td class="short">([^<]*)</td>',
        build_report(read_run(folder)),
    )
    assert ("real slices", "0.91") in rows
    assert ("synthetic slices", "0.82") in rows
    assert ("nothing (a guess)", "0.1") in rows


def test_what_went_wrong_in_training_is_listed_with_when(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    assert "<caption>Problems" not in build_report(read_run(folder))
    with (folder / "metrics.jsonl").open("a") as stream:
        for nimg in (5000, 6000):
            line = {"nimg": nimg, "resolution": 16, "problems": {"collapse": "all alike"}}
            stream.write(json.dumps(line) + "\n")
    page = build_report(read_run(folder))
    assert re.search(r"collapse</th>\s*<td[^>]*>5 to 6 kimg</td>\s*<td[^>]*>all alike", page)


def test_what_is_missing_comes_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = build_report(read_run(make_run(Path("runs/R"))))
    for what in (
        "mrigan test runs/R",
        "mrigan evaluate runs/R --data STORE",
        "mrigan audit runs/R",
    ):
        assert what in page


PEOPLE = [Shows.REAL, Shows.BOTH, Shows.LIKENESS]


@pytest.mark.parametrize("shows", PEOPLE)
def test_people_are_shown_only_where_the_reader_asks_for_them(tmp_path: Path, shows: Shows) -> None:
    folder = make_run(tmp_path / "R")
    secret = Image.new("L", (5, 5), 77)
    save_png(folder / "synthetic-looking-name.png", secret, shows)
    (folder / "audit").mkdir()
    save_png(folder / "audit" / "worst-pairs.png", secret, shows)
    (folder / "audit" / "audit.json").write_text(json.dumps(AUDIT))
    data = base64.b64encode((folder / "synthetic-looking-name.png").read_bytes()).decode()
    page = build_report(read_run(folder))
    assert data not in page
    assert "they show people (--with-people shows them): synthetic-looking-name.png" in page
    assert "they show people (--with-people shows them): worst-pairs.png" in page
    assert "they show people (--with-people shows them): reals.png" in page
    page = build_report(read_run(folder, with_people=True))
    assert page.count(data) == 2
    assert f"{CAPTIONS[shows]}: synthetic looking name" in page
    assert "Synthetic: synthetic looking name" not in page
    assert "as confidential as the scans" in page


def test_a_picture_without_a_mark_is_left_out_whoever_asks(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    Image.new("L", (5, 5), 77).save(folder / "holiday.png")
    grid = folder / "samples" / "000004000-0016px.png"
    Image.new("L", (24, 12), 80).save(grid)  # as an earlier version wrote it
    for people in (False, True):
        page = build_report(read_run(folder, with_people=people))
        for file in (grid, folder / "holiday.png"):
            assert base64.b64encode(file.read_bytes()).decode() not in page
            assert f"no mark of what they show: {file.name}" in page


def test_a_comparison_shows_no_people_either(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A"), make_run(tmp_path / "B")]
    newest = runs[0] / "samples" / "000004000-0016px.png"
    save_png(newest, Image.new("L", (24, 12), 80), Shows.REAL)
    data = base64.b64encode(newest.read_bytes()).decode()
    assert data not in build_comparison([read_run(run) for run in runs])
    assert data in build_comparison([read_run(run, with_people=True) for run in runs])


@pytest.mark.parametrize(
    ("changed", "said", "green"),
    [
        ({"verdict": "pass", "sentence": "pass: none", "membership": None}, "pass: none", True),
        ({"verdict": "pass", "sentence": "pass: none", "membership": {"low": 0.99}}, "0.99", False),
        ({"verdict": "pass", "warning": "learned by heart"}, "learned by heart", False),
        ({"verdict": "pass", "trained_on_this_store": False}, "Undecided: audited ag", False),
        ({"verdict": "undecided", "sentence": "undecided: few", "views": []}, "few", False),
    ],
)
def test_a_pass_is_green_only_where_nothing_speaks_against_it(
    tmp_path: Path, changed: dict[str, Any], said: str, green: bool
) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "audit", {**AUDIT, **changed})
    page = build_report(read_run(folder))
    assert said in page
    assert ('class="verdict pass"' in page) == green


def test_the_readings_of_an_evaluation_come_first_and_nearer_is_no_praise(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    readings = ["far outside: 3 against 1", "far outside: 9 against 2", "", "outside: 2 against 1"]
    figures = [{"name": f"f{i}", "value": 1.0, "reading": r} for i, r in enumerate(readings)]
    write_result(folder, "evaluation", {"figures": figures})
    page = build_report(read_run(folder))
    said = "No: 3 of 3 figures are outside the differences among people, 2 of them far "
    assert f"{said}outside (f0, f1); none is within." in page
    assert "far outside: 9 against 2" in page
    assert "they may be copies" not in page
    figures[0]["reading"] = "nearer than people are to each other: run audit"
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps({"figures": figures}))
    assert "they may be copies" in build_report(read_run(folder))


def test_readings_of_earlier_versions_mean_what_they_meant() -> None:
    figure = {"name": "a", "reading": "within what people differ among themselves"}
    assert sum_up([figure]) == "Yes: the only figure is within the differences among people."


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (WITHIN, "Yes: the only figure is within the differences among people."),
        ("outside: 2 against 1", "No: the only figure is outside the differences among people."),
        ("far outside: 9 against 1", "No: the only figure is far outside the differences among"),
        (NEARER, "Not known: the only figure is nearer than people are to each other, as copies"),
        (f"{MORE_UPRIGHT}: no sign", f"Yes: the only figure is {MORE_UPRIGHT}."),
    ],
)
def test_a_figure_alone_is_told_as_one(reading: str, said: str) -> None:
    assert sum_up([{"name": "a", "reading": reading}]).startswith(said)


def test_figures_that_cannot_tell_are_no_answer() -> None:
    few = [{"name": "a", "reading": FEW_PEOPLE}] * 2
    some = [{"name": "b", "reading": "outside: 2 against 1"}] * 3
    assert sum_up([*few, *some]) == (
        "No: 3 of 3 figures are outside the differences among people; none is within; 2 cannot "
        "tell, with so few people."
    )
    assert sum_up([*few, {"name": "c", "reading": WITHIN}]) == (
        "Not known: 2 of 3 figures cannot tell, with so few people."
    )


ONE = {"samples": 1, "train": 1, "train_people": 1, "held_out_people": 1, "fakes": 1, "reals": 1}
ONE |= {"people": 1}


def test_captions_tell_one_from_many_and_nobody() -> None:
    document = {"counts": ONE, "size": 64}
    assert say_audited(document) == "Likeness of 1 sample to 1 slice of 1 person; 1 person held out"
    nobody = {"counts": ONE | {"held_out_people": 0}}
    assert say_audited(nobody).endswith("1 person; nobody held out")
    assert (
        say_compared(document)
        == "1 synthetic image against 1 real slice of 1 person (train), 64 px"
    )


def test_figures_of_another_store_say_so_first(tmp_path: Path) -> None:
    run = make_run(tmp_path / "R")
    figures = [{**FIGURE, "reading": WITHIN}]
    warning = "the model was trained on other data than this store"
    write_result(run, "evaluation", {"figures": figures, "warning": warning})
    assert "The model was trained on other data than this store." in build_report(read_run(run))


@pytest.mark.parametrize(
    ("far", "outside", "within", "near", "said"),
    [
        (0, 0, 2, 0, "Yes: all 2 figures are within the differences among people."),
        (0, 1, 2, 0, "No: 1 of 3 figures is outside the differences among people; 2 are "),
        (5, 0, 1, 0, ", 5 of them far outside (a, a, a, ...); 1 is within."),
        (0, 0, 1, 2, "Not known: of 3 figures 2 are nearer than people are to each other, as "),
        (1, 0, 0, 1, "none is within; 1 is nearer than people are to each other, as copies are."),
    ],
)
def test_figures_together_answer_yes_or_no_first(
    far: int, outside: int, within: int, near: int, said: str
) -> None:
    words = (*("far outside: 2 against 1",) * far, *("outside: 2 against 1",) * outside)
    words += (*(WITHIN,) * within, *(NEARER,) * near, "")  # the last one has no verdict
    assert said in sum_up([{"name": "a", "reading": word} for word in words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((WITHIN, WITHIN), f"Yes: 2 of 3 figures are {WITHIN}, 1 is more upright than people are."),
        (("outside: 2 against 1", WITHIN), "1 is within, 1 is more upright than people are."),
        ((NEARER, WITHIN), "Not known: of 3 figures 1 is nearer"),
    ],
)
def test_to_be_more_upright_than_people_is_no_fault(words: tuple[str, ...], said: str) -> None:
    readings = (*words, f"{MORE_UPRIGHT}: no sign of copies")
    assert said in sum_up([{"name": "a", "reading": reading} for reading in readings])


def test_a_figure_without_halves_has_too_few_images(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    write_result(folder, "evaluation", {"figures": [{**FIGURE, "floor": None}]})
    page = build_report(read_run(folder))
    assert '<td class="short">24</td><td class="short">too few images</td></tr>' in page


def test_families_that_were_left_out_are_named_by_their_figures() -> None:
    left = {"family": "prdc[pca]", "needs": 50, "has": 20}
    said = "precision, recall, density and coverage (prdc[pca]) need 50 images, there are 20"
    assert say_left(left) == said
    assert say_left({**left, "family": "swd"}) == "swd needs 50 images, there are 20"
    one = {"family": "swd", "needs": 2, "has": 1}
    assert say_left(one) == "swd needs 2 images, there is 1"


@pytest.mark.parametrize(("left_out", "said"), [(2, "Yes: all 3"), (3, "Not known: most kinds")])
def test_most_figures_are_needed_for_an_answer(left_out: int, said: str, tmp_path: Path) -> None:
    figures = [{"name": name, "value": 1.0, "reading": WITHIN} for name in "abc"]
    assert sum_up(figures, left_out).startswith(said)
    folder = make_run(tmp_path / "R")
    left = [{"family": "swd", "needs": 40, "has": 8}] * left_out
    write_result(folder, "evaluation", {"figures": figures, "left_out": left})
    assert said in build_report(read_run(folder))


@pytest.mark.parametrize(("behind", "older"), [(0, False), (1, True)])
def test_a_run_that_has_gone_on_since_is_said_to_be_judged_at_an_older_checkpoint(
    behind: int, older: bool, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "R")
    newest = max(grid.nimg for grid in read_run(folder).grids)
    model = {"nimg": newest - behind}
    figures = [{"name": "a", "value": 1.0, "reading": WITHIN}]
    write_result(folder, "evaluation", {"figures": figures, "model": model})
    write_result(folder, "audit", {"verdict": "pass", "sentence": "pass", "model": model})
    page = build_report(read_run(folder))
    said = f"This is of an older checkpoint, after {newest - behind:,} images; the run has one of"
    assert page.count(said) == 4 * older  # in the answers, and in the card of the model
    assert ("To judge that: mrigan audit R --data STORE" in page) is older


def test_an_audit_against_another_store_shows_nothing_that_looks_like_an_answer(
    tmp_path: Path,
) -> None:
    folder = make_run(tmp_path / "R")
    guess = {"auc": 0.5, "low": 0.4, "high": 0.6, "rate": 0.01}
    wrong = {"trained_on_this_store": False, "membership": guess, "recall": {}}
    write_result(folder, "audit", {**AUDIT, **wrong})
    page = build_report(read_run(folder))
    assert "AUC" not in page
    assert ">detected</th>" not in page  # no table without rows
    assert page.count("so nothing is known about the people it was trained on") >= 2


@pytest.mark.parametrize(
    ("changed", "said", "not_said"),
    [
        ({}, "AUC 0.600 (0.500 .. 0.700, 95% interval; 1 finds all, 0.5 is guess", "little"),
        ({"low": 0.0, "high": 0.4}, "people held out higher, which finds nobody", "little"),
        ({"others": 2}, "with 2 people held out it says little", "nobody"),
    ],
)
def test_an_auc_comes_with_how_to_read_it(
    changed: dict[str, Any], said: str, not_said: str
) -> None:
    found = {"auc": 0.6, "low": 0.5, "high": 0.7, "rate": 0.01, "others": 10} | changed
    assert said in say_membership(found)
    assert not_said not in say_membership(found)


def test_report_and_terminal_have_the_same_names_for_a_column(tmp_path: Path) -> None:
    figures = [{**FIGURE, "reading": WITHIN}]
    head = figure_table({"figures": figures}).head
    assert head == ("figure", "value", "95% interval", "at half", "real halves", "verdict")


@pytest.mark.parametrize(("psi", "said"), [(0.7, "Audit: fail."), (1.0, "Audit: fail, but of")])
def test_an_audit_of_images_drawn_otherwise_is_not_taken_for_one_of_these(
    tmp_path: Path, psi: float, said: str
) -> None:
    folder = make_run(tmp_path / "R")
    figures = [{"name": "f", "value": 1.0, "reading": "nearer than people are to each other: x"}]
    drawn: dict[str, Any] = {name: AUDIT[name] for name in ("psi", "noise") if name in AUDIT}
    write_result(folder, "audit", AUDIT)
    write_result(folder, "evaluation", {"figures": figures, **drawn, "psi": psi})
    assert said in build_report(read_run(folder))


def test_a_page_gives_no_permission(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "R")
    for page in (build_report(read_run(folder)), build_report(read_run(folder, True))):
        assert "Unknown: not audited." in page
        assert "This page gives no permission" in page
        assert "may be shared</" not in page


def test_the_recorded_command_is_printed_and_none_is_made_up(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "my run", kimg=2.5)
    assert "No command line is recorded" in build_report(read_run(folder))
    config = json.loads((folder / "config.json").read_text())
    config["command"] = ["mrigan", "train", "S", "--loss", "wgan-gp", "--out", "my run"]
    (folder / "config.json").write_text(json.dumps(config))
    page = html.unescape(re.sub("<[^>]*>", "", build_report(read_run(folder))))
    assert "mrigan train S --loss wgan-gp --out 'my run'" in page


def test_long_runs_keep_their_last_frame() -> None:
    assert thin_out(range(1000), 60)[-1] == 999
    assert len(thin_out(range(1000), 60)) == 60


def test_a_comparison_shows_what_differs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A", lr=0.001, seed=1), make_run(tmp_path / "B", lr=0.002, seed=1)]
    page = build_comparison([read_run(run) for run in runs])
    rows = re.findall(r'<th scope="row">([^<]*)</th>', page)
    assert "learning rate" in rows
    assert "seed" not in rows


def test_each_run_keeps_its_own_split_counts_and_floor(tmp_path: Path) -> None:
    floors = {"A": (9.5, 13, "train"), "B": (4.25, 5, "test")}
    for name, (floor, people, split) in floors.items():
        document = {
            "figures": [{**FIGURE, "floor": floor}],
            "counts": {"people": people},
            "store": {"split": split, "digest": name},
        }
        write_result(make_run(tmp_path / name), "evaluation", document)
    page = build_comparison([read_run(tmp_path / name) for name in floors])
    tables = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    for name, (floor, people, split) in floors.items():
        other = next(values[0] for key, values in floors.items() if key != name)
        own = [t for t in tables if f"of {people} people ({split})" in t]
        assert len(own) == 1
        assert f">{floor}<" in own[0]
        assert f">{other}<" not in own[0]


def test_runs_on_other_data_are_kept_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A"), make_run(tmp_path / "B")]
    config = runs[1] / "config.json"
    config.write_text(config.read_text().replace('"d1"', '"d2"'))
    facts = [read_run(run) for run in runs]
    assert "trained on different data" in build_comparison(facts)
    asked = {answer.question: answer.text for answer in answers(facts).answers}
    assert "trained on different data" in asked["Do their figures compare?"]


def test_labels_do_not_make_other_data_of_a_store(tmp_path: Path) -> None:
    """The digest of the training data holds the labels; that of the store does not."""
    runs = [make_run(tmp_path / "A"), make_run(tmp_path / "B")]
    configs = [json.loads((run / "config.json").read_text()) for run in runs]
    configs[1]["data_digest"] = "d2"
    configs[1]["settings"]["conditions"] = {"columns": [{"name": "age"}]}

    def compare(*stores: str) -> str:
        for run, config, store in zip(runs, configs, stores, strict=True):
            (run / "config.json").write_text(json.dumps({**config, "store_digest": store}))
        return build_comparison([read_run(run) for run in runs])

    assert "trained on" not in compare("s1", "s1")
    assert "They were trained on different data" in compare("s1", "s2")
    assert "same slices is not recorded, only that labels differ" in compare("", "")
    configs[1]["data"] = {"training_slices": 3}  # as of labels that some lack
    assert "They were trained on different data" in compare("s1", "s1")


DIFFERENT = (
    "Their images are of different sizes (A 16 px, B 32 px), so that their figures do not compare."
)


def test_runs_of_different_sizes_are_told_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "A"), make_run(tmp_path / "B", max_size=32)]
    page = build_comparison([read_run(run) for run in runs])
    assert page.count(DIFFERENT) == 2  # above the table of what differs, and above all
    assert page.index(DIFFERENT) < page.index("A: Do its images copy people")
    row = r'size of the images compared</th><td class="short">16 px</td><td class="short">32 px<'
    assert re.search(row, page)
    words = ["compare", *map(str, runs), "--out", str(tmp_path / "c.html")]
    done = CliRunner().invoke(cli, words)
    assert (done.exit_code, done.stderr) == (0, f"warning: {DIFFERENT}\n")
    write_result(runs[1], "evaluation", {"figures": [FIGURE], "size": 16})
    assert "different sizes" not in build_comparison([read_run(run) for run in runs])


def test_charts_are_written_for_papers(tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "A"), tmp_path / "figures"
    done = CliRunner().invoke(cli, ["report", str(run), "--figures", str(out)])
    assert done.exit_code == 0
    assert sorted(path.name for path in out.glob("losses.*")) == ["losses.pdf", "losses.svg"]
    assert [path.name for path in out.glob("*.png")] == ["000004000-0016px.png"]  # the newest


@pytest.mark.parametrize(("shows", "copied"), [(Shows.SYNTHETIC, 1), (Shows.REAL, 0)])
def test_what_judging_drew_for_print_is_copied_and_no_picture_of_people(
    tmp_path: Path, shows: Shows, copied: int
) -> None:
    run, out = make_run(tmp_path / "A"), tmp_path / "figures"
    write_result(run, "evaluation", {"figures": [FIGURE]})
    (run / "evaluation" / "evaluation.pdf").write_bytes(b"%PDF-1.4")
    for grid in (run / "samples").glob("*.png"):
        save_png(grid, Image.new("L", (24, 12), 80), shows)
    assert CliRunner().invoke(cli, ["report", str(run), "--figures", str(out)]).exit_code == 0
    assert (out / "evaluation.pdf").read_bytes() == b"%PDF-1.4"
    assert len(list(out.glob("*.png"))) == copied


def test_charts_without_a_print_are_copied_as_pictures(tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "A"), tmp_path / "figures"
    write_result(run, "evaluation", {"figures": [FIGURE]}, "map.png")
    (run / "evaluation" / "evaluation.pdf").write_bytes(b"%PDF-1.4")
    picture = Image.new("L", (9, 9), 50)
    save_png(run / "evaluation" / "evaluation.png", picture, Shows.CHART)
    save_png(run / "evaluation" / "people.png", picture, Shows.BOTH)
    assert CliRunner().invoke(cli, ["report", str(run), "--figures", str(out)]).exit_code == 0
    copied = {path.name for path in out.iterdir()} & {"map.png", "evaluation.png", "people.png"}
    assert copied == {"map.png"}


def test_every_figure_of_the_documentation_is_explained() -> None:
    """The page explains what docs/evaluation.md lists, and nothing else."""
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = text.partition("## The figures")[2].partition("features F |")[0]
    names = {n for line in table.splitlines() for n in re.findall(r"`([\w-]+)", line.split("|")[0])}
    assert set(MEASURES) == names


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


def test_a_run_given_twice_is_not_another_of_its_name(tmp_path: Path) -> None:
    folder, link = make_run(tmp_path / "A"), tmp_path / "link"
    link.symlink_to(folder)
    result = CliRunner().invoke(cli, ["compare", str(folder), str(link)])
    assert f"{folder}: is given more than once: name every run once" in result.output
    other = make_run(tmp_path / "B" / "A")
    result = CliRunner().invoke(cli, ["compare", str(folder), str(other)])
    assert f"{folder}: has the name of another of the runs: rename one" in result.output


def test_long_names_may_break_behind_an_underscore_and_options_stay_whole(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, lr=lr) for name, lr in (("run_of_A", 0.1), ("run_of_B", 0.2))]
    page = build_comparison([read_run(run) for run in runs])
    assert '<th scope="col">run_<wbr>of_<wbr>A</th>' in page
    assert "<h3>run_<wbr>of_<wbr>A: Do its images copy people of the training set?</h3>" in page
    assert 'mrigan audit run_<wbr>of_<wbr>A <span class="whole">--data</span> STORE' in page
    assert breakable("a<b_c --x") == 'a&lt;b_<wbr>c <span class="whole">--x</span>'
    assert breakable("a--b -- c") == "a--b -- c"


def test_counts_come_in_groups_of_digits_and_a_seed_does_not(tmp_path: Path) -> None:
    page = build_report(read_run(make_run(tmp_path / "R", seed=20261129, phase=600_000)))
    assert 'fade-in of each level, images</th><td class="short">600,000<' in page
    assert 'seed</th><td class="short">20261129<' in page
    assert ">blit, geometry, colour<" in page
