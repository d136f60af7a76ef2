"""Read N damaged files of every kind: `python -m fuzz --kinds dicom,tar --count 10000`.

Each is planned, read and cut as `prepare` does it. Counted are errors that are no line for a person
(tracebacks), files that take longer than 20 s (hangs), and files which another library still reads,
to other pixels (wrong). Exit code 1 where there is any.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fuzz.running import run
from fuzz.seeds import KINDS

NETWORK = "network"


def main() -> int:
    """Run and print one line of counts per kind, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join((*KINDS, NETWORK)), help="which readers")
    parser.add_argument("--count", type=int, default=10_000, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that break something")
    options = parser.parse_args()
    failed = False
    for kind in options.kinds.split(","):
        if kind == NETWORK:
            from fuzz.networks import run_networks  # needs torch

            found = run_networks(options.count, options.seed)
        else:
            found = run(kind, options.count, options.seed, options.keep)
        print(json.dumps(found.to_dict()), flush=True)
        failed |= bool(found.tracebacks or found.hangs or found.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
