"""How long commands take to start, beside importing Typer alone, in one run.

``baft eval`` and the hand-written loop of ``servers.py`` are timed from their start until their
first request reaches a server: imports, data, what the server says of the model, the run's store.

Run it: .venv/bin/python benchmarks/speed/startup.py
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import servers

BAFT = str(Path(sys.executable).parent / "baft")
COMMANDS = {
    "import typer": [sys.executable, "-c", "import typer"],
    "import baft": [sys.executable, "-c", "import baft"],
    "baft --help": [BAFT, "--help"],
    "baft plugins": [BAFT, "plugins"],
}
ROUNDS = 15
EXAMPLES = 22


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


class Noting(servers.Mock):
    """Tells of each question for an answer that arrives."""

    def __init__(self, replies: list[bytes], arrived: threading.Event) -> None:
        super().__init__(replies, 0.0)
        self._arrived = arrived

    def data_received(self, data: bytes) -> None:
        """As ever."""
        if b"/chat" in data:
            self._arrived.set()
        super().data_received(data)


@contextmanager
def noting(dialect: str) -> Iterator[tuple[str, threading.Event]]:
    """The address of a server in a thread, and what it sets when a question arrives."""
    arrived = threading.Event()
    replies = servers.bodies(dialect)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> Any:
        return await loop.create_server(lambda: Noting(replies, arrived), "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", arrived
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def first_requests(folder: Path) -> dict[str, Callable[[], float]]:
    """By name, what times one command until its first request."""

    def timed(dialect: str, who: str) -> float:
        with noting(dialect) as (url, arrived):
            command = servers.commands(dialect, url, data, folder)[who]
            started = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                assert arrived.wait(60), command
                took = time.perf_counter() - started
                process.kill()
            return took

    data = servers.make_data(folder / "data.jsonl", EXAMPLES)
    return {
        "aiohttp loop, first request": lambda: timed("ollama", "loop"),
        "baft eval, Ollama, first request": lambda: timed("ollama", "baft"),
        "baft eval, OpenAI, first request": lambda: timed("openai", "baft"),
    }


def main() -> None:
    """Interleave all, so that a busy moment hits each; print medians and ratios."""
    servers.keep_bytecode()
    with tempfile.TemporaryDirectory() as folder:
        timing: dict[str, Callable[[], float]] = {
            name: lambda command=command: seconds(command)  # type: ignore[misc]
            for name, command in COMMANDS.items()
        }
        timing |= first_requests(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in timing}
        for _ in range(ROUNDS):
            for name, run in timing.items():
                times[name].append(run())
    base = statistics.median(times["import typer"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<33} {median * 1e3:6.0f} ms  {median / base:4.1f} x typer")


if __name__ == "__main__":
    main()
