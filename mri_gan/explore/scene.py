"""What a person can move in front of a generator, and the image that comes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.conditions import UNKNOWN, Column, encode_labels
from mri_gan.config import CONFIG, LEVELS, require
from mri_gan.errors import UsageError
from mri_gan.files import make_folder, write_bytes
from mri_gan.nets.build import DrawSettings, draw_images, latents, pick_precision, styles_of_seeds
from mri_gan.nets.layers import broadcast_styles, keep_kernels, mix_styles
from mri_gan.pictures import (
    LAYOUT,
    SHEET,
    png_bytes,
    read_edges,
    read_texts,
    say_channels,
    say_edges,
    sheet_pixels,
    to_stored,
)
from mri_gan.synth.directions import Directions, find_directions
from mri_gan.synth.figures import Drawing, default_crossover
from mri_gan.synth.generate import GenerateConfig, seed_name, seed_paths, write_image
from mri_gan.synth.sample import LARGEST, Trained, only_styled, settings_to_draw
from mri_gan.synth.walk import slerp
from mri_gan.values import say_count

MOVE, LABEL = "move", "label"  # names of the numbered fields of a form: move0, label1
REACH = 3.0  # standard deviations each way along a direction
WIDE = 5_000_000  # weights; with fewer a picture comes at once in float32, too
PSI, NOISE = (0.0, 1.5), (0.0, 2.0)
MOST_SAVED = 100  # images in the list of the page
ODD = (LookupError, TypeError, ValueError, UsageError)  # by a scene in a file that is not ours


@dataclass(frozen=True)
class Scene:
    """Everything that decides one image of a generator."""

    seed: int
    size: int  # px
    psi: float = 0.7
    noise: float = 1.0
    blend: float = 0.0  # of the way to the next seed
    detail_seed: int | None = None  # whose styles the last layers take
    crossover: int = 1  # layers from `seed`
    moves: tuple[float, ...] = ()  # along each direction, in standard deviations of w
    labels: tuple[tuple[str, str], ...] = ()  # (name, value); unknown ones are left out

    @property
    def condition(self) -> str:
        """The labels as `--condition` takes them."""
        return ",".join(f"{name}={value}" for name, value in self.labels)


class Explorer:
    """A generator with its directions; one image is drawn at a time, always by the same thread.

    Each thread that calls torch gets helpers of its own; with those of two on the machine's cores,
    a picture of a wide network takes twice as long.
    """

    def __init__(self, trained: Trained, method: str = "sefa", count: int = 6) -> None:
        self.trained = trained
        keep_kernels(trained.generator)
        sizes = trained.generator.resolutions
        self.sizes = [size for size in sizes if size in LEVELS and size <= trained.size]
        self.columns: tuple[Column, ...] = trained.conditions.columns
        self._hand = ThreadPoolExecutor(1, "mrigan-draw")
        hand = Drawing(trained, DrawSettings(trained.size, trained.alpha))
        self.has_noise = hand.has_noise
        self.has_styles = trained.generator.has_styles
        self.layers = trained.generator.num_layers(trained.size)
        self.crossover = default_crossover(self.layers)
        self.found: Directions | None = None
        if self.has_styles and count:
            count = min(count, trained.generator.w_avg.numel())
            self.found = self._hand.submit(find_directions, hand, method, count).result()
        self.kind = trained.generator.w_avg.device.type
        weights = sum(weight.numel() for weight in trained.generator.parameters())
        wide = self.kind == "cpu" and weights > WIDE
        self.halved = wide and pick_precision("auto", self.kind) == "bf16"

    @property
    def directions(self) -> int:
        """How many directions there are to move along."""
        return len(self.found.vectors) if self.found else 0

    def read_scene(self, form: Mapping[str, str]) -> Scene:
        """The scene that a form's fields describe; what is left out has its default.

        Raises UsageError for a value that the generator cannot draw.
        """
        detail = form.get("detail_seed") or None
        scene = Scene(
            _integer(form, "seed", 0, LARGEST),
            _integer(form, "size", 1, LEVELS[-1], self.trained.size),
            _number(form, "psi", *PSI, 0.7),
            _number(form, "noise", *NOISE, 1.0),
            _number(form, "blend", 0.0, 1.0, 0.0),
            None if detail is None else _integer(form, "detail_seed", 0, LARGEST),
            _integer(form, "crossover", 1, max(1, self.layers - 1), self.crossover),
            tuple(_number(form, f"{MOVE}{i}", -REACH, REACH, 0.0) for i in range(self.directions)),
            tuple(self._labels(form)),
        )
        settings_to_draw(self.trained, scene.size)
        require(self.has_styles or scene.detail_seed is None, "this network has no styles to mix")
        self._condition(scene)
        return scene

    def _labels(self, form: Mapping[str, str]) -> list[tuple[str, str]]:
        given = [form.get(f"{LABEL}{i}", default_value(c)) for i, c in enumerate(self.columns)]
        pairs = zip(self.columns, given, strict=True)
        return [
            (column.name, value)
            for column, value in pairs
            if not (column.gaps and value == UNKNOWN and UNKNOWN not in column.values)
        ]

    def _condition(self, scene: Scene) -> Tensor | None:
        spec = self.trained.conditions
        return torch.from_numpy(encode_labels(spec, dict(scene.labels))) if spec else None

    def draw(self, scene: Scene, *, exact: bool = False) -> NDArray[np.float32]:
        """The image [C, H, W] of a scene, about -1..1.

        `exact` draws the bits of `mrigan generate`, which takes a full batch; otherwise rounding
        differs in the last bits, or by some grey levels where a wide network is `halved`.
        """
        return self._hand.submit(self._draw, scene, exact).result()

    def _draw(self, scene: Scene, exact: bool) -> NDArray[np.float32]:
        net, look = self.trained.generator, self._look(scene)
        condition = self._condition(scene)
        layers = net.num_layers(look.px)
        seeds = [scene.seed] + ([] if scene.detail_seed is None else [scene.detail_seed])
        w = styles_of_seeds(net, seeds, scene.psi, condition)
        if scene.blend:
            w = torch.cat([self._blended(scene, condition), w[1:]])
        ws = broadcast_styles(w[:1] + self._moved(scene).to(w.device), layers)
        if len(seeds) > 1 and layers > 1:
            first = min(scene.crossover, layers - 1)
            ws = mix_styles(ws[:, 0], w[1:], first, layers)
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.halved and not exact):
            images = draw_images(net, ws, seeds[:1], look, None if exact else 1)
        return np.asarray(images[0].float().numpy())

    def _blended(self, scene: Scene, condition: Tensor | None) -> Tensor:
        """w [1, D] between a seed and the next, in z along the great circle, as `walk` goes."""
        net = self.trained.generator
        z = latents([scene.seed, (scene.seed + 1) % (LARGEST + 1)], net.latent_dim, self.kind)
        between = slerp(z[0], z[1], torch.tensor([[scene.blend]], device=z.device))
        rows = None if condition is None else condition.to(z.device).expand(1, -1)
        return net.truncate(net.map(between, rows), scene.psi)

    def _look(self, scene: Scene) -> DrawSettings:
        return settings_to_draw(self.trained, scene.size, scene.psi, scene.noise)

    def _moved(self, scene: Scene) -> Tensor:
        """What the moves add to w [1, D]."""
        if self.found is None or not any(scene.moves):
            return torch.zeros(1, 1)
        steps = torch.tensor(scene.moves) * self.found.spread
        return (steps[:, None] * self.found.vectors).sum(0, keepdim=True)

    def describe(self, scene: Scene) -> str:
        """A scene in words, for the picture's text and for lists."""
        words = [f"seed {scene.seed}"]
        words += [f"{scene.blend:.0%} towards the next seed"] if scene.blend else []
        words.append(f"{scene.size} px")
        if self.has_styles:
            words.append(f"truncation {scene.psi:g}")
        if self.has_noise and scene.noise != 1:
            words.append(f"noise {scene.noise:g}")
        if scene.detail_seed is not None:
            layers = say_count(scene.crossover, "layer")
            words.append(f"detail of seed {scene.detail_seed} after {layers}")
        words += [f"direction {i + 1} {m:+g}" for i, m in enumerate(scene.moves) if m]
        given = dict(scene.labels)
        words += [f"{column.name} {given.get(column.name, UNKNOWN)}" for column in self.columns]
        return ", ".join(words)

    def form_of(self, scene: Scene) -> dict[str, str]:
        """The fields that describe a scene: the inverse of `read_scene`."""
        names = ("seed", "size", "psi", "noise", "blend", "crossover")
        fields = {name: str(getattr(scene, name)) for name in names}
        fields["detail_seed"] = "" if scene.detail_seed is None else str(scene.detail_seed)
        given = dict(scene.labels)
        fields |= {f"{MOVE}{i}": str(move) for i, move in enumerate(scene.moves)}
        labels = (given.get(column.name, UNKNOWN) for column in self.columns)
        return fields | {f"{LABEL}{i}": value for i, value in enumerate(labels)}

    def tell(self, path: Path, scene: Scene) -> dict[str, str]:
        """A saved image for the page's list: its file, what it shows, and the fields to set."""
        fields = urlencode(self.form_of(scene))
        return {"file": path.name, "text": self.describe(scene), "query": fields}

    def list_saved(self, folder: Path) -> list[dict[str, str]]:
        """The images in a folder that were saved from this generator, the newest first."""
        told = []
        for path in sorted(folder.glob("seed*-*.png"), key=_changed, reverse=True)[:MOST_SAVED]:
            texts = read_texts(path)
            if texts.get("generator") == self.trained.digest and "scene" in texts:
                with contextlib.suppress(*ODD):
                    scene = self.read_scene(self.form_of(_parse_scene(str(texts["scene"]))))
                    told.append(self.tell(path, scene))
        return told

    def save(self, scene: Scene, folder: Path) -> Path:
        """Write the image as a PNG (and its mask, where it has one), named after its seed.

        Several contrasts stand beside each other in it, as on the page.
        The file's text chunks hold the whole scene and the digest of the generator; the same scene
        is the same file. Raises DataError when the disk refuses.
        """
        text = json.dumps(dataclasses.asdict(scene))
        facts = {"seed": str(scene.seed), "scene": text, "condition": scene.condition}
        facts["generator"] = self.trained.digest
        name = hashlib.sha256(f"{self.trained.digest} {text}".encode()).hexdigest()[:8]
        config = GenerateConfig(self._look(scene))
        made = [
            path.with_name(
                path.name.replace(seed_name(scene.seed), f"{seed_name(scene.seed)}-{name}")
            )
            for path in seed_paths(folder, scene.seed, self.trained, config)
        ]
        image, names = to_stored(self.draw(scene, exact=True), 8), self.trained.channel_names
        if say_channels(names[: len(names) - self.trained.has_mask]):
            make_folder(folder)
            sheet = sheet_pixels(image[None], names)
            write_bytes(made[0], png_bytes(sheet, facts | {LAYOUT: SHEET}))
        else:
            make_folder(made[-1].parent)
            write_image(made, image, facts, self.trained, config)
        return made[0]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed since
        return 0.0


