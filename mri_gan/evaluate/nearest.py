"""Nearest neighbours by matrix products, block by block: fast, exact, flat in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vectors = NDArray[np.float32]  # [N, D]
ROWS, COLUMNS = 1024, 4096  # of one block of distances: 16 MB


def distance_blocks(queries: Tensor, base: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(first query, first base row, squared distances [n, m]) of block after block.

    Each block is overwritten by the next one. One product gives |y|^2 - 2 x y, to which |x|^2 is
    added; both sets should be centred, since large norms cancel badly.
    """
    buffer = torch.empty(min(ROWS, len(queries)) * min(COLUMNS, len(base)))
    own, others = (queries**2).sum(1), (base**2).sum(1)
    for i in range(0, len(queries), ROWS):
        rows = queries[i : i + ROWS]
        for j in range(0, len(base), COLUMNS):
            columns = base[j : j + COLUMNS]
            out = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
            torch.addmm(others[j : j + COLUMNS], rows, columns.T, alpha=-2, out=out)
            out += own[i : i + ROWS, None]
            yield i, j, out.clamp_(min=0)


def centred(a: Vectors, b: Vectors) -> tuple[Tensor, Tensor]:
    """Both sets less the mean of the second."""
    middle = b.mean(0)
    return torch.from_numpy(a - middle), torch.from_numpy(b - middle)


def nearest(
    queries: Vectors,
    base: Vectors,
    count: int = 1,
    skip_self: bool = False,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distances and rows of the `count` nearest base vectors of each query, nearest first.

    [N, count] each. `skip_self` says that both are the same set, whose vectors do not count as
    their own neighbours. Found by products of float32, then measured again exactly.
    """
    x, y = centred(queries, base)
    best = torch.full((len(x), count), torch.inf)
    found = torch.zeros((len(x), count), dtype=torch.int64)
    for i, j, block in distance_blocks(x, y):
        if skip_self:
            _fill_diagonal(block, i - j)
        if groups is not None:
            own, others = (torch.from_numpy(g) for g in groups)
            same = own[i : i + len(block), None] == others[j : j + block.shape[1]]
            block.masked_fill_(same, torch.inf)
        values, places = _smallest(block, count)
        part = slice(i, i + len(block))
        merged = torch.cat([best[part], values], 1)
        best[part], order = merged.topk(count, largest=False)
        found[part] = torch.cat([found[part], places + j], 1).gather(1, order)
    rows = found.numpy()
    exact = np.stack([np.linalg.norm(queries - base[rows[:, k]], axis=1) for k in range(count)], 1)
    return exact.astype(np.float32), rows


def _smallest(block: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The smallest values of each row; a minimum is much quicker than a selection."""
    if count == 1:
        values, places = block.min(1, keepdim=True)
        return values, places
    values, places = block.topk(min(count, block.shape[1]), largest=False)
    return values, places


def _fill_diagonal(block: Tensor, offset: int) -> None:
    """Infinity where row i meets column i + offset."""
    first, last = max(0, -offset), min(block.shape[0], block.shape[1] - offset)
    rows = torch.arange(first, max(first, last))
    block[rows, rows + offset] = torch.inf
