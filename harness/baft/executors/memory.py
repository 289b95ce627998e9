"""The most memory that this process held: what a model that is computed here needs."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What makes Linux forget the peak (proc(5), ``clear_refs``, since 4.0)."""


def start_anew() -> None:
    """Let the peak begin at what is held now; without effect where a system keeps one for ever."""
    with contextlib.suppress(OSError):
        CLEAR.write_text(RESET_PEAK)


def peak_bytes() -> int | None:
    """Most bytes of resident memory since ``start_anew``; None where the system does not say."""
    try:
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _of_whole_life()


def _of_whole_life() -> int | None:
    try:
        import resource
    except ImportError:  # no such thing on this platform
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
