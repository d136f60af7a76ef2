"""One command for a machine with a GPU that is at hand for minutes and has no network.

    python tools/gpu/run_gpu.py --minutes 10 --out GPU                  # everything
    python tools/gpu/run_gpu.py --minutes 8 --out GPU2 --parts train --from GPU --data scans.zip

Parts: `check` compares every architecture and loss with the processor, resumes a run and makes one
step at 1024 px; `bench` prints the table of tools/bench/bench_gpu.py; `train` trains, draws, judges
and audits, and goes on from the checkpoint that an earlier part left in `--from`.  Everything
that is worth keeping is in one folder, in files of at most 15 MB.  `--device cpu --tiny` rehearses
all of it without a GPU.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "gpu")]

from agreement import compare_all  # noqa: E402
from pieces import cut_file, join_pieces  # noqa: E402

from mri_gan.checkpoint import list_checkpoints, load_checkpoint  # noqa: E402
from mri_gan.config import TrainConfig  # noqa: E402
from mri_gan.schedule import Phase  # noqa: E402
from mri_gan.train.state import build_state, prepare_device  # noqa: E402
from mri_gan.train.step import train_step  # noqa: E402

VOLUME = ROOT / "data" / "demo" / "mni152_t1_1mm.nii.gz"
PARTS = ("check", "bench", "train")
# Shares of the time; what one part leaves over, the next may take.
SHARE = {"check": 0.25, "bench": 0.35, "train": 1.0}
TINY = "--capacity 0.015625 --latent-dim 8 --batch 8 --init-size 8"
RESUME = f"{TINY} --max-size 16 --phase 64 --snap 0.064"


@dataclass
class Session:
    """Where things are, and how much time is left."""

    device: str
    out: Path
    work: Path
    end: float  # time.monotonic
    tiny: bool
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        """Seconds to the end."""
        return self.end - time.monotonic()

    def save(self) -> None:
        """Write what is known so far: time may end at any moment."""
        text = json.dumps(self.results, indent=1)
        (self.out / "results.json").write_text(text + "\n", encoding="utf-8")

    def call(self, name: str, *words: object, most_s: float | None = None) -> dict[str, Any]:
        """Run a program of this tree within the time that is left, and keep the end of its output.

        A program that fails or takes too long is a result like any other.
        """
        command = [sys.executable, *map(str, words)]
        limit = max(1.0, min(self.left_s, self.left_s if most_s is None else most_s))
        start = time.perf_counter()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit, cwd=ROOT, check=False
            )
            code, text = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            said = (error.stdout or b"", error.stderr or b"")
            code, text = -1, b"".join(map(bytes, said)).decode(errors="replace")
        found = {
            "command": shlex.join(map(str, words)),
            "exit": code,
            "seconds": round(time.perf_counter() - start, 1),
            "output": text[-3000:],
        }
        self.results[name] = found
        self.save()
        click.echo(f"{name}: exit {code}, {found['seconds']} s")
        return found

    def mrigan(self, name: str, *words: object, most_s: float | None = None) -> dict[str, Any]:
        """Run one mrigan command."""
        return self.call(name, "-m", "mri_gan", *words, most_s=most_s)


@click.command()
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Ends by itself.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/gpu/out"))
@click.option("--parts", default=",".join(PARTS), show_default=True)
@click.option("--device", default="cuda", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=VOLUME, help="Scans to train on.")
@click.option("--sizes", default="128,256", show_default=True, help="Pixels of the runs.")
@click.option("--words", default="--preset gpu", show_default=True, help="For `mrigan train`.")
@click.option("--from", "earlier", type=click.Path(path_type=Path), help="An earlier --out.")
@click.option("--tiny", is_flag=True, help="Networks and sizes for a rehearsal.")
def main(
    minutes: float,
    out: Path,
    parts: str,
    device: str,
    data: Path,
    sizes: str,
    words: str,
    earlier: Path | None,
    tiny: bool,
) -> None:
    """Check, measure and train on a GPU within the given minutes; small files in --out."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        click.echo("no GPU here: nothing was run; --device cpu --tiny rehearses", err=True)
        sys.exit(1)
    end = time.monotonic() + 60 * minutes
    out.mkdir(parents=True, exist_ok=True)
    session = Session(device, out, out.parent / f"{out.name}-work", end, tiny)
    session.work.mkdir(parents=True, exist_ok=True)
    session.results["machine"] = describe_machine(device)
    store = session.work / "store"
    session.mrigan("prepare", "prepare", data, "--out", store, "--quiet")
    for part in parts.split(","):
        until = time.monotonic() + SHARE[part] * session.left_s
        if part == "check":
            check(session, store, until)
        elif part == "bench":
            bench(session, until)
        else:
            train_sizes(session, store, [int(s) for s in sizes.split(",")], words, earlier)
    session.save()
    click.echo(json.dumps({k: v for k, v in session.results.items() if k == "check"}, indent=1))


def describe_machine(device: str) -> dict[str, Any]:
    """Card, driver's CUDA, torch."""
    facts: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        facts |= {"gpu": card.name, "memory_gib": round(card.total_memory / 2**30, 1)}
    return facts


