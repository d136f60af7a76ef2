"""The sections that `mrigan evaluate`, `audit` and `utility` fill."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from mri_gan.report.facts import Result, RunFacts
from mri_gan.report.sections import Section, Table, embed, plain, words

HEAD = ("figure", "value", "95 % interval", "fakes against half", "real halves")
MEANING = (
    "Compare the last two columns: the same distance between synthetic slices and one half of the "
    "real people, and between the two halves of the real people. The second is the noise floor; "
    "no generator can be shown to be better than that."
)


def evaluation(run: RunFacts) -> Section:
    """Figures of quality with their noise floors."""
    section = Section("evaluation", "Quality, beside what real people score")
    result = run.results.get("evaluation")
    if result is None:
        return _missing(section, f"mrigan evaluate {shlex.quote(run.folder.name)} --data STORE")
    document = result.document
    rows = [figure_row(figure) for figure in document.get("figures", [])]
    section.notes.append(MEANING)
    section.tables.append(Table(_caption(document), rows, HEAD))
    for left in document.get("left_out", []):
        section.notes.append(
            f"Left out: {left['family']} needs {left['needs']} images, there are {left['has']}."
        )
    return _with_pictures(section, result)


def figure_row(figure: dict[str, Any]) -> list[str]:
    """One figure as the cells of the table."""
    return [
        str(figure["name"]),
        plain(figure["value"]),
        f"{plain(figure['low'])} .. {plain(figure['high'])}",
        plain(figure["at_floor"]),
        plain(figure["floor"]),
    ]


def _caption(document: dict[str, Any]) -> str:
    counts, store = document.get("counts", {}), document.get("store", {})
    return (
        f"{counts.get('fakes')} synthetic images against {counts.get('reals')} real slices of "
        f"{counts.get('people')} people ({store.get('split', 'train')}), {document.get('size')} px"
    )


def audit(run: RunFacts) -> Section:
    """Whether samples copy people of the training set."""
    section = Section("audit", "Copies of training slices")
    result = run.results.get("audit")
    if result is None:
        return _missing(section, f"mrigan audit {shlex.quote(run.folder.name)} --data STORE")
    document = result.document
    section.verdict = str(document.get("sentence", ""))
    section.mood = str(document.get("verdict", ""))
    if document.get("warning"):
        section.notes.append(str(document["warning"]))
        # A pass on the pictures is not green beside a critic that knows its people.
        section.mood = "undecided" if section.mood == "pass" else section.mood
    if document.get("version", 1) < 2:
        section.notes.append("Measured by an earlier version; run mrigan audit again.")
        return _with_pictures(section, result)
    views = document["views"]
    names = [str(view["name"]) for view in views]
    section.tables.append(Table(_audit_caption(document), list(audit_rows(views)), ("", *names)))
    caption = "Of 1,000 copies of each kind, alone among the samples, would be seen"
    rows = [[kind, f"{share * 1000:.0f}"] for kind, share in document["recall"].items()]
    section.tables.append(Table(caption, rows, ("kind", "seen")))
    if document.get("membership"):
        section.notes.append(_membership(document["membership"]))
    return _with_pictures(section, result)


def audit_rows(views: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """Likeness and counts, one column for each way of measuring."""
    yield ["most alike sample", *(plain(v["likeness"]["samples"]["max"]) for v in views)]
    yield [
        "most alike person, to other people",
        *(plain(v["likeness"]["people"]["max"]) for v in views),
    ]
    yield ["limit for new people", *(plain(v["limit"]) for v in views)]
    yield ["samples above the limit", *(f"{v['copies']} ({v['share']:.2%})" for v in views)]


def _audit_caption(document: dict[str, Any]) -> str:
    counts, drawn = document.get("counts", {}), ""
    if "psi" in document:
        drawn = f"; psi {plain(document['psi'])}, noise {plain(document['noise'])}"
    return (
        f"Likeness (Fisher's z) of {counts.get('samples')} samples to {counts.get('train')} slices "
        f"of {counts.get('train_people')} people; {counts.get('held_out_people')} people held out"
        f"{drawn}; {document['false_alarms']:.0%} of audits of new people fail"
    )


def _membership(found: dict[str, Any]) -> str:
    return (
        f"Telling people of the training set by the critic's scores: AUC {plain(found['auc'])} "
        f"({plain(found['low'])} .. {plain(found['high'])}, 95 % interval; 0.5 is a guess); "
        f"{found['rate']:.1%} of training slices found at 1 % false positives."
    )


def utility(run: RunFacts) -> Section:
    """What a network learns from synthetic slices against what it learns from real ones."""
    section = Section("utility", "Usefulness: trained on synthetic, tested on real people")
    result = run.results.get("utility")
    if result is None:
        return _missing(section, f"mrigan utility {shlex.quote(run.folder.name)} --data STORE")
    document = result.document
    rows = [
        [name, plain(score["value"]), f"{plain(score['low'])} .. {plain(score['high'])}"]
        for name, score in (
            ("real slices", document["train_on_real"]),
            ("synthetic slices", document["train_on_synthetic"]),
        )
    ]
    rows.append(["nothing (a guess)", plain(document["guess"]), ""])
    head = ("trained on", str(document["measure"]), "95 % interval")
    section.tables.append(Table(_utility_caption(document), rows, head))
    if document.get("kept") is not None:
        section.notes.append(
            f"Synthetic slices teach {document['kept']:.0%} of what real ones do. Their labels: "
            f"{document['labels']}."
        )
    return _with_pictures(section, result)


def _utility_caption(document: dict[str, Any]) -> str:
    counts = document["counts"]
    return (
        f"Task {document['task']}: {counts['train_images']} slices to train on, "
        f"{counts['test_images']} of {counts['test_people']} people to test on"
    )


def _missing(section: Section, command: str) -> Section:
    section.hint, section.command = "Not measured yet. This does it:", command
    return section


def _with_pictures(section: Section, result: Result) -> Section:
    for path in result.pictures:
        name = words(path.stem)
        section.pictures.append(embed(path, f"{section.name}: {name}", name))
    return section
