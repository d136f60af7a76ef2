"""A generator for other programs: weights, a program in one of four formats, or a package."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mri_gan import __version__
from mri_gan.config import CONFIG, require_one_of
from mri_gan.errors import DataError, UsageError
from mri_gan.files import make_folder, one_line, write_bytes
from mri_gan.nets.build import latents, noise_for, synthesise
from mri_gan.nets.layers import broadcast_styles
from mri_gan.pictures import Shows
from mri_gan.report import cards
from mri_gan.report.facts import read_run
from mri_gan.synth.figures import Drawing
from mri_gan.synth.foreign.torchscript import run_archive

TOLERANCE = 1e-4  # of the largest magnitude in the images, or of 1 where that is less
CHECKED_BATCHES = (1, 3)
TRACED_BATCH = 2  # any number but 1, which tracers take for a constant
INSTALL = "pip install 'mrigan[export]'"
PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")

EXTRA = "mrigan.json"  # in the archives of torch's own formats

Said = Mapping[str, str]
Draw = Callable[[Tensor], NDArray[Any]]  # z [N, D] to images [N, C, H, W]


class Frozen(nn.Module):
    """z [N, latent_dim] (or [N, 1, latent_dim]) -> images [N, C, size, size], about -1..1.

    With the noise images of seed 0, and for a conditional network one fixed condition. `clamped`
    keeps the images within -1..1.
    """

    def __init__(self, drawing: Drawing, *, clamped: bool = False) -> None:
        super().__init__()
        self.generator, self.look, self.clamped = drawing.trained.generator, drawing.look, clamped
        self.noise = noise_for(self.generator, [0], self.look)
        self.condition = drawing.conditions([0])
        self.eval()

    def forward(self, z: Tensor) -> Tensor:
        net, look = self.generator, self.look
        z = z.flatten(1)
        condition = None if self.condition is None else self.condition.expand(z.shape[0], -1)
        w = net.truncate(net.map(z, condition), look.psi)
        ws = broadcast_styles(w, net.num_layers(look.px))
        images = synthesise(net, ws, self.noise or None, look)
        return images.clamp(-1, 1) if self.clamped else images


def say_origin(drawing: Drawing) -> Said:
    """What a file says of itself: that its images are of nobody, and which weights it has."""
    return {
        "shows": Shows.SYNTHETIC.value,
        "generator_digest": drawing.trained.digest,
        "made_with": "mrigan",
    }


@torch.no_grad()
def to_torchscript(frozen: Frozen, said: Said) -> bytes:
    """A TorchScript program for any number of latents, checked against the network itself."""
    stream = io.BytesIO()
    with warnings.catch_warnings():  # torch would like its format replaced
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(frozen, examples(frozen, TRACED_BATCH), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, stream, _extra_files={EXTRA: json.dumps(said)})
        data = drop_debug(stream.getvalue())
    program = run_archive(data)
    check(frozen, lambda z: program(z).numpy(), "TorchScript")
    return data


def drop_debug(data: bytes) -> bytes:
    """A TorchScript archive without its records of source lines, with this machine's paths."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w") as after:
        for info in before.infolist():
            if not info.filename.endswith(".debug_pkl"):
                after.writestr(zipfile.ZipInfo(info.filename), before.read(info))
    return stream.getvalue()


@contextlib.contextmanager
def explain_old_torch(name: str) -> Iterator[None]:
    """Raise UsageError where torch's own exporter fails, as older ones do for some networks."""
    try:
        with warnings.catch_warnings():  # of the exporter's own parts
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # of many kinds, from deep within torch
        raise UsageError(
            f"torch {torch.__version__} cannot export this network as {name} ({one_line(error)})",
            "install a newer torch, or use another --format",
        ) from error


@torch.no_grad()
def export(frozen: Frozen) -> torch.export.ExportedProgram:
    """The program of `torch.export` for any number of latents, without this machine's paths."""
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(
        frozen, (examples(frozen, TRACED_BATCH),), dynamic_shapes=({0: batch},)
    )
    for node in exported.graph.nodes:
        for name in PATHS:
            node.meta.pop(name, None)
    return exported


def to_program(frozen: Frozen, said: Said) -> bytes:
    """A program of `torch.export` (.pt2), checked against the network itself."""
    stream = io.BytesIO()
    with explain_old_torch("torch.export"):
        torch.export.save(export(frozen), stream, extra_files={EXTRA: json.dumps(said)})
        program = torch.export.load(io.BytesIO(stream.getvalue())).module()
    check(frozen, lambda z: program(z).detach().numpy(), "torch.export")
    return stream.getvalue()


