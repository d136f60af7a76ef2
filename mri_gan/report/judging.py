"""What `mrigan evaluate`, `audit` and `utility` found, in words first and then as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from mri_gan.charts import (
    AMONG,
    ARROWS,
    ARROWS_MEAN,
    FAR,
    FEW_PEOPLE,
    FORMER,
    MORE_UPRIGHT,
    NEAR,
    TOO_FEW,
    WITHIN,
    list_seen,
)
from mri_gan.report.facts import RunFacts, showing
from mri_gan.report.sections import Answer, Section, Table, command_to_judge, say_known, to_text
from mri_gan.report.usefulness import ROWS, say_replaced, say_scores, say_task
from mri_gan.values import say_count

HEAD = ("figure", "value", "95% interval", "at half", "real halves")
MEANING = (
    "Compare 'at half' with 'real halves': the same distance between synthetic slices "
    "and one half of the real people, and between the two halves of the real people. The second is "
    f"the noise floor; no generator can be shown to be better than that. {ARROWS_MEAN}."
)
MEASURES = {
    "swd": "local structure, sharpness and grain at one scale (sliced Wasserstein distance)",
    "ms-ssim": "similarity of pairs; the difference of fakes and reals shows diversity",
    "spectrum": "sharpness and grain: the power at each spatial frequency",
    "histogram": "brightness and contrast",
    "upright": "images that are not mirrored along rows or columns",
    "seam": "roughness across the middle, where halves of two people would meet",
    "fd": "Frechet distance of the features in brackets",
    "kd": "kernel distance of the features in brackets",
    "precision": "realism: how many fakes are among reals",
    "density": "realism: how densely reals surround the fakes",
    "recall": "diversity: how many reals are among fakes",
    "coverage": "diversity: how many reals have a fake beside them",
    "alpha-precision": "realism, for the middle of both sets",
    "beta-recall": "diversity, for the middle of both sets",
    "authenticity": "fakes whose nearest real has a nearer real: fewer where some are copies",
    "vendi": "how many more different images fakes hold than equally many reals",
}
# Families whose figures have other names
FAMILIES = {
    "prdc": "precision, recall, density and coverage",
    "alpha": "alpha-precision, beta-recall and authenticity",
}
UNITS = (
    "Likeness says how alike two slices are: 0 is not at all, 1 a correlation of 0.76, 2 of 0.96 "
    "(Fisher's z of the correlation)."
)
WRONG_STORE = (
    "Undecided: audited against another store than the one it was trained on, so nothing is known "
    "about the people it was trained on."
)
COPIES = "Do its images copy people of the training set?"
QUALITY = "Do its images look like those of real people?"
USE = "Can they replace real slices for training a network?"
NAMED = 3  # figures that the answer names
NEARER = (
    "Images that are nearer to the training people than people are to each other are not better "
    "than real: they may be copies, and only the audit looks for those."
)
VIEWS = (
    "A sample counts as a copy where its likeness to a training slice is above the limit in any of "
    "three comparisons: of halves, of whole slices, and of halves blurred (soft)."
)
PLANTED = "How many of 1,000 planted copies of each kind would be detected, were each the only one"
GUESSED_AUC = 0.6  # of membership; above, the critic has learned people by heart
FEW = 10  # with fewer people held out, it says little
SHARING = "What may be shared?"
NO_PERMISSION = (
    "This page gives no permission. Whoever is responsible for the scans decides, by the consent "
    "of the people and the terms of the data: both bind the model and its images, too."
)
PICTURES = {
    "pass": "Pictures drawn as those that were audited ({}): no copy of a kind listed below was "
    "found. Copies of other kinds cannot be ruled out: synthetic does not mean anonymous. Pictures "
    "drawn with another psi (how varied they are) or noise were not audited. The metadata of a "
    "PNG of mrigan generate names both: look before you share it, or this page.",
    "fail": "Pictures: some of them copy people of the training set ({}).",
    "undecided": "Pictures drawn as those that were audited ({}): no copy of the kinds that would "
    "be detected ({}) was found. Whether others are copies is not known.",
    "": "Pictures: nothing is known about whether they copy people.",
}
MODELS = (
    "Checkpoints (.pt): keep them with the scans. They hold the critic: whoever has a scan of a "
    "person may find out with it whether that person was in the training set.",
    "Exported models (mrigan export-model): not audited as such. They hold no critic, but others "
    "can draw more and other pictures from them than were audited.",
)


# In words, with limits


def verdicts(run: RunFacts) -> Section:
    """What is known about copies, quality and use, and what no check can answer."""
    answers = [sharing_answer(run), copies_answer(run), quality_answer(run), use_answer(run)]
    return Section("verdicts", "What is known, and what is not", answers=answers)


def unknown() -> list[Answer]:
    """What is known of a model without a run folder."""
    copies = _unknown(COPIES, "audited", "audit")
    return [sharing_answer(None), copies, _unknown(QUALITY, "evaluated", "evaluate")]


def _unknown(question: str, judged: str, command: str, run: RunFacts | None = None) -> Answer:
    todo = f"To find out: {command_to_judge(run, command)}"
    return Answer(question, f"Unknown: not {judged}.", [todo])


@showing("audit")
def sharing_answer(run: RunFacts | None) -> Answer:
    """What no check can answer, and what is known of pictures and of models."""
    found = run.results.get("audit") if run else None
    document = found.document if found else {}
    known = document.get("trained_on_this_store") is not False
    verdict = str(document.get("verdict", "")) if known else ""
    seen = ", ".join(list_seen(document.get("recall") or {}))
    none_found = bool(seen) and document.get("copies") == 0
    if verdict == "undecided" and not none_found:
        verdict = ""
    audited = f"{say_known(document.get('counts', {}), 'samples', 'sample')}{_drawn(document)}"
    pictures = PICTURES.get(verdict, PICTURES[""]).format(audited, seen)
    return Answer(SHARING, NO_PERMISSION, [pictures, *MODELS])


@showing("audit")
def copies_answer(run: RunFacts) -> Answer:
    """The audit's verdict; green only where nothing speaks against it."""
    result = run.results.get("audit")
    if result is None:
        return _unknown(COPIES, "audited", "audit", run)
    document = result.document
    if document.get("trained_on_this_store") is False:
        again = f"Audit it against the store of this run: {command_to_judge(run, 'audit')}"
        return Answer(COPIES, WRONG_STORE, [again], "undecided")
    limits = [*_older(run, document, "audit"), _audit_caption(document)]
    limits += [str(document[name]) for name in ("limits", "kinds", "warning") if document.get(name)]
    membership = document.get("membership") or {}
    if membership and not document.get("warning"):  # which says the same
        limits.append(f"{say_membership(membership)}.")
    text, mood = str(document.get("sentence", "")), str(document.get("verdict", ""))
    suspect = document.get("warning") or membership.get("low", 0) > GUESSED_AUC
    return Answer(COPIES, text, limits, "" if mood == "pass" and suspect else mood)


