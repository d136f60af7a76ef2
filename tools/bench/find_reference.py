"""Imported for its effect: the plain formulations of `tests/reference` can be imported after it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests" / "reference"))
