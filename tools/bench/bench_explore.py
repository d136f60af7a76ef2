"""Milliseconds from a key press to the new picture of `mrigan explore`, measured in Chromium.

Networks with random weights, at 64 px: what the `laptop` preset trains, and the full StyleGAN.

Example: python tools/bench/bench_explore.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
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
from mri_gan.synth.sample import load_trained

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PRESSES = 40
# From the press to the picture that has been decoded and put in its place.
WATCH = """async () => {
  const times = [], next = document.getElementById("next");
  for (let i = 0; i < PRESSES; i++) {
    const start = performance.now();
    next.click();
    while (busy) { await new Promise((done) => setTimeout(done, 0)); }
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b);
}""".replace("PRESSES", str(PRESSES))


def settings_of(preset: str, arch: str | None) -> TrainConfig:
    """The shape of the network that a preset trains, at 64 px."""
    chosen = {**starting_settings(preset, arch), "max_size": 64}
    chosen["capacity"] = CAPACITIES.get(chosen.get("capacity", 1.0), chosen.get("capacity", 1.0))
    shape = {f for f in ModelConfig.__dataclass_fields__ if f in TrainConfig.__dataclass_fields__}
    kept: dict[str, Any] = {k: v for k, v in chosen.items() if k in shape | {"mixing"}}
    return TrainConfig(**{**kept, "critic": "own"})


def measure(config: TrainConfig, browser: Any) -> list[float]:
    """Times of one network in ms, sorted."""
    with tempfile.TemporaryDirectory() as name:
        trained = load_trained(save_untrained(Path(name), config, 64, 1.0))
        with Server(Explorer(trained), Path(name) / "explored") as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page = browser.new_page()
            page.goto(server.url)
            page.evaluate(WATCH)  # the first pictures take longer
            times: list[float] = page.evaluate(WATCH)
            page.close()
            server.shutdown()
    return times


@click.command()
@click.option("--threads", type=int, default=0, help="Of torch  [default: all cores].")
def main(threads: int) -> None:
    """Measure and print the median and the 95th percentile."""
    if threads:
        torch.set_num_threads(threads)
    click.echo(f"{torch.get_num_threads()} threads, 64 px, {PRESSES} presses each")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for preset, arch in (("laptop", None), ("laptop", "stylegan"), ("paper", "stylegan")):
            config = settings_of(preset, arch)
            times = measure(config, browser)
            middle, late = times[len(times) // 2], times[int(0.95 * len(times))]
            click.echo(f"  {preset:6} {config.arch:9} {middle:6.0f} ms, 95 %: {late:6.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
