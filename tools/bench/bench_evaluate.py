"""How fast judging is: the nearest-neighbour search beside bare products, evaluation and audit.

    python tools/bench/bench_evaluate.py               # 10,000 fakes against 10,000 reals, 64 px
    python tools/bench/bench_evaluate.py --only audit  # 1,000 samples against 1,000 and 10,000

The search and a bare matrix product of the same shape are timed in turn, so that their ratio says
what the search costs beyond the product. Peak memory is measured for two counts of images in
processes of their own; pictures are drawn as they are read, so that what is kept is the judge's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from mri_gan.config import DOWNLOAD_FREE
from mri_gan.evaluate.audit import audit
from mri_gan.evaluate.distances import nearest
from mri_gan.evaluate.evaluation import build_families, build_features, evaluate
from mri_gan.evaluate.images import ImageSet
from mri_gan.pictures import Pixels

SLICES = 32  # per person
PARTS = ("search", "evaluate", "audit")
SAMPLES = 1000  # to audit


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Images of each set.")
@click.option("--size", default=64, show_default=True, help="Pixels.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--threads", default=0, help="CPU threads  [default: all].")
@click.option("--only", type=click.Choice(PARTS), default=None, help="One part.")
@click.option("--json", "as_json", is_flag=True)
def main(
    count: int, size: int, repeats: int, threads: int, only: str | None, as_json: bool
) -> None:
    """Measure the search and the evaluation."""
    if threads:
        torch.set_num_threads(threads)
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "count": count, "size": size}
    measures = {"evaluate": bench_evaluation, "audit": bench_audit}
    if only in (None, "search"):
        found["search"] = bench_search(count, size * size, repeats)
    for part, measure in measures.items():
        if only == part and as_json:
            found[part] = measure(count, size)
        elif only in (None, part):
            counts = (count // 10 if part == "audit" else count // 5, count)
            found[part] = [run_alone(part, n, size, threads) for n in counts]
    click.echo(json.dumps(found, indent=2))


def bench_search(count: int, dimensions: int, repeats: int) -> dict[str, float]:
    """GFLOP/s of the search for the nearest neighbour, and of one bare product, in turn."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((count, dimensions), np.float32) for _ in range(2))
    work = 2 * count * count * dimensions / 1e9
    search_s, product_s = [], []
    for _ in range(repeats):
        product_s.append(timed(lambda: bare_product(a, b)))
        search_s.append(timed(lambda: nearest(a, b)))
    ratios = [p / s for p, s in zip(product_s, search_s, strict=True)]
    return {
        "search_gflops": round(work / median(search_s), 1),
        "product_gflops": round(work / median(product_s), 1),
        "share_of_product": round(median(ratios), 3),
    }


def bare_product(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    """The same product at the best block size of a few, and nothing else."""
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    out = torch.empty(min(4096, len(a)), len(b))
    for i in range(0, len(a), 4096):
        rows = x[i : i + 4096]
        torch.mm(rows, y.T, out=out[: len(rows)])


def timed(work: Any) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_alone(part: str, count: int, size: int, threads: int) -> dict[str, Any]:
    """One evaluation or audit in a process of its own, for its peak memory."""
    words = ["--count", str(count), "--size", str(size), "--threads", str(threads)]
    command = [sys.executable, __file__, *words, "--only", part, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)[part]
    return result


def bench_evaluation(count: int, size: int) -> dict[str, Any]:
    """All download-free figures of two sets of pictures that are made as they are read."""
    reals, fakes = made_up(count, size, SLICES, 0), made_up(count, size, 1, 1)
    before = peak_mib()
    start = time.perf_counter()
    features = build_features(DOWNLOAD_FREE, reals, "cpu")
    families = build_families(size, count, features)
    result = evaluate(reals, fakes, families)
    seconds = time.perf_counter() - start
    return {
        "count": count,
        "figures": len(result.figures),
        "seconds": round(seconds, 1),
        "images_per_s": round(2 * count / seconds, 1),
        "described_per_s": round(2 * count / (result.real_s + result.fake_s), 1),
        "peak_mib_before": before,
        "peak_mib": peak_mib(),
    }


def bench_audit(count: int, size: int) -> dict[str, Any]:
    """An audit of 1,000 samples against so many slices; people held out are an eighth of them."""
    train, samples = made_up(count, size, SLICES, 0), made_up(SAMPLES, size, 1, 1)
    held_out = made_up(count // 8, size, SLICES, 2)
    before, start = peak_mib(), time.perf_counter()
    audit(samples, train, held_out)
    seconds = time.perf_counter() - start
    facts = {"slices": count, "samples": SAMPLES, "seconds": round(seconds, 1)}
    return {**facts, "peak_mib_before": before, "peak_mib": peak_mib()}


def made_up(count: int, size: int, per_person: int, seed: int) -> ImageSet:
    """Pictures of discs with grain, made anew at every read."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    radius = np.asarray(x**2 + y**2, np.float32)

    def read(start: int, stop: int) -> Pixels:
        rng = np.random.default_rng((seed, start))
        edge = rng.uniform(0.3, 0.8, (stop - start, 1, 1))
        grain = 0.1 * rng.standard_normal((stop - start, size, size), np.float32)
        return np.asarray(np.clip((radius < edge) * 0.6 + grain, 0, 1), np.float32)

    return ImageSet(size, np.arange(count) // per_person, read)


def peak_mib() -> int:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
