"""Data sheet and model card of a run, filled from what it recorded.

Gebru et al. 2021, "Datasheets for Datasets" (headings of section 3); Mitchell et al. 2019, "Model
Cards for Model Reporting". What no program can know is left open, and named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mri_gan.config import CONFIG, METRICS
from mri_gan.pictures import Shows
from mri_gan.report import judging
from mri_gan.report.facts import Result, RunFacts, showing
from mri_gan.report.sections import Section, Table, say_known, say_setting, to_text
from mri_gan.report.terms import words

COUNTED = ("left_out", "header_fields_removed")  # here nothing is a result
UNCONDITIONAL = "unconditional-image-generation"
OPEN = "not recorded; to be filled in by whoever holds the data"


@showing(CONFIG)
def data_sheet(run: RunFacts) -> Section:
    """Who is in the training data, how it was made, and what was left out."""
    recorded = run.config.get("data")
    data = recorded if isinstance(recorded, dict) else {}
    tables = [Table(title, rows) for title, rows in sheet_rows(data).items()]
    section = Section("datasheet", "Data sheet of the training data", tables=tables)
    section.notes.append(
        "By the headings of Gebru et al., Datasheets for Datasets (2021). Only numbers: names of "
        "people and files are not kept in a run."
    )
    return section


def sheet_rows(data: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Rows by heading."""
    ages = data.get("ages") or {}
    return {
        "Motivation": [("why it was collected, by whom, paid by", OPEN)],
        "Composition": [
            ("people trained on", _known(data, "training_subjects")),
            ("slices trained on", _known(data, "training_slices")),
            ("people in each split", _known(data, "people")),
            ("slices in each split", _known(data, "slices")),
            ("ages, all splits", _say_ages(ages)),
            ("sex, all splits", _known(data, "sex")),
            *((f"{name}, all splits", to_text(n)) for name, n in data.get("classes", {}).items()),
            ("channels", _known(data, "channels")),
            ("planes, all splits", _known(data, "planes")),
            ("sides, all splits", _known(data, "sides")),
            ("left and right edge of a picture", _known(data, "image_edges")),
            ("slices trained on that lack a label", _known(data, "trained_with_missing_labels")),
            ("slices left out that lack a label", _known(data, "left_out_for_missing_labels")),
        ],
        "Collection": [
            ("scanners", _known(data, "scanners")),
            ("consent, approval by an ethics board", OPEN),
        ],
        "Preparation": [
            ("options", _known(data, "preparation")),
            ("bits per pixel", _known(data, "bits_per_pixel")),
            ("pixel size, mm (least, greatest)", _known(data, "pixel_mm")),
            ("slices by native size, px", _known(data, "slices_by_native_size")),
            ("left out", _say_left_out(data)),
            ("header fields removed", _known(data, "header_fields_removed")),
            ("volumes with a face", _known(data, "volumes_with_a_face")),
        ],
        "Uses, distribution, maintenance": [("terms, contact, withdrawal of a person", OPEN)],
    }


