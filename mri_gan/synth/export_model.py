"""A generator for other programs: weights, a program in one of four formats, or a package."""

from __future__ import annotations

from pathlib import Path

from mri_gan.config import require
from mri_gan.files import make_folder, write_bytes
from mri_gan.synth.figures import Drawing
from mri_gan.synth.frozen import Frozen, to_onnx, to_program, to_safetensors, to_torchscript
from mri_gan.synth.packages import medigan_files, model_card, monai_files

FORMATS = ("safetensors", "torchscript", "torch-export", "onnx", "medigan", "monai")
CARD = "MODEL_CARD.md"


def write_model(drawing: Drawing, format_: str, out: Path) -> list[Path]:
    """One export and its model card in a folder; returns the files.

    Raises UsageError for a format that is none, or needs a package that is not there; DataError
    when what was written does not draw the same images.
    """
    require(format_ in FORMATS, f"--format {format_}", f"choose one of {FORMATS}")
    make_folder(out)
    files = build_files(drawing, format_)
    files[CARD] = model_card(drawing).encode()
    for name, data in files.items():
        make_folder((out / name).parent)
        write_bytes(out / name, data)
    return [out / name for name in files]


def build_files(drawing: Drawing, format_: str) -> dict[str, bytes]:
    """The files of one format by their names."""
    if format_ == "safetensors":
        return {"generator.safetensors": to_safetensors(drawing)}
    if format_ == "onnx":
        return {"generator.onnx": to_onnx(Frozen(drawing))}
    if format_ == "torch-export":
        return {"generator.pt2": to_program(Frozen(drawing))}
    if format_ == "monai":
        return monai_files(drawing, to_torchscript(Frozen(drawing, clamped=True)))
    program = to_torchscript(Frozen(drawing))
    return medigan_files(drawing, program) if format_ == "medigan" else {"generator.pt": program}
