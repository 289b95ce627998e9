"""Where prompts are asked: in this process, in one of its own, or wherever a plugin sends them.

An executor only asks. What it delivers is committed and scored by the engine, so a run has one
writer wherever its answers come from.
"""

from __future__ import annotations

from .asking import ask_here
from .breaker import ArmGone
from .isolated import IsolatedExecutor
from .local import LocalExecutor
from .worker import Worker, parcel_of, runs_in_process

__all__ = [
    "ArmGone",
    "IsolatedExecutor",
    "LocalExecutor",
    "Worker",
    "ask_here",
    "parcel_of",
    "runs_in_process",
]
