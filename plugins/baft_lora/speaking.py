"""An answer told while it is written: tokens come in, pieces of text go out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .rendering import answer_text

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 0.05
"""Seconds between two pieces: all tokens so far are read each time, 1 ms for 1,000 of them."""

HALF = "\ufffd"
"""What a tokenizer writes for a character of which a token is still to come."""


class Speaker:
    """Tells the text of one row's tokens; joined, the pieces are the beginning of the answer.

    Args:
        tokenizer: reads the tokens.
        heard: told of each piece.
        every_s: seconds between two pieces.
    """

    def __init__(
        self, tokenizer: Any, heard: Callable[[str], None], *, every_s: float = EVERY_S
    ) -> None:
        self._tokenizer = tokenizer
        self._heard = heard
        self._every_s = every_s
        self._ids: list[int] = []
        self._said = ""
        self._last = time.monotonic()

    def __call__(self, row: int, token: int) -> None:
        """Take the next token."""
        self._ids.append(token)
        now = time.monotonic()
        if now - self._last < self._every_s:
            return
        self._last = now
        text = answer_text(self._tokenizer, self._ids).rstrip(HALF)
        if len(text) > len(self._said) and text.startswith(self._said):
            self._heard(text[len(self._said) :])
            self._said = text
