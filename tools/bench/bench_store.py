"""How near `prepare` and the reader come to the limit of this machine, side by side in one run.

Prints one table: `prepare` against nothing but decoding the same PNGs with the same number of
workers, by Pillow (as other tools do) and by our own decoder, and random reads from the store
against raw uint8 copied from LMDB into one batch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import lmdb
import numpy as np
from decode_slices import by_ourselves, by_pillow, decode_all
from make_slices import repeat_slices, write_slices

from mri_gan.ingest.read.archives import list_source
from mri_gan.store.check import check_store
from mri_gan.store.reader import StoreReader

BATCH = 64


@click.command()
@click.option("--count", default=2000, show_default=True, help="Slices.")
@click.option("--many", default=20000, show_default=True, help="Slices of the long run; 0: none.")
@click.option("--size", default=256, show_default=True, help="Pixels.")
@click.option("--workers", default=2, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@click.option("--levels", default="256,64", show_default=True, help="Levels to read.")
@click.option("--materialize/--no-materialize", default=True, help="Measure --materialize, too.")
@click.option("--json", "as_json", is_flag=True)
def main(
    count: int,
    many: int,
    size: int,
    workers: int,
    repeats: int,
    levels: str,
    materialize: bool,
    as_json: bool,
) -> None:
    """Measure prepare and read; every ratio is of medians measured in turn in this run."""
    with tempfile.TemporaryDirectory(prefix="mrigan-bench-") as folder:
        source, store = Path(folder, "slices.zip"), Path(folder, "store")
        write_slices(source, count, size)
        rows = [bench_prepare(source, store, workers, repeats)]
        rows += [bench_read(store, int(level), repeats) for level in levels.split(",")]
        if materialize:
            rows.append(bench_prepare(source, store, workers, 1, "--materialize"))
        if many:
            repeat_slices(source, many // count)
            rows.append(bench_prepare(source, store, workers, repeats))
    if as_json:
        click.echo(json.dumps({"cpus": os.cpu_count(), "rows": rows}, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row['what']:<44} {row['rate']:>10,.0f} images/s   floor: {row['floor']:<22} "
            f"{row['floor_rate']:>10,.0f} images/s   share {row['share']:.0%}   {row['note']}"
        )


def bench_prepare(
    source: Path, store: Path, workers: int, repeats: int, *options: str
) -> dict[str, Any]:
    """The whole command, start of Python and preview included, against decoding alone."""
    prepare_s, decode_s, own_s, bare_s, inner_s, parent_mb = [], [], [], [], [], 0.0
    count = len(list_source(source).members)
    for _ in range(repeats):
        shutil.rmtree(store, ignore_errors=True)
        decode_s.append(timed(lambda: decode_all(source, workers, by_pillow)))
        own_s.append(timed(lambda: decode_all(source, workers, by_ourselves)))
        bare_s.append(timed(lambda: run_decoding(source, workers)))
        seconds, peak_mb = run_prepare(source, store, workers, *options)
        prepare_s.append(seconds)
        parent_mb = max(parent_mb, peak_mb)
        with StoreReader(store) as opened:
            inner_s.append(float(opened.summary["seconds"]))
    n_bytes = (store / "data.mdb").stat().st_size
    payload = check_store(store, workers).stored_bytes
    return row(
        " ".join((f"prepare {count:,} slices, {workers} workers", *options)),
        count / median(prepare_s),
        "decoding by Pillow",
        count / median(decode_s),
        f"without start-up {count / median(inner_s):,.0f} images/s, "
        f"{median(decode_s) / median(inner_s):.0%}; decoding by Pillow as a command of its own "
        f"{count / median(bare_s):,.0f} images/s, {median(bare_s) / median(prepare_s):.0%}; "
        f"decoding by our own decoder {count / median(own_s):,.0f} images/s; "
        f"store {n_bytes / 1e6:,.0f} MB, {n_bytes / payload:.2f} x its payload; "
        f"own memory of the parent {parent_mb:.0f} MB",
    )


def run_prepare(source: Path, store: Path, workers: int, *options: str) -> tuple[float, float]:
    """Seconds of `mrigan prepare` as a user runs it, and its parent's own memory in MB."""
    command = [sys.executable, "-m", "mri_gan", "prepare", str(source), "--out", str(store)]
    start, peak_kb = time.perf_counter(), 0
    with subprocess.Popen([*command, "--workers", str(workers), "--quiet", *options]) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, own_memory_kb(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"prepare ended with {process.returncode}")
    return time.perf_counter() - start, peak_kb / 1024


def run_decoding(source: Path, workers: int) -> None:
    """The floor with the start of Python and its imports, as `prepare` is measured."""
    program = Path(__file__).with_name("decode_slices.py")
    command = [sys.executable, str(program), str(source), "--workers", str(workers)]
    subprocess.run(command, check=True)


def own_memory_kb(pid: int) -> int:
    """Memory of a process without the pages of files that it maps, which the system can take back.

    0 where the system does not tell.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def bench_read(folder: Path, level: int, repeats: int) -> dict[str, Any]:
    """Random batches through the reader, against unchecked raw bytes into one batch array."""
    with StoreReader(folder) as store, tempfile.TemporaryDirectory() as raw:
        n = len(store)
        write_raw(store, level, Path(raw))
        rng = np.random.default_rng(0)
        batches = [rng.integers(0, n, BATCH) for _ in range(max(20, 2 * n // BATCH))]
        with lmdb.open(raw, readonly=True, lock=False) as env, env.begin(buffers=True) as txn:
            ours, floor = [], []
            for _ in range(repeats + 1):  # the first round only warms the page cache
                ours.append(timed(lambda: [store.read(level, b) for b in batches]))
                floor.append(timed(lambda: [read_raw(txn, level, b) for b in batches]))
    images = BATCH * len(batches)
    return row(
        f"read {level} px, random, 1 process",
        images / median(ours[1:]),
        "raw uint8, zero-copy",
        images / median(floor[1:]),
        f"batches of {BATCH}",
    )


def write_raw(store: StoreReader, level: int, folder: Path) -> None:
    """The same images as bare bytes under the same keys."""
    with lmdb.open(str(folder), map_size=1 << 32) as env:
        for start in range(0, len(store), 256):
            indices = range(start, min(start + 256, len(store)))
            with env.begin(write=True) as txn:
                for i, image in zip(indices, store.read(level, indices), strict=True):
                    txn.put(i.to_bytes(4, "big"), image.tobytes())


def read_raw(txn: lmdb.Transaction, level: int, indices: Any) -> Any:
    """The least that can be done: look up, copy into the batch."""
    batch = np.empty((len(indices), level * level), np.uint8)
    for i, index in enumerate(indices):
        value: Any = txn.get(int(index).to_bytes(4, "big"))
        batch[i] = np.frombuffer(value, np.uint8)
    return batch


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(what: str, rate: float, floor: str, floor_rate: float, note: str) -> dict[str, Any]:
    """One line of the table."""
    return {
        "what": what,
        "rate": rate,
        "floor": floor,
        "floor_rate": floor_rate,
        "share": rate / floor_rate,
        "note": note,
    }


if __name__ == "__main__":
    main()
