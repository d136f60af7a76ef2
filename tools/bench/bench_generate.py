"""`generate` beside the bare forward passes of the same network: what drawing costs besides.

Both draw the same number of images in the same batches, in turn, several rounds; the ratio is the
median over rounds of two measurements made one after the other. Bare is the whole network, mapping
and synthesis, on latents and noise that are ready; `generate` draws both, encodes, writes, syncs
and lists the files.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import torch
from bench_train import machine

from mri_gan.conditions import Conditions
from mri_gan.config import TrainConfig
from mri_gan.files import StopSignal
from mri_gan.nets.build import DrawSettings, batch_for, build_generator, noise_from_seeds
from mri_gan.nets.layers import broadcast_styles
from mri_gan.synth.generate import GenerateConfig, generate
from mri_gan.synth.sample import Trained


@click.command()
@click.option(
    "--cases", default="64:0.125,128:0.25,256:0.25", show_default=True, help="px:capacity"
)
@click.option("--rounds", default=3, show_default=True)
@click.option("--batches", default=4, show_default=True, help="Of one measurement.")
@click.option("--format", "format_", default="png", show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(cases: str, rounds: int, batches: int, format_: str, device: str) -> None:
    """Print images/s of both and their ratio, one line for each case."""
    facts = {"machine": machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    click.echo(json.dumps(facts))
    for case in cases.split(","):
        px, capacity = case.split(":")
        config = TrainConfig(max_size=int(px), capacity=float(capacity))
        click.echo(measure(config, rounds, batches, format_, device))


def measure(config: TrainConfig, rounds: int, batches: int, format_: str, device: str) -> str:
    """One line about one network."""
    net = build_generator(config.model).to(device).requires_grad_(False).eval()
    size = config.max_size
    trained = Trained(net, config, 0, size, 1.0, Path("bench"), "0", ("image",), Conditions())
    count = batches * batch_for(size)
    bare, whole = [], []
    for _ in range(rounds + 1):
        bare.append(seconds(lambda: forward(trained, batches)))
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out"
            wanted = GenerateConfig(DrawSettings(size, psi=1.0), format=format_)
            whole.append(
                seconds(lambda w=wanted, o=out: generate(trained, w, range(count), o, StopSignal()))  # type: ignore[misc]
            )
            shutil.rmtree(out, ignore_errors=True)
    ratio = median(b / w for b, w in zip(bare[1:], whole[1:], strict=True))  # the first warms up
    return (
        f"{size:>4} px  capacity {config.capacity:g}  {format_}  bare "
        f"{count / median(bare[1:]):8.2f} images/s  generate {count / median(whole[1:]):8.2f}  "
        f"share {ratio:.1%}"
    )


@torch.no_grad()
def forward(trained: Trained, batches: int) -> None:
    """The network alone, on inputs that are ready."""
    net, size = trained.generator, trained.size
    batch, device = batch_for(size), net.w_avg.device
    z = torch.randn(batch, net.latent_dim, device=device)
    noise = noise_from_seeds(range(batch), net.noise_shapes(1, size), device=device)
    for _ in range(batches):
        ws = broadcast_styles(net.map(z), net.num_layers(size))
        net.synthesis(ws, resolution=size, noise=noise).cpu()


def seconds(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
