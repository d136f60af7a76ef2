"""Which training slices could a picture be a copy of, and how is it aligned with them?

Every picture is tried in many poses (mirrored, turned, scaled, shifted) against all training
slices at 32 px, whole and by halves, on whitened principal components; the best few are then
aligned by Gauss-Newton steps on six affine numbers (Baker & Matthews 2004, "Lucas-Kanade 20 years
on", section 3.2, inverse compositional).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.evaluate.copies.bands import (
    COARSE_PX,
    HIGH,
    LOW,
    WORKING_PX,
    equal_contrast,
    from_bytes,
    half,
    halve,
)

MOST_SHIFT = 4  # px of 32, each way: 12.5 % of the width
WINDOW = COARSE_PX - 2 * MOST_SHIFT
COMPONENTS = 64  # of the windows of training slices
# The variance of this one is added to all before whitening; of an earlier one where they are few.
NOISE_COMPONENT = 40
TURNS = tuple(math.radians(degrees) for degrees in (-7, 0, 7))
SCALES = (0.93, 1.07)
MIRRORS = ((1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0))
WHOLE_TRIES, HALF_TRIES = 16, 2  # slices aligned coarsely, for each way to look
WHOLE_PEOPLE = 8  # of so many people at least
KEPT = 8  # slices aligned finely
PEOPLE = 6  # of so many people
COARSE_STEPS, FINE_STEPS = 5, 5
BLOCK = 256  # slices described at a time
COMPARED = 512  # slices at a time, so that the scores of a block of pictures stay in the cache
NOBODY = -1  # the group of pictures that belong to no person


@dataclass(frozen=True)
class Candidates:
    """For each of n pictures k training slices, and how the picture is aligned with each.

    `rows` [n, k] into the training slices; `poses` [n, k, 2, 3] map a point (x, y, 1) of the
    training slice, in px from the middle, into the picture; `parts` [n, k] are the numbers of the
    part of the training slice that was looked at: 0 all of it, 1 to 4 its halves.
    """

    rows: Tensor
    poses: Tensor
    parts: Tensor


class Screen:
    """Training slices at 32 px, or one half of each, by whitened principal components."""

    def __init__(
        self, base: Tensor, part: Tensor, poses: Sequence[tuple[float, ...]], step: int
    ) -> None:
        self._part = part  # [WINDOW, WINDOW], 1 where it looks
        self._poses = torch.tensor(poses)  # [V, 4]: mirror x, mirror y, turn, scale
        steps = range(-MOST_SHIFT, MOST_SHIFT + 1, step)
        self._shifts = list(product(steps, steps))
        # A block at a time: all rows together would take more memory than what is kept of them.
        self._mean = sum_blocks(base, lambda part: self._see(part).sum(0)).float() / len(base)
        # In double: few or simple slices have many equal eigenvalues.
        spread = sum_blocks(base, lambda part: gram(self._see(part) - self._mean))
        values, vectors = (part.float() for part in torch.linalg.eigh(spread))
        count = min(COMPONENTS, len(base))
        values, vectors = values.flip(0)[:count].clamp(min=0), vectors.flip(1)[:, :count]
        noise = values[min(NOISE_COMPONENT, len(base) // 2, count - 1)].clamp(min=1e-6)
        self._project = vectors / (values + noise).sqrt()
        self._base = torch.cat([self._components(self._see(p)) for p in torch.split(base, BLOCK)])

    def describe(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 64, 64] in every shift and pose, by their components [S, V, n, C]."""
        count, variants = len(pictures), len(self._poses)
        shapes = pose_matrices(self._poses.repeat_interleave(count, 0))
        turned = halve(warp(pictures.repeat(variants, 1, 1), shapes))
        rows = [self._components(self._rows(_window(turned, *shift))) for shift in self._shifts]
        return torch.stack(rows).view(len(rows), variants, count, -1)

    def compare(self, described: Tensor) -> Tensor:
        """The best score of each of n described pictures on each slice [n, N]."""
        variants, count = described.shape[1:3]
        found = []
        for base in torch.split(self._base, COMPARED):
            best = torch.full((count, len(base)), -2.0)
            for rows in described:
                scores = rows.flatten(0, 1) @ base.T
                best = torch.maximum(best, scores.view(variants, count, -1).amax(0))
            found.append(best)
        return torch.cat(found, 1)

    def poses(self, described: Tensor, slices: Tensor) -> Tensor:
        """The best poses on slices [n, k] as matrices [n, k, 2, 3], in px of the working size."""
        scores = torch.einsum("svnc,nkc->nksv", described, self._base[slices])
        which = scores.flatten(2).argmax(2).flatten()
        matrices = pose_matrices(self._poses[which % len(self._poses)])
        shifts = torch.tensor(self._shifts, dtype=torch.float32)[which // len(self._poses)]
        moved = shifts.flip(1) * (WORKING_PX / COARSE_PX)
        matrices[:, :, 2:] = matrices[:, :, :2] @ moved[:, :, None]
        return matrices.view(*slices.shape, 2, 3)

    def _see(self, base: Tensor) -> Tensor:
        return self._rows(_window(base.float(), 0, 0))

    def _rows(self, windows: Tensor) -> Tensor:
        """Windows [n, W, W] as unit rows of mean 0 within the part [n, W * W]."""
        rows, part = (windows * self._part).flatten(1), self._part.flatten()
        return F.normalize(rows - rows.sum(1, keepdim=True) / part.sum() * part)

    def _components(self, rows: Tensor) -> Tensor:
        return F.normalize((rows - self._mean) @ self._project)


def sum_blocks(base: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum of something over all slices, in double precision."""
    total = torch.zeros((), dtype=torch.double)
    for block in torch.split(base, BLOCK):
        total = total + of(block)
    return total


def gram(rows: Tensor) -> Tensor:
    """Products of the columns of rows [n, D]: [D, D], in double precision."""
    return rows.double().T @ rows.double()


class Search:
    """Finds candidates among training slices [N, 64, 64] of 8 bits, of people `groups` [N].

    The best slices of `people` people are among them, so that the picture's likeness to one person
    can be seen beside that to others.
    """

    def __init__(self, base: Tensor, groups: Tensor, people: int = PEOPLE) -> None:
        self._base, self._groups, self._people = base, groups, people
        self.persons = torch.unique(groups, return_inverse=True)[1]  # [N], numbered from 0
        self._small = torch.empty((len(base), COARSE_PX, COARSE_PX), dtype=torch.half)
        for block, made in zip(*(torch.split(x, BLOCK) for x in (base, self._small)), strict=True):
            made.copy_(halve(equal_contrast(from_bytes(block), *LOW)))
        whole = [(*mirror, turn, size) for mirror in MIRRORS for turn in TURNS for size in SCALES]
        upright = [(*mirror, 0.0, 1.0) for mirror in MIRRORS]
        self._parts = torch.stack(
            [torch.ones(WORKING_PX, WORKING_PX), *(half(WORKING_PX, side) for side in range(4))]
        )
        self._screens = [Screen(self._small, torch.ones(WINDOW, WINDOW), whole, 1)]
        self._screens += [Screen(self._small, half(WINDOW, s), upright, 2) for s in range(4)]

    def find(self, pictures: Tensor, own: Tensor) -> Candidates:
        """Candidates of other people for pictures [n, 64, 64] of people `own` [n]."""
        low = equal_contrast(pictures, *LOW)
        tried = self._screen(low, own)
        chosen = self._choose(halve(low), tried, own)
        return self._refine(equal_contrast(pictures, *HIGH), chosen)

    def _screen(self, low: Tensor, own: Tensor) -> Candidates:
        """The best slices of the whole and of each half."""
        rows, poses, parts = [], [], []
        for part, screen in enumerate(self._screens):
            described = screen.describe(low)
            scores = screen.compare(described)
            scores[own[:, None] == self._groups] = -2
            if part == 0:
                more = max(0, self._people - PEOPLE)
                people = self.persons.expand(len(scores), -1)
                found = pick_best(scores, people, WHOLE_PEOPLE + more, WHOLE_TRIES + more)
            else:
                found = _best(scores, HALF_TRIES)
            rows.append(found)
            poses.append(screen.poses(described, found))
            parts.append(torch.full_like(found, part))
        return Candidates(torch.cat(rows, 1), torch.cat(poses, 1), torch.cat(parts, 1))

    def _choose(self, small: Tensor, tried: Candidates, own: Tensor) -> Candidates:
        """Align all at 32 px and keep the best."""
        count, tries = tried.rows.shape
        poses = tried.poses.flatten(0, 1).clone()
        poses[:, :, 2] *= COARSE_PX / WORKING_PX
        fit, poses = align(
            small.repeat_interleave(tries, 0),
            self._small[tried.rows.flatten()].float(),
            poses,
            halve(self._parts)[tried.parts.flatten()],
            COARSE_STEPS,
        )
        poses[:, :, 2] *= WORKING_PX / COARSE_PX
        fit, poses = fit.view(count, tries), poses.view(count, tries, 2, 3)
        fit[own[:, None] == self._groups[tried.rows]] = -2
        more = max(0, self._people - PEOPLE)
        kept = pick_best(fit, self.persons[tried.rows], self._people, KEPT + more)
        lines = torch.arange(count)[:, None]
        return Candidates(tried.rows[lines, kept], poses[lines, kept], tried.parts[lines, kept])

    def _refine(self, high: Tensor, chosen: Candidates) -> Candidates:
        """Align those kept at 64 px on finer detail."""
        rows = chosen.rows.flatten()
        _, poses = align(
            high.repeat_interleave(chosen.rows.shape[1], 0),
            equal_contrast(from_bytes(self._base[rows]), *HIGH),
            chosen.poses.flatten(0, 1),
            self._parts[chosen.parts.flatten()],
            FINE_STEPS,
        )
        return Candidates(chosen.rows, poses.view(chosen.poses.shape), chosen.parts)


def _best(scores: Tensor, count: int) -> Tensor:
    return scores.topk(min(count, scores.shape[1]), 1).indices


def pick_best(scores: Tensor, persons: Tensor, people: int, count: int) -> Tensor:
    """The places of the `count` best of scores [n, m], and before them those of several people.

    The best one of each of the `people` best people comes first; `persons` [n, m] are numbers.
    """
    # One slice may be found in several ways, with one score: the first of them counts.
    scores = scores - 1e-5 * torch.linspace(0, 1, scores.shape[1])
    best = torch.full((len(scores), int(persons.max()) + 1), -torch.inf)
    best = best.scatter_reduce(1, persons, scores, "amax")
    least = best.topk(min(people, best.shape[1]), 1).values[:, -1:]
    theirs = best.gather(1, persons)
    first = (scores == theirs) & (theirs >= least)
    return _best(scores + 4 * first, count)


def _window(images: Tensor, dy: int, dx: int) -> Tensor:
    y, x = MOST_SHIFT + dy, MOST_SHIFT + dx
    return images[:, y : y + WINDOW, x : x + WINDOW]


def pose_matrices(poses: Tensor) -> Tensor:
    """Poses [M, 4] (mirror x, mirror y, turn in radians, scale) as matrices [M, 2, 3]."""
    mirror_x, mirror_y, turn, scale = poses.T
    cos, sin, zero = torch.cos(turn) * scale, torch.sin(turn) * scale, torch.zeros_like(turn)
    rows = [mirror_x * cos, -mirror_x * sin, zero, mirror_y * sin, mirror_y * cos, zero]
    return torch.stack(rows, 1).view(-1, 2, 3)


def warp(images: Tensor, poses: Tensor) -> Tensor:
    """Images [M, S, S] seen through poses [M, 2, 3], linearly interpolated, edges repeated."""
    size = images.shape[-1]
    scaled = torch.cat([poses[:, :, :2], poses[:, :, 2:] * 2 / size], 2)
    grid = F.affine_grid(scaled, [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def align(
    pictures: Tensor, base: Tensor, poses: Tensor, weights: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Gauss-Newton steps that lay pictures on slices [M, S, S]; the best fit and its pose.

    The fit [M] is the correlation under the weights [M, S, S], about 0, which is the mean of both.
    """
    size = base.shape[-1]
    place = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    dy, dx = torch.gradient(base, dim=(1, 2))
    unit = size / 4  # turns and scales count as shifts of points there
    columns = torch.stack([dx * x / unit, dx * y / unit, dx, dy * x / unit, dy * y / unit, dy], 1)
    columns, weight, target = columns.flatten(2), weights.flatten(1), base.flatten(1)
    weighted = columns * weight[:, None]
    normal = weighted @ columns.transpose(1, 2)
    ridge = 1e-3 * normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + 1e-6
    solve = torch.linalg.inv(normal + ridge * torch.eye(6))
    best, best_poses = torch.full((len(base),), -2.0), poses
    for step in range(steps + 1):
        seen = warp(pictures, poses).flatten(1)
        energy = (seen * seen * weight).sum(1) * (target * target * weight).sum(1)
        fit = (seen * target * weight).sum(1) / energy.sqrt().clamp(min=1e-6)
        better = fit > best
        best = torch.where(better, fit, best)
        best_poses = torch.where(better[:, None, None], poses, best_poses)
        if step < steps:
            change = (solve @ (weighted @ (seen - target)[:, :, None]))[:, :, 0].clamp(-3, 3)
            poses = _undo(poses, change, unit)
    return best, best_poses


def _undo(poses: Tensor, change: Tensor, unit: float) -> Tensor:
    """Poses after the inverse of small affine changes [M, 6] of the slice's coordinates."""
    scale = torch.tensor([1 / unit, 1 / unit, 1, 1 / unit, 1 / unit, 1])
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(change), 1, 3)
    small = torch.cat([(change * scale).view(-1, 2, 3), 0 * last], 1) + torch.eye(3)
    undone: Tensor = torch.cat([poses, last], 1) @ torch.linalg.inv(small)
    return undone[:, :2]
