"""One command for a machine with a GPU that is at hand for minutes and has no network.

    python tools/gpu/run_gpu.py --minutes 10 --out GPU                  # everything
    python tools/gpu/run_gpu.py --minutes 8 --out GPU2 --parts train --from GPU --data scans.zip

    python tools/gpu/run_gpu.py --out GPU3 --parts agree=2,resume=1    # minutes of each part

Parts: `agree` compares every architecture, loss and critic with the processor; `resume` runs a run
in two parts beside a whole one; `large` makes one step at 1024 px; `bench` prints the table of
tools/bench/bench_gpu.py; `train` trains, draws, judges and audits, and goes on from the checkpoint
that an earlier part left in `--from`.  Everything that is worth keeping is in one folder, in files
of at most 15 MB; what failed is printed at the end, with exit code 1.  What time did not allow is
printed and is no failure.  `--device cpu --tiny` rehearses all of it without a GPU.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
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
from mri_gan.config import CONFIG, METRICS, TrainConfig, read_metrics  # noqa: E402
from mri_gan.schedule import Phase  # noqa: E402
from mri_gan.train.state import build_state, prepare_device  # noqa: E402
from mri_gan.train.step import train_step  # noqa: E402

VOLUME = ROOT / "data" / "demo" / "mni152_t1_1mm.nii.gz"
# Each part's share of the time that is left; what one leaves over, the next may take.
SHARES = {"agree": 0.15, "resume": 0.1, "large": 0.1, "bench": 0.35, "train": 1.0}
LEAST_PEOPLE = 4  # that a noise floor is measured with
CUT = -1  # in place of the exit code of a program that time did not allow to end
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
            code, text = CUT, b"".join(map(bytes, said)).decode(errors="replace")
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


def parse_parts(_ctx: click.Context, _param: click.Parameter, text: str) -> dict[str, float | None]:
    """`agree=2,train`: names of parts, each with its minutes or None for a share."""
    parts: dict[str, float | None] = {}
    for word in text.split(","):
        name, _, minutes = word.partition("=")
        if name not in SHARES:
            raise click.BadParameter(f"no part {name!r}, give some of {', '.join(SHARES)}")
        try:
            parts[name] = float(minutes) if minutes else None
        except ValueError:
            raise click.BadParameter(f"{word}: no number of minutes") from None
    return parts


@click.command()
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Ends by itself.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/gpu/out"))
@click.option("--parts", default=",".join(SHARES), show_default=True, callback=parse_parts)
@click.option("--device", default="cuda", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=VOLUME, help="Scans to train on.")
@click.option("--sizes", default="128,256", show_default=True, help="Pixels of the runs.")
@click.option("--words", default="--preset gpu", show_default=True, help="For `mrigan train`.")
@click.option("--only", default="", help="Compare only cases whose name holds this.")
@click.option("--from", "earlier", type=click.Path(path_type=Path), help="An earlier --out.")
@click.option("--tiny", is_flag=True, help="Networks and sizes for a rehearsal.")
def main(
    minutes: float,
    out: Path,
    parts: dict[str, float | None],
    device: str,
    data: Path,
    sizes: str,
    words: str,
    only: str,
    earlier: Path | None,
    tiny: bool,
) -> None:
    """Check, measure and train on a GPU within the given minutes; small files in --out."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        click.echo("no GPU here: nothing was run; --device cpu --tiny rehearses", err=True)
        sys.exit(1)
    whole_end = time.monotonic() + 60 * minutes
    out.mkdir(parents=True, exist_ok=True)
    session = Session(device, out, out.parent / f"{out.name}-work", whole_end, tiny)
    session.work.mkdir(parents=True, exist_ok=True)
    session.results["machine"] = describe_machine(device)
    store = session.work / "store"
    if {"resume", "train"} & set(parts):
        session.mrigan("prepare", "prepare", data, "--out", store, "--quiet")
    acts: dict[str, Callable[[], object]] = {
        "agree": lambda: agree(session, only),
        "resume": lambda: compare_resumed(session, store),
        "large": lambda: try_large_step(session),
        "bench": lambda: bench(session),
        "train": lambda: train_sizes(session, store, [*map(int, sizes.split(","))], words, earlier),
    }
    for name, limit in parts.items():
        left = whole_end - time.monotonic()
        session.end = time.monotonic() + min(left, 60 * limit if limit else SHARES[name] * left)
        acts[name]()
        session.save()
    failed, cut = find_failures(session.results)
    click.echo(f"not ended for want of time: {', '.join(cut) or 'none'}")
    click.echo(f"failed: {', '.join(failed) or 'none'}")
    sys.exit(1 if failed else 0)


