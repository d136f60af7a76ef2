"""Milliseconds from a move of a slider to the new picture of `mrigan explore`, in Chromium.

Networks with random weights, at 64 px: what the `laptop` preset trains, and the full StyleGAN.

Example: python tools/bench/bench_explore.py [RUN]...
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))  # the phantoms
from phantoms.models import save_untrained

from mri_gan.config import CAPACITIES, ModelConfig, TrainConfig, starting_settings
from mri_gan.explore.scene import Explorer
from mri_gan.explore.server import Server
from mri_gan.synth.sample import Trained, load_trained

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MOVES, WARM = 20, 5  # the first pictures take longer
# From the event of the slider to the frame that shows the picture.
WATCH = """() => {
  const show = async (start) => {
    while (busy) { await new Promise((done) => setTimeout(done, 2)); }
    await new Promise(requestAnimationFrame);
    return performance.now() - start;
  };
  form.addEventListener("input", (event) => { window.last = show(event.timeStamp); });
}"""


def settings_of(preset: str, arch: str | None) -> TrainConfig:
    """The shape of the network that a preset trains, at 64 px."""
    chosen = {**starting_settings(preset, arch), "max_size": 64}
    chosen["capacity"] = CAPACITIES.get(chosen.get("capacity", 1.0), chosen.get("capacity", 1.0))
    shape = {f for f in ModelConfig.__dataclass_fields__ if f in TrainConfig.__dataclass_fields__}
    kept: dict[str, Any] = {k: v for k, v in chosen.items() if k in shape | {"mixing"}}
    return TrainConfig(**{**kept, "critic": "own"})


def watch_slider(page: Any) -> list[float]:
    """Milliseconds of each move by the arrow keys."""
    page.evaluate(WATCH)
    page.locator("#blend").focus()
    times = []
    for number in range(MOVES + WARM):
        page.keyboard.press("ArrowRight" if number % 4 < 3 else "ArrowLeft")
        times.append(float(page.evaluate("() => last")))
    return times[WARM:]


def measure(trained: Trained, browser: Any) -> tuple[list[float], float, list[str]]:
    """Times of one network in ms, sorted; processor ms a picture; what was requested elsewhere."""
    with tempfile.TemporaryDirectory() as name, Server(Explorer(trained), Path(name)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        began = time.process_time()
        times = watch_slider(page)
        spent = (time.process_time() - began) / (MOVES + WARM) * 1e3
        page.close()
        server.shutdown()
        elsewhere = [u for u in asked if not u.startswith((server.url, "blob:http", "data:"))]
    return sorted(times), spent, elsewhere


def networks(runs: Sequence[str]) -> Iterator[tuple[str, Trained]]:
    """The given runs, or networks with random weights."""
    for run in runs:
        yield run, load_trained(Path(run))
    if runs:
        return
    for preset, arch in (("laptop", None), ("laptop", "stylegan"), ("paper", "stylegan")):
        config = settings_of(preset, arch)
        with tempfile.TemporaryDirectory() as name:
            yield (
                f"{preset} {config.arch}",
                load_trained(save_untrained(Path(name), config, 64, 1.0)),
            )


@click.command()
@click.argument("runs", nargs=-1)
@click.option("--threads", type=int, default=0, help="Of torch  [default: all cores].")
def main(runs: Sequence[str], threads: int) -> None:
    """Measure and print the median and the 90th percentile, for RUNS or untrained networks."""
    if threads:
        torch.set_num_threads(threads)
    click.echo(f"{torch.get_num_threads()} threads, {MOVES} moves of a slider each")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, trained in networks(runs):
            times, spent, elsewhere = measure(trained, browser)
            middle, late = times[len(times) // 2], times[int(0.9 * len(times))]
            weights = sum(weight.numel() for weight in trained.generator.parameters())
            click.echo(
                f"  {name} ({weights / 1e6:.1f} million weights, {trained.size} px): "
                f"{middle:.0f} ms, 90 %: {late:.0f} ms; processor {spent:.0f} ms; "
                f"requests elsewhere: {len(elsewhere)}"
            )
        browser.close()


if __name__ == "__main__":
    main()