@showing("evaluation")
def quality_answer(run: RunFacts) -> Answer:
    """What `evaluate` says in words, or how far outside the floor its distances are."""
    result = run.results.get("evaluation")
    if result is None:
        return _unknown(QUALITY, "evaluated", "evaluate", run)
    figures = result.document.get("figures", [])
    named = by_reading(figures)
    older = _older(run, result.document, "evaluate")
    if warning := str(result.document.get("warning") or ""):  # of another store than the run's
        older.append(f"{warning[:1].upper()}{warning[1:]}.")
    limits = [*older, _caption(result.document), "These are numbers only: look at the images, too."]
    if not named:
        return Answer(QUALITY, _far(figures), limits)
    if named[NEAR]:
        limits.append(f"{NEARER} Audit: {_audited(run, result.document)}.")
    return Answer(QUALITY, sum_up(figures, len(result.document.get("left_out", []))), limits)


def _older(run: RunFacts, document: dict[str, Any], command: str) -> list[str]:
    """A sentence where the run has gone on since it was judged."""
    judged = (document.get("model") or {}).get("nimg")
    if not isinstance(judged, int) or judged >= run.newest:
        return []
    return [
        f"This is of an older checkpoint, after {judged:,} images; the run has one of "
        f"{run.newest:,}. To judge that: {command_to_judge(run, command)}"
    ]


