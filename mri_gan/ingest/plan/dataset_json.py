"""What a `dataset.json` says: classes of a StyleGAN data set, or the channels of nnU-Net and MSD.

Nothing says whose the pictures of a StyleGAN data set are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mri_gan.errors import DataError
from mri_gan.files import parse_json
from mri_gan.ingest.plan.words import contrast_of
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import DATASET_JSON, Labels, Member, Source, nearest_folder, suffix_of

LAYOUT = "stylegan"
OF_NNUNET = {"channel_names", "modality", "numTraining", "training", "file_ending"}
NUMBERED = re.compile(r"(?:^|/)\d{5}/img\d{8}\.[a-z]+$")  # as StyleGAN's tool names files
NOT_PEOPLE = (
    "pictures of a StyleGAN data set do not say whose they are: each counts as a different "
    "person, so one person may be in several splits"
)


def apply_dataset_json(sources: Sequence[Source], members: Sequence[Member]) -> list[Source]:
    """The sources with the labels of the `dataset.json` in their folder or above it.

    Numbered pictures of such a data set become people of their own. A file that is none of
    StyleGAN's changes nothing. Raises DataError for one that cannot be read.
    """
    found = {m.name.rpartition("/")[0]: m for m in members if is_dataset_json(m.name)}
    contents = {folder: _load(member) for folder, member in found.items()}
    channels = {folder: read_channels(content) for folder, content in contents.items()}
    sources = [_name_channel(source, channels) for source in sources]
    tables = {folder: read_classes(content, found[folder]) for folder, content in contents.items()}
    known = {folder: table for folder, table in tables.items() if table is not None}
    return [_apply(source, known) for source in sources] if known else sources


def read_channels(content: Any) -> dict[str, str]:
    """{number of four digits: contrast} of a data set of nnU-Net's or the MSD's, else nothing."""
    if not isinstance(content, dict):
        return {}
    named = content.get("channel_names") or content.get("modality")
    if not isinstance(named, dict):
        return {}
    return {
        str(number).zfill(4): contrast_of(str(word)) or str(word).lower()
        for number, word in named.items()
    }


def _name_channel(source: Source, channels: Mapping[str, Mapping[str, str]]) -> Source:
    """The source with the name of its contrast, where that was a channel's number."""
    folder = nearest_folder(source.member.name, channels)
    contrast = None if folder is None else channels[folder].get(source.naming.contrast)
    return replace(source, naming=replace(source.naming, contrast=contrast)) if contrast else source


def is_dataset_json(name: str) -> bool:
    """Whether a file is called as StyleGAN calls its labels."""
    return name.rpartition("/")[2] == DATASET_JSON


def _apply(source: Source, tables: Mapping[str, Mapping[str, Labels]]) -> Source:
    name = source.member.name
    folder = nearest_folder(name, tables)
    if folder is None:
        return source
    labels = tables[folder].get(name.removeprefix(f"{folder}/") if folder else name)
    naming = source.naming
    if NUMBERED.search(name):
        subject = source.name.removesuffix(suffix_of(name))
        naming = replace(naming, layout=LAYOUT, subject=subject, position=-1, label="")
    return replace(source, naming=naming, labels=labels or source.labels)


def _load(member: Member) -> Any:
    try:
        return parse_json(read_member(member))
    except ValueError as error:
        raise DataError(f"{member.label}: is not JSON", "fix it or move it away") from error


def read_classes(content: Any, member: Member) -> dict[str, Labels] | None:
    """{file: labels}; None for what another program wrote, such as nnU-Net.

    A whole number is a class, by its name where the file has names; a list is one number a column.
    """
    if not isinstance(content, dict) or "labels" not in content or OF_NNUNET & content.keys():
        return None
    names, column = content.get("class_names"), str(content.get("class_column", "class"))
    pairs = content["labels"] or []
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    try:
        return {
            str(file).replace("\\", "/"): _labels(value, column, names or [])
            for file, value in pairs
        }
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{member.label}: its labels are not pairs of file and class", "fix it or move it away"
        ) from error


def _labels(value: Any, column: str, names: Sequence[str]) -> Labels:
    if isinstance(value, list):
        return {f"{column}_{i}": float(number) for i, number in enumerate(value)}
    if not isinstance(value, int):
        raise ValueError("no class")
    return {column: str(names[value]) if 0 <= value < len(names) else str(value)}