def to_onnx(frozen: Frozen, said: Said) -> bytes:
    """An ONNX model for any number of latents, run by onnxruntime and checked.

    Raises UsageError where its packages are not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - which the exporter needs
    except ImportError as error:
        raise UsageError("ONNX needs three more packages", INSTALL) from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # says that torchvision is not there
    with explain_old_torch("ONNX"):
        made: Any = torch.onnx.export(
            export(frozen), input_names=["z"], output_names=["image"], verbose=False, dynamo=True
        )
        model = made.model_proto  # made anew at every look
        onnx.helper.set_model_props(model, dict(said))
        data: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    check(frozen, lambda z: np.asarray(session.run(None, {"z": z.numpy()})[0]), "ONNX")
    return data


def to_safetensors(drawing: Drawing) -> bytes:
    """The weights of the generator and the configuration of its shape, read back and compared."""
    try:
        import safetensors.torch as format_
    except ImportError as error:
        raise UsageError("safetensors needs one more package", INSTALL) from error
    trained = drawing.trained
    weights = {k: v.cpu().contiguous() for k, v in trained.generator.state_dict().items()}
    shape = {"model": json.dumps(trained.config.model.to_dict())}
    data: bytes = format_.save(weights, {**shape, **say_origin(drawing)})
    back = format_.load(data)
    if any(not torch.equal(back[name], weight) for name, weight in weights.items()):
        raise DataError("safetensors: differs from what was written", "report this")
    return data


def examples(frozen: Frozen, count: int) -> Tensor:
    """Latents of the seeds from 0 [N, D]."""
    return latents(range(count), frozen.generator.latent_dim, frozen.generator.w_avg.device)


@torch.no_grad()
def check(frozen: Frozen, draw: Draw, name: str) -> None:
    """Raise DataError unless an export draws what the network draws, one image and three."""
    for count in CHECKED_BATCHES:
        z = examples(frozen, count)
        wanted = frozen(z).cpu().numpy()
        found = draw(z)
        if found.shape != wanted.shape:
            raise DataError(f"{name}: its images are {list(found.shape)}", "report this")
        far = float(np.abs(found - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
        if not far < TOLERANCE:
            raise DataError(f"{name}: its images differ by {far:.2g}", "report this")


# A generator as a folder that medigan or MONAI can use, and its model card

MARK = Shows.SYNTHETIC.value
MEDIGAN_INIT = Path(__file__).parent / "templates" / "medigan.py.txt"


def dump_json(value: Any) -> bytes:
    """JSON for people and programs."""
    return (json.dumps(value, indent=2) + "\n").encode()


def describe(drawing: Drawing) -> str:
    """What the model is, in one sentence."""
    config, look = drawing.trained.config, drawing.look
    names = [column.name for column in drawing.trained.conditions.columns]
    return (
        f"{config.model.arch} generator of {look.size} px slices "
        f"({', '.join(drawing.trained.channel_names)}){cards.say_conditional(names)}, "
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
                        "custom": {"seed": None},
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
    source = MEDIGAN_INIT.read_text(encoding="utf-8").replace("LATENT_DIM", str(dim))
    source = source.replace("SYNTHETIC_MARK", MARK)
    return {
        "__init__.py": source.encode(),
        "generator.pt": program,
        "metadata.json": dump_json(entry),
    }


def monai_metadata(drawing: Drawing) -> dict[str, Any]:
    """What MONAI's tools know of a bundle: its inputs, outputs and versions."""
    size, dim = drawing.look.size, drawing.trained.generator.latent_dim
    names = dict(enumerate(drawing.trained.channel_names))
    common = {"is_patch_data": False, "dtype": "float32"}
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
        "0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported"},
        "monai_version": "1.3.0",
        "pytorch_version": str(torch.__version__).partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"pytorch-ignite": "0.4.11", "pillow": "10.3.0"},
        "task": "Synthetic MRI slices",
        "description": describe(drawing),
        "authors": "to be filled in",
        "copyright": "under the terms of the training data",
        "network_data_format": {
            "inputs": {
                "image": {  # MONAI's tools look for this name; it is a latent
                    **common,
                    "type": "noise",
                    "format": "latent",
                    "num_channels": 1,
                    "spatial_shape": [dim],
                    "value_range": [],
                    "channel_def": {"0": "latent"},
                }
            },
            "outputs": {
                "pred": {
                    **common,
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": len(names),
                    "spatial_shape": [size, size],
                    "value_range": [-1, 1],
                    "channel_def": names,
                }
            },
        },
    }


