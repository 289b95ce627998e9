"""How long commands take to start, beside importing Typer alone, in one run.

Run it: .venv/bin/python benchmarks/speed/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

BAFT = str(Path(sys.executable).parent / "baft")
COMMANDS = {
    "import typer": [sys.executable, "-c", "import typer"],
    "import baft": [sys.executable, "-c", "import baft"],
    "baft --help": [BAFT, "--help"],
    "baft plugins": [BAFT, "plugins"],
}
ROUNDS = 15


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Interleave the commands so that a busy moment hits all of them; print medians and ratios."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    base = statistics.median(times["import typer"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<14} {median * 1e3:6.0f} ms  {median / base:4.1f} x typer")


if __name__ == "__main__":
    main()