def by_reading(figures: Sequence[dict[str, Any]]) -> defaultdict[str, list[str]]:
    """The names of the figures that have a reading, by its words."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for figure in figures:
        if figure.get("reading"):
            words = str(figure["reading"]).partition(":")[0]
            named[FORMER.get(words, words)].append(str(figure.get("name")))
    return named


def sum_up(figures: Sequence[dict[str, Any]], left_out: int = 0) -> str:
    """The answer to QUALITY that all figures give together, and how many of them say what.

    `left_out` kinds of figures had too few images; where most were, nothing is known.
    """
    named = by_reading(figures)
    untold = len(named.pop(FEW_PEOPLE, ()))
    total = sum(map(len, named.values()))
    if untold and untold >= total:
        return f"Not known: {untold} of {untold + total} figures cannot tell, with so few people."
    if untold:
        told = [figure for figure in figures if figure.get("reading") != FEW_PEOPLE]
        return f"{sum_up(told, left_out)[:-1]}; {untold} cannot tell, with so few people."
    outside, within, near = len(named["outside"] + named[FAR]), len(named[WITHIN]), len(named[NEAR])
    if left_out >= total:
        return "Not known: most kinds of figures were left out, for too few images."
    upright = len(named[MORE_UPRIGHT])
    if total == 1:
        return _sum_up_one(figures)
    if within == total:
        return f"Yes: all {total} figures are {WITHIN}."
    lying = f", {upright} {_are(upright)} {MORE_UPRIGHT}" if upright else ""
    if within + upright == total:
        return f"Yes: {within} of {total} figures {_are(within)} {WITHIN}{lying}."
    inside = f"{within or 'none'} {_are(within or 1)} within{lying}"
    too_near = f"{near} {_are(near)} {NEAR}, as copies are"
    if not outside:
        return f"Not known: of {total} figures {too_near}; {inside}."
    far = f", {len(named[FAR])} of them far outside ({_first(named[FAR])})" if named[FAR] else ""
    parts = [f"{outside} of {total} figures {_are(outside)} outside {AMONG}{far}", inside]
    return f"No: {'; '.join([*parts, *([too_near] if near else [])])}."


def _sum_up_one(figures: Sequence[dict[str, Any]]) -> str:
    """The same where there is only one figure."""
    (reading,) = [text for text, names in by_reading(figures).items() if names]
    known = {"outside": f"outside {AMONG}", FAR: f"{FAR} {AMONG}", NEAR: f"{NEAR}, as copies are"}
    answer = "No" if reading in ("outside", FAR) else "Not known" if reading == NEAR else "Yes"
    return f"{answer}: the only figure is {known.get(reading, reading)}."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _audited(run: RunFacts, evaluation: dict[str, Any]) -> str:
    """The audit's verdict, and whether it is about images drawn as those of the figures."""
    result = run.results.get("audit")
    if result is None:
        return "not run yet"
    audit = result.document
    if audit.get("trained_on_this_store") is False:
        return "undecided"
    verdict, drawn = str(audit.get("verdict", "")), _drawn(audit)
    return verdict if drawn == _drawn(evaluation) else f"{verdict}, but of other images{drawn}"


def _far(figures: Sequence[dict[str, Any]]) -> str:
    shares = [
        f["at_floor"] / f["floor"]
        for f in figures
        if f.get("better") in ("low", "lower") and f.get("at_floor") and (f.get("floor") or 0) > 0
    ]
    if not shares:
        return "Measured, without a verdict: see the table."
    return (
        f"Measured, without a verdict: distances are {to_text(float(median(shares)))} times "
        f"(median of {len(shares)}) those of people among themselves."
    )


