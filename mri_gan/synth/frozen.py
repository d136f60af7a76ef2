"""A generator as one function of z: size, truncation and noise are fixed, so others can run it."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mri_gan.errors import DataError, UsageError
from mri_gan.nets.styles import broadcast_styles, truncate
from mri_gan.synth.conditioning import condition_rows
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import latents, noise_for

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