def find_failures(results: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names of what failed, and of what time cut short."""
    failed = [f"{row['name']} differs" for row in results.get("agree", {}).get("bad", ())]
    cut = []
    for name, found in results.items():
        if not isinstance(found, dict):
            continue
        code = found.get("exit", 0)
        if code == CUT:
            cut.append(name)
        elif code or found.get("trouble") or not found.get("finite", True):
            failed.append(name)
    return failed, cut


def describe_machine(device: str) -> dict[str, Any]:
    """Card, driver's CUDA, torch."""
    facts: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(device)
        facts |= {"gpu": card.name, "memory_gib": round(card.total_memory / 2**30, 1)}
    return facts


def agree(session: Session, only: str) -> None:
    """Agreement with the processor, case by case."""
    found: list[dict[str, Any]] = []
    for one in compare_all(session.device, 8 if session.tiny else 16, session.end, only):
        found.append(dataclasses.asdict(one) | {"good": one.good})
        if not one.good:
            click.echo(f"DIFFERS  {one.name}: {one.errors} bf16 {one.bf16_error} {one.trouble}")
        session.results["agree"] = {
            "compared": len(found),
            "bad": [row for row in found if not row["good"]],
            "errors": {row["name"]: [*row["errors"].values(), row["bf16_error"]] for row in found},
        }
        session.save()


def compare_resumed(session: Session, store: Path) -> None:
    """A run in two parts beside one in a single part; on a GPU sums may differ from run to run."""
    halves, whole = session.work / "halves", session.work / "whole"
    words = ["--device", session.device, "--quiet", *shlex.split(RESUME)]
    exits = [
        session.mrigan(f"resume {name}", "train", store, *words, "--kimg", kimg, "--out", run)[
            "exit"
        ]
        for name, run, kimg in (
            ("half", halves, 0.128),
            ("rest", halves, 0.192),
            ("all", whole, 0.192),
        )
    ]
    session.results["resume"] = compare_runs(halves, whole, exits)


def compare_runs(halves: Path, whole: Path, exits: list[int]) -> dict[str, Any]:
    """What the newest checkpoints of two runs differ in, where all of their calls ended well."""
    if CUT in exits:
        return {"exit": CUT}
    if any(exits):
        return {"trouble": f"exit codes {exits}"}
    try:
        states = [load_checkpoint(list_checkpoints(run)[0]).state["g"] for run in (halves, whole)]
    except (IndexError, OSError) as error:
        return {"trouble": str(error)}
    pairs = list(zip(states[0].values(), states[1].values(), strict=True))
    return {
        "bit_for_bit": all(torch.equal(a, b) for a, b in pairs),
        "largest_difference": max(float((a - b).abs().max()) for a, b in pairs),
    }


def try_large_step(session: Session) -> None:
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
        finite = all(bool(value.isfinite().all()) for value in stats.values())
    except RuntimeError as error:
        session.results["large step"] = {"trouble": str(error)[:300]}
        return
    facts = {"size": size, "finite": finite, "seconds": time.perf_counter() - start}
    if session.device.startswith("cuda"):
        facts["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        del state
        torch.cuda.empty_cache()
    session.results["large step"] = facts


def bench(session: Session) -> None:
    """The table of bench_gpu; without a GPU the smoke run of bench_train."""
    if session.device.startswith("cuda"):
        words = ["tools/bench/bench_gpu.py", "--sizes", "64,128,256", "--seconds", "3"]
    else:
        words = ["tools/bench/bench_train.py", "--quick", "--repeats", "1"]
    session.call("bench", *words)


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
    chosen = shlex.split(f"{TINY} --phase 24 {words}" if session.tiny else words)
    trained = session.mrigan(
        f"train {size}",
        *("train", store, *chosen, "--max-size", size, *place),
        *("--minutes", f"{minutes:.3f}", "--no-judge", "--keep", 1, "--out", run),
    )
    session.mrigan(f"test {size}", "test", run, *place, "--figure", "samples")
    if trained["exit"] == 0:
        judge_one(session, store, run, size)
    keep_results(session, run, size)


def judge_one(session: Session, store: Path, run: Path, size: int) -> None:
    """Evaluation and audit, where the scans are of enough people to compare halves of them."""
    people = json.loads((run / CONFIG).read_text("utf-8"))["data"]["training_subjects"]
    if people < LEAST_PEOPLE:
        note = f"{people} people in --data: figures need {LEAST_PEOPLE} for their noise floors"
        session.results[f"not judged {size}"] = note
        return
    few = ("--count", "64") if session.tiny else ()
    judged = ("--data", store, "--device", session.device, "--quiet")
    session.mrigan(f"evaluate {size}", "evaluate", run, *judged, *few, most_s=session.left_s / 2)
    session.mrigan(f"audit {size}", "audit", run, *judged, *few)


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
    session.results[f"metrics {size}"] = read_metrics(run / METRICS)[-1:]
    newest = list_checkpoints(run)[:1]
    for path in newest:
        named = session.work / f"{run.name}-{path.name}"
        shutil.copyfile(path, named)
        cut_file(named, session.out)
    session.save()


if __name__ == "__main__":
    main()
