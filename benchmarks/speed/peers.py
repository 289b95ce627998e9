"""The same evaluation through baft, a hand-written loop and four peers, in one table.

Each asks a mock server with the OpenAI dialect (``servers.py``) the BA prompt for every example, 32
at once, and scores the answers by the BA metric; each runs in a process of its own, as its
documentation advises, caches and telemetry off. What a few examples take stands for the start.

Install the peers: .venv/bin/python benchmarks/speed/peers.py --install
Run it: .venv/bin/python benchmarks/speed/peers.py [--examples 2000] [--rounds 2] [--only baft dspy]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peer_tools import TOOLS, Job, Tool, environment
from replays import tree_memory
from servers import make_data, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIREMENTS = Path(__file__).parent / "peers-requirements"
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one run took."""

    wall_s: float
    """Seconds."""
    cpu_s: float
    """Seconds of CPU, user and system, of the process and its children."""
    peak_mib: float
    """Proportional memory of the process and its children at its highest, looked at every 0.1 s."""


def run(tool: Tool, job: Job, n: int) -> tuple[Took, float]:
    """Run the job once; what it took and the mean score.

    Raises:
        RuntimeError: the command failed, or scored another number of examples.
    """
    command = tool.command(job)
    out = job.folder / "stdout.txt"
    with out.open("wb") as stdout, (job.folder / "stderr.txt").open("wb") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=stdout,
            stderr=stderr,
            cwd=job.folder,
            env=environment(tool, job),
        )
        peak, ended = [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                peak[0] = max(peak[0], tree_memory(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watcher.join()
    if process.returncode:
        said = (job.folder / "stderr.txt").read_text() + out.read_text()
        raise RuntimeError(f"exit {process.returncode}: {said.strip()[-500:]}")
    mean, scored = tool.result(job, out.read_text(encoding="utf-8"))
    if scored not in (None, n):
        raise RuntimeError(f"{scored} of {n} examples have a score")
    cpu = used.ru_utime + used.ru_stime
    return Took(wall_s=wall, cpu_s=cpu, peak_mib=peak[0] / MIB), mean


@contextmanager
def server(delay_s: float) -> Iterator[str]:
    """The address of a mock server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    process = context.Process(target=serve, args=("openai", delay_s, port), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=60)}"
    finally:
        process.terminate()
        process.join()


def row(name: str, version: str, took: dict[int, list[Took]], mean: float) -> str:
    """One line of the table: the least of each figure over the rounds."""
    few, n = sorted(took)
    wall = {count: min(one.wall_s for one in took[count]) for count in took}
    cpu = {count: min(one.cpu_s for one in took[count]) for count in took}
    each_wall, each_cpu = ((used[n] - used[few]) / (n - few) for used in (wall, cpu))
    peak = min(one.peak_mib for one in took[n])
    cells = [
        f"{name} {version}",
        f"{wall[n]:.1f} s",
        f"{cpu[n]:.1f} s",
        f"{each_cpu * 1e3:.2f} ms",
        f"{wall[few] - few * each_wall:.1f} s, {cpu[few] - few * each_cpu:.1f} s",
        f"{peak:.0f} MiB",
        f"{mean:.4f}",
        TOOLS[name].scorer,
    ]
    return f"| {' | '.join(cells)} |"


HEAD = """\
| | wall | CPU | CPU by example | fixed: wall, CPU | peak memory | mean score | scored by |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def compare(names: list[str], peers: Path, n: int, delay_s: float, rounds: int) -> list[str]:
    """Run every tool in turns; the lines of the table."""
    versions = {name: TOOLS[name].version(peers) for name in names}
    took: dict[str, dict[int, list[Took]]] = {name: {} for name in names}
    means: dict[str, float] = {}
    failed: dict[str, str] = {name: "not installed" for name in names if not versions[name]}
    with server(delay_s) as url, tempfile.TemporaryDirectory() as scratch:
        turns = [(i, count) for i in range(rounds) for count in (max(n // 10, 1), n)]
        for i, count in turns:
            data = make_data(Path(scratch) / f"{count}.jsonl", count)
            for name in (name for name in names if name not in failed):
                folder = Path(scratch) / f"{name}-{count}-{i}".replace(" ", "-")
                folder.mkdir()
                job = Job(url=url, data=data, folder=folder, peers=peers)
                try:
                    one, means[name] = run(TOOLS[name], job, count)
                except RuntimeError as error:
                    failed[name] = f"failed: {str(error).splitlines()[-1]}"
                    print(f"{name}, {count} examples: {error}", file=sys.stderr)
                    continue
                took[name].setdefault(count, []).append(one)
                print(f"{name}, {count} examples: {one}", file=sys.stderr, flush=True)
                shutil.rmtree(folder)
    return [
        f"| {name} {versions[name] or ''} | {failed[name]} | | | | | | |"
        if name in failed
        else row(name, versions[name], took[name], means[name])
        for name in names
    ]


def install(peers: Path) -> None:
    """Make an environment for each peer, by pip and npm."""
    for home in ("inspect", "lm-eval"):
        python = peers / home / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", peers / home], check=True)
        wanted = REQUIREMENTS / f"{home}.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", wanted], check=True)
    (peers / "promptfoo").mkdir(exist_ok=True)
    wanted = (REQUIREMENTS / "promptfoo.txt").read_text(encoding="utf-8").split()
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier")
    subprocess.run(["npm", "install", *quiet, "--prefix", peers / "promptfoo", *wanted], check=True)


def main() -> None:
    """Install the peers, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install the peers, then end")
    parser.add_argument("--peers", type=Path, default=Path("~/.cache/baft-peers"))
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--delay-ms", type=float, default=50)
    asked = parser.parse_args()
    if asked.examples < 2 or asked.rounds < 1:
        parser.error("at least two examples and one round are needed")
    peers = asked.peers.expanduser().resolve()
    if asked.install:
        peers.mkdir(parents=True, exist_ok=True)
        install(peers)
        return
    lines = compare(asked.only, peers, asked.examples, asked.delay_ms / 1e3, asked.rounds)
    print(HEAD, *lines, sep="\n")


if __name__ == "__main__":
    main()
