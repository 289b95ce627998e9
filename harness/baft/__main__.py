"""Where the command ``baft`` begins, as ``python -m baft`` does."""

from __future__ import annotations

import atexit
import gc
import signal


def main() -> None:
    """Import the command line and run it; a Ctrl-C meanwhile ends the process without a word."""
    atexit.register(gc.freeze)  # the last to be called; Python would search all for cycles to free
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and not ignored, as in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
