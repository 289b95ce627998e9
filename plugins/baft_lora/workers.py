"""Further processes that train along: small models gain more from them than from threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import patch_environment

import baft

from . import loading
from .distributed import Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from .options import Options

WORTH = 50_000
"""Tokens of a training below which further processes cost more than they save: each takes some
seconds to start."""

MOST = 8

MEMORY = 2 * 2**30
"""Bytes that each needs free: the libraries, a small model, its activations."""

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""The interface by which processes of one machine talk, whatever its name resolves to."""

PATIENCE_S = 5.0
"""For one that broke off to say why."""


def worthwhile(options: Options, *, device: str, parameters: int, tokens: int, free: int) -> int:
    """How many processes train fastest here, this one included.

    Args:
        options: of the training; its batches are shared evenly.
        device: ``cpu`` or ``cuda``.
        parameters: of the base.
        tokens: of all examples and epochs.
        free: bytes of memory.
    """
    if device != "cpu" or parameters >= loading.ONE_THREAD or tokens < WORTH:
        return 1
    most = min(MOST, cores(), free // MEMORY)
    return max((n for n in range(2, most + 1) if options.grad_accum % n == 0), default=1)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def started(size: int, task: Mapping[str, Any]) -> Iterator[Group]:
    """The group of this process and ``size - 1`` new ones, which run the same task.

    Args:
        size: 2 and more.
        task: arguments of ``run``, without the group and the log.

    Raises:
        BaftError: what went wrong in one of the new ones.
    """
    spawn = multiprocessing.get_context("spawn")
    told, telling = spawn.Pipe(duplex=False)
    others = [
        spawn.Process(target=_along, args=(task, telling), daemon=True) for _ in range(1, size)
    ]
    threads = torch.get_num_threads()
    try:
        with patch_environment(**_meeting(size)):
            for rank, process in enumerate(others, 1):
                with patch_environment(RANK=rank, LOCAL_RANK=rank):
                    process.start()
            AcceleratorState._reset_state(reset_partial_state=True)
            with patch_environment(RANK=0, LOCAL_RANK=0):
                yield Group.join("cpu")
    except RuntimeError as error:
        raise _reason(told, others) or error from error
    finally:
        for process in others:
            if process.pid:
                process.kill()
                process.join()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.set_num_threads(threads)  # which joining changes


def _along(task: Mapping[str, Any], telling: Connection) -> None:
    """What each of them does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    loading.tame_four_bits()
    from .run import run

    group = Group.join("cpu")
    try:
        run(**task, group=group, log=lambda step: None)
    except baft.Interrupted:
        raise SystemExit(1) from None  # the others know why
    except baft.BaftError as error:
        telling.send((type(error).__name__, error.message, error.hint))
        raise SystemExit(1) from None
    group.leave()


def _meeting(size: int) -> dict[str, Any]:
    """Where they meet, as ``torchrun`` would tell them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": size}
    told |= {"LOCAL_WORLD_SIZE": size, "OMP_NUM_THREADS": 1}
    interface = LOOPBACK.get(sys.platform)
    return told | ({"GLOO_SOCKET_IFNAME": interface} if interface else {})


def _reason(told: Connection, others: Sequence[BaseProcess]) -> baft.BaftError | None:
    """Why one of them ended before the others; None where none did by itself."""
    if told.poll(PATIENCE_S):
        kind, message, hint = told.recv()
        found: baft.BaftError = getattr(baft, kind)(message, hint)
        return found
    for process in others:
        if process.exitcode:
            return baft.DataError(
                f"A process that trained along ended with {process.exitcode}.",
                "Go on from the last checkpoint with --resume.",
            )
    return None
