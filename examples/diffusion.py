"""A small diffusion model on the slices of a store (Ho, Jain and Abbeel 2020, algorithms 1 and 2).

mrigan prepare scans/ --out STORE
python examples/diffusion.py STORE --steps 20000 --out samples.png  # hours on a CPU
"""

from __future__ import annotations

import argparse
import itertools
from time import perf_counter

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

import mri_gan as mg

TIMES = 200
KEPT = torch.cumprod(1 - torch.linspace(1e-4, 0.05, TIMES), 0)  # share of signal at each time


class Denoiser(nn.Module):
    """Finds the noise in images [N, 1, H, W] at times [N]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time = nn.Embedding(TIMES, width)
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=2**i, dilation=2**i) for i in range(5)
        )
        self.leave = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        features = self.enter(images)
        for layer in self.layers:
            features = features + layer(
                nn.functional.silu(features + self.time(times)[..., None, None])
            )
        found: Tensor = self.leave(features)
        return found


@torch.no_grad()
def sample(network: Denoiser, shape: tuple[int, ...]) -> Tensor:
    """Images from noise, one time after another."""
    images = torch.randn(shape)
    for time in range(TIMES - 1, -1, -1):
        kept, before = KEPT[time], KEPT[time - 1] if time else torch.tensor(1.0)
        noise = network(images, torch.full((shape[0],), time))
        share = kept / before
        images = (images - (1 - share) / (1 - kept).sqrt() * noise) / share.sqrt()
        if time:
            images = images + (1 - share).sqrt() * torch.randn(shape)
    return images.clamp(-1, 1)


def main() -> None:
    """Train for some steps and write a row of eight samples."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("store", help="what mrigan prepare wrote")
    parser.add_argument("--level", type=int, default=32, help="px of the slices")
    parser.add_argument("--steps", type=int, default=1000, help="training steps of 16 slices")
    parser.add_argument("--width", type=int, default=64, help="channels of the network")
    parser.add_argument("--workers", type=int, default=2, help="processes that read")
    parser.add_argument("--out", default="samples.png", help="eight samples in a row")
    given = parser.parse_args()
    loader = DataLoader(
        mg.SliceDataset(given.store, "train", given.level), 16, True, num_workers=given.workers
    )
    network = Denoiser(given.width)
    optimiser = torch.optim.Adam(network.parameters(), 2e-4)
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    began = perf_counter()
    for step, images in enumerate(itertools.islice(epochs, given.steps), 1):
        times, noise = torch.randint(TIMES, (len(images),)), torch.randn_like(images)
        kept = KEPT[times][:, None, None, None]
        noisy = kept.sqrt() * images + (1 - kept).sqrt() * noise
        loss = (network(noisy, times) - noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in (10, given.steps) or step % 100 == 0:
            left = (perf_counter() - began) / step * (given.steps - step)
            print(f"{step} steps, loss {loss.item():.3f}, {left:.0f} s left", flush=True)
    row = torch.cat(list(sample(network, (8, 1, given.level, given.level))[:, 0]), 1)
    Image.fromarray(((row + 1) * 127.5).byte().numpy()).save(given.out)


if __name__ == "__main__":
    main()
