"""A watch over the event loop: a backend that blocks it is broken off, and told where.

Timeouts need a loop that turns. A backend that sleeps or reads without awaiting stops the loop, and
every timeout with it; only a signal reaches the main thread then.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

from ..errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

PATIENCE_S = 30.0
"""Seconds beyond the timeout: importing a large library may hold the loop for some time."""

BEAT_S = 1.0
"""Seconds between two looks."""


@contextlib.contextmanager
def watched(spec: str, timeout_s: float, asking: CodeType) -> Iterator[None]:
    """Break off what blocks the running loop for longer than ``timeout_s`` and some patience.

    Only where the platform can signal a thread, and only in the main thread.

    Args:
        spec: names the backend in the error.
        timeout_s: seconds that one call may take.
        asking: code of the function that calls the backend; nothing outside of it is broken off.

    Raises:
        BackendError: inside the blocking call, with ``gone=True``.
    """
    main = threading.main_thread()
    if not hasattr(signal, "pthread_kill") or threading.current_thread() is not main:
        yield
        return
    limit_s = timeout_s + PATIENCE_S
    loop = asyncio.get_running_loop()
    over = threading.Event()
    turned = time.monotonic()
    next_turn: asyncio.TimerHandle

    def turn() -> None:
        nonlocal turned, next_turn
        turned = time.monotonic()
        next_turn = loop.call_later(BEAT_S, turn)

    def watch() -> None:
        while not over.wait(min(BEAT_S, limit_s)):
            if time.monotonic() - turned > limit_s:
                signal.pthread_kill(main.ident or 0, signal.SIGUSR1)

    def break_off(number: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"
        while frame is not None:
            if frame.f_code is asking:
                raise BackendError(
                    f"{spec} blocked everything else for {limit_s:g} s, at {where}.",
                    "Its generate() must await, or work in a thread by asyncio.to_thread.",
                    gone=True,
                )
            frame = frame.f_back

    next_turn = loop.call_later(BEAT_S, turn)
    before = signal.signal(signal.SIGUSR1, break_off)
    watcher = threading.Thread(target=watch, name="baft-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        next_turn.cancel()
        signal.signal(signal.SIGUSR1, before)