@showing("utility")
def use_answer(run: RunFacts) -> Answer:
    """What a network learned from synthetic slices beside what it learned from real ones."""
    result = run.results.get("utility")
    if result is None:
        return _unknown(USE, "measured", "utility", run)
    document = result.document
    limits = [say_scores(document), f"{say_task(document)}. One task says little about others."]
    return Answer(USE, say_replaced(document), limits)


# As tables


@showing("evaluation")
def evaluation(run: RunFacts) -> Section:
    """Figures of quality with their noise floors."""
    section, document = _begin(
        run, "evaluation", "Quality, beside what real people score", "evaluate"
    )
    if document is None:
        return section
    section.notes.append(MEANING)
    section.tables.append(figure_table(document))
    names = dict.fromkeys(_family(figure) for figure in document.get("figures", []))
    rows = [[name, MEASURES[name]] for name in names if name in MEASURES]
    section.tables.append(Table("What the figures measure", rows, ("figure", "measures")))
    for left in document.get("left_out", []):
        section.notes.append(f"Left out: {say_left(left)}.")
    return section


def figure_table(document: dict[str, Any]) -> Table:
    """The figures of one evaluation, each beside the floor that was measured with it."""
    figures = document.get("figures", [])
    worded = any(figure.get("reading") for figure in figures)
    rows = [figure_row(figure) + [str(figure.get("reading", ""))] * worded for figure in figures]
    return Table(_caption(document), rows, (*HEAD, "verdict") if worded else HEAD)


def figure_row(figure: dict[str, Any]) -> list[str]:
    """One figure as the cells of the table."""
    unit = f" ({figure['unit']})" if figure.get("unit") else ""
    return [
        f"{figure.get('name')}{unit} {ARROWS.get(str(figure.get('better')), '')}".rstrip(),
        _or_too_few(figure.get("value")),
        f"{to_text(figure.get('low'))} .. {to_text(figure.get('high'))}",
        _or_too_few(figure.get("at_floor")),
        _or_too_few(figure.get("floor")),
    ]


def _or_too_few(value: Any) -> str:
    return TOO_FEW if value is None else to_text(value)


def say_left(left: dict[str, Any]) -> str:
    """Which figures were left out, and how many images they need."""
    family = str(left.get("family"))
    names = FAMILIES.get(family.partition("[")[0])
    said = f"{names} ({family}) need" if names else f"{family} needs"
    return f"{said} {say_known(left, 'needs', 'image')}, {_there(left.get('has'))}"


def _there(count: Any) -> str:
    return f"there is {count}" if count == 1 else f"there are {count or 'none'}"


def _family(figure: dict[str, Any]) -> str:
    return str(figure.get("name")).partition("[")[0]


def say_compared(document: Mapping[str, Any]) -> str:
    """What an evaluation compared, without how images were drawn."""
    counts, store = document.get("counts", {}), document.get("store", {})
    return (
        f"{say_known(counts, 'fakes', 'synthetic image')} against "
        f"{say_known(counts, 'reals', 'real slice')} of "
        f"{say_known(counts, 'people', 'person', 'people')} ({store.get('split', 'train')}), "
        f"{document.get('size', '?')} px"
    )


def _caption(document: dict[str, Any]) -> str:
    return f"{say_compared(document)}{_drawn(document)}"


def _drawn(document: dict[str, Any]) -> str:
    return (
        f", psi {to_text(document['psi'])}, noise {to_text(document.get('noise'))}"
        if "psi" in document
        else ""
    )


