"""A generator for other programs: weights, a program in one of four formats, or a package."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
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

TEMPLATES = Path(__file__).parent / "templates"


def fill_template(name: str, **values: Any) -> str:
    """A file of `templates` with a value for each of these words, in its JSON where quoted."""
    words = "|".join(values)
    return re.sub(
        rf'"({words})"|\b({words})\b',
        lambda found: json.dumps(values[found[1]]) if found[1] else str(values[found[2]]),
        (TEMPLATES / name).read_text(encoding="utf-8"),
    )


def fill_json(name: str, **values: Any) -> bytes:
    """The same of a JSON document, a line for each item."""
    return (json.dumps(json.loads(fill_template(name, **values)), indent=2) + "\n").encode()


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
    facts = {"SYNTHETIC_MARK": Shows.SYNTHETIC.value}
    source = fill_template(
        "medigan.py.txt", LATENT_DIM=drawing.trained.generator.latent_dim, **facts
    )
    entry = fill_json(
        "medigan.json",
        SIZE=drawing.look.size,
        ARCHITECTURE=drawing.trained.config.model.arch,
        DESCRIPTION=describe(drawing),
        MRIGAN_VERSION=__version__,
        **facts,
    )
    return {"__init__.py": source.encode(), "generator.pt": program, "metadata.json": entry}


def monai_files(drawing: Drawing, program: bytes) -> dict[str, bytes]:
    """A bundle of MONAI: its inputs, outputs and versions, and what `monai.bundle run` does.

    MONAI's tools look for an input called image; here it is a latent.
    """
    names, dim = drawing.trained.channel_names, drawing.trained.generator.latent_dim
    metadata = fill_json(
        "monai-metadata.json",
        TORCH_VERSION=str(torch.__version__).partition("+")[0],
        NUMPY_VERSION=np.__version__,
        DESCRIPTION=describe(drawing),
        LATENT_DIM=dim,
        CHANNELS=len(names),
        SIZE=drawing.look.size,
        CHANNEL_NAMES=dict(enumerate(names)),
    )
    steps = postprocessing(len(names))
    inference = fill_json("monai-inference.json", LATENT_DIM=dim, POSTPROCESSING=steps)
    return {
        "configs/metadata.json": metadata,
        "configs/inference.json": inference,
        "models/model.ts": program,
        "docs/README.md": model_card(drawing).encode(),
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
        {"_target_": "Transposed", "keys": "pred", "indices": [0, 2, 1]},  # columns come first
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
        return monai_files(drawing, to_torchscript(Frozen(drawing, clamped=True), said))
    program = to_torchscript(Frozen(drawing), said)
    return medigan_files(drawing, program) if format_ == "medigan" else {"generator.pt": program}