def check(session: Session, store: Path, until: float) -> None:
    """Agreement with the processor, resuming, one large step."""
    found = []
    for one in compare_all(session.device, 8 if session.tiny else 16, until):
        found.append(dataclasses.asdict(one) | {"good": one.good})
        if not one.good:
            click.echo(f"DIFFERS  {one.name}: {one.error:.3g} {one.trouble}")
        session.results["check"] = {
            "compared": len(found),
            "bad": [row for row in found if not row["good"]],
            "largest_error": max(row["error"] for row in found),
        }
        session.save()
    session.results["resume"] = compare_resumed(session, store)
    session.results["large step"] = try_large_step(session)
    session.save()


def compare_resumed(session: Session, store: Path) -> dict[str, Any]:
    """A run in two parts beside one in a single part."""
    halves, whole = session.work / "halves", session.work / "whole"
    words = ["--device", session.device, "--quiet", *shlex.split(RESUME)]
    for name, run, kimg in (
        ("half", halves, 0.128),
        ("rest", halves, 0.192),
        ("all", whole, 0.192),
    ):
        session.mrigan(f"resume {name}", "train", store, *words, "--kimg", kimg, "--out", run)
    try:
        states = [load_checkpoint(list_checkpoints(run)[0]).state["g"] for run in (halves, whole)]
    except (IndexError, OSError) as error:
        return {"trouble": str(error)}
    pairs = list(zip(states[0].values(), states[1].values(), strict=True))
    return {
        "bit_for_bit": all(bool((a == b).all()) for a, b in pairs),
        "largest_difference": max(float((a - b).abs().max()) for a, b in pairs),
    }


def try_large_step(session: Session) -> dict[str, Any]:
    """One step of StyleGAN at 1024 px, in bfloat16."""
    size, capacity = (16, 1 / 64) if session.tiny else (1024, 1.0)
    config = TrainConfig(max_size=size, capacity=capacity, precision="bf16", mixing=True)
    start = time.perf_counter()
    try:
        prepare_device("bf16", session.device)
        state = build_state(config, torch.device(session.device))
        shape = (4, 1, size, size)
        images = torch.randint(256, shape, dtype=torch.uint8, device=session.device)
        stats = train_step(state, config, Phase(size, 1.0, 4, 1e-3), images)
        finite = all(bool(value.isfinite()) for value in stats.values())
    except RuntimeError as error:
        return {"trouble": str(error)[:300]}
    facts = {"size": size, "finite": finite, "seconds": time.perf_counter() - start}
    if session.device.startswith("cuda"):
        facts["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        del state
        torch.cuda.empty_cache()
    return facts


def bench(session: Session, until: float) -> None:
    """The table of bench_gpu; without a GPU the smoke run of bench_train."""
    if session.device.startswith("cuda"):
        words = ["tools/bench/bench_gpu.py", "--sizes", "64,128,256", "--seconds", "3"]
    else:
        words = ["tools/bench/bench_train.py", "--quick", "--repeats", "1"]
    session.call("bench", *words, most_s=until - time.monotonic())


def train_sizes(
    session: Session, store: Path, sizes: list[int], words: str, earlier: Path | None
) -> None:
    """A run at each size with an equal share of the time left, judged; checkpoints in pieces."""
    if earlier is not None:
        for path in join_pieces(earlier, session.work):
            folder, _, name = path.name.partition("-")
            run = session.work / folder
            run.mkdir(exist_ok=True)
            path.rename(run / name)
    for i, size in enumerate(sizes):
        share = 0.7 * session.left_s / (len(sizes) - i)
        train_one(session, store, size, words, share / 60)


def train_one(session: Session, store: Path, size: int, words: str, minutes: float) -> None:
    """One run with its grid, evaluation and audit."""
    run = session.work / f"run{size}"
    place = ("--device", session.device)
    chosen = shlex.split(f"{words} {TINY} --phase 200" if session.tiny else words)
    session.mrigan(
        f"train {size}",
        *("train", store, *chosen, "--max-size", size, *place, "--quiet"),
        *("--minutes", f"{minutes:.3f}", "--keep", 1, "--out", run),
    )
    session.mrigan(f"test {size}", "test", run, *place, "--figure", "samples")
    few = ("--count", "32") if session.tiny else ()
    judged = ("--data", store, *place, "--quiet")
    session.mrigan(f"evaluate {size}", "evaluate", run, *judged, *few, most_s=session.left_s / 2)
    session.mrigan(f"audit {size}", "audit", run, *judged, *few, most_s=session.left_s / 2)
    keep_results(session, run, size)


def keep_results(session: Session, run: Path, size: int) -> None:
    """The last grid, real slices, figures, and the checkpoint in pieces."""
    for path in [*sorted((run / "samples").glob("*.png"))[-1:], run / "reals.png"]:
        if path.exists():
            kind = "reals" if path.name == "reals.png" else "samples"
            shutil.copyfile(path, session.out / f"{kind}-{size}px.png")
    for name in ("evaluation", "audit"):
        found = run / name / f"{name}.json"
        if found.exists():
            session.results[f"{name} figures {size}"] = json.loads(found.read_text("utf-8"))
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines() if run.exists() else []
    session.results[f"metrics {size}"] = [json.loads(line) for line in lines[-1:]]
    newest = list_checkpoints(run)[:1]
    for path in newest:
        named = session.work / f"{run.name}-{path.name}"
        shutil.copyfile(path, named)
        cut_file(named, session.out)
    session.save()


if __name__ == "__main__":
    main()
