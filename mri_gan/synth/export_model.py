"""A trained generator as a file or folder that other programs can run."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mri_gan import __version__
from mri_gan.config import require
from mri_gan.errors import DataError, UsageError
from mri_gan.files import make_folder, write_bytes
from mri_gan.nets.protocol import broadcast_styles, truncate
from mri_gan.synth.figures import Drawing
from mri_gan.synth.generate import MARK
from mri_gan.synth.sample import condition_rows, latents, noise_for

# A generator as one function of z: size, truncation and noise are fixed, so others can run it

TOLERANCE = 1e-4  # of images of -1..1
CHECKED_SEEDS = (1, 2, 3)
INSTALL = "pip install 'mrigan[export]'"

Draw = Callable[[Tensor], NDArray[Any]]  # z [1, D] to an image [1, C, H, W]


class Frozen(nn.Module):
    """z [1, latent_dim] -> image [1, C, size, size], about -1..1.

    With the noise images of seed 0, and for a conditional network one fixed condition.
    """

    def __init__(self, drawing: Drawing) -> None:
        super().__init__()
        self.generator, self.look = drawing.trained.generator, drawing.look
        self.noise = noise_for(self.generator, [0], self.look)
        self.condition = condition_rows(drawing.trained.conditions, drawing.condition, [0])
        self.eval()

    def forward(self, z: Tensor) -> Tensor:
        net, look = self.generator, self.look
        w = truncate(net.map(z, self.condition), net.w_avg, look.psi)
        ws = broadcast_styles(w, net.num_layers(look.size))
        images: Tensor = net.synthesis(
            ws, resolution=look.size, alpha=look.alpha, noise=self.noise or None
        )
        return images


@torch.no_grad()
def to_torchscript(frozen: Frozen) -> bytes:
    """A TorchScript program, checked against the network itself."""
    stream = io.BytesIO()
    with warnings.catch_warnings():  # torch would like its format replaced
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(frozen, example(frozen), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, stream)
        stream.seek(0)
        program = torch.jit.load(stream)  # type: ignore[no-untyped-call]
    check(frozen, lambda z: program(z).numpy(), "TorchScript")
    return stream.getvalue()


@torch.no_grad()
def to_onnx(frozen: Frozen) -> bytes:
    """An ONNX model, run by onnxruntime and checked against the network itself."""
    try:
        import onnx  # noqa: F401 - the exporter needs it
        import onnxruntime
    except ImportError as error:
        raise UsageError("ONNX needs two packages more", INSTALL) from error
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            frozen,
            (example(frozen),),
            stream,  # type: ignore[arg-type]
            input_names=["z"],
            output_names=["image"],
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    check(frozen, lambda z: np.asarray(session.run(None, {"z": z.numpy()})[0]), "ONNX")
    return stream.getvalue()


def to_safetensors(drawing: Drawing) -> bytes:
    """The weights of the generator and the configuration of its shape, read back and compared."""
    try:
        import safetensors.torch as format_
    except ImportError as error:
        raise UsageError("safetensors needs a package more", INSTALL) from error
    trained = drawing.trained
    weights = {k: v.cpu().contiguous() for k, v in trained.generator.state_dict().items()}
    facts = {
        "model": json.dumps(trained.config.model.to_dict()),
        "generator_digest": trained.digest,
        "made_with": "mrigan",
    }
    data: bytes = format_.save(weights, facts)
    back = format_.load(data)
    if any(not torch.equal(back[name], weight) for name, weight in weights.items()):
        raise DataError("safetensors: differs from what was written", "report this")
    return data


def example(frozen: Frozen, seed: int = 0) -> Tensor:
    """A latent [1, D]."""
    return latents([seed], frozen.generator.latent_dim, frozen.generator.w_avg.device)


@torch.no_grad()
def check(frozen: Frozen, draw: Draw, name: str) -> None:
    """Raise DataError unless an export draws what the network draws, for three latents."""
    for seed in CHECKED_SEEDS:
        z = example(frozen, seed)
        far = float(np.abs(draw(z) - frozen(z).cpu().numpy()).max())
        if not far < TOLERANCE:
            raise DataError(f"{name}: its images differ by {far:.2g}", "report this")


# A generator as a folder that medigan or MONAI can use, and its model card

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