@showing("audit")
def audit(run: RunFacts) -> Section:
    """Whether samples copy people of the training set."""
    section, document = _begin(run, "audit", "Copies of training slices", "audit")
    if document is None:
        return section
    if document.get("version", 1) < 2:
        section.notes.append("Measured by an earlier version; run mrigan audit again.")
        return section
    views = document.get("views", [])
    names = [str(view["name"]) for view in views]
    section.tables.append(Table(_audit_caption(document), list(audit_rows(views)), ("", *names)))
    section.notes += [VIEWS, UNITS]
    if document.get("trained_on_this_store") is False:
        section.notes.append(WRONG_STORE)
    rows = [[kind, f"{share * 1000:.0f}"] for kind, share in document.get("recall", {}).items()]
    if rows:
        section.tables.append(Table(PLANTED, rows, ("kind", "detected")))
    return section


def audit_rows(views: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """Likeness and counts, one column for each way of measuring."""
    yield ["most alike sample", *(to_text(v["likeness"]["samples"]["max"]) for v in views)]
    yield [
        "most alike person, to other people",
        *(to_text(v["likeness"]["people"]["max"]) for v in views),
    ]
    yield ["limit for new people", *(to_text(v["limit"]) for v in views)]
    yield ["samples above the limit", *(f"{v['copies']} ({v['share']:.2%})" for v in views)]


def say_audited(document: Mapping[str, Any]) -> str:
    """What an audit compared, without how samples were drawn."""
    counts = document.get("counts", {})
    others = say_known(counts, "held_out_people", "person", "people")
    return (
        f"Likeness of {say_known(counts, 'samples', 'sample')} to "
        f"{say_known(counts, 'train', 'slice')} of "
        f"{say_known(counts, 'train_people', 'person', 'people')}; "
        f"{'nobody' if counts.get('held_out_people') == 0 else others} held out"
    )


def _audit_caption(document: dict[str, Any]) -> str:
    # Which its limits say, too, where it has them
    alarms = None if document.get("limits") else document.get("false_alarms")
    return f"{say_audited(document)}{_drawn(document)}" + (
        f"; a false alarm in {alarms:.0%} of audits" if alarms is not None else ""
    )


def say_membership(found: dict[str, Any]) -> str:
    """How well the critic's scores find people of the training set, and how to read that."""
    auc, low, high = (float(found.get(name) or 0) for name in ("auc", "low", "high"))
    others, rate = found.get("others", FEW), found.get("rate")
    parts = [
        f"Finding people of the training set by the critic's scores: AUC {auc:.3f} ({low:.3f} .. "
        f"{high:.3f}, 95% interval; 1 finds all, 0.5 is guessing)"
    ]
    if rate:
        parts.append(f"{rate:.1%} of training slices found at 1% false positives")
    if high < 0.5:
        parts.append("below 0.5 the critic scores people held out higher, which finds nobody")
    if others < FEW:
        parts.append(f"with {say_count(others, 'person', 'people')} held out it says little")
    return "; ".join(parts)


@showing("utility")
def utility(run: RunFacts) -> Section:
    """What a network learns from synthetic slices against what it learns from real ones."""
    section, document = _begin(
        run, "utility", "Usefulness: trained on synthetic, tested on real people", "utility"
    )
    if document is None:
        return section
    rows = [
        [
            name,
            to_text(score["value"]),
            f"{to_text(score.get('low'))} .. {to_text(score.get('high'))}",
        ]
        for name, score in ((name, document.get(key)) for name, key in ROWS)
        if score
    ]
    rows.append(["nothing (a guess)", to_text(document.get("guess")), ""])
    head = ("trained on", str(document.get("measure", "score")), "95% interval")
    section.tables.append(Table(say_task(document), rows, head))
    if document.get("labels"):
        section.notes.append(f"Labels of the synthetic slices: {document['labels']}.")
    return section


def _begin(
    run: RunFacts, name: str, title: str, command: str
) -> tuple[Section, dict[str, Any] | None]:
    """A section with its pictures and its document; without a result, how to get one."""
    section = Section(name, title)
    result = run.results.get(name)
    if result is None:
        section.ask_for(run, command)
        return section, None
    section.add_pictures(result.pictures, run.with_people)
    return section, result.document