def monai_inference(drawing: Drawing) -> dict[str, Any]:
    """What `python -m monai.bundle run` does: draw latents by seed, write an image for each."""
    dim, channels = drawing.trained.generator.latent_dim, len(drawing.trained.channel_names)
    latent = f"torch.randn(1, {dim}, generator=torch.Generator().manual_seed(@seed + i))"
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "seed": 0,
        "num_images": 8,
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "dataset": {
            "_target_": "Dataset",
            "data": f"$[{{'image': {latent}}} for i in range(@num_images)]",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 4},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": postprocessing(channels)},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network_def",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def postprocessing(channels: int) -> list[dict[str, Any]]:
    """MONAI's transforms from images of -1..1 to files: PNG where that can hold them."""
    files = {"keys": "pred", "output_dir": "@output_dir", "output_postfix": "synthetic"}
    save = {"_target_": "SaveImaged", **files, "separate_folder": False, "resample": False}
    if channels not in (1, 3):
        return [{**save, "output_ext": ".nii.gz"}]
    scale = {"a_min": -1.0, "a_max": 1.0, "b_min": 0.0, "b_max": 1.0, "clip": True}
    return [
        {"_target_": "ScaleIntensityRanged", "keys": "pred", **scale},
        {
            "_target_": "Transposed",
            "keys": "pred",
            "indices": [0, 2, 1],
        },  # columns come first there
        {**save, "output_ext": ".png", "scale": 255},
    ]


def model_card(drawing: Drawing) -> str:
    """What a user of the model should know, from its run folder; the unknown is left open."""
    trained, look = drawing.trained, drawing.look
    config = trained.config
    weights = sum(p.numel() for p in trained.generator.parameters())
    mm = trained.pixel_mm_at(look.size)
    rows = {
        "architecture": f"{config.model.arch}, {weights / 1e6:.2f} M weights",
        "images": f"{look.size} px, channels: {', '.join(trained.channel_names)}",
        "pixel size": f"{mm:.3g} mm" if mm else "not known",
        "conditions": "; ".join(c.choices() for c in trained.conditions.columns) or "none",
        **({"drawn condition": drawing.words([0])[0]} if trained.conditions else {}),
        "training": f"{trained.nimg:,} real images shown, loss {config.loss}, seed {config.seed}",
        "export": f"truncation {look.psi:g}, noise {look.noise:g} of seed 0",
        "input": f"z [N, {trained.generator.latent_dim}], from a standard normal distribution",
        "output": f"[N, {config.channels}, {look.size}, {look.size}], from about -1, black, to 1",
        "generator digest": trained.digest,
        "mrigan": __version__,
    }
    folder = trained.path.parent
    run = read_run(folder) if (folder / CONFIG).is_file() else None
    names = [column.name for column in trained.conditions.columns]
    return cards.model_card(run, describe(drawing), rows, names, look.size)


# A generator for other programs: weights, a program in one of four formats, or a package

FORMATS = ("safetensors", "torchscript", "torch-export", "onnx", "medigan", "monai")
CARD = "MODEL_CARD.md"


def write_model(drawing: Drawing, format_: str, out: Path) -> list[Path]:
    """One export and its model card in a folder; returns the files.

    Raises UsageError for a format that is none, or needs a package that is not there; DataError
    when what was written does not draw the same images.
    """
    require_one_of("--format", format_, FORMATS)
    make_folder(out)
    files = build_files(drawing, format_)
    files[CARD] = model_card(drawing).encode()
    for name, data in files.items():
        make_folder((out / name).parent)
        write_bytes(out / name, data)
    return [out / name for name in files]


def build_files(drawing: Drawing, format_: str) -> dict[str, bytes]:
    """The files of one format by their names."""
    said = say_origin(drawing)
    if format_ == "safetensors":
        return {"generator.safetensors": to_safetensors(drawing)}
    if format_ == "onnx":
        return {"generator.onnx": to_onnx(Frozen(drawing), said)}
    if format_ == "torch-export":
        return {"generator.pt2": to_program(Frozen(drawing), said)}
    if format_ == "monai":
        return {
            "configs/metadata.json": dump_json(monai_metadata(drawing)),
            "configs/inference.json": dump_json(monai_inference(drawing)),
            "models/model.ts": to_torchscript(Frozen(drawing, clamped=True), said),
            "docs/README.md": model_card(drawing).encode(),
        }
    program = to_torchscript(Frozen(drawing), said)
    return medigan_files(drawing, program) if format_ == "medigan" else {"generator.pt": program}
