"""A generator as one function of z: size, truncation and noise are fixed, so others can run it."""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mri_gan.errors import DataError, UsageError
from mri_gan.nets.protocol import broadcast_styles
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import condition_rows, latents, noise_for, synthesise

TOLERANCE = 1e-4  # of the largest magnitude in the images, or of 1 where that is less
CHECKED_BATCHES = (1, 3)
TRACED_BATCH = 2  # any number but 1, which tracers take for a constant
INSTALL = "pip install 'mrigan[export]'"
PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")

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
        self.condition = condition_rows(drawing.trained.conditions, drawing.condition, [0])
        self.eval()

    def forward(self, z: Tensor) -> Tensor:
        net, look = self.generator, self.look
        z = z.flatten(1)
        told = None if self.condition is None else self.condition.expand(z.shape[0], -1)
        w = net.truncate(net.map(z, told), look.psi)
        ws = broadcast_styles(w, net.num_layers(look.px))
        images = synthesise(net, ws, self.noise or None, look)
        return images.clamp(-1, 1) if self.clamped else images


@torch.no_grad()
def to_torchscript(frozen: Frozen) -> bytes:
    """A TorchScript program for any number of latents, checked against the network itself."""
    stream = io.BytesIO()
    with warnings.catch_warnings():  # torch would like its format replaced
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(frozen, examples(frozen, TRACED_BATCH), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, stream)
        data = drop_debug(stream.getvalue())
        program = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
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


def to_program(frozen: Frozen) -> bytes:
    """A program of `torch.export` (.pt2), checked against the network itself."""
    stream = io.BytesIO()
    torch.export.save(export(frozen), stream)
    program = torch.export.load(io.BytesIO(stream.getvalue())).module()
    check(frozen, lambda z: program(z).detach().numpy(), "torch.export")
    return stream.getvalue()


def to_onnx(frozen: Frozen) -> bytes:
    """An ONNX model for any number of latents, run by onnxruntime and checked.

    Raises UsageError where its packages are not installed.
    """
    try:
        import onnx  # noqa: F401 - the exporter needs both
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("ONNX needs three more packages", INSTALL) from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # says that torchvision is not there
    with warnings.catch_warnings():  # of the exporter's own parts
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            export(frozen), input_names=["z"], output_names=["image"], verbose=False, dynamo=True
        )
    assert made is not None
    data: bytes = made.model_proto.SerializeToString()
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
