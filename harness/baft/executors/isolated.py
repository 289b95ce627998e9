"""Local models in a process of their own: out of memory or a crash there ends an arm, not the run.

One process serves all arms of a run, so that those of one base share its weights. It lives no
longer than its parent: a pipe that the parent holds open is its lifeline.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from ..errors import BaftError
from .breaker import ArmGone
from .worker import Worker, parcel_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from ..protocols import Deliver, Outcome, Work

JOIN_S = 5.0
"""Seconds that the process gets to end by itself."""


class IsolatedExecutor:
    """Asks in another process, which is started for the first arm and again after a crash."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._lifeline: Connection | None = None

    async def ask(self, work: Work, deliver: Deliver) -> None:
        """Send the work over and deliver what comes back.

        Raises:
            ArmGone: the process died, or the model cannot be opened there.
        """
        pipe = self._running()
        loop = asyncio.get_running_loop()
        try:
            pipe.send(parcel_of(work, work.prompts))
            while True:
                kind, content = await loop.run_in_executor(None, pipe.recv)
                if kind == "outcome":
                    await deliver(content)
                elif kind == "done":
                    return
                else:
                    raise ArmGone(*content, gone=True)
        except (EOFError, OSError) as error:
            raise ArmGone(self._obituary(work), gone=True) from error

    async def close(self) -> None:
        """End the process."""
        self._end()

    def _running(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._pipe is not None:
            return self._pipe
        self._end()
        context = get_context("spawn")
        here, there = context.Pipe()
        watched, self._lifeline = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_serve, args=(there, watched), name="baft-model", daemon=True
        )
        self._process.start()
        there.close()
        watched.close()
        self._pipe = here
        return here

    def _end(self) -> None:
        for pipe in (self._lifeline, self._pipe):
            if pipe is not None:
                pipe.close()
        if self._process is not None:
            self._process.join(JOIN_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()
        self._process = self._pipe = self._lifeline = None

    def _obituary(self, work: Work) -> str:
        """How the process ended, in words."""
        assert self._process is not None, "it was started"
        self._process.join(JOIN_S)
        code = self._process.exitcode
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        advice = " Most often that is too little memory: try --batch-size 1." if code == -9 else ""
        self._end()
        return f"The process that ran {work.spec} {how}.{advice}"


def _serve(pipe: Connection, lifeline: Connection) -> None:
    """The other process: one arm after another until the parent lets go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is over
    os.dup2(2, 1)  # stdout is for results
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    worker = Worker()
    while True:
        try:
            parcel = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_answer_all(pipe, worker, parcel))
        except BrokenPipeError:  # the parent is gone
            return


def _answer_all(pipe: Connection, worker: Worker, parcel: Mapping[str, Any]) -> tuple[str, Any]:
    """Answer one parcel; returns the message that ends it."""

    async def deliver(outcome: Outcome) -> None:
        pipe.send(("outcome", outcome))

    async def answer() -> None:
        try:
            await worker.answer(parcel, deliver)
        finally:
            await worker.close()  # its connections belong to this loop

    try:
        asyncio.run(answer())
    except* BaftError as group:  # one alone is made a group of one
        error = _first(group)
        message: tuple[str, Any] = ("gone", (error.message, error.hint))
    else:
        message = ("done", None)
    return message


def _first(group: BaseExceptionGroup[BaftError]) -> BaftError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _end_with(lifeline: Connection) -> None:
    """Leave at once when the parent is gone, also in the middle of a long computation."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(0)
