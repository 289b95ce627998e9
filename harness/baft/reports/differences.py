"""Two answers word by word: what one says that the other does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

WORDS = 400
"""Longest text, in words, that is compared word by word; the time grows with the square."""
ALIKE = 0.3
"""Texts whose likeness (``difflib``'s ratio) is less share too little for marks to say anything."""

_WORD = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a text."""

    text: str
    new: bool
    """The text that it is compared with does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A text in pieces, with how far it is from the one it is compared with."""

    pieces: tuple[Piece, ...]
    added: int = 0
    """Words that the other text does not have."""
    dropped: int = 0
    """Words that only the other text has."""


def marked(text: str, against: str | None) -> Marked:
    """The text with its new words marked; whole where there is nothing to compare it with.

    White space does not count. Texts that are too long are given whole; of texts that have almost
    nothing in common the words are counted and not marked.

    >>> [p.text for p in marked("a quick red fox", "a quick brown fox").pieces if p.new]
    ['red ']
    """
    whole = Marked(pieces=(Piece(text=text, new=False),) if text else ())
    if not text or against is None or text == against:
        return whole
    ours, theirs = _WORD.findall(text), _WORD.findall(against)
    if not ours or max(len(ours), len(theirs)) > WORDS:
        return whole
    found = SequenceMatcher(None, [w.strip() for w in theirs], [w.strip() for w in ours])
    codes = found.get_opcodes()
    changed = [code for code in codes if code[0] != "equal"]
    added = sum(b2 - b1 for _, _, _, b1, b2 in changed)
    dropped = sum(a2 - a1 for _, a1, a2, _, _ in changed)
    if found.ratio() < ALIKE:
        return Marked(pieces=whole.pieces, added=added, dropped=dropped)
    pieces = tuple(
        Piece(text="".join(ours[b1:b2]), new=kind != "equal")
        for kind, _, _, b1, b2 in codes
        if b2 > b1
    )
    return Marked(pieces=pieces, added=added, dropped=dropped)
