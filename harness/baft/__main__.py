"""``python -m baft``: the same as the command ``baft``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