def _parse_scene(text: str) -> Scene:
    values = json.loads(text)
    labels = tuple((str(name), str(value)) for name, value in values["labels"])
    return Scene(**{**values, "moves": tuple(values["moves"]), "labels": labels})


def default_value(column: Column) -> str:
    """The value that a label starts with: the first class, or the mean in training."""
    return column.values[0] if column.is_class else f"{column.mean:g}"


def _number(form: Mapping[str, str], name: str, low: float, high: float, default: float) -> float:
    try:
        value = float(form.get(name) or default)
    except ValueError:
        value = math.nan
    require(low <= value <= high, f"{name} is not a number from {low:g} to {high:g}")
    return value


def _integer(form: Mapping[str, str], name: str, low: int, high: int, default: int = 0) -> int:
    text = form.get(name, str(default))
    valid = text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high
    require(valid, f"{name} is not a whole number from {low} to {high}")
    return int(text)


def controls(explorer: Explorer) -> dict[str, Any]:
    """What the page needs to know to show the controls that this generator has."""
    columns = [
        {
            "name": f"{LABEL}{i}",
            "title": "slice position" if column.name == "position" else column.name,
            "values": [*column.values, *([UNKNOWN] if column.gaps else [])],
            "is_class": column.is_class,
            "gaps": column.gaps,
            "low": column.low,
            "high": column.high,
            "step": (column.high - column.low) / 200 or 1,
            "value": default_value(column),
        }
        for i, column in enumerate(explorer.columns)
    ]
    edges = read_edges(explorer.trained.path.parent / CONFIG)
    names = explorer.trained.channel_names
    which = say_channels(names)
    return {
        "edges": edges,
        "across": len(names) if which else 1,
        "notes": list(filter(None, (which, say_edges(edges)))),
        "sizes": explorer.sizes,
        "size": explorer.trained.size,
        "has_styles": explorer.has_styles,
        "has_noise": explorer.has_noise,
        "only_styled": only_styled("have styles", explorer.trained),
        "layers": explorer.layers,
        "crossover": explorer.crossover,
        "moves": [f"{MOVE}{i}" for i in range(explorer.directions)],
        "method": explorer.found.method if explorer.found else "",
        "reach": REACH,
        "psi": PSI,
        "noise": NOISE,
        "columns": columns,
    }