def _known(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    nothing: tuple[Any, ...] = (None,) if name in COUNTED else (None, [], {})
    return "not recorded" if value in nothing else to_text(value)


def _say_left_out(data: Mapping[str, Any]) -> str:
    left_out = data.get("left_out")
    if isinstance(left_out, dict):
        left_out = {words(name): count for name, count in left_out.items()}
    return _known({"left_out": left_out}, "left_out")


def _say_ages(ages: Mapping[str, Any]) -> str:
    if not ages:
        return "not recorded"
    return (
        f"{to_text(ages.get('least'))} to {to_text(ages.get('most'))}, median "
        f"{to_text(ages.get('median'))}; known for {say_known(ages, 'people', 'person', 'people')}"
    )


@showing(METRICS)
def _size_of(run: RunFacts) -> int:
    """The resolution that training has reached, px; 0 where it is not known."""
    return int(run.metrics[-1]["resolution"]) if run.metrics else 0


def model_card_section(run: RunFacts) -> Section:
    """The model card as text to be copied, with the header that model hubs read."""
    settings = run.settings
    size = _size_of(run)
    names = name_conditions(settings.get("conditions"))
    rows = {
        "architecture": str(settings.get("arch", (settings.get("model") or {}).get("arch", ""))),
        **({"images": f"{size} px"} if size else {}),
        "conditions": say_setting(settings["conditions"]) if names else "none",
        "training": f"{run.nimg:,} real images shown, loss {settings.get('loss', '')}, "
        f"seed {settings.get('seed', '')}",
        "mrigan": str(run.config.get("mrigan", "")),
    }
    section = Section(
        "card",
        "Model card",
        text=model_card(run, f"{run.name}{say_conditional(names)}", rows, names, size),
    )
    section.notes.append("For a README.md beside an exported model; the first lines are for hubs.")
    return section


def name_conditions(recorded: Any) -> list[str]:
    """The names of the labels that a network is given, by the settings of its run."""
    columns = recorded.get("columns") if isinstance(recorded, dict) else None
    return [str(column.get("name")) for column in columns or ()]


def say_conditional(names: Sequence[str]) -> str:
    """ ", conditional on position"; empty for a network that is given no labels."""
    return f", conditional on {' and '.join(names)}" if names else ""


def model_card(
    run: RunFacts | None,
    description: str,
    rows: Mapping[str, str],
    conditions: Sequence[str] = (),  # the names of labels that the network is given
    size: int = 0,  # px of its images; 0 is not known
) -> str:
    """A model card in Markdown; without a run, data and results are left open."""
    arch = rows.get("architecture", "").split(",")[0]
    tags = [words(arch)] if arch else []
    tags += [f"{size}px"] if size else []
    tags += [f"conditional on {name}" for name in conditions]
    lines = [
        *card_header(run, tags, bool(conditions)),
        "# Model card",
        "",
        f"{description}.",
        "",
        "| | |",
    ]
    lines += ["| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]
    lines += ["", f"**Output.** {Shows.SYNTHETIC.value}. For research; not for diagnosis.", ""]
    if run is None:
        lines += ["**Data.** To be filled in: what it was trained on, under which terms.", ""]
    else:
        lines += ["## Training data", ""]
        for title, entries in sheet_rows(run.config.get("data") or {}).items():
            lines += [f"**{title}**", "", *(f"- {name}: {value}" for name, value in entries), ""]
    lines += ["## What is known, and what is not", ""]
    answers = judging.verdicts(run).answers if run else judging.unknown()
    for answer in answers:
        lines += [f"**{answer.question}** {_begin(answer.text)}", ""]
        lines += [*(f"- {_begin(limit)}" for limit in answer.limits), ""]
    return "\n".join(lines).rstrip() + "\n"


def _begin(text: str) -> str:
    """A sentence from a result, whose first letter may be small."""
    return f"{text[:1].upper()}{text[1:]}"


def _say_checkpoint(run: RunFacts, found: Result) -> str:
    """Of which checkpoint the figures are, and whether the run has a newer one."""
    judged = (found.document.get("model") or {}).get("nimg")
    if not isinstance(judged, int):
        return "image generation"
    newer = f"; the run has a newer one of {run.newest:,}" * (judged < run.newest)
    return f"image generation, checkpoint after {judged:,} real images{newer}"


def card_header(run: RunFacts | None, tags: Sequence[str], conditional: bool) -> list[str]:
    """The YAML header that model hubs read, each value as JSON, which is YAML."""
    values: dict[str, Any] = {
        "library_name": "mrigan",
        "license": "other",
        "license_name": "terms-of-the-training-data",
        "tags": ["medical", "mri", "synthetic", "gan", *tags],
    }
    if not conditional:  # hubs have no such tag for images by labels
        values["pipeline_tag"] = UNCONDITIONAL
    found = run.results.get("evaluation") if run else None
    metrics = [
        {"type": str(figure["name"]), "name": str(figure["name"]), "value": figure["value"]}
        for figure in (found.document.get("figures", []) if found else [])
        if figure.get("value") is not None
    ]
    if metrics and run is not None and found is not None:
        store = found.document.get("store", {})
        dataset = {
            "type": "private",
            "name": "store of the run",
            "split": store.get("split", "train"),
        }
        kind = "image-generation" if conditional else UNCONDITIONAL
        task = {"type": kind, "name": _say_checkpoint(run, found)}
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        values["model-index"] = [{"name": run.name, "results": [result]}]
    return ["---", *(f"{name}: {json.dumps(value)}" for name, value in values.items()), "---", ""]
