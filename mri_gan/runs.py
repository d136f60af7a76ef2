"""What lies in a run folder under which name, readable without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG = "config.json"
METRICS = "metrics.jsonl"
PLOT = "loss.png"
REALS = "reals.png"
SAMPLES = "samples"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a last line cut by a crash is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("nimg"), int):
            lines.append(line)
    return lines
