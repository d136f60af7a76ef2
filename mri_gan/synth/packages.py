"""A generator as a folder that medigan or MONAI can use, and its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mri_gan import __version__
from mri_gan.config import require
from mri_gan.files import make_folder, write_bytes
from mri_gan.synth.encoding import MARK
from mri_gan.synth.figures import Drawing
from mri_gan.synth.frozen import Frozen, to_onnx, to_safetensors, to_torchscript

FORMATS = ("safetensors", "torchscript", "onnx", "medigan", "monai")
CARD = "MODEL_CARD.md"

MEDIGAN_INIT = '''"""Synthetic images from a TorchScript generator."""

import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image

_MODELS = {}


def generate(model_file, num_samples=10, output_path="", save_images=True, seed=0, **_):
    """Write PNGs to `output_path`, or return the images as a list of arrays."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if model_file not in _MODELS:
            _MODELS[model_file] = torch.jit.load(model_file, map_location=device).eval()
        images = []
        for number in range(num_samples):
            rng = torch.Generator().manual_seed(seed + number)
            z = torch.randn(1, LATENT_DIM, generator=rng).to(device)
            with torch.no_grad():
                image = _MODELS[model_file](z)[0].cpu().clamp(-1, 1).numpy()
            grey = np.uint8(np.floor((image + 1) * 127.5 + 0.5))
            images.append(grey.transpose(1, 2, 0).squeeze())
        if not save_images:
            return images
        Path(output_path).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(Path(output_path) / f"synthetic{seed + number:06d}.png")
        logging.debug("wrote %d synthetic images", num_samples)
    except (OSError, RuntimeError, ValueError) as error:
        raise RuntimeError(f"no images from {model_file}: {error}") from error
'''


def write_model(drawing: Drawing, format_: str, out: Path) -> list[Path]:
    """One export and its model card in a folder; returns the files.

    Raises UsageError for a format that is none, or needs a package that is not there; DataError
    when what was written does not draw the same images.
    """
    require(format_ in FORMATS, f"--format {format_}", f"choose one of {FORMATS}")
    make_folder(out)
    if format_ == "safetensors":
        files = {"generator.safetensors": to_safetensors(drawing)}
    elif format_ == "onnx":
        files = {"generator.onnx": to_onnx(Frozen(drawing))}
    else:
        program = to_torchscript(Frozen(drawing))
        files = {"generator.pt": program}
        if format_ == "medigan":
            files = medigan_files(drawing, program)
        elif format_ == "monai":
            files = monai_files(drawing, program)
    files[CARD] = model_card(drawing).encode()
    for name, data in files.items():
        make_folder((out / name).parent)
        write_bytes(out / name, data)
    return [out / name for name in files]


def dump(value: Any) -> bytes:
    """JSON for people and programs."""
    return (json.dumps(value, indent=2) + "\n").encode()


def describe(drawing: Drawing) -> str:
    """What the model is, in one sentence."""
    config, look = drawing.trained.config, drawing.look
    return (
        f"{config.model.arch} generator of {look.size} px slices "
        f"({', '.join(drawing.trained.channel_names)}), "
        f"trained on {drawing.trained.nimg / 1000:g} thousand images with mrigan"
    )


def medigan_files(drawing: Drawing, program: bytes) -> dict[str, bytes]:
    """Weights, `__init__.py` with `generate`, and the entry for medigan's global.json."""
    look, dim = drawing.look, drawing.trained.generator.latent_dim
    entry = {
        "00000_MRIGAN_MRI_SLICE_FULL": {
            "execution": {
                "package_name": "mrigan_model",
                "package_link": "",
                "model_name": "generator",
                "extension": ".pt",
                "image_size": [look.size, look.size],
                "dependencies": ["numpy", "torch", "Pillow"],
                "generate_method": {
                    "name": "generate",
                    "args": {
                        "base": ["model_file", "num_samples", "output_path", "save_images"],
                        "custom": {"seed": 0},
                    },
                },
            },
            "selection": {
                "modality": ["MRI"],
                "function": ["noise to image"],
                "height": look.size,
                "width": look.size,
                "type": drawing.trained.config.model.arch,
                "privacy_preservation": False,
                "tags": ["MRI", "synthetic"],
            },
            "description": {"title": describe(drawing), "version": __version__, "comment": MARK},
        }
    }
    source = MEDIGAN_INIT.replace("LATENT_DIM", str(dim)).encode()
    return {"__init__.py": source, "generator.pt": program, "metadata.json": dump(entry)}


def monai_files(drawing: Drawing, program: bytes) -> dict[str, bytes]:
    """A MONAI bundle: metadata.json and inference.json in configs, models/model.ts, docs."""
    size, dim = drawing.look.size, drawing.trained.generator.latent_dim
    channels = len(drawing.trained.channel_names)
    names = {str(i): name for i, name in enumerate(drawing.trained.channel_names)}
    common = {"is_patch_data": False, "dtype": "float32"}
    metadata = {
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported"},
        "monai_version": "1.3.0",
        "pytorch_version": str(torch.__version__).partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "task": "Synthetic MRI slices",
        "description": describe(drawing),
        "authorship": "to be filled in",
        "copyright": "under the terms of the training data",
        "network_data_format": {
            "inputs": {
                "z": {
                    **common,
                    "type": "noise",
                    "format": "latent",
                    "num_channels": 1,
                    "spatial_shape": [dim],
                    "value_range": [],
                }
            },
            "outputs": {
                "pred": {
                    **common,
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": channels,
                    "spatial_shape": [size, size],
                    "value_range": [-1, 1],
                    "channel_def": names,
                }
            },
        },
    }
    inference = {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "seed": 0,
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "z": f"$torch.randn(1, {dim}, generator=torch.Generator().manual_seed(@seed)).to(@device)",
        "image": "$@network_def(@z)",
        "run": ["$@image"],
    }
    return {
        "configs/metadata.json": dump(metadata),
        "configs/inference.json": dump(inference),
        "models/model.ts": program,
        "docs/README.md": model_card(drawing).encode(),
    }


def model_card(drawing: Drawing) -> str:
    """What a user of the model should know, from the run; what it cannot know is left open."""
    trained, look = drawing.trained, drawing.look
    config = trained.config
    weights = sum(p.numel() for p in trained.generator.parameters())
    mm = trained.pixel_mm and trained.pixel_mm * trained.size / look.size
    rows = {
        "architecture": f"{config.model.arch}, {weights / 1e6:.2f} M weights",
        "images": f"{look.size} px, channels: {', '.join(trained.channel_names)}",
        "pixel size": f"{mm:.3g} mm" if mm else "not known",
        "conditions": "; ".join(c.choices() for c in trained.conditions.columns) or "none",
        "training": f"{trained.nimg:,} real images shown, loss {config.loss}, seed {config.seed}",
        "export": f"truncation {look.psi:g}, noise {look.noise:g} of seed 0, one z at a time",
        "generator digest": trained.digest,
        "mrigan": __version__,
    }
    lines = ["# Model card", "", f"{describe(drawing)}.", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    lines += [
        "",
        f"**Output.** {MARK}. For research; not for diagnosis.",
        "",
        "**Data and terms.** To be filled in: what it was trained on, under which terms. They",
        "bind the model and its images too.",
        "",
        "**Privacy.** To be filled in from `mrigan audit`: whether samples copy training slices.",
        "Not audited means not known.",
        "",
        "**Quality.** To be filled in from `mrigan evaluate`.",
    ]
    return "\n".join(lines) + "\n"
