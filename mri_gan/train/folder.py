"""`config.json` of a run folder: what was asked for, on what data, and on what machine."""

from __future__ import annotations

import dataclasses
import json
import platform
from typing import Any

import torch

from mri_gan import __version__
from mri_gan.files import write_text
from mri_gan.runs import CONFIG
from mri_gan.store.reader import StoreReader
from mri_gan.train.dataset import TrainingData
from mri_gan.train.run import Run


def write_config(run: Run, data: TrainingData) -> None:
    """Write everything that is needed to understand the run later, or to do it again."""
    facts = {
        "settings": run.config.to_dict(),
        "options": json.loads(json.dumps(dataclasses.asdict(run.options), default=str)),
        "data_digest": data.digest,
        "data": describe_data(run, data),
        "processes": run.world.size,
        "threads": torch.get_num_threads(),
        "mrigan": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "environment": describe_environment(run.options.device),
    }
    write_text(run.folder / CONFIG, json.dumps(facts, indent=2) + "\n")


def describe_data(run: Run, data: TrainingData) -> dict[str, Any]:
    """The training data in numbers; names of people or files do not belong here."""
    with StoreReader(run.store) as store:
        native = {str(size): n for size, n in sorted(store.native_counts().items())}
        depth = int(store.header["depth"])
    return {
        "training_slices": len(data.indices),
        "training_subjects": data.subjects,
        "left_out_for_missing_labels": data.left_out,
        "trained_with_missing_labels": data.unlabelled,
        "bits_per_pixel": depth,
        "slices_by_native_size": native,
    }


def describe_environment(device: str) -> dict[str, Any]:
    """What the speed and the last bits of a run depend on."""
    facts: dict[str, Any] = {
        "device": device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
    }
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        facts |= {"gpu": card.name, "gpu_memory": card.total_memory}
    return facts
