"""A classifier on the slices of a store: which part of the scan is a slice from?

mrigan prepare scans/ --out STORE
python examples/classifier.py STORE
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import mri_gan as mg

PARTS = 3  # of a scan, from its first slice to its last


def load(store: str, split: str, level: int, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of (images [N, C, H, W], positions [N])."""
    data = mg.SliceDataset(store, split, level, labels=["position"])
    return DataLoader(
        data,
        batch_size=16,
        shuffle=split == "train",
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
    )


def build(channels: int) -> nn.Module:
    """Three convolutions and a mean over the picture."""
    layers: list[nn.Module] = []
    for width in (16, 32, 64):
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, PARTS))


def part_of(position: Tensor) -> Tensor:
    """The third of the scan [N]; unknown positions count as the middle."""
    return (position.nan_to_num(0.5) * PARTS).long().clamp(0, PARTS - 1)


def main() -> None:
    """Train, then print the share of slices of unseen people that are put right."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("store", help="what mrigan prepare wrote")
    parser.add_argument("--level", type=int, default=64, help="px of the slices")
    parser.add_argument("--epochs", type=int, default=10, help="times that each slice is seen")
    parser.add_argument("--workers", type=int, default=2, help="processes that read")
    given = parser.parse_args()
    torch.manual_seed(0)
    network = build(channels=1)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    training = load(given.store, "train", given.level, given.workers)
    for epoch in range(given.epochs):
        for images, position in training:
            loss = nn.functional.cross_entropy(network(images), part_of(position))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
    right = [
        network(images).argmax(1) == part_of(position)
        for images, position in load(given.store, "test", given.level, given.workers)
    ]
    print(f"right on unseen people: {torch.cat(right).float().mean():.0%}")


if __name__ == "__main__":
    main()
